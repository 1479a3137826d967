package disks

import (
	"fmt"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// Contents says what is on a device, for the person who has to decide about it: one line for each thing, guesses marked as such. Nothing known
// is no line.
func Contents(d hive.Device) []string {
	var lines []string
	if d.Content != "" {
		lines = append(lines, describe(d))
	}
	if d.Table != "" && len(d.Children) == 0 {
		lines = append(lines, "an empty partition table ("+d.Table+")")
	}
	for _, c := range d.Children {
		lines = append(lines, inside(c)...)
	}
	return slices.Compact(lines)
}

// inside describes a partition, with what is opened of it.
func inside(d hive.Device) []string {
	var lines []string
	if d.Kind == "part" || d.Content != "" {
		lines = append(lines, describe(d))
	}
	for _, c := range d.Children {
		for _, line := range inside(c) {
			lines = append(lines, line+" on "+d.Path)
		}
	}
	return lines
}

// describe is one line about what is directly on a device.
func describe(d hive.Device) string {
	var b strings.Builder
	if d.PartNum > 0 {
		fmt.Fprintf(&b, "partition %d: ", d.PartNum)
	}
	b.WriteString(contentName(d))
	for _, label := range []string{d.Label, d.PartLabel} {
		if label != "" {
			fmt.Fprintf(&b, " %q", label)
			break
		}
	}
	b.WriteString(", " + hive.Size(d.Bytes))
	if guess := system(d); guess != "" {
		b.WriteString(" (" + guess + "?)")
	}
	if len(d.Mounts) > 0 {
		b.WriteString(", in use at " + strings.Join(d.Mounts, ", "))
	}
	return b.String()
}

// contentName is what people call a signature.
func contentName(d hive.Device) string {
	names := map[string]string{
		"crypto_LUKS": "LUKS encryption", "LVM2_member": "part of an LVM volume group", "linux_raid_member": "part of a RAID array",
		unknown:      "something that no program here knows, perhaps encrypted",
		"zfs_member": "part of a ZFS pool", "ntfs": "NTFS", "BitLocker": "BitLocker encryption", "vfat": "FAT", "exfat": "exFAT",
		"apfs": "APFS", "hfsplus": "HFS+", "iso9660": "ISO image", "isw_raid_member": "part of a firmware RAID", "ddf_raid_member": "part of a firmware RAID",
	}
	switch {
	case names[d.Content] != "":
		return names[d.Content]
	case d.Content != "":
		return d.Content
	case kindNames()[d.PartType] != "":
		return kindNames()[d.PartType]
	}
	return "nothing known"
}

// system guesses whose a file system is, by the names that installers give.
func system(d hive.Device) string {
	label := strings.ToLower(d.Label)
	switch {
	case d.Content == "BitLocker", d.Content == "ntfs" && !strings.Contains(label, "data"):
		return "Windows"
	case d.Content == "apfs", d.Content == "hfsplus":
		return "macOS"
	case label == "nixos", label == "nixos_sd", strings.HasPrefix(d.PartLabel, "disk-") && strings.HasSuffix(d.PartLabel, "-root"):
		return "NixOS"
	case d.PartType == guidOf("8304"), d.PartType == guidOf("8305"), strings.HasPrefix(label, "root"):
		return "a Linux system"
	case strings.Contains(label, "home"), strings.Contains(label, "data"), strings.Contains(label, "backup"), strings.Contains(label, "foto"), strings.Contains(label, "photo"):
		return "somebody's files"
	}
	return ""
}
