package blockdev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ExistsError is a file that would have been overwritten.
type ExistsError struct{ Path string }

func (e *ExistsError) Error() string { return e.Path + " exists already" }

// WriteFile writes the image to a file that only its owner can read: it may hold host keys. The file appears under its name when all is on
// the disk and, if wanted, read back. One that exists is replaced if overwrite is set, else the error is an *ExistsError. A path in /dev is
// refused: a device that is not plugged in would become a file, in memory.
func WriteFile(ctx context.Context, path string, overwrite bool, image *Image, o WriteOptions) error {
	if err := writeFile(ctx, path, overwrite, image, o); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func writeFile(ctx context.Context, path string, overwrite bool, image *Image, o WriteOptions) error {
	place, err := filePlace(path, overwrite)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(place), "."+filepath.Base(place)+".*") // mode 0600
	if err != nil {
		return err
	}
	w := newWriter(image, uncached{file}, 1, o)
	err = w.run(ctx)
	err = errors.Join(err, file.Close())
	if err == nil {
		err = appear(file.Name(), place, overwrite)
	}
	if err != nil {
		return w.fail(closing(err, removal(file.Name())))
	}
	return syncFolder(filepath.Dir(place))
}

// filePlace is where the file goes, links followed.
func filePlace(path string, overwrite bool) (string, error) {
	place, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(place); err == nil {
		place = real
	} else if folder, err := filepath.EvalSymlinks(filepath.Dir(place)); err == nil {
		place = filepath.Join(folder, filepath.Base(place))
	}
	if strings.HasPrefix(place, "/dev/") {
		return "", refuse(path, Missing, "is no block device, and files do not belong into /dev")
	}
	stat, err := os.Stat(place)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return place, nil
	case err != nil:
		return "", err
	case !stat.Mode().IsRegular():
		return "", refuse(path, NoDevice, "is neither a file nor a block device")
	case !overwrite:
		return "", &ExistsError{path}
	}
	return place, nil
}

// appear gives the finished file its name. A file that came there meanwhile is not overwritten unasked.
func appear(from, place string, overwrite bool) error {
	if overwrite {
		return os.Rename(from, place)
	}
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, place, unix.RENAME_NOREPLACE)
	switch {
	case errors.Is(err, os.ErrExist):
		return &ExistsError{place}
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS): // NFS and others cannot; they have hard links
		if err := os.Link(from, place); err != nil {
			return err
		}
		return os.Remove(from)
	}
	return os.NewSyscallError("rename "+from, err)
}

// syncFolder makes the new name survive the loss of power.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// uncached is a file that is read back from the disk, not from memory.
type uncached struct{ *os.File }

// Sync also makes the kernel forget what it has of the file in memory.
func (u uncached) Sync() error {
	if err := u.File.Sync(); err != nil {
		return err
	}
	return os.NewSyscallError("fadvise", unix.Fadvise(int(u.Fd()), 0, 0, unix.FADV_DONTNEED))
}

// removal takes a file away when it is closed.
type removal string

func (r removal) Close() error {
	err := os.Remove(string(r))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

type closer interface{ Close() error }

// closing joins an error with that of closing.
func closing(err error, c closer) error { return errors.Join(err, c.Close()) }
