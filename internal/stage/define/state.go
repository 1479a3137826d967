package define

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Bounds of what is watched.
const (
	hashedWhole   = 1 << 20  // bytes of a file; greater ones are told apart by size, times and inode
	folderEntries = 2000     // entries of a folder outside of the workspace, all levels
	folderBytes   = 32 << 20 // that are hashed of it
)

// digest sums up texts, each ended so that no two lists of them read the same.
type digest struct{ hash.Hash }

func newDigest() digest { return digest{sha256.New()} }

func (d digest) add(texts ...string) {
	for _, text := range texts {
		d.Write([]byte(text))
		d.Write([]byte{0})
	}
}

func (d digest) text() string { return hex.EncodeToString(d.Sum(nil)) }

// watch looks at files, at each one once.
type watch struct {
	known map[string]seen
}

// seen is what a look at a path gave.
type seen struct {
	sum string
	err error
}

// errUnwatched is a path that cannot be watched: too much, or no file.
var errUnwatched = errors.New("cannot be watched")

// state tells what a path is in a form that changes when it does. Deep, a folder counts with all it holds; else only
// that it is one. Links are followed. A path that is not there has a state too.
func (w *watch) state(path string, deep bool) (string, error) {
	key := path
	if deep {
		key += "/"
	}
	if s, ok := w.known[key]; ok {
		return s.sum, s.err
	}
	sum, err := look(path, deep)
	w.known[key] = seen{sum, err}
	return sum, err
}

func look(path string, deep bool) (string, error) {
	info, err := os.Stat(path)
	switch {
	case deep && noFile(path):
		return "", fmt.Errorf("%w: what the kernel shows there changes by itself", errUnwatched)
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return "absent", nil
	case err != nil:
		return "", fmt.Errorf("%w: %w", errUnwatched, err)
	case info.IsDir() && deep:
		return folderState(path)
	case info.IsDir():
		return "folder", nil
	case !info.Mode().IsRegular() || noFile(path):
		if deep {
			return "", fmt.Errorf("%w: it is no ordinary file", errUnwatched)
		}
		return "special", nil
	}
	return fileState(path, info)
}

// fileState is the content of a file, or what the file system says about a great one.
func fileState(path string, info fs.FileInfo) (string, error) {
	if info.Size() > hashedWhole {
		return "great " + signature(info), nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		// nobody can read it, Nix neither; that may change
		return "unreadable " + signature(info), nil
	}
	sum := sha256.Sum256(b)
	return fmt.Sprintf("%o %s", info.Mode()&0o111, hex.EncodeToString(sum[:])), nil
}

// signature changes whenever a file does: the kernel sets the change time, and nobody can set it back (stat(2)).
func signature(info fs.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano())
	}
	return fmt.Sprintf("%d %d %d %d %d", info.Size(), info.ModTime().UnixNano(), s.Ctim.Nano(), s.Ino, s.Dev)
}

// folderState sums up a folder with everything in it, up to the bounds.
func folderState(dir string) (string, error) {
	f := folder{sum: newDigest()}
	if err := f.add(dir, ""); err != nil {
		return "", err
	}
	return "folder " + f.sum.text(), nil
}

type folder struct {
	sum     digest
	entries int
	bytes   int64
}

func (f *folder) add(dir, below string) error {
	entries, err := readDir(dir, folderEntries-f.entries)
	if err != nil {
		return err
	}
	for _, e := range entries {
		f.entries++
		name := filepath.Join(below, e.Name())
		f.sum.add(name, e.Type().String())
		if err := f.entry(filepath.Join(dir, e.Name()), name); err != nil {
			return err
		}
	}
	return nil
}

// readDir reads at most n entries, sorted; a folder with more is refused without reading all of it.
func readDir(dir string, n int) ([]fs.DirEntry, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnwatched, err)
	}
	defer func() { _ = d.Close() }()
	entries, err := d.ReadDir(n + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: %w", errUnwatched, err)
	}
	if len(entries) > n {
		return nil, fmt.Errorf("%w: it holds more than %d files", errUnwatched, folderEntries)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

func (f *folder) entry(path, name string) error {
	link, err := os.Readlink(path)
	if err == nil {
		f.sum.add(link)
		if strings.HasPrefix(link, storeFolder) {
			return nil
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		f.sum.add("absent")
		return nil //nolint:nilerr // a link to nowhere is a state
	}
	if info.IsDir() {
		return f.add(path, name)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it holds %s, which is no ordinary file", errUnwatched, name)
	}
	if info.Size() <= hashedWhole {
		f.bytes += info.Size()
	}
	if f.bytes > folderBytes {
		return fmt.Errorf("%w: it holds more than %d MiB", errUnwatched, folderBytes>>20)
	}
	state, err := fileState(path, info)
	f.sum.add(state)
	return err
}

const storeFolder = "/nix/store/"

// unwatched are the entries of a workspace that definitions are not made of. Who names one by a literal has it watched.
func unwatched() []string { return []string{".git", "generated", ".staged-hive"} }

// workspaceState sums up all files of a workspace, except the unwatched ones, and links to build results.
func (w *watch) workspaceState(root string) (string, error) {
	sum := newDigest()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("%w: %w", errUnwatched, err)
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if leftOut(rel, d) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		sum.add(rel, d.Type().String())
		return w.addEntry(sum, root, path, d)
	})
	return sum.text(), err
}

// leftOut: nix-build leaves links named result, result-2, result-doc beside the files.
func leftOut(rel string, d fs.DirEntry) bool {
	if strings.Contains(rel, "/") {
		return false
	}
	return slices.Contains(unwatched(), rel) || d.Type()&fs.ModeSymlink != 0 && (rel == "result" || strings.HasPrefix(rel, "result-"))
}

// watched reports whether a path counts with the workspace.
func watched(root, path string) bool {
	rel, err := filepath.Rel(root, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return false
	}
	top, _, _ := strings.Cut(rel, "/")
	return !slices.Contains(unwatched(), top) && top != "result" && !strings.HasPrefix(top, "result-")
}

func (w *watch) addEntry(sum digest, root, path string, d fs.DirEntry) error {
	switch {
	case d.IsDir():
		return nil
	case d.Type()&fs.ModeSymlink != 0:
		return w.addLink(sum, root, path)
	case !d.Type().IsRegular():
		return nil // sockets and pipes; nobody can read them as files
	}
	state, err := w.state(path, false)
	sum.add(state)
	return err
}

// addLink adds where a link points, and what is there if that is outside.
func (w *watch) addLink(sum digest, root, path string) error {
	target, err := os.Readlink(path)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnwatched, err)
	}
	sum.add(target)
	real, err := filepath.EvalSymlinks(path)
	if err == nil && (watched(root, real) || strings.HasPrefix(real, storeFolder)) {
		return nil
	}
	state, err := w.state(path, true)
	if err != nil {
		return fmt.Errorf("%s links to %s, which %w", path, target, err)
	}
	sum.add(state)
	return nil
}

// changedAt is when the kernel last saw a change of a file.
func changedAt(info fs.FileInfo) time.Time {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(s.Ctim.Unix())
	}
	return info.ModTime()
}
