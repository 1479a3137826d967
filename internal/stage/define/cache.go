package define

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"nixos-staged-hive/internal/hive"
)

// Remembered facts. A host is not evaluated again while nothing that its evaluation could have read is changed. What that
// is, and why it is all:
//
// Evaluation is a function of the text of the files it evaluates, and of what a few builtins read. Files of the
// immutable store, the pinned sources and our own Nix side are named by their content, and are in the key of an entry as
// such. So are the workspace (the content of every file, see workspaceState), the list of hosts with what each is
// evaluated with, the Nix program, its configuration and environment, and the files nixpkgs reads of its own accord (see
// common). What is left is what the definitions reach outside of the workspace:
//
//   - Files that are evaluated. Nix tells each one (verbosity 1). One evaluator tells a file once for all its hosts,
//     so it counts for all of them. A Nix that does not tell makes hosts untracked.
//   - Files that are read, listed, looked for or copied. A path comes from a path literal, a text, or the environment, in
//     a file of the user: pinned code has no paths of its own. All these files are parsed (lex.go, parse.go) and looked
//     through (scan.go). A path literal, and each constant that a reading builtin is given, is an input with all that is
//     below it: wherever it is passed, what is read through it is there. A text that is an absolute path is an input as
//     far as there is a file, or as its absence.
//   - What cannot be said from the text makes the host untracked, with the reason: a reading builtin with a path that is
//     computed from anything but a literal, one that is passed on as a value, builtins chosen by a computed name,
//     currentTime, fetchers without a hash, a folder too large to watch, a file the parser does not understand.
//
// What is not seen: a text that is composed of pieces none of which shows where it leads (JSON that is read from the
// workspace and names a file elsewhere), and then given to one of nixpkgs' options that is read while evaluating and is
// not in readOptions. Nobody was found to do so in practice; --fresh is the way out.
//
// A file that changes while its host is evaluated is compared with how it was before; the host is not remembered then.
// Failures are never remembered. Entries are one file for each host of a workspace, complete or absent, and checked by
// their sum; runs side by side may overwrite each other's, each with facts that are right.

// remembered is what is known of the hosts without evaluating them, and how things were before evaluating the others.
type remembered struct {
	hosts   []hive.Host
	remarks []Remark
	states  map[string]string // by host, see entry.state
	common  string
	before  *tracker
	start   time.Time
	err     error // why nothing can be remembered
}

// entry is the facts of one host with what they depend on.
type entry struct {
	Key     string            `json:"key"`
	Inputs  []input           `json:"inputs"`
	Env     map[string]string `json:"env"` // variable: sum of its value
	Remarks []string          `json:"remarks"`

	host hive.Host
}

// state sums up everything the host was evaluated with.
func (e entry) state() (string, error) {
	head, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("sum up the inputs of %s: %w", e.host.Name, err)
	}
	return sumText(head), nil
}

// input is a path and the state it had.
type input struct {
	Path string `json:"path"`
	Deep bool   `json:"deep"`
	Sum  string `json:"sum"`
}

// Bounds of the folder of entries.
const (
	mostEntries = 1000
	mostBytes   = 128 << 20
)

func entryFile(in Input, host string) string {
	sum := sha256.Sum256([]byte(in.Workspace + "\x00" + host))
	return filepath.Join(in.CacheDir, "facts", hex.EncodeToString(sum[:16]))
}

// recall finds the hosts whose facts still hold. It looks at the others, so that a change while they are evaluated is seen.
func recall(in Input) remembered {
	t := newTracker(in)
	r := remembered{before: t, start: time.Now(), states: map[string]string{}}
	if r.common, r.err = t.common(); r.err != nil {
		return r
	}
	if !in.Fresh {
		for _, e := range r.entries() {
			if e != nil && t.holds(e) && (e.host.Checked || !in.Deep) {
				r.hosts = append(r.hosts, e.host)
				r.note(*e)
				for _, text := range e.Remarks {
					r.remarks = append(r.remarks, Remark{Host: e.host.Name, Text: text})
				}
			}
		}
	}
	for _, s := range r.missing(in.Sources) {
		r.look(t, t.follow(s, nil))
	}
	return r
}

// note keeps the state of a remembered host. A state that cannot be had only makes later stages work anew.
func (r *remembered) note(e entry) {
	if state, err := e.state(); err == nil {
		r.states[e.host.Name] = state
	}
}

// look notes the states of what a host depends on.
func (r *remembered) look(t *tracker, tr *trail) {
	for path, deep := range tr.inputs {
		_, _ = t.watch.state(path, deep) // what cannot be watched is judged when the host is remembered
	}
}

// entries reads the entries of all sources that have the right key, nil for the others.
func (r *remembered) entries() []*entry {
	in := r.before.in
	found := make([]*entry, len(in.Sources))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, s := range in.Sources {
		group.Go(func() error {
			found[i] = readEntry(entryFile(in, s.Name), key(r.common, s))
			return nil
		})
	}
	_ = group.Wait()
	return found
}

// readEntry reads an entry; nil if it is not there, was made for something else, or is not whole.
func readEntry(file, key string) *entry {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	sum, rest, ok := bytes.Cut(b, []byte("\n"))
	if !ok || string(sum) != sumText(rest) {
		return nil
	}
	head, host, ok := bytes.Cut(rest, []byte("\n"))
	e := &entry{}
	if !ok || json.Unmarshal(head, e) != nil || e.Key != key || json.Unmarshal(host, &e.host) != nil {
		return nil
	}
	return e
}

func sumText(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// holds compares the inputs of an entry with how they are now.
func (t *tracker) holds(e *entry) bool {
	for name, sum := range e.Env {
		if sumText([]byte(os.Getenv(name))) != sum {
			return false
		}
	}
	return !slices.ContainsFunc(e.Inputs, func(i input) bool {
		sum, err := t.watch.state(i.Path, i.Deep)
		return err != nil || sum != i.Sum
	})
}

func (r remembered) names() map[string]bool {
	names := make(map[string]bool, len(r.hosts))
	for _, h := range r.hosts {
		names[h.Name] = true
	}
	return names
}

func (r remembered) missing(sources []Source) []Source {
	names := r.names()
	return slices.DeleteFunc(slices.Clone(sources), func(s Source) bool { return names[s.Name] })
}

// remember writes the facts of the hosts that were evaluated, and tells which ones cannot be remembered and why. A cache
// that cannot be written is no reason to fail: the next run evaluates again.
func remember(in Input, ev *evaluation, known remembered) map[string]string {
	uncached := map[string]string{}
	var fresh []Source
	for _, s := range known.missing(in.Sources) {
		if _, told := ev.told.hosts[s.Name]; told {
			fresh = append(fresh, s)
		}
	}
	if len(fresh) == 0 {
		return uncached
	}
	after := newTracker(in)
	common, err := after.common()
	err = cmp.Or(known.err, err)
	trails := after.trails(fresh, ev.evaluated)
	written := false
	for _, s := range fresh {
		reason := ""
		switch {
		case err != nil:
			reason = err.Error()
		case common != known.common:
			reason = "the workspace or Nix changed while it was evaluated"
		default:
			reason = after.remember(s, ev, trails[s.Name], known)
		}
		if reason != "" {
			uncached[s.Name] = reason
		}
		written = written || reason == ""
	}
	if written {
		prune(filepath.Join(in.CacheDir, "facts"))
	}
	return uncached
}

// remember writes the entry of one host, or says why not.
func (t *tracker) remember(s Source, ev *evaluation, tr *trail, known remembered) string {
	if reason := ev.untracked(s.Name); reason != "" {
		return reason
	}
	if tr.doubt != "" {
		return tr.doubt
	}
	e := entry{Key: key(known.common, s), Env: map[string]string{}}
	for name := range tr.env {
		e.Env[name] = sumText([]byte(os.Getenv(name)))
	}
	for path, deep := range tr.inputs {
		sum, err := t.watch.state(path, deep)
		if err != nil {
			return fmt.Sprintf("reads %s, which %v", path, err)
		}
		if known.changed(path, deep, sum) {
			return path + " changed while it was evaluated"
		}
		e.Inputs = append(e.Inputs, input{path, deep, sum})
	}
	slices.SortFunc(e.Inputs, func(a, b input) int { return cmp.Compare(a.Path, b.Path) })
	for _, r := range ev.told.remarks {
		if r.Host == s.Name {
			e.Remarks = append(e.Remarks, r.Text)
		}
	}
	e.host = ev.told.hosts[s.Name]
	if err := writeEntry(entryFile(t.in, s.Name), e); err != nil {
		return err.Error()
	}
	known.note(e)
	return ""
}

// changed compares with before the evaluation; what nobody knew of then must be older than it.
func (r remembered) changed(path string, deep bool, sum string) bool {
	suffix := ""
	if deep {
		suffix = "/"
	}
	if before, ok := r.before.watch.known[path+suffix]; ok {
		return before.err != nil || before.sum != sum
	}
	info, err := os.Stat(path)
	return err == nil && changedAt(info).After(r.start)
}

func writeEntry(file string, e entry) error {
	head, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("remember facts: %w", err)
	}
	host, err := json.Marshal(e.host)
	if err != nil {
		return fmt.Errorf("remember facts: %w", err)
	}
	body := slices.Concat(head, []byte("\n"), host)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("remember facts: %w", err)
	}
	temp, err := os.CreateTemp(filepath.Dir(file), "new-")
	if err != nil {
		return fmt.Errorf("remember facts: %w", err)
	}
	_, err = temp.Write(slices.Concat([]byte(sumText(body)), []byte("\n"), body))
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
		return fmt.Errorf("remember facts: %w", err)
	}
	return nil
}

// prune removes the entries that were written longest ago, beyond the bounds, and what an interrupted run left.
func prune(dir string) {
	var files []fs.FileInfo
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			files = append(files, info)
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	var bytes int64
	for i, f := range files {
		bytes += f.Size()
		left := len(f.Name()) > 4 && f.Name()[:4] == "new-" && time.Since(f.ModTime()) > time.Hour
		if i >= mostEntries || bytes > mostBytes || left {
			_ = os.Remove(filepath.Join(dir, f.Name())) // another run may have been faster
		}
	}
}
