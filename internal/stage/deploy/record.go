package deploy

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Records is the folder of runs in a workspace: each has a folder of its own with run.json, colmena.log and a log for every host.
type Records struct {
	Dir string
	Now func() time.Time // nil is time.Now
}

const (
	recordName = "run.json"
	engineLog  = "colmena.log"
	kept       = 30 // runs, the oldest go first
)

// ErrNoRun is a workspace in which nothing was ever deployed.
var ErrNoRun = errors.New("no deployment is recorded here")

func (r Records) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}

// newID is unlike all others, sorts by time, and fits the guard: letters, digits and hyphens.
func (r Records) newID() string {
	return r.now().UTC().Format("20060102-150405") + "-" + strings.ToLower(rand.Text()[:5])
}

// Last gives the record of the newest run that was more than a plan.
func (r Records) Last() (Report, error) {
	ids, err := r.ids()
	if err != nil {
		return Report{}, err
	}
	for _, id := range slices.Backward(ids) {
		report, err := r.read(id)
		if errors.Is(err, fs.ErrNotExist) { // killed before there was anything to record
			continue
		}
		if err != nil {
			return Report{}, err
		}
		if slices.ContainsFunc(report.Hosts, func(h Result) bool { return h.Outcome != Planned }) {
			return report, nil
		}
	}
	return Report{}, ErrNoRun
}

// All gives the records of all runs that are kept, the newest first. Records that cannot be read are left out.
func (r Records) All() ([]Report, error) {
	ids, err := r.ids()
	if err != nil {
		return nil, err
	}
	var all []Report
	for _, id := range slices.Backward(ids) {
		if report, err := r.read(id); err == nil {
			all = append(all, report)
		}
	}
	return all, nil
}

func (r Records) read(id string) (Report, error) {
	var report Report
	text, err := os.ReadFile(filepath.Join(r.Dir, id, recordName))
	if err == nil {
		err = json.Unmarshal(text, &report)
	}
	if err == nil && report.Schema != RecordSchema {
		err = fmt.Errorf("schema %d, this program writes %d", report.Schema, RecordSchema)
	}
	if err != nil {
		return Report{}, fmt.Errorf("read the record of run %s: %w", id, err)
	}
	return report, nil
}

// ids are the names of all runs, the oldest first.
func (r Records) ids() ([]string, error) {
	entries, err := os.ReadDir(r.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for earlier runs: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() {
			ids = append(ids, e.Name())
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// open makes the folder of a new run, and lets go of the oldest ones.
func (r Records) open() (*journal, error) {
	id := r.newID()
	dir := filepath.Join(r.Dir, id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the run: %w", err)
	}
	ids, err := r.ids()
	if err != nil {
		return nil, err
	}
	for len(ids) > kept {
		if err := os.RemoveAll(filepath.Join(r.Dir, ids[0])); err != nil {
			return nil, fmt.Errorf("remove the oldest run: %w", err)
		}
		ids = ids[1:]
	}
	return &journal{id: id, dir: dir, logs: map[string]*os.File{}}, nil
}

// journal writes the folder of one run.
type journal struct {
	id, dir string

	mu   sync.Mutex
	logs map[string]*os.File
}

// save replaces run.json. Whoever reads it, and after a crash too, finds the old record or the new one.
func (j *journal) save(r Report) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("record the run: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := replace(filepath.Join(j.dir, recordName), append(text, '\n')); err != nil {
		return fmt.Errorf("record the run: %w", err)
	}
	return nil
}

func replace(name string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// logFile is where a host's log is.
func (j *journal) logFile(name string) string { return filepath.Join(j.dir, name+".log") }

// log writes a line into a host's log. What cannot be logged stops no deployment.
func (j *journal) log(name, line string) {
	if w := j.writer(j.logFile(name)); w != nil {
		_, _ = fmt.Fprintf(w, "%s %s\n", time.Now().UTC().Format(time.RFC3339), line)
	}
}

// engine is where Colmena's words go.
func (j *journal) engine() io.Writer {
	if w := j.writer(filepath.Join(j.dir, engineLog)); w != nil {
		return w
	}
	return io.Discard
}

func (j *journal) writer(name string) io.Writer {
	j.mu.Lock()
	defer j.mu.Unlock()
	if f, ok := j.logs[name]; ok {
		return f
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil
	}
	j.logs[name] = f
	return f
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var problems []error
	for _, f := range j.logs {
		problems = append(problems, f.Close())
	}
	return errors.Join(problems...)
}

// tail are the last lines of a file, without the times in front of them.
func tail(name string, lines int) []string {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	all = all[max(0, len(all)-lines):]
	for i, line := range all {
		if _, after, ok := strings.Cut(line, "Z "); ok {
			all[i] = after
		}
	}
	return all
}
