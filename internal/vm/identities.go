package vm

import (
	"regexp"
	"strings"
)

// byID is a disk that says of itself what udev makes such a link of. False is a link of something else than a disk.
func byID(id string) (likeness, bool) {
	for prefix, read := range map[string]func(string) likeness{
		"ata-": ataID, "nvme-": nvmeID, "scsi-": scsiID, "wwn-": wwnID, "virtio-": virtioID, "usb-": usbID, "mmc-": func(string) likeness { return mmc() },
	} {
		if rest, ok := strings.CutPrefix(id, prefix); ok && rest != "" {
			return read(rest), true
		}
	}
	return likeness{}, false
}

// ataID: MODEL_SERIAL, where blanks have become underscores. A model has at most 40 characters, a serial number 20 (ATA, IDENTIFY DEVICE).
func ataID(id string) likeness {
	d := Disk{Bus: SATA}
	for _, at := range backwards(id) {
		if model, serial := id[:at], id[at+1:]; len(model) <= 40 && len(serial) <= 20 && sayable(model) && sayable(serial) {
			d.Model, d.Serial = spaced(model), serial
			return likeness{disk: d}
		}
	}
	return likeness{disk: d, why: "no model and serial number of a SATA disk give this name"}
}

// nvmeID: MODEL_SERIAL, since systemd 255 also with the number of the namespace behind it, or an identity of the namespace. QEMU has one
// model of its own, and Linux since 5.18 passes over the identities of its namespaces (NVME_QUIRK_BOGUS_NID).
func nvmeID(id string) likeness {
	l := likeness{disk: Disk{Bus: NVMe}}
	m := regexp.MustCompile(`^(.+?)_([^_]{1,20})(?:_([1-9]))?$`).FindStringSubmatch(id)
	if m != nil {
		l.disk.Serial = m[2]
	}
	if m != nil && m[1] == "QEMU_NVMe_Ctrl" && (m[3] == "" || m[3] == "1") {
		return l
	}
	l.why = "virtual NVMe disks have the model of QEMU"
	if m == nil || regexp.MustCompile(`^(eui|uuid|nvme)\.`).MatchString(id) {
		l.why, l.disk.Serial = "Linux does not believe what virtual NVMe disks say of themselves", ""
	}
	return l
}

// scsiID: what scsi_id takes from the page "device identification", with the kind of identity before it: 3 a world wide name of 16
// digits, 0 vendor, product and serial number.
func scsiID(id string) likeness {
	d := Disk{Bus: SCSI}
	if m := regexp.MustCompile(`^3([0-9a-f]{16})$`).FindStringSubmatch(id); m != nil && wide(m[1]) {
		d.WWN = m[1]
		return likeness{disk: d}
	}
	if rest, ok := strings.CutPrefix(id, "0"); ok {
		if vendor, product, serial, ok := inquiry(rest, 20); ok {
			d.Vendor, d.Model, d.Serial = vendor, product, serial
			return likeness{disk: d}
		}
	}
	return likeness{disk: d, why: "no virtual SCSI disk has this identity"}
}

// wwnID: disks of both kinds have world wide names; those of 16 digits are mostly seen on SATA.
func wwnID(id string) likeness {
	if m := regexp.MustCompile(`^0x([0-9a-f]{16})$`).FindStringSubmatch(id); m != nil && wide(m[1]) {
		return likeness{disk: Disk{Bus: SATA, WWN: m[1]}}
	}
	return likeness{disk: Disk{Bus: SCSI}, why: "no virtual disk has such a world wide name"}
}

// wide tells whether it is a name as companies give them (NAA 5), which both ATA and SCSI tell as it is.
func wide(digits string) bool { return digits[0] == '5' }

// virtioID: the serial number, of which the device tells 20 characters.
func virtioID(id string) likeness {
	if len(id) > 20 {
		return likeness{disk: Disk{Bus: Virtio}, why: "serial numbers of virtio disks have at most 20 characters"}
	}
	return likeness{disk: Disk{Bus: Virtio, Serial: id}}
}

// usbID: vendor, product and serial number, then target and unit of the disk behind the device.
func usbID(id string) likeness {
	d := Disk{Bus: USB}
	if rest, ok := strings.CutSuffix(id, "-0:0"); ok {
		if vendor, product, serial, ok := inquiry(rest, 100); ok {
			d.Vendor, d.Model, d.Serial = vendor, product, serial
			return likeness{disk: d}
		}
	}
	return likeness{disk: d, why: "no vendor, product and serial number of a USB disk give this name"}
}

// inquiry splits VENDOR_PRODUCT_SERIAL into a vendor of at most 8 characters, a product of at most 16 (SCSI, INQUIRY) and the rest. Any
// split that fits gives the same link; the likeliest has no underscore in vendor and serial number.
func inquiry(id string, limit int) (vendor, product, serial string, ok bool) {
	for _, last := range backwards(id) {
		for _, first := range forwards(id[:last]) {
			vendor, product, serial = id[:first], id[first+1:last], id[last+1:]
			if len(vendor) <= 8 && len(product) <= 16 && len(serial) <= limit && sayable(vendor) && sayable(product) && sayable(serial) {
				return spaced(vendor), spaced(product), serial, true
			}
		}
	}
	return "", "", "", false
}

// sayable tells whether a part of a name can come from a field of its own: blanks at its ends would have been cut off.
func sayable(text string) bool {
	return text != "" && !strings.HasPrefix(text, "_") && !strings.HasSuffix(text, "_")
}

// spaced undoes what udev did to blanks: many become one underscore.
func spaced(text string) string {
	if strings.Contains(text, "__") {
		return text
	}
	return strings.ReplaceAll(text, "_", " ")
}

// forwards lists where the underscores are.
func forwards(text string) []int {
	var all []int
	for i := range len(text) {
		if text[i] == '_' {
			all = append(all, i)
		}
	}
	return all
}

// backwards is the same from the end.
func backwards(text string) []int {
	all := forwards(text)
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	return all
}
