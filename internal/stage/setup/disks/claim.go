package disks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/hive"
)

// claim is a whole disk that is ours alone: the kernel lets nobody mount or assemble anything of it, and udev keeps its hands off, which it
// does for a locked disk (https://systemd.io/BLOCK_DEVICE_LOCKING).
type claim struct {
	*os.File
	device hive.Device
}

// patience is how long a passing look at a disk, such as udev's, may hold it.
const patience = 10 * time.Second

// open takes a disk for ourselves.
func open(ctx context.Context, d hive.Device) (*claim, error) {
	f, err := openExclusive(ctx, d.Path, unix.O_RDWR)
	if err != nil {
		return nil, err
	}
	c := &claim{f, d}
	if err := c.check(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := lock(ctx, f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return c, nil
}

// openExclusive waits for those who only pass by, and says who holds the device if it stays in use.
func openExclusive(ctx context.Context, path string, mode int) (*os.File, error) {
	for deadline := time.Now().Add(patience); ; {
		fd, err := unix.Open(path, mode|unix.O_EXCL|unix.O_CLOEXEC, 0)
		if err == nil {
			return os.NewFile(uintptr(fd), path), nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
		if time.Now().After(deadline) {
			return nil, &HeldError{Device: path, Holder: holders(path), Err: err}
		}
		if err := pause(ctx); err != nil {
			return nil, fmt.Errorf("wait for %s: %w", path, err)
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(100 * time.Millisecond):
		return nil
	}
}

// check compares what was opened with what was listed: a path may lead elsewhere by now.
func (c *claim) check() error {
	var stat unix.Stat_t
	if err := unix.Fstat(int(c.Fd()), &stat); err != nil {
		return fmt.Errorf("look at %s: %w", c.Name(), err)
	}
	number := fmt.Sprintf("%d:%d", unix.Major(stat.Rdev), unix.Minor(stat.Rdev))
	if stat.Mode&unix.S_IFMT != unix.S_IFBLK || number != c.device.Number {
		return &ChangedError{Device: c.Name(), What: "the path leads to another device, " + number}
	}
	size, err := unix.IoctlGetInt(int(c.Fd()), unix.BLKGETSIZE64)
	if err != nil {
		return fmt.Errorf("ask %s for its size: %w", c.Name(), err)
	}
	if int64(size) != c.device.Bytes {
		return &ChangedError{Device: c.Name(), What: fmt.Sprintf("its size is %d bytes, not %d", size, c.device.Bytes)}
	}
	return nil
}

// lock waits for udev to be done with the disk.
func lock(ctx context.Context, f *os.File) error {
	for deadline := time.Now().Add(patience); ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			return &HeldError{Device: f.Name(), Holder: "another program has locked it", Err: err}
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("wait for %s: %w", f.Name(), err)
		}
	}
}

// forget makes the kernel drop what it remembers of the disk's contents.
func (c *claim) forget() error {
	if err := c.Sync(); err != nil {
		return err
	}
	if err := unix.IoctlSetInt(int(c.Fd()), unix.BLKFLSBUF, 0); err != nil {
		return fmt.Errorf("flush the buffers of %s: %w", c.Name(), err)
	}
	return nil
}

// reread makes the kernel read the partition table. Partitions that are open for a moment make it wait.
func (c *claim) reread(ctx context.Context) error {
	for deadline := time.Now().Add(patience); ; {
		err := unix.IoctlSetInt(int(c.Fd()), unix.BLKRRPART, 0)
		switch {
		case err == nil, errors.Is(err, unix.EINVAL): // a device without partitions, such as a loop device made without them
			return nil
		case !errors.Is(err, unix.EBUSY):
			return fmt.Errorf("read the partition table of %s anew: %w", c.Name(), err)
		case time.Now().After(deadline):
			return &HeldError{Device: c.Name(), Holder: holders(c.Name()), Err: err}
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("wait for %s: %w", c.Name(), err)
		}
	}
}

// claims opens several disks; all or none.
func claims(ctx context.Context, devices []hive.Device) (all []*claim, release func() error, err error) {
	release = func() error {
		var errs []error
		for _, c := range all {
			errs = append(errs, c.Close())
		}
		return errors.Join(errs...)
	}
	for _, d := range devices {
		c, err := open(ctx, d)
		if err != nil {
			return nil, nil, errors.Join(err, release())
		}
		all = append(all, c)
	}
	return all, release, nil
}

// holders says who uses a block device, as far as /sys and /proc tell.
func holders(path string) string {
	var found []string
	base := filepath.Base(path)
	for _, dir := range []string{"/sys/class/block/" + base + "/holders", "/sys/class/block/" + base + "/" + base + "*/holders"} {
		names, _ := filepath.Glob(dir + "/*") // the pattern is well-formed
		for _, name := range names {
			found = append(found, holderName(filepath.Base(name)))
		}
	}
	mounts, err := readMounts()
	if err == nil {
		for _, m := range mounts {
			if m.source == path || strings.HasPrefix(m.source, path) {
				found = append(found, "mounted at "+m.point)
			}
		}
	}
	for _, name := range swaps() {
		if strings.HasPrefix(name, path) {
			found = append(found, "swap on "+name)
		}
	}
	if len(found) == 0 {
		return "the kernel does not say by what (an md array, a pool, a mount in another namespace)"
	}
	slices.Sort(found)
	return strings.Join(slices.Compact(found), ", ")
}

// holderName gives a mapped device the name that people know.
func holderName(kernel string) string {
	if name := mapperName("/dev/" + kernel); name != "" {
		return "mapped as " + name
	}
	return "part of " + kernel
}

// mapperName is the device mapper's name of /dev/dm-N, empty for others.
func mapperName(path string) string {
	name, err := os.ReadFile("/sys/class/block/" + filepath.Base(path) + "/dm/name")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(name))
}

// swaps are the devices and files that are swapped to, by /proc/swaps.
func swaps() []string {
	text, err := os.ReadFile("/proc/swaps")
	if err != nil {
		return nil
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		if name, _, ok := strings.Cut(line, " "); ok && strings.HasPrefix(name, "/") {
			found = append(found, unescape(name))
		}
	}
	return found
}
