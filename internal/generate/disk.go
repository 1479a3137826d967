package generate

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"
)

// disk carries out single steps below root, the workspace. Every step that changes anything passes by before, which a test uses to
// break it or to end the process there; nothing changes in between two steps.
type disk struct {
	root      *os.Root
	before    func(step, name string) error // nil outside tests
	unlinked  bool                          // a test: behave as where there are no hard links
	unswapped bool                          // a test: behave as where two folders cannot be exchanged
}

func (d disk) step(step, name string) error {
	if d.before == nil {
		return nil
	}
	if err := d.before(step, name); err != nil {
		return &fs.PathError{Op: step, Path: name, Err: err}
	}
	return nil
}

func (d disk) mkdir(name string) error {
	if err := d.step("mkdir", name); err != nil {
		return err
	}
	if err := d.root.Mkdir(name, 0o755); err != nil {
		return err
	}
	return d.own(name)
}

// create writes a new file and waits until it is on the disk.
func (d disk) create(name string, content []byte) (err error) {
	if err := d.step("create", name); err != nil {
		return err
	}
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	half := len(content) / 2
	for _, part := range [][]byte{content[:half], content[half:]} {
		if err := d.step("write", name); err != nil {
			return err
		}
		if _, err := f.Write(part); err != nil {
			return err
		}
	}
	if err := d.step("sync", name); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return d.own(name)
}

// own gives what root creates in somebody else's workspace to that person, who could not remove it otherwise.
func (d disk) own(name string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	top, err := d.root.Lstat(".")
	if err != nil {
		return err
	}
	owner, ok := top.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	return d.root.Lchown(name, int(owner.Uid), int(owner.Gid))
}

// take gives a file of the old tree a second name in the new one, so that neither content nor times change and nothing is written.
// Where that cannot be, it is copied.
func (d disk) take(from, to string) error {
	if err := d.step("link", to); err != nil {
		return err
	}
	err := error(syscall.EPERM)
	if !d.unlinked {
		err = d.root.Link(from, to)
	}
	switch {
	case errors.Is(err, syscall.EXDEV):
		return mountError(path.Dir(from))
	case slices.ContainsFunc([]error{syscall.EPERM, syscall.EOPNOTSUPP, syscall.ENOSYS, syscall.EMLINK},
		func(no error) bool { return errors.Is(err, no) }):
		return d.duplicate(from, to)
	}
	return err
}

func (d disk) duplicate(from, to string) error {
	st, err := d.root.Lstat(from)
	if err != nil {
		return err
	}
	switch {
	case st.Mode()&fs.ModeSymlink != 0:
		target, err := d.root.Readlink(from)
		if err != nil {
			return err
		}
		return d.root.Symlink(target, to)
	case !st.Mode().IsRegular():
		return &PlaceError{from, "is neither a file, a folder nor a link", "move it out of the generated folder"}
	}
	if err := d.stream(from, to); err != nil {
		return err
	}
	return errors.Join(d.root.Chmod(to, st.Mode()), d.root.Chtimes(to, st.ModTime(), st.ModTime()))
}

// stream copies a file of any size.
func (d disk) stream(from, to string) (err error) {
	source, err := d.root.Open(from)
	if err != nil {
		return err
	}
	defer source.Close() //nolint:errcheck // only read
	if err := d.create(to, nil); err != nil {
		return err
	}
	f, err := d.root.OpenFile(to, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(f, source); err != nil {
		return fmt.Errorf("copy %s to %s: %w", from, to, err)
	}
	return f.Sync()
}

// sumOf is the SHA-256 of a file of any size.
func (d disk) sumOf(name string) (string, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("sum up %s: %w", name, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (d disk) chmod(name string, mode fs.FileMode) error {
	st, err := d.root.Lstat(name)
	if err != nil || st.Mode()&^fs.ModeType == mode {
		return err
	}
	if err := d.step("chmod", name); err != nil {
		return err
	}
	return d.root.Chmod(name, mode)
}

func (d disk) rename(from, to string) error {
	if err := d.step("rename", to); err != nil {
		return err
	}
	return d.root.Rename(from, to)
}

func (d disk) remove(name string) error {
	if err := d.step("remove", name); err != nil {
		return err
	}
	return d.root.Remove(name)
}

// syncFolder makes the names in a folder durable. Some file systems know no such thing, and say so.
func (d disk) syncFolder(name string) error {
	if err := d.step("sync", name); err != nil {
		return err
	}
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// inode names a folder for as long as it exists, wherever it is moved.
func (d disk) inode(name string) (uint64, error) {
	st, err := d.root.Lstat(name)
	if err != nil {
		return 0, err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("%s: the system names no inode", name)
	}
	return sys.Ino, nil
}
