package setup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"nixos-staged-hive/internal/hive"
)

// journal is how far an installation came, kept in two places: on the medium, for as long as that runs, and on the root file system that is
// installed, once there is one. The latter outlives a power failure.
type journal struct {
	hive.Journal
	places []string
}

func newJournal(host hive.MediumHost, mode hive.Mode, place string) *journal {
	return &journal{places: []string{place}, Journal: hive.Journal{
		Schema: hive.ManifestSchema, Host: host.Name, PlanHash: host.PlanHash, Toplevel: host.Toplevel, Mode: mode, Began: time.Now().UTC().Truncate(time.Second),
	}}
}

// has reports whether a phase is done and verified.
func (j *journal) has(phase string) bool { return slices.Contains(j.Finished, phase) }

// finish notes that a phase is done and verified.
func (j *journal) finish(phase string) error {
	if !j.has(phase) {
		j.Finished = append(j.Finished, phase)
	}
	return j.write()
}

// forget takes a phase for not done.
func (j *journal) forget(phase string) {
	j.Finished = slices.DeleteFunc(j.Finished, func(f string) bool { return f == phase })
}

// keepAt adds a place, and writes to it.
func (j *journal) keepAt(place string) error {
	if !slices.Contains(j.places, place) {
		j.places = append(j.places, place)
	}
	return j.write()
}

// leave takes a place away again: the file system it is on is about to be unmounted, or was wiped.
func (j *journal) leave(place string) {
	j.places = slices.DeleteFunc(j.places, func(p string) bool { return p == place })
}

func (j *journal) write() error {
	text, err := json.MarshalIndent(j.Journal, "", "  ")
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	for _, place := range j.places {
		if err := writeDurably(place, append(text, '\n'), 0o600); err != nil {
			return fmt.Errorf("write the journal: %w", err)
		}
	}
	return nil
}

// readJournal gives nil for a journal that is not there. One that cannot be read says nothing and is as good as none: it was cut off by the
// very failure that it was to tell of.
func readJournal(place string) (*hive.Journal, error) {
	text, err := os.ReadFile(place)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var j hive.Journal
	d := json.NewDecoder(bytes.NewReader(text))
	if d.Decode(&j) != nil || j.Schema != hive.ManifestSchema {
		return nil, nil
	}
	return &j, nil
}

// of reports whether a journal is that of this very installation, so that its phases count.
func of(j *hive.Journal, host hive.MediumHost) bool {
	return j != nil && j.Host == host.Name && j.PlanHash == host.PlanHash && j.Toplevel == host.Toplevel
}

// writeDurably replaces a file so that after a power failure there is the old one or the new one, whole.
func writeDurably(name string, content []byte, mode os.FileMode) error {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncFolder(dir)
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
