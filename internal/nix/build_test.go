package nix

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
)

// sample has derivations that need nothing but /bin/sh. The seed makes them new for each test.
const sample = `{ seed }:
let
  d = name: script: deps: derivation {
    inherit name seed deps;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" script ];
  };
in rec {
  good = d "good" "echo making good; echo $seed > $out" [ ];
  user = d "user" "echo $deps > $out" [ good ];
  bad = d "bad" "echo first; echo last >&2; exit 3" [ ];
  worse = d "worse" "for i in 1 2 3 4 5 6 7 8 9 10; do for j in a b c d; do echo $i$j; done; done; exit 4" [ ];
  onbad = d "onbad" "echo > $out" [ bad good ];
  large = d "large" "x=0123456789abcdef; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do x=$x$x; done; echo $seed $x > $out" [ ];
  empty = d "empty" "true" [ ];
  slow = d "slow" "echo started; while :; do :; done" [ ];
  foreign = good // (derivation { name = "foreign"; system = "m68k-linux"; builder = "/bin/sh"; inherit seed; });
  two = derivation {
    name = "two"; system = builtins.currentSystem; builder = "/bin/sh"; inherit seed;
    args = [ "-c" "echo o > $out; echo d > $dev" ]; outputs = [ "out" "dev" ];
  };
  both = { a = good; b = user; recurseForDerivations = true; };
  broken = throw "broken on purpose";
  "a.b".c = good;
}`

func sampleBuild(t *testing.T, attrs ...string) Build {
	t.Helper()
	seed := t.Name() + strconv.FormatInt(time.Now().UnixNano(), 36)
	return Build{File: nixFile(t, sample), Args: map[string]string{"seed": seed}, Attrs: attrs}
}

func attrs(built []Built) []string {
	var names []string
	for _, b := range built {
		names = append(names, b.Attr)
	}
	return names
}

func TestAttributesAreBuiltInTheirOrderAndKept(t *testing.T) {
	c := client(t)
	b := sampleBuild(t, "user", "two.dev", AttrPath("a.b", "c"), "good")
	dir := filepath.Join(t.TempDir(), "with blank")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b.Links = map[string]string{"user": dir + "/user", "two.dev": dir + "/two"}
	built, err := c.Build(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if got := attrs(built); !slices.Equal(got, b.Attrs) {
		t.Errorf("built %q", got)
	}
	for i, want := range []string{"user", "two-dev", "good", "good"} {
		if got := Name(built[i].Output); got != want {
			t.Errorf("%s is %s, want %s", built[i].Attr, got, want)
		}
		if !strings.HasSuffix(built[i].Derivation, ".drv") {
			t.Errorf("derivation %s", built[i].Derivation)
		}
	}
	roots, err := run.Output(t.Context(), c.Run, run.Command{Name: "nix-store", Args: []string{"--query", "--roots", built[0].Output}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(roots), dir+"/user") {
		t.Errorf("the link is no root: %s", roots)
	}
	for link, want := range map[string]string{"user": built[0].Output, "two": built[1].Output} {
		if got, err := os.Readlink(filepath.Join(dir, link)); got != want {
			t.Errorf("link %s: %s, %v", link, got, err)
		}
	}
}

func TestTheOutputsFollowTheSource(t *testing.T) {
	c := client(t)
	link := filepath.Join(t.TempDir(), "result")
	var last string
	for range 2 {
		b := sampleBuild(t, "good")
		b.Links = map[string]string{"good": link}
		built, err := c.Build(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := os.Readlink(link); got != built[0].Output || got == last {
			t.Errorf("link leads to %s after %s", got, last)
		}
		last = built[0].Output
	}
}

func TestAFailureTellsReasonLogAndAttributes(t *testing.T) {
	c := client(t)
	built, err := c.Build(t.Context(), sampleBuild(t, "good", "onbad"))
	failed, ok := errors.AsType[*BuildError](err)
	if !ok || len(failed.Failures) != 1 || len(built) != 0 {
		t.Fatalf("got %v, %v", built, err)
	}
	f := failed.Failures[0]
	if Name(f.Derivation) != "bad" || !strings.Contains(f.Reason, "failed with exit code 3") || strings.Contains(f.Reason, "/nix/store") {
		t.Errorf("failure %+v", f)
	}
	if !slices.Equal(f.Log, []string{"first", "last"}) || !slices.Equal(f.Attrs, []string{"onbad"}) {
		t.Errorf("log %q, attributes %q", f.Log, f.Attrs)
	}
	if failed.Missing != nil || !strings.HasPrefix(err.Error(), "build bad: ") {
		t.Errorf("missing %q, text %q", failed.Missing, err)
	}
}

func TestKeepGoingBuildsTheRestAndListsAllFailures(t *testing.T) {
	c := client(t)
	b := sampleBuild(t, "user", "onbad", "worse", "empty", "bad", "two.dev")
	link := filepath.Join(t.TempDir(), "user")
	b.KeepGoing, b.Links = true, map[string]string{"user": link, "bad": link + "-bad"}
	built, err := c.Build(t.Context(), b)
	failed, ok := errors.AsType[*BuildError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	if got := attrs(built); !slices.Equal(got, []string{"user", "two.dev"}) {
		t.Errorf("built %q", got)
	}
	if got, _ := os.Readlink(link); got != built[0].Output {
		t.Errorf("link leads to %q", got)
	}
	if !slices.Equal(failed.Missing, []string{"onbad", "worse", "empty", "bad"}) {
		t.Errorf("missing %q", failed.Missing)
	}
	by := map[string]Failure{}
	for _, f := range failed.Failures {
		by[Name(f.Derivation)] = f
	}
	if len(by) != 3 || len(failed.Failures) != 3 {
		t.Fatalf("failures %v", failed.Failures)
	}
	if !slices.Equal(by["bad"].Attrs, []string{"onbad", "bad"}) {
		t.Errorf("bad is needed by %q", by["bad"].Attrs)
	}
	if log := by["worse"].Log; len(log) != keptLog || log[len(log)-1] != "10d" {
		t.Errorf("log of worse %q", log)
	}
	if !strings.Contains(by["empty"].Reason, "failed to produce output path") {
		t.Errorf("reason of empty: %s", by["empty"].Reason)
	}
	if !strings.Contains(err.Error(), "(and 2 more)") {
		t.Errorf("text %q", err)
	}
}

func TestEvaluationErrorsAreNoBuildErrors(t *testing.T) {
	c := client(t)
	_, err := c.Build(t.Context(), sampleBuild(t, "broken"))
	if failed, ok := errors.AsType[*EvalError](err); !ok || failed.Message != "broken on purpose" {
		t.Errorf("a throw: %v", err)
	}
	if _, err := c.Build(t.Context(), sampleBuild(t, "good", "both")); err == nil || !strings.Contains(err.Error(), "exactly one") {
		t.Errorf("a set: %v", err)
	}
	_, err = c.Plan(t.Context(), sampleBuild(t, "broken"))
	if _, ok := errors.AsType[*EvalError](err); !ok {
		t.Errorf("a plan: %v", err)
	}
}

func TestWhatThisMachineCannotBuildIsNamed(t *testing.T) {
	c := client(t)
	_, err := c.Build(t.Context(), sampleBuild(t, "foreign"))
	failed, ok := errors.AsType[*BuildError](err)
	if !ok || len(failed.Failures) != 1 || Name(failed.Failures[0].Derivation) != "foreign" || Hint(failed.Failures[0].Reason) == "" {
		t.Errorf("got %#v", err)
	}
}

func TestMovementAndLinesOfABuildAreTold(t *testing.T) {
	c := client(t)
	var events []progress.Event
	var log []string
	b := sampleBuild(t, "user")
	b.Host, b.Progress = "web1", func(e progress.Event) { events = append(events, e) }
	b.Log = func(source, line string) { log = append(log, source+"|"+line) }
	if _, err := c.Build(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	first, last := events[0], events[len(events)-1]
	if first.State != progress.Started || last.State != progress.Done || last.Done != 2 || last.Total != 2 {
		t.Errorf("events begin with %+v and end with %+v", first, last)
	}
	for i, e := range events {
		if e.Task != "build" || e.Host != "web1" || e.Done > e.Total || i > 0 && e.Done < events[i-1].Done {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	if !slices.Contains(log, "good|making good") {
		t.Errorf("log %q", log)
	}
}

func TestABuildEndsWithItsContext(t *testing.T) {
	c := client(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	b := sampleBuild(t, "slow")
	b.Log = func(source, line string) {
		if line == "started" {
			cancel(enough)
		}
	}
	if _, err := c.Build(ctx, b); !errors.Is(err, enough) || strings.Contains(err.Error(), "@nix") {
		t.Errorf("got %v", err)
	}
}

func TestAPlanTellsWhatWouldBeBuiltAndBuildsNothing(t *testing.T) {
	c := client(t)
	b := sampleBuild(t, "user", "good")
	plan, err := c.Plan(t.Context(), b)
	if err != nil || len(plan.Build) != 2 || len(plan.Fetch)+len(plan.Unknown) != 0 {
		t.Fatalf("plan %+v, %v", plan, err)
	}
	if _, err := c.Build(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if plan, err = c.Plan(t.Context(), b); err != nil || len(plan.Build) != 0 {
		t.Errorf("plan after the build %+v, %v", plan, err)
	}
}

func TestABuildLeavesNoRootsOfItsOwn(t *testing.T) {
	c := client(t)
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "tmp dir"))
	if err := os.Mkdir(os.TempDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, attr := range []string{"two.dev", "bad"} {
		_, err := c.Build(t.Context(), sampleBuild(t, attr))
		if (err == nil) != (attr == "two.dev") {
			t.Errorf("%s: %v", attr, err)
		}
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestWhatKilledBuildsLeftIsRemovedAndNotWhatOthersHold(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	held, release, err := holdRoots()
	if err != nil {
		t.Fatal(err)
	}
	killed := filepath.Join(os.TempDir(), rootsPrefix+"killed")
	if err := os.Mkdir(killed, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := lockRoots(killed)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Close(); err != nil { // as the kernel does for a killed process
		t.Fatal(err)
	}
	_, releaseOther, err := holdRoots()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(killed); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a killed build left: %v", err)
	}
	if _, err := os.Stat(held); err != nil {
		t.Errorf("what another build holds: %v", err)
	}
	release()
	releaseOther()
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestAMissingNixIsNoBuildError(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Client{Run: run.Local{}}.Build(t.Context(), Build{File: "/x.nix"})
	if missing, ok := errors.AsType[*run.MissingError](err); !ok || missing.Hint == "" {
		t.Errorf("got %v", err)
	}
}

func TestAttributePathsAreQuotedWhereNixSplits(t *testing.T) {
	for want, names := range map[string][]string{
		"web1.iso":  {"web1", "iso"},
		`"a.b".iso`: {"a.b", "iso"},
		`"".x`:      {"", "x"},
	} {
		if got := AttrPath(names...); got != want {
			t.Errorf("%q is %s", names, got)
		}
	}
}

// Two builds at once do not take each other's roots away.
func TestBuildsSideBySide(t *testing.T) {
	c := client(t)
	var all sync.WaitGroup
	errs := make([]error, 3)
	for i := range errs {
		b := sampleBuild(t, "user")
		b.Args["seed"] += fmt.Sprint(i)
		all.Go(func() { _, errs[i] = c.Build(t.Context(), b) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}
