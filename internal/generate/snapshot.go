package generate

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"
)

// snapshot is what a tree on disk holds. Only files that we wrote or want to write are read; of all others nothing but the place
// in the tree matters.
type snapshot struct {
	exists   bool
	mode     fs.FileMode      // of the folder itself
	entries  map[string]entry // by path below the folder
	manifest manifest
	stored   []byte // the manifest as it was stored, nil without one
}

type entry struct {
	mode     fs.FileMode
	sum      string // SHA-256 of a regular file that was read
	original bool   // the file says that the original project generated it
}

// snapshot reads the generated folder, and refuses one that cannot be exchanged.
func (w writer) snapshot(tree Tree) (snapshot, error) {
	s := snapshot{entries: map[string]entry{}, manifest: manifest{}}
	top, err := w.root.Lstat(w.name)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	parent, err := w.root.Lstat(".")
	if err != nil {
		return s, err
	}
	if err := placeError(w.name, parent, top); err != nil {
		return s, err
	}
	s.exists, s.mode = true, top.Mode()
	if err := s.readManifest(w, w.name); err != nil {
		return s, err
	}
	return s, s.walk(w, top, tree)
}

func (s *snapshot) readManifest(w writer, folder string) (err error) {
	name := path.Join(folder, manifestName)
	st, err := w.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !st.Mode().IsRegular():
		return &PlaceError{name, "is not a file", "move it away"}
	}
	if s.stored, err = w.root.ReadFile(name); err != nil {
		return err
	}
	s.manifest, err = parseManifest(s.stored)
	return err
}

func (s *snapshot) walk(w writer, top fs.FileInfo, tree Tree) error {
	return w.walk(w.name, func(name string, st fs.FileInfo) error {
		// only folders: on an overlay the files of lower layers have devices of their own
		if st.IsDir() && device(st) != device(top) {
			return mountError(path.Join(w.name, name))
		}
		e := entry{mode: st.Mode()}
		_, wanted := tree.Files[name]
		_, ours := s.manifest[name]
		if (wanted || ours) && st.Mode().IsRegular() {
			content, err := w.root.ReadFile(path.Join(w.name, name))
			if err != nil {
				return err
			}
			e.sum, e.original = sum(content), isOriginal(content)
		}
		if name != manifestName {
			s.entries[name] = e
		}
		return nil
	})
}

// isOriginal reports whether the first line of a Nix file says what the original project wrote there.
func isOriginal(content []byte) bool {
	first, _, _ := bytes.Cut(bytes.TrimSpace(content), []byte("\n"))
	text := strings.ToLower(string(first))
	return strings.HasPrefix(text, "#") && (strings.Contains(text, "auto generated") || strings.Contains(text, "auto-generated"))
}

// placeError says why the entry called name of a folder cannot be exchanged with another one.
func placeError(name string, parent, st fs.FileInfo) error {
	switch {
	case st.Mode()&fs.ModeSymlink != 0:
		return &PlaceError{
			name, "is a symbolic link",
			"the tree is exchanged as a whole, which would replace the link; make it a folder of the workspace",
		}
	case !st.IsDir():
		return &PlaceError{name, "is not a folder", "move it away"}
	case device(st) != device(parent):
		return mountError(name)
	}
	return nil
}

func mountError(name string) error {
	return &PlaceError{
		name, "is a mount point, a subvolume, or on a lower layer of an overlay",
		"the tree is exchanged as a whole, which cannot cross file systems; make it an ordinary folder (copy it, remove it, rename the copy)",
	}
}

// device is the file system a file is on (st_dev of stat(2)).
func device(st fs.FileInfo) uint64 {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return uint64(sys.Dev) // the type differs between platforms
	}
	return 0
}

// walk visits everything below folder, folders before what they hold, with names relative to it. Links are not followed.
func (w writer) walk(folder string, visit func(name string, st fs.FileInfo) error) error {
	return fs.WalkDir(w.root.FS(), folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read what is in the folder: %w", err)
		}
		if name == folder {
			return nil
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		return visit(strings.TrimPrefix(name, folder+"/"), st)
	})
}
