package disks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
)

// DamagedError is a file system that a check did not find or make whole.
type DamagedError struct {
	MountPoint string
	Device     string
	Err        error // what the check said
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("the file system for %s (%s) is damaged: %v", e.MountPoint, e.Device, e.Err)
}

// Unwrap gives what the check said.
func (e *DamagedError) Unwrap() error { return e.Err }

// Check repairs, in mode keep, what a file system was left with when the machine was switched off, and nothing more: only on devices of the plan
// that are not in use. What is not whole afterwards is a *DamagedError. What lies in LUKS is opened by disko's mount script, which asks for
// passphrases; what that mounts is unmounted again.
func (s Site) Check(ctx context.Context, mountScript string) error {
	if err := s.openAll(ctx, mountScript); err != nil {
		return err
	}
	devices, err := s.list(ctx)
	if err != nil {
		return err
	}
	where := places{devices, s.Targets}
	var done []string
	for _, f := range s.checked() {
		d, err := where.find(f.Device)
		if err != nil {
			if dispensable(f) {
				continue
			}
			return &DamagedError{f.MountPoint, f.Device, err}
		}
		if slices.Contains(done, d.Path) { // several subvolumes of one
			continue
		}
		done = append(done, d.Path)
		if err := s.checkOne(ctx, f, d); err != nil {
			return err
		}
	}
	return nil
}

// checked are the file systems to look at: those to install into, and NTFS that is mounted besides.
func (s Site) checked() []hive.FileSystem {
	found := s.wanted()
	for _, f := range s.Plan.Storage.FileSystems {
		if onMachine(f) && dispensable(f) && fileSystemType(f.Type) == "ntfs" {
			found = append(found, f)
		}
	}
	return slices.DeleteFunc(found, func(f hive.FileSystem) bool { return !onMachine(f) || f.Type == "zfs" })
}

// openAll makes the planned devices appear. Only what is encrypted needs the script.
func (s Site) openAll(ctx context.Context, mountScript string) error {
	if err := s.unmountBelow(ctx, s.Root); err != nil {
		return err
	}
	if err := s.assemble(ctx); err != nil {
		return err
	}
	for _, p := range s.Plan.Storage.Pools {
		if p.Kind != "lvm_vg" {
			continue
		}
		if err := s.call(ctx, "vgchange", "--activate", "y", p.Name); err != nil && len(s.Plan.Storage.LUKS) == 0 {
			return fmt.Errorf("activate the volume group %s: %w", p.Name, err)
		}
	}
	if !s.closedLUKS() || mountScript == "" {
		return s.settle(ctx)
	}
	failed := s.script(ctx, "open", mountScript)
	if err := s.unmountBelow(ctx, s.Root); err != nil {
		return err
	}
	if failed != nil && s.closedLUKS() {
		return failed
	}
	return s.settle(ctx) // a file system that could not be mounted is what is checked for
}

func (s Site) closedLUKS() bool {
	return slices.ContainsFunc(s.Plan.Storage.LUKS, func(l hive.LUKS) bool {
		_, err := os.Stat("/dev/mapper/" + l.Name)
		return err != nil
	})
}

// checkOne holds the device meanwhile only as far as its own program does: each of them opens it for itself alone.
func (s Site) checkOne(ctx context.Context, f hive.FileSystem, d hive.Device) error {
	free, err := openExclusive(ctx, d.Path, os.O_RDONLY)
	if err != nil {
		return err
	}
	if err := free.Close(); err != nil {
		return err
	}
	content, err := s.content(ctx, d.Path)
	if err != nil {
		return err
	}
	if want := fileSystemType(f.Type); content != want && want != "auto" {
		return &DamagedError{f.MountPoint, d.Path, fmt.Errorf("it has %s on it instead of %s", orNothing(content), want)}
	}
	s.Events.Send(progress.Event{Task: "check", Host: s.Plan.Name, State: progress.Running, Text: fmt.Sprintf("%s (%s on %s)", f.MountPoint, content, d.Path)})
	if err := s.repair(ctx, f, content, d.Path); err != nil {
		return &DamagedError{f.MountPoint, d.Path, err}
	}
	return nil
}

// repair runs what the file system's own tools call safe, and looks once more.
func (s Site) repair(ctx context.Context, f hive.FileSystem, content, path string) error {
	switch content {
	case "ext2", "ext3", "ext4":
		return s.checkExt(ctx, path)
	case "vfat":
		return s.twice(ctx, []string{"fsck.vfat", "-a", path}, []string{"fsck.vfat", "-n", path})
	case "f2fs":
		return s.call(ctx, "fsck.f2fs", "-a", path)
	case "xfs":
		return s.checkXFS(ctx, path)
	case "ntfs":
		return s.checkNTFS(ctx, f, path)
	}
	return nil // btrfs, ZFS and bcachefs check themselves
}

// checkExt: e2fsck -p ends with 0, or the sum of 1 (repaired), 2 (restart, if it was the running system), 4 and more (not repaired, or not run).
func (s Site) checkExt(ctx context.Context, path string) error {
	code, err := s.code(ctx, "e2fsck", "-p", path)
	if err == nil || code > 0 && code < 4 {
		return nil
	}
	return err
}

// twice runs a repair that ends with 1 if there was something to do, and then the same check without repair, which has to find nothing.
func (s Site) twice(ctx context.Context, repair, look []string) error {
	code, err := s.code(ctx, repair[0], repair[1:]...)
	if err == nil {
		return nil
	}
	if code != 1 {
		return err
	}
	return s.call(ctx, look[0], look[1:]...)
}

// checkXFS lets the kernel replay the log, as XFS wants it, and then looks.
func (s Site) checkXFS(ctx context.Context, path string) error {
	if err := s.replay(ctx, path, "xfs"); err != nil {
		return err
	}
	return s.call(ctx, "xfs_repair", "-n", path)
}

func (s Site) replay(ctx context.Context, path, kind string) error {
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return err
	}
	point, err := os.MkdirTemp(scratch, "replay-")
	if err != nil {
		return err
	}
	if err := unix.Mount(path, point, kind, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return errors.Join(fmt.Errorf("mount %s to replay its log: %w", path, err), os.Remove(point))
	}
	return errors.Join(s.unmount(ctx, point), os.Remove(point))
}

// checkNTFS repairs only where the dry run finds something, and only what is mounted besides the system: ntfsfix resets the journal, and
// Windows checks the rest.
func (s Site) checkNTFS(ctx context.Context, f hive.FileSystem, path string) error {
	_, err := s.code(ctx, "ntfsfix", "--no-action", path)
	if _, missing := errors.AsType[*run.MissingError](err); err == nil || missing && dispensable(f) {
		return nil
	}
	if !dispensable(f) {
		return err
	}
	return s.call(ctx, "ntfsfix", path)
}

// code runs a program whose exit codes have meanings; -1 is one that did not exit by itself.
func (s Site) code(ctx context.Context, name string, args ...string) (int, error) {
	err := s.call(ctx, name, args...)
	if e, ok := errors.AsType[*run.Error](err); ok {
		return e.ExitCode, err
	}
	return -1, err
}
