package disks

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// wanted are the file systems that have to be mounted to install into, parents first: those on block devices and in pools of the machine that
// the plan does not call dispensable.
func (s Site) wanted() []hive.FileSystem {
	var found []hive.FileSystem
	for _, f := range s.Plan.Storage.FileSystems {
		root := filepath.Clean(f.MountPoint) == "/"
		if root || onMachine(f) && !dispensable(f) {
			found = append(found, f)
		}
	}
	slices.SortStableFunc(found, func(a, b hive.FileSystem) int {
		return cmp.Compare(len(filepath.Clean(a.MountPoint)), len(filepath.Clean(b.MountPoint)))
	})
	return found
}

// onMachine reports whether a file system lies on the machine's own disks.
func onMachine(f hive.FileSystem) bool {
	if f.Type == "zfs" {
		return true
	}
	bound := slices.ContainsFunc(f.Options, func(o string) bool { return o == "bind" || o == "rbind" })
	return strings.HasPrefix(f.Device, "/dev/") && !bound && filepath.IsAbs(f.MountPoint)
}

func dispensable(f hive.FileSystem) bool {
	return slices.Contains(f.Options, "nofail") || slices.Contains(f.Options, "noauto")
}

// laidOut reports whether a file system is one that disko makes on disks that are laid out now: on a partition by label, on a pool or array of
// the plan, or on an encrypted partition.
func (s Site) laidOut(f hive.FileSystem) bool {
	for _, t := range s.doomed() {
		for _, p := range t.Disk.Partitions {
			mounts := strings.Fields(p.MountPoint)
			if slices.Contains(mounts, f.MountPoint) || f.Device == "/dev/disk/by-partlabel/"+p.Label {
				return true
			}
			if p.Pool != "" && strings.HasPrefix(f.Device, "/dev/"+p.Pool+"/") || p.Pool != "" && strings.HasPrefix(f.Device, "/dev/md/"+p.Pool) {
				return true
			}
		}
	}
	return false
}
