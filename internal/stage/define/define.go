// Package define turns definitions into facts: it evaluates every host with its pinned NixOS and returns a hive.Hive.
//
// A host that does not evaluate reports its own error and never hides the others. The package neither judges facts
// (hive.Check does) nor writes anything into the workspace.
package define

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/nix"
	"nixos-staged-hive/internal/progress"
)

// Source is one definition and what it is evaluated with.
type Source struct {
	Name         string
	Definition   string   // relative to the workspace
	Nixpkgs      string   // store path of the pinned NixOS
	Disko        string   // store path of the pinned disko; empty without one
	DiskoVersion string   // version the pin carries
	Without      []string // parts of our modules the user opted out of
}

// Input is everything an evaluation depends on.
type Input struct {
	Workspace string // absolute
	Generated string // absolute; hardware-configuration.nix of a host is read from there
	Sources   []Source
	Tree      fs.FS  // the Nix side of the program
	CacheDir  string // absolute; the Nix side is laid out and facts are remembered below it
	Budget    Budget
	// Deep evaluates NixOS' own assertions and warnings too. They look at every service: three to four times the work.
	Deep  bool
	Fresh bool   // take nothing from remembered facts
	Tool  string // identity of the program: facts of another build are not trusted
}

// Budget bounds what evaluation may take of the machine.
type Budget struct {
	Jobs   int   // evaluators at once; 0 is one for each processor
	Memory int64 // bytes for all of them together; 0 is half of the machine's
}

// Failure is a host that does not evaluate.
type Failure struct {
	Host    string `json:"host"`
	File    string `json:"file"` // the place to look at, in the workspace if the message names one; relative to it then
	Line    int    `json:"line"` // 0 when unknown
	Column  int    `json:"column"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
	Trace   string `json:"-"` // all that Nix printed
}

// Error names host and place.
func (f Failure) Error() string {
	where := f.File
	if f.Line > 0 {
		where = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
	}
	return fmt.Sprintf("%s: %s: %s", f.Host, where, f.Message)
}

// Remark says something about how a host was evaluated that its owner should know.
type Remark struct {
	Host string `json:"host"`
	Text string `json:"text"`
}

// Result is what became of the definitions.
type Result struct {
	Hive     hive.Hive
	Failures []Failure         // sorted by host
	Remarks  []Remark          // sorted by host
	Cached   map[string]bool   // hosts whose facts were remembered
	Uncached map[string]string // hosts that cannot be remembered, and why
	// States sum up, by host, everything that its evaluation depends on: while a state is the same, so is the host. Hosts that cannot
	// be remembered have none.
	States map[string]string
}

// Evaluator evaluates definitions with Nix.
type Evaluator struct {
	Nix      nix.Client
	Progress progress.Sink
}

// Load evaluates all sources. The error is for what concerns no single host: Nix is missing, the run was interrupted, the
// folder for the Nix side cannot be written. Hosts that fail are in the result.
func (e Evaluator) Load(ctx context.Context, in Input) (Result, error) {
	folder, err := layOut(in.Tree, in.CacheDir)
	if err != nil {
		return Result{}, err
	}
	known := recall(in)
	run := newEvaluation(e, in, folder)
	run.told.total = len(in.Sources)
	for _, h := range known.hosts {
		run.told.host(h)
	}
	for _, r := range known.remarks {
		run.told.remark(r.Host, r.Text)
	}
	if err := run.all(ctx, known.missing(in.Sources)); err != nil {
		return Result{}, err
	}
	result := run.result()
	result.Cached = known.names()
	result.Uncached = remember(in, run, known)
	result.States = known.states
	return result, nil
}

func (b Budget) withDefaults() Budget {
	b.Jobs = cmp.Or(b.Jobs, runtime.GOMAXPROCS(0))
	if b.Memory <= 0 {
		b.Memory = defaultMemory()
	}
	return b
}

// sortByName orders the result: evaluation finishes in any order.
func (r *Result) sortByName() {
	slices.SortFunc(r.Hive.Hosts, func(a, b hive.Host) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(r.Failures, func(a, b Failure) int { return cmp.Compare(a.Host, b.Host) })
	slices.SortStableFunc(r.Remarks, func(a, b Remark) int { return cmp.Compare(a.Host, b.Host) })
}

// ErrInterrupted is returned when the caller's context ended the evaluation.
var ErrInterrupted = errors.New("evaluation was interrupted; nothing was changed")
