package blockdev

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// Reason is one thing that speaks against overwriting a device.
type Reason struct {
	Kind Kind
	Text string // what is wrong, without subject: "is mounted on /home"
	// Override tells that whoever types the device's [Word] may overwrite it all the same. Nothing overrides the others.
	Override bool
}

// Kind names a reason for programs.
type Kind string

// The reasons. All but the last six cannot be overridden.
const (
	Missing   Kind = "missing"    // there is no such path
	NoDevice  Kind = "no device"  // a file, a folder, a character device
	Empty     Kind = "empty"      // a device without a size: nothing in the reader, a loop device without a file
	IsPart    Kind = "partition"  // a part of a disk
	Virtual   Kind = "virtual"    // made of other devices or of memory: dm, md, zram, ram, rom
	ReadOnly  Kind = "read-only"  // write-protected
	TooSmall  Kind = "too small"  // for the image
	System    Kind = "system"     // holds the running system
	Mounted   Kind = "mounted"    // it or something on it
	Swap      Kind = "swap"       // it or something on it
	InUse     Kind = "in use"     // something is made of it: an open LUKS container, an active volume group or array, a file system of several devices
	Busy      Kind = "busy"       // the kernel says so and nobody knows why
	Member    Kind = "member"     // of something that is not assembled at the moment
	Sealed    Kind = "encrypted"  // a container that is not open
	Fixed     Kind = "fixed"      // does not look like a medium
	TooLarge  Kind = "too large"  // does not look like a medium either
	IsLoop    Kind = "loop"       // a file behind a loop device
	NotListed Kind = "not listed" // lsblk does not know it
)

// largeMedium is from where on a device is more likely a disk of data than a stick, in bytes.
const largeMedium = 2 << 40

// Judge gives every reason against writing an image of so many bytes to the device with this number (MAJOR:MINOR), as the list shows it. None
// means that the device is a removable medium that nobody uses. The list may be wrong the moment after: [Hold] finds that.
func Judge(devices []hive.Device, number string, bytes int64) []Reason {
	d, disks, ok := Find(devices, number)
	if !ok {
		return []Reason{{Empty, "has no size: nothing is in it, or nothing is behind it", false}}
	}
	what, looks := kind(d, disks), []Reason(nil)
	if len(what) == 0 {
		looks = fixed(devices, d)
	}
	return slices.Concat(what, size(d, bytes), use(d), relatives(devices, d), looks)
}

// Word is what has to be typed to overwrite a device: its serial, or the kernel's name (sdb) if it has none.
func Word(d hive.Device) string {
	if d.Serial != "" {
		return d.Serial
	}
	return strings.TrimPrefix(d.Path, "/dev/")
}

// Refuse turns reasons into an error: nil if there are none, or if all of them can be overridden and typed is the device's word.
func Refuse(d hive.Device, reasons []Reason, typed string) error {
	final := slices.ContainsFunc(reasons, func(r Reason) bool { return !r.Override })
	if len(reasons) == 0 || !final && typed == Word(d) {
		return nil
	}
	return &RefusedError{Path: d.Path, Device: d, Reasons: reasons}
}

// RefusedError is a device that must not be overwritten.
type RefusedError struct {
	Path    string
	Device  hive.Device // what is known of it; zero if it is none
	Reasons []Reason
}

func (e *RefusedError) Error() string {
	var texts []string
	for _, r := range e.Reasons {
		texts = append(texts, r.Text)
	}
	return fmt.Sprintf("refused to overwrite %s: it %s", e.Path, strings.Join(texts, "; it "))
}

// Overridable reports whether typing the device's [Word] would do.
func (e *RefusedError) Overridable() bool {
	return !slices.ContainsFunc(e.Reasons, func(r Reason) bool { return !r.Override })
}

// kind judges what the device is.
func kind(d hive.Device, disks []hive.Device) []Reason {
	switch {
	case d.Kind == "part":
		return []Reason{{IsPart, "is a partition; a medium takes the whole disk, " + names(disks), false}}
	case d.Kind == "loop":
		return []Reason{{IsLoop, "is a loop device: a file, not a medium", true}}
	case d.Kind == "rom":
		return []Reason{{Virtual, "is an optical drive; images are burnt with other programs", false}}
	case strings.HasPrefix(d.Path, "/dev/zram"), strings.HasPrefix(d.Path, "/dev/ram"):
		return []Reason{{Virtual, "is memory (" + strings.TrimPrefix(d.Path, "/dev/") + "), gone with the next start", false}}
	case d.Kind != "disk":
		return []Reason{{Virtual, fmt.Sprintf("is no disk but made of %s (%s)", names(disks), d.Kind), false}}
	}
	return nil
}

func size(d hive.Device, bytes int64) []Reason {
	var reasons []Reason
	if d.ReadOnly {
		reasons = append(reasons, Reason{ReadOnly, "is read-only; sticks and cards may have a switch for it", false})
	}
	if d.Bytes < bytes {
		reasons = append(reasons, tooSmall(d.Bytes, bytes))
	}
	return reasons
}

func tooSmall(device, image int64) Reason {
	has, wants := hive.Size(device), hive.Size(image)
	if has == wants {
		has, wants = fmt.Sprintf("%d bytes", device), fmt.Sprintf("%d", image)
	}
	return Reason{TooSmall, fmt.Sprintf("holds %s, the image has %s", has, wants), false}
}

// use judges what lies on the device.
func use(d hive.Device) []Reason {
	var reasons []Reason
	var walk func(hive.Device)
	walk = func(x hive.Device) {
		reasons = append(reasons, mounts(d, x)...)
		members := 0
		for _, c := range x.Children {
			if c.Kind != "part" {
				members++
				reasons = append(reasons, Reason{InUse, fmt.Sprintf("%scarries %s (%s)", holder(d, x), c.Path, c.Kind), false})
			}
			walk(c)
		}
		if members == 0 {
			reasons = append(reasons, signature(d, x)...)
		}
	}
	walk(d)
	return unique(reasons)
}

// mounts judges how x, which is d or lies on it, is used by the running system.
func mounts(d, x hive.Device) []Reason {
	var reasons []Reason
	for _, m := range x.Mounts {
		switch {
		case m == "[SWAP]":
			reasons = append(reasons, Reason{Swap, holder(d, x) + "is swap space in use", false})
		case ofSystem(m):
			reasons = append(reasons, Reason{System, holder(d, x) + "holds the running system, mounted on " + m, false})
		default:
			reasons = append(reasons, Reason{Mounted, holder(d, x) + "is mounted on " + m, false})
		}
	}
	return reasons
}

// holder is the beginning of a sentence on x that goes on after "it ".
func holder(d, x hive.Device) string {
	if d.Number == x.Number {
		return ""
	}
	return "holds " + x.Path + ", which "
}

// ofSystem tells where a system keeps what it runs from, its boot files and its users' data.
func ofSystem(mount string) bool {
	if mount == "/" {
		return true
	}
	for _, top := range []string{"/boot", "/efi", "/nix", "/usr", "/etc", "/var", "/home", "/root", "/opt", "/srv", "/iso", "/run/initramfs", "/sysroot"} {
		if mount == top || strings.HasPrefix(path.Clean(mount), top+"/") {
			return true
		}
	}
	return false
}

// signature judges what x is a member of according to what is written on it, though nothing is assembled.
func signature(d, x hive.Device) []Reason {
	what := map[string]string{
		"LVM2_member":        "a physical volume of LVM",
		"LVM1_member":        "a physical volume of LVM",
		"linux_raid_member":  "a member of a RAID array (md)",
		"ddf_raid_member":    "a member of a firmware RAID",
		"isw_raid_member":    "a member of a firmware RAID",
		"zfs_member":         "a member of a ZFS pool",
		"bcache":             "a member of a bcache set",
		"bcachefs":           "a member of a bcachefs file system",
		"drbd":               "a member of a DRBD resource",
		"ceph_bluestore":     "a store of Ceph",
		"VMFS_volume_member": "a member of a VMFS volume",
	}[x.Content]
	if what != "" {
		if x.Label != "" {
			what += " named " + x.Label
		}
		return []Reason{{Member, holder(d, x) + "is " + what, true}}
	}
	if x.Content == "crypto_LUKS" || x.Content == "BitLocker" {
		return []Reason{{Sealed, holder(d, x) + "is encrypted (" + x.Content + "): nobody can see what would be lost", true}}
	}
	return nil
}

// relatives finds devices of the same file system (btrfs, bcachefs), of which lsblk shows only one as mounted.
func relatives(devices []hive.Device, d hive.Device) []Reason {
	var reasons []Reason
	d.Walk(func(x hive.Device) {
		if x.ContentID == "" || x.Content != "btrfs" && x.Content != "bcachefs" || len(x.Mounts) > 0 {
			return
		}
		for _, top := range devices {
			top.Walk(func(other hive.Device) {
				if other.ContentID == x.ContentID && other.Number != x.Number && len(other.Mounts) > 0 {
					text := fmt.Sprintf("%sis part of the %s file system mounted on %s", holder(d, x), x.Content, other.Mounts[0])
					reasons = append(reasons, Reason{InUse, text, false})
				}
			})
		}
	})
	return unique(reasons)
}

// fixed judges whether it looks like something that is carried about.
func fixed(devices []hive.Device, d hive.Device) []Reason {
	var reasons []Reason
	portable := d.Removable || d.Hotplug || d.Transport == "usb" || d.Transport == "mmc"
	switch how := d.Transport; {
	case soldered(devices, d):
		reasons = append(reasons, Reason{Fixed, "is soldered in (eMMC): it looks like the disk of this machine", true})
	case !portable && how == "":
		reasons = append(reasons, Reason{Fixed, "is not removable: it looks like a disk of this machine", true})
	case !portable:
		reasons = append(reasons, Reason{Fixed, "is not removable (" + how + "): it looks like a disk of this machine", true})
	}
	if d.Bytes > largeMedium {
		reasons = append(reasons, Reason{TooLarge, "holds " + hive.Size(d.Bytes) + ", more than a stick", true})
	}
	return reasons
}

// soldered tells an eMMC from a card by its boot partitions (mmcblk0boot0), which the kernel shows as disks of their own.
func soldered(devices []hive.Device, d hive.Device) bool {
	whole, _, _ := strings.Cut(d.Path, "boot")
	return d.Transport == "mmc" && slices.ContainsFunc(devices, func(x hive.Device) bool { return x.Path == whole+"boot0" })
}

func names(devices []hive.Device) string {
	var paths []string
	for _, d := range devices {
		paths = append(paths, d.Path)
	}
	return strings.Join(paths, " and ")
}

// unique keeps the order. A device below several others is met several times.
func unique(reasons []Reason) []Reason {
	var kept []Reason
	for _, r := range reasons {
		if !slices.Contains(kept, r) {
			kept = append(kept, r)
		}
	}
	return kept
}
