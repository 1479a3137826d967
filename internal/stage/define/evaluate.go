package define

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/nix"
	"nixos-staged-hive/internal/progress"
)

// evaluation is one Load: its input, and what has been told so far.
type evaluation struct {
	Evaluator
	in     Input
	folder string // the Nix side
	budget Budget
	mark   string
	told   told

	mu      sync.Mutex
	without map[string][]string // parts left out, by host; grows while hosts are retried
	log     []evaluator         // one for each attempt, for what is remembered
	builds  map[string]bool     // hosts that were evaluated with the store open for writing
}

// evaluator is what one run of Nix was about.
type evaluator struct {
	hosts []string
	files map[string]bool // Nix files it evaluated, pinned ones left out
	tells bool            // Nix tells which files it evaluates
}

func newEvaluation(e Evaluator, in Input, folder string) *evaluation {
	ev := &evaluation{
		Evaluator: e, in: in, folder: folder, budget: in.Budget.withDefaults(),
		mark: "staged-hive-" + rand.Text(), without: map[string][]string{}, builds: map[string]bool{},
	}
	for _, s := range in.Sources {
		ev.without[s.Name] = slices.Clone(s.Without)
	}
	ev.told.sink = e.Progress
	return ev
}

// batch is hosts that one evaluator works through in this order. They share a pinned source.
type batch struct {
	sources   []Source
	readWrite bool
}

func (b batch) names() []string {
	names := make([]string, len(b.sources))
	for i, s := range b.sources {
		names[i] = s.Name
	}
	return names
}

// all evaluates the sources with as many evaluators as the budget allows.
func (ev *evaluation) all(ctx context.Context, sources []Source) error {
	if len(sources) == 0 {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(ev.jobs())
	for _, b := range ev.split(sources) {
		group.Go(func() error { return ev.work(ctx, b) })
	}
	err := group.Wait()
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: %w", ErrInterrupted, err)
	case err != nil:
		return fmt.Errorf("evaluate: %w", err)
	}
	return nil
}

// work evaluates a batch; hosts that end the evaluator are looked at alone, and it goes on behind them.
func (ev *evaluation) work(ctx context.Context, b batch) error {
	for len(b.sources) > 0 {
		done, thrown, err := ev.attempt(ctx, b, true)
		if fatal := ev.fatal(ctx, err); fatal != nil {
			return fatal
		}
		alone := thrown
		if err != nil && done < len(b.sources) {
			// the one after the last that was told ended the evaluator
			alone = append(alone, b.sources[done])
			done++
		}
		for _, s := range alone {
			if err := ev.examine(ctx, s); err != nil {
				return err
			}
		}
		b.sources = b.sources[done:]
	}
	return nil
}

// fatal returns the errors that no host is to blame for.
func (ev *evaluation) fatal(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var failed *nix.EvalError
	if err == nil || errors.As(err, &failed) {
		return nil
	}
	return err
}

// examine evaluates one host by itself until it is told, or until nothing more can be done for it: parts of our modules
// that its definition declares itself are left out, and what it imports from derivations is built.
func (ev *evaluation) examine(ctx context.Context, s Source) error {
	b := batch{sources: []Source{s}}
	for {
		_, _, err := ev.attempt(ctx, b, false)
		if err == nil {
			return nil
		}
		if fatal := ev.fatal(ctx, err); fatal != nil {
			return fatal
		}
		var failed *nix.EvalError
		errors.As(err, &failed)
		switch part := clashingPart(failed.Message); {
		case part != "" && !slices.Contains(ev.leftOut(s.Name), part):
			ev.leaveOut(s.Name, part)
			ev.told.remark(s.Name, fmt.Sprintf("declares %s itself and is evaluated without ours; list it in \"without\" of versions.json to save the second try", part))
		case failed.NeedsBuild() && !b.readWrite:
			b.readWrite = true
			ev.build(s.Name)
			ev.told.remark(s.Name, "imports from a derivation: Nix builds it while evaluating, and copies paths it names into the store")
		default:
			ev.told.failure(ev.explain(s, failed))
			return nil
		}
	}
}

// attempt runs one evaluator. done counts the sources it told in order, thrown are those among them that threw.
func (ev *evaluation) attempt(ctx context.Context, b batch, catch bool) (done int, thrown []Source, err error) {
	request, remove, err := ev.request(b, catch)
	if err != nil {
		return 0, nil, err
	}
	defer remove()
	first := b.sources[0]
	log := evaluator{hosts: b.names(), files: map[string]bool{}}
	defer func() { ev.logged(log) }()
	reader := &reader{mark: "trace: " + ev.mark + " "}
	reader.host = func(raw []byte, warnings []string) {
		host, err := decode(raw, warnings)
		switch {
		case err != nil:
			ev.told.failure(Failure{Host: b.sources[done].Name, File: b.sources[done].Definition, Message: err.Error()})
		case host == nil:
			thrown = append(thrown, b.sources[done])
		default:
			ev.told.host(*host)
		}
		done++
	}
	heap, limit := ev.heap()
	_, err = ev.Nix.Evaluate(ctx, nix.Evaluation{
		File:       filepath.Join(ev.folder, "eval.nix"),
		Args:       map[string]string{"request": request},
		SearchPath: map[string]string{"nixpkgs": first.Nixpkgs},
		ReadWrite:  b.readWrite,
		ShowTrace:  !catch,
		HeapBytes:  heap,
		HeapLimit:  limit,
		Line:       reader.line,
		Evaluated: func(file string) {
			log.tells = log.tells || below(ev.folder, file)
			if !ev.ours(file, first) {
				log.files[file] = true
			}
		},
	})
	return done, thrown, err
}

// request writes what eval.nix is asked into a file: a list of hosts may be longer than an argument can be.
func (ev *evaluation) request(b batch, catch bool) (path string, remove func(), err error) {
	type host struct {
		Definition string   `json:"definition"`
		Without    []string `json:"without"`
	}
	first := b.sources[0]
	hosts := map[string]host{}
	for _, s := range ev.in.Sources {
		hosts[s.Name] = host{Definition: s.Definition, Without: ev.leftOut(s.Name)}
	}
	var disko any
	if first.Disko != "" {
		disko = first.Disko
	}
	doc, err := json.Marshal(map[string]any{
		"workspace": ev.in.Workspace, "generated": ev.in.Generated, "nixpkgs": first.Nixpkgs, "disko": disko,
		"diskoVersion": first.DiskoVersion, "mark": ev.mark, "catch": catch, "deep": ev.in.Deep, "select": b.names(), "hosts": hosts,
	})
	if err != nil {
		return "", nil, fmt.Errorf("ask for facts: %w", err)
	}
	f, err := os.CreateTemp(ev.in.CacheDir, "request-*.json")
	if err != nil {
		return "", nil, fmt.Errorf("ask for facts: %w", err)
	}
	_, err = f.Write(doc)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", nil, fmt.Errorf("ask for facts: %w", errors.Join(err, os.Remove(f.Name())))
	}
	// one that cannot be removed now is removed by a later run, see tidy
	return f.Name(), func() { _ = os.Remove(f.Name()) }, nil
}

func (ev *evaluation) leftOut(name string) []string {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	if parts := ev.without[name]; parts != nil {
		return slices.Clone(parts)
	}
	return []string{}
}

func (ev *evaluation) leaveOut(name, part string) {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	ev.without[name] = append(ev.without[name], part)
	slices.Sort(ev.without[name])
}

func (ev *evaluation) build(name string) {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	ev.builds[name] = true
}

func (ev *evaluation) logged(l evaluator) {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	ev.log = append(ev.log, l)
}

// evaluated are the files of all evaluators that a host was in.
func (ev *evaluation) evaluated(host string) []string {
	files := map[string]bool{}
	for _, l := range ev.log {
		if slices.Contains(l.hosts, host) {
			maps.Copy(files, l.files)
		}
	}
	return slices.Sorted(maps.Keys(files))
}

// untracked says why what a host was evaluated from is not known; empty if it is.
func (ev *evaluation) untracked(host string) string {
	if ev.builds[host] {
		return "imports from a derivation"
	}
	for _, l := range ev.log {
		if slices.Contains(l.hosts, host) && !l.tells {
			return "this Nix does not tell which files it evaluates"
		}
	}
	return ""
}

// result is what was told, in order.
func (ev *evaluation) result() Result {
	ev.told.mu.Lock()
	defer ev.told.mu.Unlock()
	r := Result{
		Hive:     hive.Hive{Hosts: slices.Collect(maps.Values(ev.told.hosts))},
		Failures: ev.told.failures,
		Remarks:  ev.told.remarks,
	}
	r.sortByName()
	return r
}

// decode reads the line of one host. A nil host without an error is one that threw.
func decode(raw []byte, warnings []string) (*hive.Host, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("a value of this host is not valid UTF-8; NixOS could not be told apart from garbage")
	}
	var line struct {
		Name   string     `json:"name"`
		Thrown bool       `json:"thrown"`
		Facts  *hive.Host `json:"facts"`
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&line); err != nil {
		return nil, fmt.Errorf("facts do not have the shape this program knows: %w", err)
	}
	if line.Facts == nil {
		return nil, nil
	}
	for _, w := range warnings {
		if !slices.Contains(line.Facts.Warnings, w) {
			line.Facts.Warnings = append(line.Facts.Warnings, w)
		}
	}
	return line.Facts, nil
}

// reader sorts the lines of an evaluator: facts, and the warnings above them.
type reader struct {
	mark     string
	host     func(raw []byte, warnings []string)
	warnings []string
}

func (r *reader) line(l string) {
	if raw, ok := strings.CutPrefix(l, r.mark); ok {
		r.host([]byte(raw), r.warnings)
		r.warnings = nil
		return
	}
	for _, prefix := range []string{"trace: warning: ", "evaluation warning: ", "trace: evaluation warning: "} {
		if w, ok := strings.CutPrefix(l, prefix); ok {
			r.warnings = append(r.warnings, w)
		}
	}
}

// told collects what evaluators tell, from all of them.
type told struct {
	mu       sync.Mutex
	sink     progress.Sink
	total    int
	hosts    map[string]hive.Host
	failures []Failure
	remarks  []Remark
}

const task = "evaluate"

func (t *told) host(h hive.Host) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hosts == nil {
		t.hosts = map[string]hive.Host{}
	}
	t.hosts[h.Name] = h
	t.send(h.Name, nil)
}

func (t *told) failure(f Failure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, f)
	t.send(f.Host, f)
}

func (t *told) remark(host, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remarks = append(t.remarks, Remark{Host: host, Text: text})
}

func (t *told) send(host string, err error) {
	n := len(t.hosts) + len(t.failures)
	state := progress.Running
	if err != nil {
		t.sink.Send(progress.Event{Task: task, Host: host, State: progress.Failed, Err: err})
	}
	if n == t.total {
		state = progress.Done
	}
	t.sink.Send(progress.Event{Task: task, State: state, Done: int64(n), Total: int64(t.total), Text: host})
}
