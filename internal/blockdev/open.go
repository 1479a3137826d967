package blockdev

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/hive"
)

// Node is what a path turned out to be.
type Node struct {
	Path   string // without links
	Number string // MAJOR:MINOR
}

// Look follows a path to a block device. What is none is a *RefusedError that says what it is.
func Look(path string) (Node, error) {
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) {
		return Node{}, refuse(path, Missing, "does not exist")
	}
	if err != nil {
		return Node{}, err
	}
	var stat unix.Stat_t
	if err := unix.Stat(real, &stat); err != nil {
		return Node{}, &os.PathError{Op: "stat", Path: real, Err: err}
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFBLK {
		return Node{}, refuse(path, NoDevice, "is no block device but "+article(stat.Mode))
	}
	return Node{real, numbered(stat.Rdev)}, nil
}

func refuse(path string, kind Kind, text string) error {
	return &RefusedError{Path: path, Reasons: []Reason{{Kind: kind, Text: text}}}
}

func article(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "a file"
	case unix.S_IFDIR:
		return "a folder"
	case unix.S_IFCHR:
		return "a character device"
	case unix.S_IFIFO:
		return "a pipe"
	case unix.S_IFSOCK:
		return "a socket"
	}
	return "something else"
}

func numbered(rdev uint64) string { return fmt.Sprintf("%d:%d", unix.Major(rdev), unix.Minor(rdev)) }

// BusyError is a device that the kernel, or a program that wants it alone, already uses.
type BusyError struct {
	Path string
	Err  error
}

func (e *BusyError) Error() string {
	return e.Path + " is in use: something on it is mounted, swaps, is part of an array, a volume group or a pool, or another program writes to it"
}

// Unwrap gives what the kernel said.
func (e *BusyError) Unwrap() error { return e.Err }

// ChangedError is a path behind which is not, or not any more, what was judged.
type ChangedError struct {
	Path string
	What string // the difference, as the end of a sentence
}

func (e *ChangedError) Error() string { return e.Path + " is not what it was a moment ago: " + e.What }

// Held is a block device that is open for reading and writing, by us alone, past the page cache. While it is held, nobody can mount it or
// one of its partitions. Close gives it back; udev then looks at it anew.
type Held struct {
	Path   string
	Number string
	Bytes  int64
	Sector int64 // bytes; offsets and lengths of all reading and writing are multiples of it

	file *os.File
}

// Hold opens the device that want describes, at its path or at one that leads to it. It fails with *BusyError if anybody uses it or a part of
// it, with *ChangedError if it is another device by now, and with os.ErrPermission. Opening does not change a device.
func Hold(path string, want hive.Device) (*Held, error) {
	h, err := hold(path, want)
	if err != nil {
		return nil, fmt.Errorf("open %s for ourselves: %w", path, err)
	}
	return h, nil
}

func hold(path string, want hive.Device) (*Held, error) {
	before, err := Look(path)
	if err != nil {
		return nil, err
	}
	file, err := open(before.Path, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	h, err := inspect(file)
	if err == nil {
		err = h.is(want)
	}
	if err == nil {
		err = unmoved(path, before)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return h, nil
}

// open asks the kernel for the device alone. O_EXCL without O_CREAT means that for block devices only (open(2), Linux 2.6 and later).
func open(path string, how int) (*os.File, error) {
	file, err := os.OpenFile(path, how|unix.O_EXCL|unix.O_CLOEXEC|unix.O_DIRECT, 0)
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, &BusyError{path, err}
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EACCES) && writeProtected(path):
		return nil, refuse(path, ReadOnly, "is read-only")
	}
	return file, err
}

// writeProtected tells a device that is read-only from one that we may not open: the kernel answers EACCES to both.
func writeProtected(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close() //nolint:errcheck // was only read
	value, err := unix.IoctlGetInt(int(file.Fd()), unix.BLKROGET)
	return err == nil && value != 0
}

// Used asks the kernel whether anybody uses a device or a part of it. It changes nothing, and needs the right to read the device.
func Used(path string) (bool, error) {
	file, err := open(path, os.O_RDONLY)
	if busy := (*BusyError)(nil); errors.As(err, &busy) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask whether %s is in use: %w", path, err)
	}
	return false, file.Close()
}

// Adopt takes over a device that another program held and passed on as a file descriptor. The descriptor is h's from here on, also when
// it is refused.
func Adopt(file *os.File, want hive.Device) (*Held, error) {
	h, err := inspect(file)
	if err == nil {
		err = h.is(want)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("take over %s: %w", want.Path, err), file.Close())
	}
	return h, nil
}

// inspect asks what an open file is.
func inspect(file *os.File) (*Held, error) {
	var stat unix.Stat_t
	fd := int(file.Fd())
	if err := unix.Fstat(fd, &stat); err != nil {
		return nil, &os.PathError{Op: "stat", Path: file.Name(), Err: err}
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFBLK {
		return nil, refuse(file.Name(), NoDevice, "is no block device but "+article(stat.Mode))
	}
	readOnly, err := unix.IoctlGetInt(fd, unix.BLKROGET)
	if err == nil && readOnly != 0 {
		return nil, refuse(file.Name(), ReadOnly, "is read-only")
	}
	h := &Held{Path: file.Name(), Number: numbered(stat.Rdev), file: file}
	if err == nil {
		h.Bytes, err = capacity(fd)
	}
	sector := 0
	if err == nil {
		sector, err = unix.IoctlGetInt(fd, unix.BLKSSZGET)
	}
	if err != nil {
		return nil, &os.PathError{Op: "ask the size of", Path: file.Name(), Err: err}
	}
	h.Sector = int64(sector)
	return h, nil
}

// capacity is BLKGETSIZE64, which package unix has no function for.
func capacity(fd int) (int64, error) {
	var bytes uint64
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.BLKGETSIZE64, uintptr(unsafe.Pointer(&bytes)))
	if errno != 0 {
		return 0, os.NewSyscallError("BLKGETSIZE64", errno)
	}
	return int64(bytes), nil
}

// is compares with the device that was judged. Once it is open its number cannot become another device's.
func (h *Held) is(want hive.Device) error {
	switch {
	case h.Number != want.Number:
		return &ChangedError{h.Path, fmt.Sprintf("its number is %s, not %s", h.Number, want.Number)}
	case h.Bytes != want.Bytes:
		return &ChangedError{h.Path, fmt.Sprintf("it has %d bytes, not %d", h.Bytes, want.Bytes)}
	}
	return nil
}

// unmoved follows the path once more.
func unmoved(path string, before Node) error {
	after, err := Look(path)
	if err == nil && after != before {
		err = &ChangedError{path, fmt.Sprintf("it led to %s, and now to %s", before.Path, after.Path)}
	}
	return err
}

// Same compares what a list made while the device is held says of it with what was judged before.
func (h *Held) Same(again []hive.Device, before hive.Device) error {
	now, _, ok := Find(again, h.Number)
	if !ok {
		return &ChangedError{h.Path, "it is gone"}
	}
	for _, c := range []struct{ what, now, before string }{
		{"serial", now.Serial, before.Serial}, {"model", now.Model, before.Model}, {"WWN", now.WWN, before.WWN}, {"name", now.Path, before.Path},
	} {
		if c.now != c.before {
			return &ChangedError{h.Path, fmt.Sprintf("its %s is %q, not %q", c.what, c.now, c.before)}
		}
	}
	return nil
}

// File is the open device, for whoever passes it on. It stays h's.
func (h *Held) File() *os.File { return h.file }

// ReadAt reads from the device itself.
func (h *Held) ReadAt(p []byte, at int64) (int, error) {
	if h.direct(p, at) {
		return h.file.ReadAt(p, at)
	}
	skip := at % h.Sector
	b := Buffer(int((skip + int64(len(p)) + h.Sector - 1) / h.Sector * h.Sector))
	n, err := h.file.ReadAt(b, at-skip)
	n = copy(p, b[min(int(skip), n):n])
	if n == len(p) {
		err = nil // what is missing was not asked for
	}
	return n, err
}

// WriteAt writes to the device itself. Offset and length have to be multiples of the sector.
func (h *Held) WriteAt(p []byte, at int64) (int, error) {
	if !h.direct(p, at) {
		b := Buffer(len(p))
		copy(b, p)
		p = b
	}
	return h.file.WriteAt(p, at)
}

// direct tells what the kernel takes with O_DIRECT from any device. [Buffer] is at such an address.
func (h *Held) direct(p []byte, at int64) bool {
	return at%h.Sector == 0 && int64(len(p))%h.Sector == 0 && uintptr(unsafe.Pointer(unsafe.SliceData(p)))%page == 0
}

// Sync makes the device bring what it has taken to where it stays.
func (h *Held) Sync() error { return h.file.Sync() }

// Reread makes the kernel read the partition table again, which needs privileges; without them udev does it when the device is closed. While
// somebody looks at a partition, as udev does at new ones, the kernel is busy; it is asked again for some seconds.
func (h *Held) Reread() error {
	for try := 0; ; try++ {
		err := unix.IoctlSetInt(int(h.file.Fd()), unix.BLKRRPART, 0)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || try == 30 {
			return &os.PathError{Op: "read the partitions of", Path: h.Path, Err: err}
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// Close gives the device back.
func (h *Held) Close() error { return h.file.Close() }

// page is what no device wants buffers to be aligned to more than, in bytes.
const page = 4096

// Buffer gives n bytes at an address that every device takes for direct reading and writing.
func Buffer(n int) []byte {
	b := make([]byte, n+page)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (page - 1))
	return b[skip : skip+n : skip+n]
}
