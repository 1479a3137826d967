package hive

import (
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
)

// formatted are the disks that setup lays out; the others it only mounts.
func formatted(h Host) []Disk {
	return slices.DeleteFunc(slices.Clone(h.Storage.Disks), func(d Disk) bool { return d.Additional })
}

// diskoLacksDisks reports whether disko is to lay out disks and none is described.
func diskoLacksDisks(h Host) bool {
	return h.Storage.Disko.Enable && len(h.Storage.Disks) == 0 && len(h.Storage.Pools) == 0
}

// noRoot refuses a host without a root file system: there is nothing to install to, and stage 1 would not find it.
func noRoot(_ scope, h Host) []Problem {
	if _, ok := mountedAt(h, "/"); ok || diskoLacksDisks(h) {
		return nil
	}
	const manual = `fileSystems."/" = { device = "/dev/disk/by-uuid/..."; fsType = "ext4"; };`
	switch {
	case len(h.Storage.Disks) > 0 && !h.Storage.Disko.Enable:
		return one(Error, "hive.partitioning.enable", "the disks are described but not part of the system: it has no root file system",
			"set hive.partitioning.enable = true; or mount the root yourself: "+manual)
	case len(h.Storage.Disks) > 0:
		return one(Error, `fileSystems."/"`, "no partition is mounted at /: the host has no root file system",
			`set mountpoint = "/"; in the content of one partition of hive.partitioning.format, or mount it yourself: `+manual)
	}
	return one(Error, `fileSystems."/"`, "neither disks nor a root file system are described: the medium has nothing to install to",
		"describe the disk in hive.partitioning.format (a disko tree), or mount the root yourself: "+manual)
}

// diskoWithoutDisk speaks of partitioning that is on and has nothing to do: setup would format nothing.
func diskoWithoutDisk(_ scope, h Host) []Problem {
	if !diskoLacksDisks(h) {
		return nil
	}
	const way = `describe a disk: hive.partitioning.format.disk.main = { device = "/dev/disk/by-id/..."; content = { type = "gpt"; partitions = { ... }; }; }; or set hive.partitioning.enable = false;`
	if _, ok := mountedAt(h, "/"); ok {
		return one(Warning, "hive.partitioning.enable", "is on, but no disk is described: setup formats nothing", way)
	}
	return one(Error, "hive.partitioning.enable", "is on, but no disk is described: the host has no root file system", way)
}

// duplicateDevices refuses one disk described twice: the second layout would wipe the first.
func duplicateDevices(_ scope, h Host) []Problem {
	var found []Problem
	disks := formatted(h)
	for _, device := range repeated(devicesOf(disks)) {
		found = append(found, one(Error, "disko.devices.disk",
			fmt.Sprintf("%s are all the disk %s: each layout would wipe the one before", list(disksAt(disks, device)), device),
			"give each disk its own device, or describe all partitions in one disk")...)
	}
	return found
}

func devicesOf(disks []Disk) []string {
	devices := make([]string, len(disks))
	for i, d := range disks {
		devices[i] = d.Device
	}
	return devices
}

// disksAt are the names of the disks with the device.
func disksAt(disks []Disk, device string) []string {
	var found []string
	for _, d := range disks {
		if d.Device == device {
			found = append(found, d.Name)
		}
	}
	return found
}

// additionalDevices speaks of a disk that is both to be kept and to be formatted. Kept partitions beside new ones on one
// disk can be meant; a kept whole disk cannot.
func additionalDevices(_ scope, h Host) []Problem {
	var found []Problem
	disks := formatted(h)
	for _, d := range h.Storage.Disks {
		twins := disksAt(disks, d.Device)
		if !d.Additional || d.Device == "" || len(twins) == 0 {
			continue
		}
		option := "hive.partitioning.additional.disk." + d.Name
		if !hasTable(d) {
			found = append(found, one(Error, option, fmt.Sprintf("%s is kept as %s and formatted as %s: its contents would be lost",
				d.Device, d.Name, list(twins)), "remove the disk from hive.partitioning.format, or from hive.partitioning.additional")...)
			continue
		}
		found = append(found, one(Note, option, fmt.Sprintf("the partitions of %s lie on %s, which is formatted as %s: a fresh installation erases them",
			d.Name, d.Device, list(twins)), "back the partitions up first, or install in mode add or keep")...)
	}
	return found
}

// hasTable reports whether a disk has partitions; facts show a whole disk's content as one partition without a name.
func hasTable(d Disk) bool {
	return d.Table == "gpt" || d.Table == "table"
}

// duplicateLabels refuses two partitions of a host with one GPT label: disko formats and mounts by label, and which of the
// two /dev/disk/by-partlabel shows is decided by udev.
func duplicateLabels(_ scope, h Host) []Problem {
	places := map[string][]string{}
	var labels []string
	for _, d := range h.Storage.Disks {
		if d.Additional && slices.Contains(devicesOf(formatted(h)), d.Device) {
			continue // may describe partitions of the other one again
		}
		if d.Table != "gpt" {
			continue // only GPT has labels
		}
		for _, p := range d.Partitions {
			labels = append(labels, p.Label)
			places[p.Label] = append(places[p.Label], d.Name+"."+p.Name)
		}
	}
	var found []Problem
	for _, label := range repeated(labels) {
		found = append(found, one(Error, "disko.devices.disk",
			fmt.Sprintf("the partitions %s have one label, %q: the wrong one may be formatted or mounted", list(places[label]), label),
			"give one of them another label, or leave label out to get disko's own from the names of disk and partition")...)
	}
	return found
}

// duplicatePools refuses two pools of one kind and name on a host: they cannot be imported at the same time.
func duplicatePools(_ scope, h Host) []Problem {
	var pools []string
	for _, p := range h.Storage.Pools {
		pools = append(pools, p.Kind+" "+p.Name)
	}
	var found []Problem
	for _, pool := range repeated(pools) {
		kind, name, _ := strings.Cut(pool, " ")
		found = append(found, one(Error, "disko.devices."+kind+"."+name,
			fmt.Sprintf("%s is described twice: only one of them can be active", name), "rename one of the two")...)
	}
	return found
}

// sharedLabels notes labels and pools that several hosts have: disko names partitions disk-DISK-PARTITION, so every
// machine that calls its disk "main" has the same ones, and a disk put into another machine may be taken for its own.
// It is one note for the whole hive, since most hives are like that.
func sharedLabels(s scope) []Problem {
	shared, members := groups(s.hive.Hosts, diskNames)
	if len(shared) == 0 {
		return nil
	}
	var hosts []string
	for _, name := range shared {
		hosts = append(hosts, names(members[name])...)
	}
	slices.Sort(hosts)
	return one(Note, "disko.devices", fmt.Sprintf("%s have disks with the same names on them (%s): a disk moved between them may be mounted or formatted in place of the machine's own",
		list(slices.Compact(hosts)), list(shared)),
		`name disks and pools after their host if you move disks between machines: hive.partitioning.format.disk."NAME-main" = { ... };`)
}

// diskNames are all names a host's own disks carry.
func diskNames(h Host) []string {
	var found []string
	for _, d := range formatted(h) {
		for _, p := range d.Partitions {
			if d.Table != "gpt" {
				continue
			}
			found = append(found, p.Label)
		}
	}
	for _, p := range h.Storage.Pools {
		found = append(found, p.Kind+" "+p.Name)
	}
	return found
}

// kernelOrder reports whether a device path depends on the order in which the kernel found the disks; virtual reports
// whether that order is set by the definition of a virtual machine.
func kernelOrder(device string) (unstable, virtual bool) {
	for _, prefix := range []string{"/dev/sd", "/dev/hd", "/dev/nvme", "/dev/mmcblk"} {
		if strings.HasPrefix(device, prefix) {
			return true, false
		}
	}
	virtual = strings.HasPrefix(device, "/dev/vd") || strings.HasPrefix(device, "/dev/xvd")
	return virtual, virtual
}

// unstableDevices warns of disks named by the kernel's order of discovery: with a second disk or a stick plugged in, the
// name may mean another disk, which then is formatted or gets the boot sector. All of a host's are one problem. A virtual
// machine with a single disk is fine, with more it is a note.
func unstableDevices(_ scope, h Host) []Problem {
	var devices []string
	severity := Note
	for _, device := range namedDevices(h) {
		unstable, virtual := kernelOrder(device)
		if !unstable || virtual && len(h.Storage.Disks) < 2 {
			continue
		}
		if !virtual {
			severity = Warning
		}
		devices = append(devices, device)
	}
	if len(devices) == 0 {
		return nil
	}
	option, way := "disko.devices.disk", deviceWay(h)
	switch {
	case slices.ContainsFunc(h.Boot.GrubDevices, func(d string) bool { return slices.Contains(devices, d) }):
		option = "boot.loader.grub.devices"
	case len(h.Storage.Disks) == 0:
		option = "fileSystems"
	}
	return one(severity, option,
		fmt.Sprintf("%s: the name depends on the order in which the kernel finds disks and may mean another disk after the next boot", list(devices)), way)
}

// namedDevices are the disks a host names, sorted: those of disko and GRUB, else those of its file systems and swap.
func namedDevices(h Host) []string {
	found := append(devicesOf(h.Storage.Disks), h.Boot.GrubDevices...)
	if len(h.Storage.Disks) == 0 {
		for _, fs := range h.Storage.FileSystems {
			found = append(found, fs.Device)
		}
		for _, swap := range h.Storage.Swap {
			found = append(found, swap.Device)
		}
		for _, luks := range h.Storage.LUKS {
			found = append(found, luks.Device)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(found)))
}

// deviceWay names the stable path.
func deviceWay(h Host) string {
	switch {
	case len(h.Storage.Disks) == 0 && len(h.Boot.GrubDevices) > 0:
		return `use the stable paths of the machine: boot.loader.grub.device = "/dev/disk/by-id/..."; and device = "/dev/disk/by-uuid/..."; for file systems and swap`
	case len(h.Storage.Disks) == 0:
		return `use the path of "ls -l /dev/disk/by-uuid" on the machine, as in device = "/dev/disk/by-uuid/...";`
	}
	return `use the disk's path of "ls -l /dev/disk/by-id" on the machine or the booted medium: device = "/dev/disk/by-id/...";`
}

// usesZFS reports whether the host needs ZFS, by what NixOS and disko say.
func usesZFS(h Host) bool {
	return slices.Contains(h.Boot.SupportedFSList, "zfs") ||
		slices.ContainsFunc(h.Storage.FileSystems, func(f FileSystem) bool { return f.Type == "zfs" }) ||
		slices.ContainsFunc(h.Storage.Pools, func(p Pool) bool { return p.Kind == "zpool" })
}

// placeholderDevices points at the disk of the example that `init` writes: no machine has it.
func placeholderDevices(_ scope, h Host) []Problem {
	for _, d := range h.Storage.Disks {
		if strings.Contains(d.Device, "CHANGE_ME") {
			return one(Warning, fmt.Sprintf("disko.devices.disk.%s.device", d.Name),
				fmt.Sprintf("%s is the example's disk, which no machine has", d.Device),
				`set device = "/dev/disk/by-id/..."; to the machine's own disk, which ls -l /dev/disk/by-id on it shows`)
		}
	}
	return nil
}

// hostIDMissing refuses ZFS without networking.hostId: NixOS refuses it too, since ZFS tells by it whose a pool is.
func hostIDMissing(_ scope, h Host) []Problem {
	if h.HostID != "" || !usesZFS(h) {
		return nil
	}
	return one(Error, "networking.hostId", "is not set, but the host uses ZFS, which knows its pools by it",
		fmt.Sprintf("let `nixos-staged-hive check --write-host-id %s` write a new one, or for a machine that already runs set networking.hostId to what `hostid` prints there", h.Name))
}

// hostIDSyntax refuses host ids NixOS refuses, and 00000000, which ZFS takes for "none".
func hostIDSyntax(_ scope, h Host) []Problem {
	id, err := hex.DecodeString(h.HostID)
	if h.HostID == "" || err == nil && len(id) == 4 && h.HostID != "00000000" {
		return nil
	}
	return one(Error, "networking.hostId", fmt.Sprintf("%q is not 8 hexadecimal digits other than zeros", h.HostID),
		"let `head -c 4 /dev/urandom | od -A n -t x4` print one: "+`networking.hostId = "8 digits";`)
}

// NewHostID makes a networking.hostId of four bytes from a source of randomness, for example crypto/rand.Reader. It is
// never 00000000.
func NewHostID(random io.Reader) (string, error) {
	for {
		id := make([]byte, 4)
		if _, err := io.ReadFull(random, id); err != nil {
			return "", fmt.Errorf("make a host id: %w", err)
		}
		if text := hex.EncodeToString(id); text != "00000000" {
			return text, nil
		}
	}
}

// duplicateHostIDs speaks of machines with one host id. With ZFS on two of them it is an error: each takes the other's
// pool for its own and may import it while it is in use.
func duplicateHostIDs(s scope) []Problem {
	order, members := groups(s.hive.Hosts, func(h Host) []string { return []string{strings.ToLower(h.HostID)} })
	var found []Problem
	for _, id := range order {
		hosts, what, severity := members[id], "the host id is "+id, Warning
		zfs := slices.DeleteFunc(slices.Clone(hosts), func(h Host) bool { return !usesZFS(h) })
		if len(zfs) > 1 {
			hosts = append(slices.DeleteFunc(hosts, usesZFS), zfs...)
			what, severity = what+" (ZFS may import the other's pool)", Error
		}
		found = append(found, collision(severity, hosts, "networking.hostId", what,
			fmt.Sprintf("remove it and let `nixos-staged-hive check --write-host-id %s` write a new one, before the host has a pool",
				hosts[len(hosts)-1].Name)))
	}
	return found
}
