package generate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// What a run that ends at any moment leaves in the workspace, and what the next one does about it:
//
//	.generated.new         an unfinished tree. It holds our text and second names of files that the generated folder has: removed.
//	.generated.old-INODE   with the folder's own inode in its name: a finished tree that never took its place: removed.
//	                       With another inode: the old tree. If there is no generated folder it is put back, else swept.
//
// Sweeping never trusts a plan. A file goes only if the generated folder has it too, or if the manifest beside it proves that we
// wrote it; anything else came while the trees were exchanged (an editor, a fetched hardware report) and is brought over. So the
// user's files outlive every end of this process. A file the user removed just after such an end may come back.

// recover cleans up after interrupted runs. The caller holds the lock, so no other run works here.
func (w writer) recover(report *Report) error {
	asides, err := w.leftovers()
	if err != nil {
		return err
	}
	for _, aside := range asides {
		_, err := w.root.Lstat(w.name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if err := w.rename(aside, w.name); err != nil {
				return err
			}
		case err != nil:
			return err
		default:
			w.clean(aside, report)
		}
	}
	return nil
}

// leftovers removes trees that never stood and gives the names of those that did.
func (w writer) leftovers() (asides []string, err error) {
	entries, err := fs.ReadDir(w.root.FS(), ".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		inode, ok := w.isAside(e.Name())
		if !e.IsDir() || !ok && e.Name() != w.fresh() {
			continue
		}
		own, err := w.inode(e.Name())
		if err != nil {
			return nil, err
		}
		if ok && inode != own {
			asides = append(asides, e.Name())
		} else if err := w.drop(e.Name()); err != nil {
			return nil, err
		}
	}
	return asides, nil
}

// drop removes a tree of which nothing is the only copy.
func (w writer) drop(folder string) error {
	if _, err := w.root.Lstat(folder); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	names, err := w.loosen(folder)
	if err != nil {
		return err
	}
	for _, name := range slices.Backward(names) {
		if err := w.remove(path.Join(folder, name)); err != nil {
			return err
		}
	}
	return w.remove(folder)
}

// loosen makes the folders of a tree that is to be removed writable, and lists all it holds. A folder that cannot be opened is made
// so before it is read, hence the own walk.
func (w writer) loosen(folder string) (names []string, err error) {
	var below func(name string) error
	below = func(name string) error {
		at := path.Join(folder, name)
		st, err := w.root.Lstat(at)
		if err != nil {
			return err
		}
		if name != "." {
			names = append(names, name)
		}
		if !st.IsDir() {
			return nil
		}
		if err := w.chmod(at, st.Mode()&^fs.ModeType|0o700); err != nil {
			return err
		}
		entries, err := fs.ReadDir(w.root.FS(), at)
		for _, e := range entries {
			err = errors.Join(err, below(path.Join(name, e.Name())))
		}
		return err
	}
	return names, below(".")
}

// sweep removes an old tree and brings over what only it has.
func (w writer) sweep(aside string) (recovered []string, err error) {
	names, err := w.loosen(aside)
	if err != nil {
		return nil, err
	}
	var old snapshot
	if err := old.readManifest(w, aside); err != nil {
		return nil, err
	}
	for _, name := range slices.Backward(names) {
		if name == manifestName {
			continue // last, because a run that is killed here needs it again
		}
		brought, err := w.sweepOne(aside, name, old.manifest)
		if err != nil {
			return recovered, err
		}
		if brought != "" {
			recovered = append(recovered, brought)
		}
	}
	if old.stored != nil {
		if err := w.remove(path.Join(aside, manifestName)); err != nil {
			return recovered, err
		}
	}
	return recovered, w.remove(aside)
}

func (w writer) sweepOne(aside, name string, ours manifest) (brought string, err error) {
	at := path.Join(aside, name)
	st, err := w.root.Lstat(at)
	if err != nil {
		return "", err
	}
	if st.IsDir() {
		return "", w.remove(at)
	}
	covered, err := w.covered(at, name, st, ours)
	if err != nil {
		return "", err
	}
	if covered {
		return "", w.remove(at)
	}
	return w.bringOver(at, name)
}

// covered reports whether a file may go: the generated folder has it, at its place or as the backup of an edited one, or we wrote it.
func (w writer) covered(at, name string, st fs.FileInfo, ours manifest) (bool, error) {
	if hash, ok := ours[name]; ok && st.Mode().IsRegular() {
		found, err := w.sumOf(at)
		if err != nil || found == hash {
			return err == nil, err
		}
	}
	for _, place := range w.places(name) {
		same, err := w.same(at, path.Join(w.name, place))
		if err != nil || same {
			return same, err
		}
	}
	return false, nil
}

// places are where the generated folder may have a file: under its name, or below any backup of it or of a folder above it.
func (w writer) places(name string) []string {
	all := []string{name}
	for above := name; above != "."; above = path.Dir(above) {
		freeName(above, func(candidate string) bool {
			_, err := w.root.Lstat(path.Join(w.name, candidate))
			if err == nil {
				all = append(all, candidate+strings.TrimPrefix(name, above))
			}
			return err == nil
		})
	}
	return all
}

// same reports whether two names mean one file, or equal ones.
func (w writer) same(a, b string) (bool, error) {
	first, err := w.root.Lstat(a)
	if err != nil {
		return false, err
	}
	second, err := w.root.Lstat(b)
	if err != nil || first.Mode().Type() != second.Mode().Type() {
		return false, nil // what cannot be looked at is not the same
	}
	switch {
	case os.SameFile(first, second):
		return true, nil
	case first.Mode().IsRegular() && first.Size() == second.Size():
		return equal(w.sumOf, a, b)
	case first.Mode()&fs.ModeSymlink != 0:
		return equal(w.root.Readlink, a, b)
	}
	return false, nil
}

func equal(read func(name string) (string, error), a, b string) (bool, error) {
	x, err := read(a)
	if err != nil {
		return false, err
	}
	y, err := read(b)
	return err == nil && x == y, err
}

// bringOver moves a file into the generated folder, beside the one that is there if need be.
func (w writer) bringOver(at, name string) (place string, err error) {
	exists := func(name string) bool {
		_, err := w.root.Lstat(path.Join(w.name, name))
		return err == nil
	}
	place = name
	if exists(place) {
		place = freeName(name, exists)
	}
	if err := w.root.MkdirAll(path.Join(w.name, path.Dir(place)), 0o755); err != nil {
		return "", fmt.Errorf("bring over %s: %w", name, err)
	}
	if err := w.rename(at, path.Join(w.name, place)); err != nil {
		return "", fmt.Errorf("bring over %s: %w", name, err)
	}
	return place, nil
}
