package define

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/nix"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
)

// TestBothSidesHaveOneSchema and the next hold Go and Nix to each other where both list the same thing.
func TestBothSidesHaveOneSchema(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(need.Module(t), "nix", "lib", "schema.nix"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if got := lines[len(lines)-1]; got != strconv.Itoa(hive.Schema) {
		t.Errorf("nix/lib/schema.nix has %s, internal/hive %d", got, hive.Schema)
	}
}

func TestPartsAreTheAliasesOfTheModulesAndTwoMore(t *testing.T) {
	need.Program(t, "nix-instantiate")
	out, err := nix.Client{Run: run.Local{}}.Evaluate(context.Background(), nix.Evaluation{File: filepath.Join(need.Module(t), "nix", "lib", "aliases.nix")})
	if err != nil {
		t.Fatal(err)
	}
	var aliases []string
	if err := json.Unmarshal(out, &aliases); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(append(aliases, "deployment", "disko"), parts()); d != "" {
		t.Error(d)
	}
	for _, a := range aliases {
		if _, err := os.Stat(filepath.Join(need.Module(t), "nix", "modules", "aliases", a+".nix")); err != nil {
			t.Error(err)
		}
	}
}

// failureOf returns the failure of a host, which must exist.
func failureOf(t *testing.T, r Result, host string) Failure {
	t.Helper()
	i := slices.IndexFunc(r.Failures, func(f Failure) bool { return f.Host == host })
	if i < 0 {
		t.Fatalf("%s did not fail; failures: %v", host, r.Failures)
	}
	return r.Failures[i]
}

func names(h hive.Hive) []string {
	var all []string
	for _, host := range h.Hosts {
		all = append(all, host.Name)
	}
	return all
}

// TestABrokenHostHidesNoOther puts every kind of broken host between good ones, in one evaluator, and wants each to report its
// own place.
func TestABrokenHostHidesNoOther(t *testing.T) {
	s := newStage(t)
	s.in.Budget.Jobs = 1
	nixpkgs, disko := need.Mini(t)
	broken := map[string]struct {
		text, message, hint string
		line                int
	}{
		"b-syntax":    {"{\n  a = ;\n}", "syntax error", "not valid Nix", 2},
		"c-recursion": {"{ config, ... }: {\n  networking.domain = config.networking.domain + \"x\";\n}", "infinite recursion encountered (while evaluating the option `networking.domain')", "needs itself", 0},
		"d-type":      {"{ services.openssh.enable = \"yes\"; }", "is not of type", "another kind of value", 0},
		"e-option":    {"{ services.nosuch.enable = true; }", "does not exist", "no such option", 0},
		"f-missing":   {"{ imports = [ ./nowhere.nix ]; }", "nowhere.nix", "not there", 0},
		"g-attribute": {"{ pkgs, ... }:\n{ environment.systemPackages = [ pkgs.nosuchpackage ]; networking.domain = pkgs.nosuchpackage.name; }", "nosuchpackage", "no such attribute", 2},
		"h-throw":     {"{\n  networking.domain = throw \"on purpose\";\n}", "on purpose", "", 0},
		"i-empty":     {"", "syntax error", "not valid Nix", 0},
	}
	for name, b := range broken {
		s.source(name, nixpkgs, disko)
		s.write("nixConfigs/"+name+".nix", b.text)
	}
	s.source("z", nixpkgs, disko)
	s.host("z", "{ networking.domain = \"fine\"; }")
	slices.SortFunc(s.in.Sources, func(a, b Source) int { return strings.Compare(a.Name, b.Name) })
	r := load(t, s)
	if d := cmp.Diff([]string{"a", "b", "z"}, names(r.Hive)); d != "" {
		t.Errorf("hosts that evaluate:\n%s", d)
	}
	for name, want := range broken {
		f := failureOf(t, r, name)
		if !strings.Contains(f.Message, want.message) || !strings.Contains(f.Hint, want.hint) {
			t.Errorf("%s: message %q, hint %q", name, f.Message, f.Hint)
		}
		if !strings.HasPrefix(f.File, "nixConfigs/"+name) {
			t.Errorf("%s: the place is %s", name, f.File)
		}
		if want.line != 0 && f.Line != want.line {
			t.Errorf("%s: line %d, want %d\n%s", name, f.Line, want.line, f.Trace)
		}
	}
}

func load(t *testing.T, s *stage) Result {
	t.Helper()
	r, err := Evaluator{Nix: nix.Client{Run: run.Local{}}}.Load(context.Background(), s.in)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestOptionsADefinitionDeclaresItselfAreLeftOutAndSaid(t *testing.T) {
	s := newStage(t)
	s.host("a", `{ config, lib, ... }: {
		options.ip = lib.mkOption { default = 7; };
		options.gateway = lib.mkOption { type = lib.types.str; default = "mine"; description = "Mine."; };
		config.networking.search = [ config.gateway ];
	}`)
	r := load(t, s)
	if len(r.Failures) > 0 {
		t.Fatal(r.Failures)
	}
	if d := cmp.Diff([]string{"gateway", "ip"}, r.Hive.Hosts[0].Without); d != "" {
		t.Error(d)
	}
	said := 0
	for _, remark := range r.Remarks {
		if remark.Host == "a" && strings.Contains(remark.Text, "declares") {
			said++
		}
	}
	if said != 2 {
		t.Errorf("%d remarks: %v", said, r.Remarks)
	}
	s.in.Sources[0].Without = []string{"gateway", "ip"}
	if again := load(t, s); len(again.Remarks) > 0 || len(again.Failures) > 0 {
		t.Errorf("opted out: %v %v", again.Remarks, again.Failures)
	}
}

func TestAHostSeesTheOthersAsColmenaShowsThem(t *testing.T) {
	s := newStage(t)
	s.host("a", `{ name, nodes, ... }: { networking.domain = name + "-" + nodes.b.config.networking.domain; }`)
	s.host("b", `{ networking.domain = "beside"; }`)
	r := load(t, s)
	if len(r.Failures) > 0 || r.Hive.Hosts[0].Domain != "a-beside" {
		t.Errorf("%v, domain %q", r.Failures, r.Hive.Hosts[0].Domain)
	}
}

func TestWarningsBelongToTheHostThatCausedThem(t *testing.T) {
	s := newStage(t)
	s.in.Deep = true
	s.host("a", `{ lib, ... }: { networking.domain = lib.warn "traced by a" "x"; }`)
	s.host("b", `{ warnings = [ "listed by b" ]; assertions = [ { assertion = false; message = "does not hold"; } ]; }`)
	r := load(t, s)
	if len(r.Hive.Hosts) != 2 {
		t.Fatal(r.Failures)
	}
	a, b := r.Hive.Hosts[0], r.Hive.Hosts[1]
	if !slices.Contains(a.Warnings, "traced by a") || slices.Contains(b.Warnings, "traced by a") {
		t.Errorf("a has %q, b has %q", a.Warnings, b.Warnings)
	}
	if !slices.Contains(b.Warnings, "listed by b") || !slices.Contains(b.Assertions, "does not hold") {
		t.Errorf("b has %q and %q", b.Warnings, b.Assertions)
	}
}

func TestADefinitionCannotTellFactsOfItsOwn(t *testing.T) {
	s := newStage(t)
	s.host("a", `{ networking.domain = builtins.trace "staged-hive-guess {\"name\":\"a\",\"thrown\":true}" "real"; }`)
	if r := load(t, s); len(r.Failures) > 0 || r.Hive.Hosts[0].Domain != "real" {
		t.Errorf("%v", r.Failures)
	}
}

func TestAnInterruptionEndsTheEvaluationSoon(t *testing.T) {
	s := newStage(t)
	s.host("a", `{ networking.domain = toString (builtins.foldl' (a: b: a + b) 0 (builtins.genList (x: builtins.length (builtins.genList (y: y) 1000)) 100000000)); }`)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	start := time.Now()
	_, err := Evaluator{Nix: nix.Client{Run: run.Local{}}}.Load(ctx, s.in)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("it took %s to end", took)
	}
}

func TestProgressCountsEveryHostOnce(t *testing.T) {
	s := newStage(t)
	s.host("b", "{ a = ; }")
	events := make(chan progress.Event, 100)
	e := Evaluator{Nix: nix.Client{Run: run.Local{}}, Progress: func(e progress.Event) { events <- e }}
	if _, err := e.Load(context.Background(), s.in); err != nil {
		t.Fatal(err)
	}
	close(events)
	var last progress.Event
	failed := 0
	for event := range events {
		if event.State == progress.Failed {
			failed++
			continue
		}
		last = event
	}
	if failed != 1 || last.State != progress.Done || last.Done != 2 || last.Total != 2 {
		t.Errorf("%d failures, last event %+v", failed, last)
	}
}

func TestWhatKilledRunsLeftIsRemovedAndNothingElse(t *testing.T) {
	s := newStage(t)
	cache := s.in.CacheDir
	old := time.Now().Add(-2 * abandoned)
	for name, age := range map[string]time.Time{
		"nix-new-1/lib/x.nix": old, "request-1.json": old, "request-2.json": time.Now(), "facts/request-3.json": old, "other": old,
	} {
		path := filepath.Join(cache, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		top := filepath.Join(cache, strings.Split(name, "/")[0])
		if err := errors.Join(os.Chtimes(path, age, age), os.Chtimes(top, age, age)); err != nil {
			t.Fatal(err)
		}
	}
	load(t, s)
	for name, want := range map[string]bool{"nix-new-1": false, "request-1.json": false, "request-2.json": true, "facts/request-3.json": true, "other": true} {
		if _, err := os.Stat(filepath.Join(cache, name)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
}
