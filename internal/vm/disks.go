package vm

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Layout is the disks of a machine in which a definition finds its disks under the names it uses.
type Layout struct {
	Disks []Disk // one for each device, in their order; only SizeBytes is left to be set
	// Fillers are small disks that nothing names: the sda without which there would be no sdb. The machine needs them too.
	Fillers []Disk
	// Differences from the real disks, each a sentence for the user.
	Differences []string
	// UdevRules give the disks those names that no virtual hardware brings about. They have to come after udev's own
	// 60-persistent-storage.rules in every system of the machine, initrd included. Empty if none are needed.
	UdevRules string
	// KernelParameters are for the systems that run while a medium is in: a slow machine may otherwise find the stick before the disk that
	// shall be sda.
	KernelParameters []string
	// FirstModules are kernel modules that every system of the machine has to load before it looks for devices: only if the driver is there
	// already do disks get their letters in the order in which they are found.
	FirstModules []string
}

// DisksFor gives the disks of a machine by the paths under which its definition names them: /dev/sda, /dev/disk/by-id/ata-MODEL_SERIAL,
// /dev/disk/by-path/pci-0000:00:17.0-ata-1 and so on; the path of a partition stands for its disk. What is no disk, or is named twice, is
// told at once.
//
// Facts are from udev's 60-persistent-storage.rules with its programs ata_id, scsi_id, usb_id and path_id, systemd 252 to 256.
func DisksFor(devices []string) (Layout, error) {
	var all []likeness
	var errs []error
	seen := map[string]string{}
	for i, device := range devices {
		l, err := likenessOf(device)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if other := seen[l.key()]; other != "" {
			errs = append(errs, fmt.Errorf("%s and %s are the same disk", other, device))
		}
		seen[l.key()] = device
		l.device = device
		l.disk.Name = cmp.Or(l.disk.Device, fmt.Sprintf("disk%d", i))
		all = append(all, l)
	}
	if err := errors.Join(errs...); err != nil {
		return Layout{}, err
	}
	return layout(all), nil
}

// likeness is the disk that comes nearest to what a definition names.
type likeness struct {
	device string // as the definition names it
	disk   Disk
	// What hardware alone cannot do: the link below /dev that a rule has to add, why, and how a rule knows the disk.
	link, why, match string
}

// key is the same for two names of the same disk.
func (l likeness) key() string {
	d := l.disk
	if s, ok := readPath(d.Path); ok {
		return fmt.Sprint("at ", s)
	}
	return strings.Join([]string{string(d.Bus), d.Vendor, d.Model, d.Serial, d.WWN, d.Device, l.link}, "\x00")
}

func layout(all []likeness) Layout {
	var out Layout
	for _, l := range all {
		out.Disks = append(out.Disks, l.disk)
	}
	out.Fillers = fillers(out.Disks)
	var rules strings.Builder
	for _, l := range all {
		if l.link == "" {
			continue
		}
		out.Differences = append(out.Differences, fmt.Sprintf("%s: %s; a udev rule adds the link", l.device, l.why))
		rules.WriteString(linkRule(l))
	}
	out.Differences = append(out.Differences, letters(out.Disks)...)
	if n := len(out.Fillers); n > 0 {
		out.Differences = append(out.Differences, fmt.Sprintf("small blank disks that the definition does not name come before those it does: %d", n))
	}
	if slices.ContainsFunc(out.Disks, func(d Disk) bool { return strings.HasPrefix(d.Device, "sd") }) {
		out.KernelParameters = []string{"usb-storage.delay_use=10"} // seconds; 1 is usual
		out.FirstModules = []string{"sd_mod"}
	}
	if rules.Len() > 0 {
		out.UdevRules = "# Names of disks that virtual hardware cannot bring about.\n" + rules.String()
	}
	return out
}

// letters tells of names such as sda that disks elsewhere may get as well: there is one row of letters for all of them.
func letters(disks []Disk) []string {
	other := slices.IndexFunc(disks, func(d Disk) bool {
		return d.Bus == SCSI || d.Bus == USB || d.Bus == SATA && d.Path != ""
	})
	if other < 0 {
		return nil
	}
	var all []string
	for _, d := range disks {
		if strings.HasPrefix(d.Device, "sd") {
			all = append(all, fmt.Sprintf("/dev/%s: Linux counts disks on SATA, SCSI and USB as it finds them: disk %s may get this name instead",
				d.Device, disks[other].Name))
		}
	}
	return all
}

// fillerSize is what a disk has that is there for its place only.
const fillerSize = 64 << 20

// fillers are the disks that are missing before those that are named by their place in a row.
func fillers(disks []Disk) []Disk {
	last, count := map[Bus]int{}, map[Bus]int{}
	for _, d := range disks {
		if d.Path != "" {
			continue
		}
		count[d.Bus]++
		if i, ok := rank(d); ok {
			last[d.Bus] = max(last[d.Bus], i+1)
		}
	}
	var all []Disk
	for _, b := range []Bus{Virtio, SATA, NVMe} {
		for i := count[b]; i < last[b]; i++ {
			all = append(all, Disk{Name: fmt.Sprintf("filler-%s%d", b, i), SizeBytes: fillerSize, Bus: b})
		}
	}
	return all
}

// linkRule adds a link to a disk and its partitions.
func linkRule(l likeness) string {
	suffix := "-part%n"
	if !strings.HasPrefix(l.link, "disk/") { // as the kernel names partitions
		suffix = "%n"
		if strings.ContainsAny(l.link[len(l.link)-1:], "0123456789") {
			suffix = "p%n"
		}
	}
	const rule = "ACTION!=\"remove\", SUBSYSTEM==\"block\", ENV{DEVTYPE}==%q, %s, SYMLINK+=%q\n"
	return fmt.Sprintf(rule, "disk", l.match, l.link) + fmt.Sprintf(rule, "partition", l.match, l.link+suffix)
}

// likenessOf reads the path under which a definition names a disk.
func likenessOf(device string) (likeness, error) {
	name := path.Clean(device)
	if !regexp.MustCompile(`^/dev/[A-Za-z0-9#+.:=@_/-]+$`).MatchString(name) {
		return likeness{}, fmt.Errorf("%q is no path that udev gives a disk", device)
	}
	name = strings.TrimPrefix(name, "/dev/")
	whole := regexp.MustCompile(`-part[0-9]+$`).ReplaceAllString(name, "")
	if id, ok := strings.CutPrefix(whole, "disk/by-id/"); ok {
		if l, ok := byID(id); ok {
			return l.linked(whole), nil
		}
	}
	if at, ok := strings.CutPrefix(whole, "disk/by-path/"); ok {
		return byPath(at).linked(whole), nil
	}
	if strings.HasPrefix(name, "disk/") {
		return likeness{}, fmt.Errorf("%s names what is on a disk, or nothing that udev makes: the disk itself cannot be told from it", device)
	}
	if l, ok := byKernel(name); ok {
		return l, nil
	}
	return likeness{}, fmt.Errorf("%s is no disk of a kind that a virtual machine can have", device)
}

// linked notes the link if a rule has to make it.
func (l likeness) linked(link string) likeness {
	if l.why == "" {
		return l
	}
	l.link = link
	if l.disk.Serial == "" {
		l.disk.Serial = made(link)
	}
	l.match = recognise(l.disk)
	if l.disk.Bus == SCSI || l.disk.Bus == SATA {
		l.disk.WWN = cmp.Or(l.disk.WWN, "5"+made(link)[:15])
		l.match = fmt.Sprintf(`KERNEL=="sd*", ENV{ID_WWN}=="0x%s"`, l.disk.WWN)
	}
	return l
}

// made is a serial number of 16 hexadecimal digits that stays the same.
func made(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:16] }

// recognise is how a rule knows a disk by its serial number.
func recognise(d Disk) string {
	switch d.Bus {
	case Virtio:
		return fmt.Sprintf("KERNEL==\"vd*\", ENV{ID_SERIAL}==%q", d.Serial)
	case NVMe:
		return fmt.Sprintf("KERNEL==\"nvme*\", ENV{ID_SERIAL_SHORT}==%q", d.Serial)
	}
	return fmt.Sprintf("KERNEL==\"sd*\", ENV{ID_SERIAL_SHORT}==%q", d.Serial)
}

// byKernel reads the kernel's own names. A sda is on SATA: NixOS has the driver for that in every initrd.
func byKernel(name string) (likeness, bool) {
	if m := regexp.MustCompile(`^(sd|vd|hd|xvd)([a-z]{1,2})[0-9]*$`).FindStringSubmatch(name); m != nil {
		switch whole := m[1] + m[2]; m[1] {
		case "sd":
			return likeness{disk: Disk{Bus: SATA, Device: whole}}, true
		case "vd":
			return likeness{disk: Disk{Bus: Virtio, Device: whole}}, true
		case "hd":
			return likeness{disk: Disk{Bus: SATA}, why: "disks on IDE have become disks on SATA"}.linked(whole), true
		default:
			return likeness{disk: Disk{Bus: Virtio}, why: "it is a disk of Xen"}.linked(whole), true
		}
	}
	if m := regexp.MustCompile(`^(nvme[0-9]{1,2})(n[0-9]{1,2})(?:p[0-9]+)?$`).FindStringSubmatch(name); m != nil {
		if m[2] == "n1" {
			return likeness{disk: Disk{Bus: NVMe, Device: m[1] + m[2]}}, true
		}
		return likeness{disk: Disk{Bus: NVMe}, why: "it is a further namespace of a disk"}.linked(m[1] + m[2]), true
	}
	if m := regexp.MustCompile(`^(mmcblk[0-9])(?:p[0-9]+)?$`).FindStringSubmatch(name); m != nil {
		return mmc().linked(m[1]), true
	}
	return likeness{}, false
}

// mmc is a disk on SATA instead of a memory card: OVMF does not find cards (2022.11), SeaBIOS prefers a stick, and all have one identity.
func mmc() likeness {
	return likeness{disk: Disk{Bus: SATA}, why: "virtual machines do not boot from memory cards, so that it is a disk on SATA"}
}

// rank is the place in a row that a kernel name says: 1 for sdb and nvme1n1.
func rank(d Disk) (int, bool) {
	if m := regexp.MustCompile(`^[sv]d([a-z]+)$`).FindStringSubmatch(d.Device); m != nil {
		n := 0
		for _, letter := range m[1] {
			n = n*26 + int(letter-'a') + 1
		}
		return n - 1, true
	}
	if m := regexp.MustCompile(`^(?:nvme|mmcblk)([0-9]+)`).FindStringSubmatch(d.Device); m != nil {
		return decimal(m[1]), true
	}
	return 0, false
}

// inOrder sorts the disks of one bus: those with a rank come there, others fill the places between and after them.
func inOrder(disks []Disk) []Disk {
	ranked := map[int]Disk{}
	var rest, sorted []Disk
	for _, d := range disks {
		i, ok := rank(d)
		if _, taken := ranked[i]; ok && !taken {
			ranked[i] = d
			continue
		}
		rest = append(rest, d)
	}
	for i := 0; len(sorted) < len(disks); i++ {
		d, ok := ranked[i]
		switch {
		case ok:
			sorted = append(sorted, d)
		case len(rest) > 0:
			sorted, rest = append(sorted, rest[0]), rest[1:]
		}
	}
	return sorted
}

// spot is where a disk is attached.
type spot struct {
	bus  Bus
	at   place // of its controller
	port int   // of the controller, from 1; 0 if the disk is a PCI device itself
}

// readPath reads udev's ID_PATH of disks that a virtual machine can have.
func readPath(text string) (spot, bool) {
	m := regexp.MustCompile(`^(virtio-)?pci-([0-9a-f:.]{12})(-.*)?$`).FindStringSubmatch(text)
	if m == nil {
		return spot{}, false
	}
	at, ok := readPlace(m[2])
	if !ok || !at.free() {
		return spot{}, false
	}
	s := spot{at: at}
	for _, form := range []struct {
		pattern string
		bus     Bus
		first   int // what is added to the number to make it a port
	}{
		{`^$`, Virtio, 0},
		{`^-nvme-1$`, NVMe, 0},
		{`^-ata-([1-6])(?:\.0)?$`, SATA, 0},
		{`^-scsi-0:0:([0-9]{1,3}):0$`, SCSI, 1},
		{`^-usb-0:([1-9][0-9]?):1\.0-scsi-0:0:0:0$`, USB, 0},
	} {
		f := regexp.MustCompile(form.pattern).FindStringSubmatch(m[3])
		if f == nil || m[1] != "" && form.bus != Virtio && form.bus != SCSI {
			continue
		}
		s.bus = form.bus
		if len(f) > 1 {
			s.port = decimal(f[1]) + form.first
		}
		return s, s.bus != NVMe || at.device == 0 || at.bus == 0
	}
	return spot{}, false
}

// byPath is a disk at a place; where a virtual machine has no such place, one of the kind that the path speaks of.
func byPath(at string) likeness {
	if s, ok := readPath(at); ok {
		return likeness{disk: Disk{Bus: s.bus, Path: at}}
	}
	l := likeness{disk: Disk{Bus: SATA}, why: "no disk of a virtual machine can be there"}
	for _, kind := range []struct {
		word string
		bus  Bus
	}{{"-nvme-", NVMe}, {"-usb", USB}, {"virtio", Virtio}, {"-sas-", SCSI}, {"-scsi-", SCSI}, {"-fc-", SCSI}} {
		if strings.Contains(at, kind.word) {
			l.disk.Bus = kind.bus
			break
		}
	}
	return l
}
