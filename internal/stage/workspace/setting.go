package workspace

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Edit is a change to a definition that can be taken back.
type Edit struct {
	File   string // relative to the workspace
	path   string
	before []byte
	mode   os.FileMode
}

// AddSetting writes a line such as `networking.hostId = "5f1c09aa";` in front of the last brace of a definition, where the
// attribute set of nearly every definition ends. Whether it took effect only evaluation can tell: who calls it looks, and
// takes the edit back if it did not.
func (w *Workspace) AddSetting(d Definition, line string) (Edit, error) {
	e := Edit{File: d.Path, path: w.File(d.Path)}
	if s, err := os.Stat(e.path); err == nil && s.IsDir() {
		e.File = filepath.Join(d.Path, "default.nix")
		e.path = w.File(e.File)
	}
	s, err := os.Stat(e.path)
	if err != nil {
		return Edit{}, fmt.Errorf("add a line to %s: %w", e.File, err)
	}
	e.mode = s.Mode().Perm()
	if e.before, err = os.ReadFile(e.path); err != nil {
		return Edit{}, fmt.Errorf("add a line to %s: %w", e.File, err)
	}
	end := bytes.LastIndexByte(e.before, '}')
	if end < 0 {
		return Edit{}, fmt.Errorf("add a line to %s: no attribute set ends in it; add it yourself: %s", e.File, line)
	}
	var after bytes.Buffer
	after.Write(bytes.TrimRight(e.before[:end], " \t"))
	if n := after.Len(); n > 0 && after.Bytes()[n-1] != '\n' {
		after.WriteByte('\n')
	}
	fmt.Fprintf(&after, "  %s\n", line)
	after.Write(e.before[end:])
	if err := replaceFile(e.path, after.Bytes(), e.mode); err != nil {
		return Edit{}, fmt.Errorf("add a line to %s: %w", e.File, err)
	}
	return e, nil
}

// Undo brings back the definition as it was.
func (e Edit) Undo() error {
	if err := replaceFile(e.path, e.before, e.mode); err != nil {
		return fmt.Errorf("bring back %s: %w", e.File, err)
	}
	return nil
}

// replaceFile writes beside path and renames, through links, so that a definition is never half written.
func replaceFile(path string, content []byte, mode os.FileMode) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".staged-hive-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
