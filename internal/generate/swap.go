package generate

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// aside is the name of a folder beside the generated one that is complete: either the new tree that is about to take the place of
// the old one, or the old one after that. The number in the name is the inode of the new tree, which tells the two apart.
func (w writer) aside(inode uint64) string {
	return "." + w.name + ".old-" + strconv.FormatUint(inode, 10)
}

// swap puts the fresh tree into its place and gives the name of the old one, empty if there was none.
func (w writer) swap(exists bool) (aside string, err error) {
	if !exists {
		return "", w.place(w.fresh())
	}
	inode, err := w.inode(w.fresh())
	if err != nil {
		return "", err
	}
	aside = w.aside(inode)
	if err := w.rename(w.fresh(), aside); err != nil {
		return "", err
	}
	err = w.exchange(aside, w.name)
	if errors.Is(err, errors.ErrUnsupported) {
		return aside, w.swapInSteps(aside)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("put the new tree into place: %w", err), w.rename(aside, w.fresh()))
	}
	w.settled()
	return aside, nil
}

// swapInSteps is for file systems without an exchange. Between its last two steps there is no tree; a run that is killed just there
// leaves that to the next one, which puts the old tree back (see recover).
func (w writer) swapInSteps(aside string) error {
	if err := w.rename(aside, w.fresh()); err != nil {
		return err
	}
	if err := w.rename(w.name, aside); err != nil {
		return fmt.Errorf("move the old tree aside: %w", err)
	}
	if err := w.place(w.fresh()); err != nil {
		return errors.Join(err, w.rename(aside, w.name))
	}
	return nil
}

func (w writer) place(from string) error {
	if err := w.rename(from, w.name); err != nil {
		return fmt.Errorf("put the new tree into place: %w", err)
	}
	w.settled()
	return nil
}

// settled makes the new name durable. An error is nobody's problem any more: the new tree stands, complete and synced, and a
// machine that loses power now starts with the old one.
func (w writer) settled() { _ = w.syncFolder(".") }

// exchange lets two folders of the workspace change names in one step (renameat2(2), Linux 3.15 and most file systems). It is the
// one system call here that the standard library does not wrap.
func (d disk) exchange(a, b string) error {
	number, known := renameat2Number()
	if !known || d.unswapped {
		return errors.ErrUnsupported
	}
	if err := d.step("exchange", b); err != nil {
		return err
	}
	folder, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer folder.Close() //nolint:errcheck // only read
	err = renameat2(folder, number, a, b)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSYS) {
		return errors.ErrUnsupported
	}
	if errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV) {
		return mountError(b)
	}
	return err
}

func renameat2(folder *os.File, number uintptr, a, b string) error {
	const exchange = 2 // RENAME_EXCHANGE of linux/fs.h
	from, fromErr := syscall.BytePtrFromString(a)
	to, toErr := syscall.BytePtrFromString(b)
	if err := errors.Join(fromErr, toErr); err != nil {
		return &os.LinkError{Op: "exchange", Old: a, New: b, Err: err}
	}
	raw, err := folder.SyscallConn()
	if err != nil {
		return err
	}
	var failed syscall.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, failed = syscall.Syscall6(number, fd, uintptr(unsafe.Pointer(from)), fd, uintptr(unsafe.Pointer(to)), exchange, 0)
	})
	if err == nil && failed != 0 {
		err = &os.LinkError{Op: "exchange", Old: a, New: b, Err: failed}
	}
	return err
}

// renameat2Number is the system call's number (syscall_table of each architecture in Linux; package syscall lacks it for amd64).
func renameat2Number() (number uintptr, known bool) {
	if runtime.GOOS != "linux" {
		return 0, false
	}
	number, known = map[string]uintptr{
		"amd64": 316, "386": 353, "arm": 382, "arm64": 276, "riscv64": 276, "loong64": 276, "ppc64le": 357, "s390x": 347,
	}[runtime.GOARCH]
	return number, known
}

// isAside reads a name that aside made.
func (w writer) isAside(name string) (inode uint64, ok bool) {
	digits, ok := strings.CutPrefix(name, "."+w.name+".old-")
	if !ok {
		return 0, false
	}
	inode, err := strconv.ParseUint(digits, 10, 64)
	return inode, err == nil && w.aside(inode) == name
}
