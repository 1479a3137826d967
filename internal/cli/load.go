package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/nix"
	"nixos-staged-hive/internal/pin"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/stage/define"
	"nixos-staged-hive/internal/stage/workspace"
	nixfiles "nixos-staged-hive/nix"
)

// loaded is a workspace with the facts of its hosts and all that is wrong with them.
type loaded struct {
	workspace *workspace.Workspace
	pins      workspace.Pins
	define.Result
	problems []hive.Problem
}

// load opens the workspace, resolves its pins, evaluates and checks. Progress goes to sink.
func (h *house) load(ctx context.Context, deep bool, sink progress.Sink) (*loaded, error) {
	w, err := workspace.Open(h.path)
	if err != nil {
		return nil, err
	}
	in, pins, err := h.input(ctx, w, sink)
	if err != nil {
		return nil, err
	}
	in.Deep = deep
	e := define.Evaluator{Nix: nix.Client{Run: h.run}, Progress: sink}
	result, err := e.Load(ctx, in)
	if err != nil {
		return nil, err
	}
	l := &loaded{workspace: w, pins: pins, Result: result}
	l.blamePins()
	var versions hive.CheckInput
	if deep {
		versions = h.versions(ctx, pins)
	}
	l.problems = l.judge(versions)
	return l, nil
}

// blamePins points hosts that do not evaluate at pins that cannot: what Nix says about it names neither NixOS nor disko.
func (l *loaded) blamePins() {
	disko := pin.Release(l.pins.Disko.StorePath)
	for i, f := range l.Failures {
		nixos := pin.Release(l.pins.NixOSFor(f.Host).StorePath)
		switch {
		case !hive.NixOSSupported(nixos):
			l.Failures[i].Hint = fmt.Sprintf("NixOS %s is older than %s, the oldest release the options of this program are written for: pin a newer one in versions.json, then "+
				"`nixos-staged-hive versions update nixos`", nixos, hive.OldestNixOS)
		case !hive.DiskoFits(disko, nixos):
			l.Failures[i].Hint = fmt.Sprintf(`disko %s does not evaluate on NixOS %s: set "disko": "v1.8.2" in versions.json, the last for 24.05 and older, then `+
				"`nixos-staged-hive versions update disko`", disko, nixos)
		}
	}
}

// versions are the programs and their minimum, for the rules that compare them. What cannot be found out is left empty.
func (h *house) versions(ctx context.Context, pins workspace.Pins) hive.CheckInput {
	var in hive.CheckInput
	in.DiskoVersion = pin.Release(pins.Disko.StorePath)
	in.NixVersion, _ = nix.Client{Run: h.run}.Version(ctx)
	if b, err := os.ReadFile(filepath.Join(pins.NixOS.StorePath, "lib", "minver.nix")); err == nil {
		if m := quoted.FindSubmatch(b); m != nil {
			in.NixMinimum = string(m[1])
		}
	}
	return in
}

// quoted matches the one string in nixpkgs' lib/minver.nix, below its comment.
var quoted = regexp.MustCompile(`(?m)^"([0-9.]+)"`)

// input gathers what evaluation depends on.
func (h *house) input(ctx context.Context, w *workspace.Workspace, sink progress.Sink) (define.Input, workspace.Pins, error) {
	pins, err := workspace.Pinner{Workspace: w, Run: h.run, Progress: sink}.Pins(ctx, w.Names()...)
	if err != nil {
		return define.Input{}, pins, err
	}
	budget, err := h.budget()
	if err != nil {
		return define.Input{}, pins, err
	}
	cache, err := cacheDir()
	if err != nil {
		return define.Input{}, pins, err
	}
	in := define.Input{
		Workspace: w.Dir, Generated: w.File("generated"), Tree: nixfiles.FS, CacheDir: cache,
		Budget: budget, Fresh: h.fresh, Tool: identity(h.exe),
	}
	disko := pin.Release(pins.Disko.StorePath)
	for _, d := range w.Hosts {
		in.Sources = append(in.Sources, define.Source{
			Name: d.Name, Definition: d.Path, Nixpkgs: pins.NixOSFor(d.Name).StorePath,
			Disko: pins.Disko.StorePath, DiskoVersion: disko, Without: w.Versions.WithoutFor(d.Name),
		})
	}
	return in, pins, nil
}

// judge is everything wrong: hosts that do not evaluate, remarks about how they did, and what check finds in the facts.
func (l *loaded) judge(versions hive.CheckInput) []hive.Problem {
	var problems []hive.Problem
	for _, f := range l.Failures {
		file := f.File
		if f.Line > 0 {
			file = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
		}
		problems = append(problems, hive.Problem{Host: f.Host, File: file, Severity: hive.Error, Rule: "evaluation", Message: f.Message, Way: f.Hint})
	}
	for _, r := range l.Remarks {
		problems = append(problems, hive.Problem{Host: r.Host, Severity: hive.Note, Rule: "evaluation", Message: r.Text})
	}
	for _, w := range l.workspace.Warnings {
		problems = append(problems, hive.Problem{Severity: hive.Warning, Rule: "workspace", Message: w})
	}
	problems = append(problems, hive.Check(l.Hive, versions)...)
	hive.SortProblems(problems)
	return problems
}

// broken names the hosts that do not evaluate.
func (l *loaded) broken() []string {
	var names []string
	for _, f := range l.Failures {
		names = append(names, f.Host)
	}
	return names
}

func (h *house) budget() (define.Budget, error) {
	b := define.Budget{Jobs: h.jobs}
	if h.jobs < 0 {
		return b, &usageError{fmt.Errorf("--jobs %d: a number of evaluators is wanted", h.jobs)}
	}
	if h.memory == "" {
		return b, nil
	}
	n, err := parseBytes(h.memory)
	if err != nil {
		return b, &usageError{fmt.Errorf("--memory %s: %w", h.memory, err)}
	}
	b.Memory = n
	return b, nil
}

// parseBytes reads 512M, 4G or a plain number of bytes; the units are powers of 1024.
func parseBytes(s string) (int64, error) {
	number, shift := s, 0
	for i, unit := range []string{"K", "M", "G", "T"} {
		if n, ok := strings.CutSuffix(strings.ToUpper(strings.TrimSuffix(strings.ToUpper(s), "IB")), unit); ok {
			number, shift = n, 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > 1<<62>>shift {
		return 0, errors.New("a size such as 512M or 4G is wanted")
	}
	return n << shift, nil
}

func cacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", &refusal{fmt.Errorf("find the cache folder: %w", err), "set HOME, or XDG_CACHE_HOME to an absolute path", codeFailed}
	}
	return filepath.Join(dir, "nixos-staged-hive"), nil
}

// identity tells builds of this program apart: facts that another build remembered are not trusted.
func identity(exe string) string {
	id := "unknown"
	if b, ok := debug.ReadBuildInfo(); ok {
		id = b.Main.Version
	}
	if s, err := os.Stat(exe); err == nil {
		id += fmt.Sprintf(" %d %d", s.Size(), s.ModTime().UnixNano())
	}
	return id
}

// progress starts showing progress, unless the user wants none. The function ends it.
func (h *house) progress() (progress.Sink, func()) {
	if h.quiet {
		return nil, func() {}
	}
	p := h.ui.Progress()
	return p.Sink(), p.Close
}
