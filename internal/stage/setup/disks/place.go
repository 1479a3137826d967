package disks

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// canonical follows links; a path that leads nowhere stays as it is.
func canonical(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// decodeLink turns a name in /dev/disk/by-label and its like back: udev writes what it does not trust as \xNN.
func decodeLink(name string) string {
	var out strings.Builder
	for i := 0; i < len(name); i++ {
		if strings.HasPrefix(name[i:], `\x`) && i+4 <= len(name) {
			if code, err := strconv.ParseUint(name[i+2:i+4], 16, 8); err == nil {
				out.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		out.WriteByte(name[i])
	}
	return out.String()
}

// places knows where planned devices are among those of the machine.
type places struct {
	devices []hive.Device // of the whole machine
	targets []hive.Target
}

// find gives the device that a path of the plan means. A partition label means the partition of a planned disk, and udev's link has to agree:
// disko uses it.
func (p places) find(path string) (hive.Device, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return hive.Device{}, fmt.Errorf("%s does not exist", path)
	}
	found, disks, ok := p.at(real)
	if !ok {
		return hive.Device{}, fmt.Errorf("%s leads to %s, which is no block device", path, real)
	}
	label, byLabel := strings.CutPrefix(path, "/dev/disk/by-partlabel/")
	if byLabel && found.PartLabel != decodeLink(label) {
		return hive.Device{}, fmt.Errorf("%s leads to %s, whose label is %q", path, real, found.PartLabel)
	}
	if byLabel && p.plans(decodeLink(label)) && !p.onTargets(disks) {
		return hive.Device{}, fmt.Errorf("%s leads to %s, which is not on a planned disk", path, real)
	}
	return found, nil
}

// plans reports whether a planned disk is to have a partition with a label.
func (p places) plans(label string) bool {
	return slices.ContainsFunc(p.targets, func(t hive.Target) bool {
		return slices.ContainsFunc(t.Disk.Partitions, func(part hive.Partition) bool { return part.Label == label })
	})
}

// at gives the device with a path and the paths of the whole disks below it.
func (p places) at(path string) (found hive.Device, disks []string, ok bool) {
	for _, disk := range p.devices {
		disk.Walk(func(d hive.Device) {
			if d.Path == path {
				found, ok = d, true
				disks = append(disks, disk.Path)
			}
		})
	}
	return found, unique(disks), ok
}

// onTargets reports whether all of some disks are targets.
func (p places) onTargets(disks []string) bool {
	return !slices.ContainsFunc(disks, func(disk string) bool {
		return !slices.ContainsFunc(p.targets, func(t hive.Target) bool { return t.Device.Path == disk })
	})
}
