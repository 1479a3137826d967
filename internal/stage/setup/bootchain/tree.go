package bootchain

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// tree is the installed system. Its links are followed as it will follow them itself: an absolute one starts at its root, not at ours.
type tree struct{ root string }

// maxLinks as in Linux (path_resolution(7)).
const maxLinks = 40

// resolve gives the path within the tree that a path leads to, without links. It has to exist.
func (t tree) resolve(name string) (string, error) {
	todo := strings.Split(name, "/")
	at, links := "/", 0
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		next := path.Join(at, part)
		if part == "" || part == "." || part == ".." {
			at = next
			continue
		}
		found, err := os.Lstat(t.outside(next))
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, inside(err))
		}
		if found.Mode()&os.ModeSymlink == 0 {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s: %w", name, unix.ELOOP)
		}
		target, err := os.Readlink(t.outside(next))
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, inside(err))
		}
		if path.IsAbs(target) {
			at = "/"
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return at, nil
}

// inside drops the path from an error: it is that of the medium, and the caller names that of the installed system.
func inside(err error) error {
	if detail := new(os.PathError); errors.As(err, &detail) {
		return detail.Err
	}
	return err
}

// outside is where something of the tree is now.
func (t tree) outside(name string) string { return filepath.Join(t.root, filepath.FromSlash(name)) }

// anyCase finds a file as a FAT file system does, whatever the case of its letters, and gives its path as it is written there.
func (t tree) anyCase(name string) (string, error) {
	at := "/"
	for part := range strings.SplitSeq(strings.Trim(path.Clean("/"+name), "/"), "/") {
		next, err := t.member(at, part)
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, inside(err))
		}
		at = next
	}
	return at, nil
}

func (t tree) member(folder, name string) (string, error) {
	exact := path.Join(folder, name)
	if _, err := os.Lstat(t.outside(exact)); err == nil {
		return t.resolve(exact)
	}
	entries, err := os.ReadDir(t.outside(folder))
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if strings.EqualFold(e.Name(), name) {
			return path.Join(folder, e.Name()), nil
		}
	}
	return "", os.ErrNotExist
}

// open opens a file for reading from the device: what is cached is written and forgotten first, as far as it is this file's.
func (t tree) open(name string) (*os.File, error) {
	real, err := t.resolve(name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(t.outside(real))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, inside(err))
	}
	if err := forget(f); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	return f, nil
}

// forget writes a file out and drops it from the page cache. Not every file system can be asked to; reading works regardless.
func forget(f *os.File) error {
	if err := f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EROFS) {
		return fmt.Errorf("write to the device: %w", err)
	}
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // advice: nothing depends on it
	return nil
}

// read gives the contents of a file of at most 16 MiB: configuration.
func (t tree) read(name string) ([]byte, error) {
	f, err := t.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	const most = 16 << 20
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, inside(err))
	}
	if len(content) > most {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, most)
	}
	return content, nil
}

// filled wants a file that is not empty.
func (t tree) filled(name string) error {
	f, err := t.open(name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	var one [1]byte
	if _, err := io.ReadFull(f, one[:]); err != nil {
		return fmt.Errorf("%s: is empty", name)
	}
	return nil
}

// equal compares two files to the last byte. With more, the first may go on after the end of the second.
func (t tree) equal(name, original string, more bool) error {
	a, err := t.open(name)
	if err != nil {
		return err
	}
	defer a.Close() //nolint:errcheck // only read
	b, err := t.open(original)
	if err != nil {
		return err
	}
	defer b.Close() //nolint:errcheck // only read
	at, same, err := compare(a, b)
	switch {
	case err != nil:
		return fmt.Errorf("%s: compare with %s: %w", name, original, err)
	case at == 0 && same != otherBytes:
		return fmt.Errorf("%s or %s is empty", name, original)
	case same == sameLength || same == secondEnds && more:
		return nil
	case same == secondEnds:
		return fmt.Errorf("%s: is longer than %s: %d bytes are the same", name, original, at)
	case same == firstEnds:
		return fmt.Errorf("%s: ends after %d bytes, before %s does", name, at, original)
	}
	return fmt.Errorf("%s: differs from %s at byte %d", name, original, at)
}

// How two streams compare.
type comparison int

const (
	sameLength comparison = iota // and the same bytes
	firstEnds                    // before the second
	secondEnds                   // before the first
	otherBytes
)

// compare reads both to where they differ or one ends, and gives how many bytes are the same.
func compare(a, b io.Reader) (at int64, how comparison, err error) {
	const block = 1 << 20
	one, two := make([]byte, block), make([]byte, block)
	for {
		n, errOne := io.ReadFull(a, one)
		m, errTwo := io.ReadFull(b, two)
		if err := errors.Join(notEnd(errOne), notEnd(errTwo)); err != nil {
			return at, otherBytes, err
		}
		common := min(n, m)
		if !bytes.Equal(one[:common], two[:common]) {
			return at + int64(firstDifference(one[:common], two[:common])), otherBytes, nil
		}
		at += int64(common)
		switch {
		case n < m:
			return at, firstEnds, nil
		case n > m:
			return at, secondEnds, nil
		case n < block:
			return at, sameLength, nil
		}
	}
}

func notEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

func firstDifference(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return len(a)
}

// list are the names in a folder; none if there is no such folder.
func (t tree) list(folder string) []string {
	real, err := t.resolve(folder)
	if err != nil {
		return nil
	}
	entries, err := os.ReadDir(t.outside(real))
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}
