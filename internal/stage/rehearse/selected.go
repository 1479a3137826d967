package rehearse

import (
	"regexp"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/vm"
)

// pathOf is the path by which the definition names a disk, or would name one that its selector fits.
func pathOf(d hive.Disk) string {
	const byID = "/dev/disk/by-id/"
	switch s := d.Selector; {
	case s.Empty():
		return d.Device
	case s.ByID != "":
		return byID + example(s.ByID)
	case s.WWN != "" && s.Serial == "":
		return byID + "wwn-0x" + strings.TrimPrefix(strings.ToLower(s.WWN), "0x")
	case s.Serial != "":
		return byID + "ata-rehearsal_" + s.Serial
	}
	return byID + "ata-rehearsal_" + d.Name
}

// patternSigns are those of a pattern in hive.partitioning.disks.NAME.byId that stand for others.
var patternSigns = regexp.MustCompile(`\[[^]]*\]|[*?]`)

// example is a name that a pattern fits. Only the first sign of a class such as [a-f] is looked at.
func example(pattern string) string {
	return patternSigns.ReplaceAllStringFunc(pattern, func(sign string) string {
		if sign[0] == '[' && len(sign) > 2 && sign[1] != '!' && sign[1] != '^' {
			return sign[1:2]
		}
		return "0"
	})
}

// choose gives a disk the rest of what its selector wants of it.
func choose(disk *vm.Disk, s hive.Selector) {
	if s.Serial != "" {
		disk.Serial = s.Serial
	}
	if s.WWN != "" {
		disk.WWN = strings.TrimPrefix(strings.ToLower(s.WWN), "0x")
	}
	if least, most, err := s.Bytes(); err == nil && s.Size != "" {
		const sector = 4096
		disk.SizeBytes = (least + (most-least)/2) / sector * sector
	}
}
