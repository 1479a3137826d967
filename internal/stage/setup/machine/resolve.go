package machine

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// States of a disk, see [hive.Target].
const (
	StateBlank       = "blank"
	StateInterrupted = "interrupted"
	StateOwn         = "own"
	StateForeign     = "foreign"
)

// Fates of a disk, see [hive.Target].
const (
	FateDestroy = "destroy"
	FateFormat  = "format"
	FateMount   = "mount"
)

// Resolve finds each disk of a plan on the machine: exactly one whole disk by its selector, or the one that the path of the definition names.
// Targets are those found, in the order of the plan; Contents are left to be filled. All that stands in the way is told at once: a disk that
// is not there or not the only one, that is taken twice, that runs the system, that is none to install to. Nothing may be written while one of
// the problems is an error.
func Resolve(p hive.Plan, mode hive.Mode, m hive.Machine) ([]hive.Target, []hive.Problem) {
	var targets []hive.Target
	var problems []hive.Problem
	for _, disk := range p.Storage.Disks {
		s := search{plan: p, machine: m, disk: disk}
		found := s.candidates()
		if len(found) != 1 {
			problems = append(problems, s.notOne(found))
			continue
		}
		problems = append(problems, s.unfit(found[0])...)
		targets = append(targets, target(p, mode, disk, found[0]))
	}
	return targets, append(problems, twice(p, m, targets)...)
}

// target says what is on a disk and what becomes of it.
func target(p hive.Plan, mode hive.Mode, disk hive.Disk, device hive.Device) hive.Target {
	t := hive.Target{Disk: disk, Device: device, State: State(p.Name, disk.Name, device)}
	switch {
	case disk.Additional, mode == hive.Keep:
		t.Fate = FateMount
	case t.State == StateBlank, t.State == StateInterrupted:
		t.Fate = FateFormat
	case mode == hive.Add:
		t.Fate = FateMount
	default:
		t.Fate = FateDestroy
	}
	return t
}

// State says whose a disk is: nobody's, this host's, or somebody else's. Nothing but the GUID that setup gave its table makes a disk the
// host's own, or one that an installation of the host was interrupted on.
func State(host, disk string, device hive.Device) string {
	switch {
	case device.Table == "gpt" && strings.EqualFold(device.TableID, hive.DiskGUID(host, disk)):
		return StateOwn
	case device.Table == "gpt" && strings.EqualFold(device.TableID, hive.InstallingGUID(host, disk)):
		return StateInterrupted
	case device.Blank():
		return StateBlank
	}
	return StateForeign
}

// search is for one disk of a plan.
type search struct {
	plan    hive.Plan
	machine hive.Machine
	disk    hive.Disk
}

// candidates are the whole disks that the definition's words fit.
func (s search) candidates() []hive.Device {
	var found []hive.Device
	for _, d := range s.machine.Devices {
		if d.Kind == "disk" && s.fits(d) {
			found = append(found, d)
		}
	}
	return found
}

func (s search) fits(d hive.Device) bool {
	if !s.disk.Selector.Empty() {
		return s.disk.Selector.Fits(d)
	}
	return named(d, path.Clean(s.disk.Device))
}

// named reports whether a path is one of a device's names.
func named(d hive.Device, name string) bool {
	return d.Path == name || slices.Contains(d.Links, name)
}

// option is where the definition says which disk it is.
func (s search) option() string {
	if s.disk.Selector.Empty() {
		return "disko.devices.disk." + attribute(s.disk.Name) + ".device"
	}
	return "hive.partitioning.disks." + attribute(s.disk.Name)
}

func (s search) problem(severity hive.Severity, rule, message, way string) hive.Problem {
	return hive.Problem{Host: s.plan.Name, Option: s.option(), Severity: severity, Rule: rule, Message: message, Way: way}
}

// notOne tells of a disk that is missing, or of several that would do. Guessing is not an option: the first may hold somebody's photos.
func (s search) notOne(found []hive.Device) hive.Problem {
	if len(found) > 1 {
		return s.problem(hive.Error, "disk-ambiguous",
			fmt.Sprintf("%s fits %d disks: %s", s.sought(), len(found), describe(found)), "say which one it is: "+s.lines(found))
	}
	if other, what, ok := s.otherKind(); ok {
		return s.problem(hive.Error, "disk-kind", fmt.Sprintf("%s is %s, and not a whole disk: %s; the disks of the machine are: %s",
			s.sought(), what, other.Path, describe(s.usable())), "name a whole disk: "+s.lines(s.usable()))
	}
	return s.problem(hive.Error, "disk-missing", fmt.Sprintf("%s fits no disk of the machine: %s", s.sought(), s.present()), s.wayToMissing())
}

// sought is what the definition asks for.
func (s search) sought() string {
	sel := s.disk.Selector
	if sel.Empty() {
		return s.disk.Device
	}
	var words []string
	for _, value := range []struct{ name, text string }{{"serial", sel.Serial}, {"wwn", sel.WWN}, {"byId", sel.ByID}, {"size", sel.Size}} {
		if value.text != "" {
			words = append(words, fmt.Sprintf("%s %q", value.name, value.text))
		}
	}
	return list(words)
}

func (s search) present() string {
	if usable := s.usable(); len(usable) > 0 {
		return "it has " + describe(usable)
	}
	return "it has none to install to"
}

func (s search) wayToMissing() string {
	usable := s.usable()
	if len(usable) == 0 {
		return "plug the disk in, or turn on its controller in the firmware; a controller in RAID mode (Intel RST, VMD) may hide it"
	}
	return "plug the disk in, or name one that is there and write the medium again: " + s.lines(usable)
}

// otherKind finds what the definition names where that is no whole disk: a partition, a rom, a mapper.
func (s search) otherKind() (found hive.Device, what string, ok bool) {
	for _, disk := range s.machine.Devices {
		disk.Walk(func(d hive.Device) {
			if !ok && d.Kind != "disk" && s.fits(d) {
				found, what, ok = d, kindName(d.Kind)+ofDisk(disk, d), true
			}
		})
	}
	return found, what, ok
}

func kindName(kind string) string {
	switch kind {
	case "part":
		return "a partition"
	case "rom":
		return "an optical drive"
	case "loop":
		return "a loop device"
	}
	return fmt.Sprintf("a device of the kind %q", kind)
}

func ofDisk(disk, d hive.Device) string {
	if disk.Path == d.Path {
		return ""
	}
	return " of " + disk.Path
}

// usable are the disks that somebody could mean.
func (s search) usable() []hive.Device { return Usable(s.machine) }

// Usable are the disks of a machine that a host can be installed to: whole, writable, and not the ones that the system runs from.
func Usable(m hive.Machine) []hive.Device {
	var found []hive.Device
	for _, d := range m.Devices {
		if d.Kind == "disk" && !d.ReadOnly && d.Path != m.Medium && len(inUse(d)) == 0 && !auxiliary(d) {
			found = append(found, d)
		}
	}
	return found
}

// auxiliary reports whether lsblk calls a disk what holds nothing over a restart, or no system: RAM, floppies, the boot areas of an eMMC.
func auxiliary(d hive.Device) bool {
	name := strings.TrimPrefix(d.Path, "/dev/")
	return strings.HasPrefix(name, "zram") || strings.HasPrefix(name, "ram") || strings.HasPrefix(name, "fd") || strings.HasPrefix(name, "nbd") ||
		strings.HasPrefix(name, "mmcblk") && (strings.Contains(name, "boot") || strings.Contains(name, "rpmb"))
}

// unfit tells all that is wrong with a disk that was found.
func (s search) unfit(d hive.Device) []hive.Problem {
	var found []hive.Problem
	add := func(rule, message, way string) {
		found = append(found, s.problem(hive.Error, rule, message, way))
	}
	if d.Path == s.machine.Medium {
		add("disk-is-medium", fmt.Sprintf("%s (%s) is the medium that this system runs from", s.sought(), d.Path), "name another disk: "+s.lines(s.usable()))
	} else if mounts := inUse(d); len(mounts) > 0 {
		add("disk-in-use", fmt.Sprintf("%s is in use by the running system: mounted at %s", d.Path, list(mounts)),
			fmt.Sprintf("unmount it (umount %s) if it is the right one, or name another disk: %s", mounts[0], s.lines(s.usable())))
	}
	if auxiliary(d) {
		add("disk-kind", d.Path+" is no disk that a system can be installed to", "name another disk: "+s.lines(s.usable()))
	}
	if d.ReadOnly && !s.disk.Additional {
		add("disk-read-only", d.Path+" cannot be written to", "release the write protection (a switch on cards; hdparm -r0 or blockdev --setrw otherwise), or name another disk: "+s.lines(s.usable()))
	}
	if least := leastBytes(s.disk); !s.disk.Additional && d.Bytes < least {
		add("disk-too-small", fmt.Sprintf("%s has %s, and the partitions of %s need more than %s", d.Path, hive.Size(d.Bytes), s.disk.Name, hive.Size(least)),
			"make the partitions smaller, or name a larger disk: "+s.lines(s.usable()))
	}
	return append(found, s.doubtful(d)...)
}

// doubtful warns of what may be meant, and often is not.
func (s search) doubtful(d hive.Device) []hive.Problem {
	var found []hive.Problem
	if note, ok := s.unsteady(d); ok {
		found = append(found, note)
	}
	if d.Transport == "usb" || d.Removable {
		found = append(found, s.problem(hive.Warning, "disk-removable", fmt.Sprintf("%s can be unplugged: %s", d.Path, describe([]hive.Device{d})),
			"go on only if the host is to run from it; the disks of the machine are: "+describe(s.usable())))
	}
	return found
}

// unsteady warns of a name that the kernel gives by the order in which it finds disks. It was right today.
func (s search) unsteady(d hive.Device) (hive.Problem, bool) {
	byKernel := s.disk.Selector.Empty() && !strings.HasPrefix(s.disk.Device, "/dev/disk/")
	if !byKernel || len(s.usable()) < 2 {
		return hive.Problem{}, false
	}
	return s.problem(hive.Warning, "disk-name-changes",
		fmt.Sprintf("%s is %s now, and may be another disk at the next start: the kernel counts them as it finds them", s.disk.Device, describe([]hive.Device{d})),
		"name it by what it is: "+s.lines([]hive.Device{d})), true
}

// inUse are the mount points that are no part of an installation. Swap is: disko's mount script turns it on, and the teardown off.
func inUse(d hive.Device) []string {
	var found []string
	d.Walk(func(d hive.Device) {
		for _, m := range d.Mounts {
			if m != "" && m != "[SWAP]" && !within(m, "/mnt") && !slices.Contains(found, m) {
				found = append(found, m)
			}
		}
	})
	return found
}

// leastBytes is what the partitions of a fixed size take, with the tables at both ends of the disk and their alignment to 1 MiB.
func leastBytes(d hive.Disk) int64 {
	const ends = 2 << 20
	sum := int64(ends)
	for _, p := range d.Partitions {
		if n, ok := p.Bytes(); ok && n < 1<<60-sum {
			sum += n
		}
	}
	return sum
}

// twice refuses two disks of the plan that are one. What is only mounted may lie on a disk that is laid out.
func twice(p hive.Plan, m hive.Machine, targets []hive.Target) []hive.Problem {
	var found []hive.Problem
	for i, t := range targets {
		for _, earlier := range targets[:i] {
			if t.Device.Number != earlier.Device.Number || t.Disk.Additional || earlier.Disk.Additional {
				continue
			}
			s := search{plan: p, machine: m, disk: t.Disk}
			found = append(found, s.problem(hive.Error, "disk-twice",
				fmt.Sprintf("%s and %s are both %s", earlier.Disk.Name, t.Disk.Name, describe([]hive.Device{t.Device})), "say which disk each of them is: "+s.lines(s.usable())))
		}
	}
	return found
}

// describe names disks as a person knows them.
func describe(disks []hive.Device) string {
	words := make([]string, len(disks))
	for i, d := range disks {
		words[i] = d.Best() + " (" + strings.Join(traits(d), ", ") + ")"
	}
	return strings.Join(words, "; ")
}

func traits(d hive.Device) []string {
	var words []string
	if d.Model != "" {
		words = append(words, d.Model)
	}
	if d.Serial != "" {
		words = append(words, "serial "+d.Serial)
	}
	words = append(words, hive.Size(d.Bytes))
	if d.Transport != "" {
		words = append(words, d.Transport)
	}
	return words
}

// lines are ready to paste, one for each disk: the first that is not taken as it stands has to be deleted by whoever pastes them.
func (s search) lines(disks []hive.Device) string {
	words := make([]string, len(disks))
	for i, d := range disks {
		words[i] = s.line(d)
	}
	if len(words) == 0 {
		return "(the machine has none)"
	}
	return strings.Join(words, " or ")
}

// line names a disk in a definition: by its serial number, unless the system itself depends on the path.
func (s search) line(d hive.Device) string {
	return diskLine(s.disk.Name, d, s.disk.Table != "gpt" || slices.Contains(s.plan.Boot.GrubDevices, s.disk.Device))
}
