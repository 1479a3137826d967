package secret

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// folder writes below one folder and cannot leave it, whatever links there are.
type folder struct{ root *os.Root }

// replace writes a file, with the folders it needs, so that a reader sees the old content or the new one, also after a power failure.
func (f folder) replace(name string, content []byte, mode fs.FileMode) error {
	return f.put(name, content, mode, f.root.Rename)
}

// create is replace where nothing is to be replaced: the error is fs.ErrExist then.
func (f folder) create(name string, content []byte, mode fs.FileMode) error {
	return f.put(name, content, mode, func(from, to string) error {
		err := f.root.Link(from, to)
		if err == nil {
			return f.root.Remove(from)
		}
		if _, there := f.root.Lstat(to); !errors.Is(there, fs.ErrNotExist) {
			return err
		}
		return f.root.Rename(from, to) // a file system without hard links, such as that of a stick
	})
}

func (f folder) put(name string, content []byte, mode fs.FileMode, place func(from, to string) error) error {
	if err := f.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	fresh := path.Join(path.Dir(name), ".new-"+rand.Text())
	err := f.write(fresh, content, mode)
	if err == nil {
		err = place(fresh, name)
	}
	if err != nil {
		if gone := f.root.Remove(fresh); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		return fmt.Errorf("write %s: %w", name, err)
	}
	return f.sync(path.Dir(name))
}

func (f folder) write(name string, content []byte, mode fs.FileMode) error {
	file, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}

// sync makes the names in a folder durable.
func (f folder) sync(name string) error {
	d, err := f.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// read gives a file of a size that a secret may have; nil without an error if there is none.
func (f folder) read(name string) ([]byte, error) {
	file, err := f.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(file, fileLimit+1))
	if err == nil && len(text) > fileLimit {
		err = fmt.Errorf("more than %d bytes", fileLimit)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return text, nil
}

// fileLimit is the most that is read of one file, in bytes: what is larger fits on no medium.
const fileLimit = 2 * RegionSize
