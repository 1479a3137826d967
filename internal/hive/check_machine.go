package hive

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// waysToADisk end the advice of rules about selectors: where to look the values up.
const waysToADisk = "`setup disks` on the medium or `nixos-staged-hive hardware` shows it"

// chosen reports whether a disk is found on the machine by what it is, rightly or not.
func chosen(d Disk) bool { return !d.Selector.Empty() || d.Device == DiskAlias(d.Name) }

func selectorOption(d Disk, value string) string {
	return strings.TrimSuffix("hive.partitioning.disks."+d.Name+"."+value, ".")
}

// selectorSyntax refuses a disk that is chosen by nothing, or by what no disk can be.
func selectorSyntax(_ scope, h Host) []Problem {
	var found []Problem
	for _, d := range h.Storage.Disks {
		if !chosen(d) {
			continue
		}
		if d.Selector.Empty() {
			found = append(found, one(Error, selectorOption(d, ""), "says nothing about the disk: any would do",
				fmt.Sprintf("set hive.partitioning.disks.%s.serial = \"...\"; (%s)", d.Name, waysToADisk))...)
		}
		if strings.Trim(d.Name, ".") == "" || strings.ContainsAny(d.Name, "/ \t\n\"'\\$`") {
			found = append(found, one(Error, selectorOption(d, ""), fmt.Sprintf("%q cannot be the name of a link to the disk", d.Name),
				"name the disk with letters, digits and hyphens")...)
		}
		problems := d.Selector.Problems()
		for _, value := range slices.Sorted(maps.Keys(problems)) {
			found = append(found, one(Error, selectorOption(d, value), problems[value].Error(), "write it as the machine has it: "+waysToADisk)...)
		}
	}
	return found
}

// selectorTable wants a disk that is found on the machine to be one that disko lays out with a GPT: then the system knows its partitions by
// their labels and nothing in it depends on the path.
func selectorTable(_ scope, h Host) []Problem {
	var found []Problem
	for _, d := range h.Storage.Disks {
		switch {
		case !chosen(d) || d.Table == "gpt":
		case d.Table == "":
			found = append(found, one(Error, selectorOption(d, ""), "no such disk is described: nothing would be laid out on it",
				fmt.Sprintf("use the name of a disk in hive.partitioning.format or additional%s", otherDisks(h)))...)
		default:
			found = append(found, one(Error, selectorOption(d, ""),
				fmt.Sprintf("the disk is no GPT but %q: the system would know it by a path that is there on the medium only", d.Table),
				fmt.Sprintf(`remove it and set device = "/dev/disk/by-id/..."; for the disk (%s)`, waysToADisk))...)
		}
	}
	return found
}

// otherDisks are the names somebody may have meant.
func otherDisks(h Host) string {
	var names []string
	for _, d := range h.Storage.Disks {
		if d.Table != "" {
			names = append(names, d.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ": " + list(names)
}

// selectorPath refuses a disk that is found on the machine but that the system itself knows by its path: GRUB writes its BIOS boot sector to a
// path at every deployment, and the link of the medium is not there then.
func selectorPath(_ scope, h Host) []Problem {
	var found []Problem
	for _, d := range h.Storage.Disks {
		user := pathUser(h, DiskAlias(d.Name))
		if !chosen(d) || d.Table != "gpt" || user == "" {
			continue
		}
		found = append(found, one(Error, selectorOption(d, ""), user+" needs the disk's path, which a disk that is looked for on the medium does not have",
			fmt.Sprintf(`remove it and set device = "/dev/disk/by-id/..."; for the disk (%s)`, waysToADisk))...)
	}
	return found
}

// pathUser says which part of the system names a device by the path or below it; empty if none does.
func pathUser(h Host, path string) string {
	names := func(device string) bool { return device == path || strings.HasPrefix(device, path+"-part") }
	if slices.ContainsFunc(h.Boot.GrubDevices, names) {
		return "GRUB's BIOS boot sector"
	}
	for _, fs := range h.Storage.FileSystems {
		if names(fs.Device) {
			return "the file system at " + fs.MountPoint
		}
	}
	for _, l := range h.Storage.LUKS {
		if names(l.Device) {
			return "the encrypted device " + l.Name
		}
	}
	if slices.ContainsFunc(h.Storage.Swap, func(s Swap) bool { return names(s.Device) }) {
		return "swap"
	}
	return ""
}

// sameSelector refuses two disks of a host that are chosen by the same: one disk would be both.
func sameSelector(_ scope, h Host) []Problem {
	var found []Problem
	seen := map[Selector]string{}
	for _, d := range h.Storage.Disks {
		first, twice := seen[d.Selector]
		if d.Selector.Empty() {
			continue
		}
		seen[d.Selector] = cmp.Or(first, d.Name)
		if twice {
			found = append(found, one(Error, selectorOption(d, ""), fmt.Sprintf("is the same as that of %s: no disk of the machine can be both", first),
				"add what tells them apart, best the serial number: "+waysToADisk)...)
		}
	}
	return found
}

// matchMACs are the addresses by which a machine is recognised as the host, in one spelling.
func matchMACs(h Host) []string {
	var macs []string
	for _, m := range h.Setup.Match.MACs {
		macs = append(macs, strings.ToLower(m))
	}
	return macs
}

// uuidShape is RFC 9562's, as firmware tells it.
func uuidShape() *regexp.Regexp {
	return regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
}

// matchSyntax refuses values by which no machine is ever recognised.
func matchSyntax(_ scope, h Host) []Problem {
	var found []Problem
	for _, mac := range h.Setup.Match.MACs {
		if normalMAC(mac) != strings.ToLower(mac) && !strings.EqualFold(mac, networkMAC(h)) {
			found = append(found, one(Error, "hive.setup.match.macs", fmt.Sprintf("%q is no MAC address", mac),
				`write it as "ip -br link" shows it on the machine: six pairs of hexadecimal digits with colons`)...)
		}
	}
	for _, serial := range h.Setup.Match.Serials {
		if strings.TrimSpace(serial) != serial || serial == "" {
			found = append(found, one(Error, "hive.setup.match.serials", fmt.Sprintf("%q is no serial number", serial),
				"write it without blanks around it, as `setup hardware` on the medium shows it")...)
		}
	}
	for _, uuid := range h.Setup.Match.UUIDs {
		if !uuidShape().MatchString(strings.ToLower(uuid)) {
			found = append(found, one(Error, "hive.setup.match.uuids", fmt.Sprintf("%q is no UUID", uuid),
				"write it as `setup hardware` on the medium shows it: 32 hexadecimal digits in five groups")...)
		}
	}
	return found
}

// networkMAC is the address of the host's own card: malformed, another rule speaks of it.
func networkMAC(h Host) string {
	if len(h.Network.Interfaces) == 0 {
		return ""
	}
	return h.Network.Interfaces[0].MAC
}

// duplicateMatch refuses two hosts that one machine would be recognised as. A network card that two hosts have as theirs is told already.
func duplicateMatch(s scope) []Problem {
	var found []Problem
	for _, kind := range []struct {
		option, what string
		values       func(Host) []string
	}{
		{"macs", "MAC address", matchMACs},
		{"serials", "serial number", func(h Host) []string { return h.Setup.Match.Serials }},
		{"uuids", "UUID", func(h Host) []string { return h.Setup.Match.UUIDs }},
	} {
		order, members := groups(s.hive.Hosts, kind.values)
		for _, value := range order {
			if kind.option == "macs" && sharedCard(members[value], value) {
				continue
			}
			found = append(found, collision(Error, members[value], "hive.setup.match."+kind.option,
				fmt.Sprintf("a machine with the %s %s would be installed as this host", kind.what, value),
				"leave the value with the one host whose machine has it"))
		}
	}
	return found
}

// sharedCard reports whether more than one of the hosts has the card in its network.
func sharedCard(hosts []Host, mac string) bool {
	n := 0
	for _, h := range hosts {
		if slices.ContainsFunc(h.Network.Interfaces, func(i Interface) bool { return normalMAC(i.MAC) == mac }) {
			n++
		}
	}
	return n > 1
}

// unattendedUnknown notes a host that is to be installed by itself and has nothing to be recognised by: on a medium of several hosts
// nothing will happen.
func unattendedUnknown(s scope, h Host) []Problem {
	m := h.Setup.Match
	if !h.Setup.Unattended || len(s.hive.Hosts) < 2 || len(m.MACs)+len(m.Serials)+len(m.UUIDs) > 0 {
		return nil
	}
	return one(Note, "hive.setup.match", "is empty: the machine is recognised by a medium of this host alone, and one of several hosts installs nothing by itself",
		`set hive.setup.match.macs = [ "52:54:00:12:34:56" ]; to the address of a network card of the machine`)
}
