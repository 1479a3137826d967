package workspace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"nixos-staged-hive/internal/pin"
)

// lockSchema numbers the form of versions.lock.json.
const lockSchema = 1

// lock is versions.lock.json. Keys of Pins are those of pin.Source.Key.
type lock struct {
	Schema int                   `json:"schema"`
	Pins   map[string]pin.Locked `json:"pins"`
}

// damaged is the way out of a lock that cannot be used.
const damaged = "take it back from your version control, or remove it: what is missing is looked up anew, which may give newer versions"

func readLock(dir string) (lock, error) {
	text, err := os.ReadFile(filepath.Join(dir, LockName))
	if errors.Is(err, fs.ErrNotExist) {
		return lock{Schema: lockSchema, Pins: map[string]pin.Locked{}}, nil
	}
	if err != nil {
		return lock{}, fmt.Errorf("read %s: %w", LockName, err)
	}
	return parseLock(text)
}

func parseLock(text []byte) (lock, error) {
	r, err := newReader(LockName, text)
	if bad, ok := errors.AsType[*Error](err); ok {
		bad.Way = damaged
		return lock{}, bad
	}
	var head struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(text, &head); err == nil && head.Schema != lockSchema {
		return lock{}, &Error{
			What: fmt.Sprintf("%s has schema %d, this program reads %d", LockName, head.Schema, lockSchema),
			Way:  "use the version of nixos-staged-hive that wrote it, or remove it",
		}
	}
	var l lock
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		what := LockName
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			what = r.place(min(wrong.Offset, int64(len(text))))
		}
		return lock{}, &Error{What: what, Way: damaged, Err: err}
	}
	if l.Pins == nil {
		l.Pins = map[string]pin.Locked{}
	}
	return l, l.check()
}

// check joins the problems of all entries.
func (l lock) check() error {
	var problems []error
	for _, key := range sortedKeys(l.Pins) {
		if err := l.Pins[key].Check(); err != nil {
			problems = append(problems, &Error{What: fmt.Sprintf("%s: pin %s", LockName, key), Way: damaged, Err: err})
		}
	}
	return errors.Join(problems...)
}

// text is the file: the same pins always give the same bytes.
func (l lock) text() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // URLs have & in them
	e.SetIndent("", "  ")
	if err := e.Encode(l); err != nil {
		return nil, fmt.Errorf("encode %s: %w", LockName, err)
	}
	return b.Bytes(), nil
}

// write replaces the file in one step. Only the holder of the guard calls it, so the sibling's name can be a fixed one.
func (l lock) write(dir string) error {
	text, err := l.text()
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(filepath.Join(dir, LockName)); err == nil && bytes.Equal(old, text) {
		return nil
	}
	sibling := lockSibling(dir)
	if err := writeSynced(sibling, text); err != nil {
		_ = os.Remove(sibling)
		return cannotWrite(dir, LockName, err)
	}
	if err := os.Rename(sibling, filepath.Join(dir, LockName)); err != nil {
		_ = os.Remove(sibling)
		return cannotWrite(dir, LockName, err)
	}
	return nil
}

func lockSibling(dir string) string { return filepath.Join(dir, "."+LockName+".new") }

// probe tells whether the lock could be written.
func probe(dir string) error {
	err := writeSynced(lockSibling(dir), []byte("{}\n"))
	if err := errors.Join(err, os.Remove(lockSibling(dir))); err != nil {
		return cannotWrite(dir, LockName, err)
	}
	return nil
}

func writeSynced(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// cannotWrite explains the usual reasons why a workspace takes no file.
func cannotWrite(dir, name string, err error) error {
	e := &Error{What: fmt.Sprintf("write %s in %s", name, dir), Err: err}
	switch {
	case readOnly(err):
		e.Way = "the workspace is read-only for this user: make it writable, or work on a copy; once everything is locked and fetched it is only read"
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		e.Way = "the disk is full: make room; nothing was changed"
	}
	return e
}

func readOnly(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}
