package disks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"nixos-staged-hive/internal/hive"
)

// prepareScript proves that disko's format script will go where it is meant to, and takes what it must not touch for ourselves; release gives that
// back. The script knows disks by the definition's paths and partitions by label, and goes over the disks that mode add keeps as well.
func (s Site) prepareScript(ctx context.Context) (release func() error, err error) {
	devices, err := s.current(ctx, s.Targets)
	if err != nil {
		return nil, err
	}
	var problems []string
	for i, t := range s.Targets {
		found, err := s.unready(ctx, t, devices[i])
		if err != nil {
			return nil, err
		}
		problems = append(problems, found...)
	}
	if len(problems) > 0 {
		return nil, &UnprovenError{problems}
	}
	return s.holdKept(ctx, devices)
}

// unready says why the script must not run yet. Additional disks are no part of it.
func (s Site) unready(ctx context.Context, t hive.Target, d hive.Device) ([]string, error) {
	if t.Disk.Additional {
		return nil, nil
	}
	problems := addressProblems(t.Disk, d)
	switch {
	case t.Fate == "mount":
		for _, difference := range append(MatchTable(t.Disk, d, hive.Add), nested(t.Disk)...) {
			problems = append(problems, d.Path+": "+difference)
		}
	case t.Disk.Table == "gpt":
		found, err := s.tableOf(ctx, t.Disk, d)
		if err != nil {
			return nil, err
		}
		problems = append(problems, found...)
	}
	return problems, nil
}

// addressProblems follows the names by which disko's script finds a disk and its partitions.
func addressProblems(disk hive.Disk, d hive.Device) []string {
	var problems []string
	if real, err := filepath.EvalSymlinks(disk.Device); disk.Device != "" && (err != nil || real != d.Path) {
		problems = append(problems, fmt.Sprintf("%s does not lead to %s", disk.Device, d.Path))
	}
	if disk.Table != "gpt" {
		return problems
	}
	for _, p := range numbered(disk) {
		want, ok := partition(d, p.Number)
		if is := labelled(p.Label); !ok || is != want {
			problems = append(problems, fmt.Sprintf("the label %q leads to %s instead of partition %d of %s", p.Label, orNothing(is), p.Number, d.Path))
		}
	}
	return problems
}

// labelled is the partition that udev's link for a label leads to; empty is none.
func labelled(label string) string {
	const folder = "/dev/disk/by-partlabel"
	links, err := os.ReadDir(folder)
	if err != nil {
		return ""
	}
	for _, link := range links {
		if decodeLink(link.Name()) == label {
			return canonical(filepath.Join(folder, link.Name()))
		}
	}
	return ""
}

// nested are partitions of a disk in which disko's script does not only look. It makes an array anew that is not assembled, over the one that is
// there, and formats a volume that it does not know the contents of.
func nested(disk hive.Disk) []string {
	var found []string
	for _, p := range disk.Partitions {
		if !slices.Contains([]string{"", "filesystem", "btrfs", "swap"}, p.Content) {
			found = append(found, fmt.Sprintf("partition %q holds %s, whose contents the script that lays out the other disks could harm", p.Label, p.Content))
		}
	}
	return found
}

// holdKept opens what is on kept disks for ourselves alone: whatever would format it is refused by the kernel, as all of mkfs, mkswap, pvcreate,
// mdadm and cryptsetup ask to be alone. Only btrfs is left out, which the script mounts to make the subvolumes that are missing.
func (s Site) holdKept(ctx context.Context, devices []hive.Device) (release func() error, err error) {
	var held []*os.File
	release = func() error {
		var errs []error
		for _, f := range held {
			errs = append(errs, f.Close())
		}
		return errors.Join(errs...)
	}
	for i, t := range s.Targets {
		if t.Fate != "mount" || t.Disk.Additional {
			continue
		}
		for _, d := range carriers(devices[i]) {
			f, err := openExclusive(ctx, d.Path, os.O_RDONLY)
			if err != nil {
				return nil, errors.Join(err, release())
			}
			held = append(held, f)
		}
	}
	return release, nil
}

// carriers are what contents lie in directly: the partitions of a disk, or the disk. Without those that hold btrfs.
func carriers(d hive.Device) []hive.Device {
	found := partitions(d)
	if d.Table == "" {
		found = []hive.Device{d}
	}
	return slices.DeleteFunc(found, func(d hive.Device) bool { return d.Content == "btrfs" })
}
