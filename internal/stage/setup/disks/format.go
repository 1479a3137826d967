package disks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
)

// Format runs disko's format script, once the names it uses are proven to lead to the planned disks, and proves what came out: the tables to the last sector, the type of what is in each partition and on each
// planned device, and that nothing on disks that are laid out is older than this run.
//
// What lies directly in a partition is new because [Site.Wipe] proved every partition blank. So is what lies in LUKS (its key is new) and in
// logical volumes (lvcreate --yes wipes what it finds). An md array shows what was at the same place in an earlier one, and a legacy table of
// disko's is made by the script itself: what appears there must be a file system without any file, or it is emptied, and the script runs once
// more on what is known to be blank. Errors: *UnprovenError, *HeldError, *run.Error.
func (s Site) Format(ctx context.Context, script string) error {
	if script == "" || len(s.doomed()) == 0 {
		return nil
	}
	ran, failed := s.formatScript(ctx, script)
	if !ran {
		return failed
	}
	old, err := s.emptyOld(ctx)
	if err != nil {
		return errors.Join(failed, err)
	}
	if old {
		_, failed = s.formatScript(ctx, script)
	}
	if failed != nil {
		return failed
	}
	return s.proveFormat(ctx)
}

// formatScript runs disko's script if it can do no harm.
func (s Site) formatScript(ctx context.Context, script string) (ran bool, err error) {
	release, err := s.prepareScript(ctx)
	if err != nil {
		return false, err
	}
	return true, errors.Join(s.script(ctx, "format", script), release())
}

// emptyOld empties what may be older than this run and reports whether there was anything.
func (s Site) emptyOld(ctx context.Context) (bool, error) {
	devices, err := s.current(ctx, s.doomed())
	if err != nil {
		return false, err
	}
	var found []hive.Device
	for i, t := range s.doomed() {
		for _, d := range unproven(t.Disk, devices[i]) {
			known := slices.ContainsFunc(found, func(f hive.Device) bool { return f.Path == d.Path })
			if known {
				continue
			}
			fresh, err := s.fresh(ctx, d)
			if err != nil {
				return false, err
			}
			if !fresh {
				found = append(found, d)
			}
		}
	}
	for _, d := range found {
		s.Events.Send(progress.Event{Task: "format", Host: s.Plan.Name, State: progress.Running, Text: d.Path + " shows old contents: empty it and format again"})
		if err := s.emptyDevice(ctx, d); err != nil {
			return false, fmt.Errorf("empty %s, which shows old contents: %w", d.Path, err)
		}
	}
	return len(found) > 0, nil
}

// unproven are the devices on a disk whose contents need not be of this run: partitions of a table that the script made itself, and arrays or
// what is partitioned on them.
func unproven(disk hive.Disk, d hive.Device) []hive.Device {
	var found []hive.Device
	if disk.Table == "table" {
		found = partitions(d)
	}
	for _, c := range d.Children {
		c.Walk(func(c hive.Device) {
			if !strings.HasPrefix(filepath.Base(c.Path), "md") || c.Kind == "part" {
				return
			}
			if parts := partitions(c); len(parts) > 0 {
				found = append(found, parts...)
				return
			}
			found = append(found, c)
		})
	}
	return found
}

func partitions(d hive.Device) []hive.Device {
	return slices.DeleteFunc(slices.Clone(d.Children), func(c hive.Device) bool { return c.Kind != "part" || extended(c) })
}

// fresh reports whether a device has nothing, or nothing of worth, on it: swap, what the kernel adds up to a new array, or a file system without a file.
func (s Site) fresh(ctx context.Context, d hive.Device) (bool, error) {
	content, err := s.content(ctx, d.Path)
	if err != nil {
		return false, err
	}
	switch content {
	case "", "swap", "linux_raid_member":
		return true, nil
	case "ext2", "ext3", "ext4", "btrfs", "xfs", "vfat", "f2fs", "bcachefs":
		return s.holdsNoFile(ctx, d.Path, content)
	}
	return false, nil
}

// holdsNoFile looks into a file system: a new one holds folders at most, and planned swap files. One that cannot be looked at is not new.
func (s Site) holdsNoFile(ctx context.Context, path, kind string) (bool, error) {
	point, release, err := s.look(ctx, path, kind)
	if err != nil {
		s.Events.Send(progress.Event{Task: "format", Host: s.Plan.Name, State: progress.Warned, Text: path + " cannot be looked into", Err: err})
		return false, nil
	}
	none := true
	count := 0
	err = filepath.WalkDir(point, func(name string, entry fs.DirEntry, err error) error {
		if count++; err != nil || count > 10_000 || !entry.IsDir() && !s.swapFile(name) {
			none = false
			return fs.SkipAll
		}
		return nil
	})
	return none && err == nil, errors.Join(err, release())
}

func (s Site) swapFile(name string) bool {
	return slices.ContainsFunc(s.Plan.Storage.Swap, func(sw hive.Swap) bool { return filepath.Base(sw.Device) == filepath.Base(name) })
}

// look mounts a file system read-only at a place of our own.
func (s Site) look(ctx context.Context, path, kind string) (point string, release func() error, err error) {
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return "", nil, err
	}
	point, err = os.MkdirTemp(scratch, "look-")
	if err != nil {
		return "", nil, err
	}
	options := map[string]string{"xfs": "norecovery,nouuid", "ext3": "noload", "ext4": "noload"}
	if err := unix.Mount(path, point, kind, unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options[kind]); err != nil {
		return "", nil, errors.Join(fmt.Errorf("mount %s: %w", path, err), os.Remove(point))
	}
	return point, func() error { return errors.Join(s.unmount(ctx, point), os.Remove(point)) }, nil
}

// emptyDevice takes down what lies on a device and empties both of its ends.
func (s Site) emptyDevice(ctx context.Context, d hive.Device) error {
	if err := s.takeDownOn(ctx, d.Path); err != nil {
		return err
	}
	areas, err := s.strays(ctx, d.Path, 0)
	if err != nil {
		return err
	}
	c, err := open(ctx, d)
	if err != nil {
		return err
	}
	areas = merge(append(areas, ends(0, d.Bytes)...), d.Bytes)
	err = empty(c.File, areas)
	if err == nil {
		err = c.forget()
	}
	if err == nil {
		err = c.proveEmpty(areas)
	}
	if err = errors.Join(err, c.Close()); err != nil {
		return err
	}
	if content, err := s.content(ctx, d.Path); err != nil || content != "" {
		return errors.Join(err, &UnprovenError{[]string{fmt.Sprintf("%s still has %s on it", d.Path, content)}})
	}
	return s.settle(ctx)
}

// proveFormat reads everything back.
func (s Site) proveFormat(ctx context.Context) error {
	all, err := s.list(ctx)
	if err != nil {
		return err
	}
	targets := s.doomed()
	devices, err := among(all, targets)
	if err != nil {
		return err
	}
	var problems []string
	for i, t := range targets {
		found, err := s.contentProblems(ctx, t.Disk, devices[i])
		if err != nil {
			return err
		}
		problems = append(problems, found...)
	}
	found, err := s.keptProblems(all)
	if err != nil {
		return err
	}
	problems = append(problems, found...)
	if found, err = s.fileSystemProblems(ctx, all); err != nil {
		return err
	}
	if problems = append(problems, found...); len(problems) > 0 {
		return &UnprovenError{problems}
	}
	return nil
}

// keptProblems looks whether the disks that mode add only mounts still are what they were: disko's script goes over them too.
func (s Site) keptProblems(all []hive.Device) ([]string, error) {
	devices, err := among(all, s.Targets)
	if err != nil {
		return nil, err
	}
	var problems []string
	for i, t := range s.Targets {
		if t.Fate != "mount" || t.Disk.Additional {
			continue
		}
		for _, difference := range MatchTable(t.Disk, devices[i], hive.Add) {
			problems = append(problems, t.Device.Path+": "+difference)
		}
	}
	return problems, nil
}

// contentProblems looks at the table of a disk and at what is directly in its partitions.
func (s Site) contentProblems(ctx context.Context, disk hive.Disk, d hive.Device) ([]string, error) {
	if disk.Table != "gpt" {
		return s.wholeProblems(ctx, disk, d.Path)
	}
	problems, err := s.tableOf(ctx, disk, d)
	if err != nil {
		return nil, err
	}
	for _, p := range numbered(disk) {
		path, ok := partition(d, p.Number)
		if !ok {
			continue // the table says so, or the kernel will show it no more: told by what cannot be mounted
		}
		found, err := s.partProblems(ctx, p, path)
		if err != nil {
			return nil, err
		}
		problems = append(problems, found...)
	}
	return problems, nil
}

// wholeProblems looks at a disk that is not partitioned, which facts tell as one partition without a name.
func (s Site) wholeProblems(ctx context.Context, disk hive.Disk, path string) ([]string, error) {
	if disk.Table == "table" || len(disk.Partitions) != 1 {
		return nil, nil
	}
	return s.partProblems(ctx, disk.Partitions[0], path)
}

func (s Site) partProblems(ctx context.Context, p hive.Partition, path string) ([]string, error) {
	want := signatureOf(p)
	if want == "" {
		return nil, nil
	}
	found, err := s.content(ctx, path)
	if err != nil {
		return nil, err
	}
	if found == want || want == "swap" && found == "" { // swap that is encrypted with a key of its own at each start has no signature
		return nil, nil
	}
	return []string{fmt.Sprintf("%s (%s) has %s on it instead of %s", path, p.Label, orNothing(found), want)}, nil
}

func orNothing(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}

// signatureOf is what blkid calls the content of a planned partition; empty where none is expected.
func signatureOf(p hive.Partition) string {
	switch p.Content {
	case "filesystem":
		return fileSystemType(p.Format)
	case "luks":
		return "crypto_LUKS"
	case "lvm_pv":
		return "LVM2_member"
	case "mdraid":
		return "linux_raid_member"
	case "zfs":
		return "zfs_member"
	case "swap", "btrfs":
		return p.Content
	}
	return ""
}

// fileSystemType is blkid's name for a type that mount and mkfs have several names for.
func fileSystemType(kind string) string {
	switch kind {
	case "fat", "fat12", "fat16", "fat32", "msdos", "vfat":
		return "vfat"
	case "ntfs3", "ntfs-3g":
		return "ntfs"
	}
	return kind
}

// fileSystemProblems looks at the devices of all file systems that the plan mounts from planned disks.
func (s Site) fileSystemProblems(ctx context.Context, devices []hive.Device) ([]string, error) {
	where := places{devices, s.Targets}
	var problems []string
	for _, f := range s.wanted() {
		if f.Type == "zfs" || f.Type == "tmpfs" || !s.laidOut(f) {
			continue
		}
		d, err := where.find(f.Device)
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", f.MountPoint, err))
			continue
		}
		found, err := s.content(ctx, d.Path)
		if err != nil {
			return nil, err
		}
		if want := fileSystemType(f.Type); found != want && want != "auto" {
			problems = append(problems, fmt.Sprintf("%s (%s, for %s) has %s on it instead of %s", f.Device, d.Path, f.MountPoint, orNothing(found), want))
		}
	}
	return problems, nil
}
