package need

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// witness stands in for a test, so that its skip or failure can be looked at.
type witness struct {
	testing.TB
	skipped, failed string
}

func (w *witness) Helper()      {}
func (w *witness) Name() string { return "TestWitness" }
func (w *witness) Skip(args ...any) {
	w.skipped = fmt.Sprint(args...)
	runtime.Goexit()
}

func (w *witness) Fatalf(format string, args ...any) {
	w.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func watch(f func(t testing.TB)) *witness {
	w := &witness{}
	over := make(chan struct{})
	go func() {
		defer close(over)
		f(w)
	}()
	<-over
	return w
}

func TestMissingProgramSkipsHereAndFailsInCI(t *testing.T) {
	ask := func(t testing.TB) { Program(t, "no-such-program-anywhere") }
	notes := filepath.Join(t.TempDir(), "skips")
	t.Setenv("STAGED_HIVE_SKIPS", notes)
	t.Setenv("CI", "")
	if w := watch(ask); w.failed != "" || !strings.Contains(w.skipped, "no-such-program-anywhere") {
		t.Errorf("without CI: skipped %q, failed %q", w.skipped, w.failed)
	}
	t.Setenv("CI", "true")
	if w := watch(ask); w.skipped != "" || !strings.Contains(w.failed, "no-such-program-anywhere") {
		t.Errorf("in CI: skipped %q, failed %q", w.skipped, w.failed)
	}
	text, err := os.ReadFile(notes)
	if err != nil || string(text) != "TestWitness: program no-such-program-anywhere is not installed\n" {
		t.Errorf("noted %q, %v", text, err)
	}
}

func TestProgramOnPathIsFound(t *testing.T) {
	if got := Program(t, "sh"); !filepath.IsAbs(got) {
		t.Errorf("got %q", got)
	}
}

func TestRealTreesMaySkipInCIButAWrongPathFails(t *testing.T) {
	t.Setenv("CI", "true")
	t.Setenv("STAGED_HIVE_SKIPS", "")
	t.Setenv("STAGED_HIVE_NIXPKGS", "")
	ask := func(t testing.TB) { Tree(t) }
	if w := watch(ask); w.failed != "" || !strings.Contains(w.skipped, "NOT PROVEN ON REAL NIXOS") {
		t.Errorf("unset: skipped %q, failed %q", w.skipped, w.failed)
	}
	t.Setenv("STAGED_HIVE_NIXPKGS", t.TempDir())
	if w := watch(ask); w.skipped != "" || !strings.Contains(w.failed, "is not the tree") {
		t.Errorf("wrong: skipped %q, failed %q", w.skipped, w.failed)
	}
}

func TestColmenaListsEveryBinary(t *testing.T) {
	sh := Program(t, "sh")
	t.Setenv("STAGED_HIVE_COLMENA", sh+":"+sh)
	if got := Colmena(t); len(got) != 2 || got[1] != sh {
		t.Errorf("got %q", got)
	}
	t.Setenv("STAGED_HIVE_COLMENA", "/no/such/colmena")
	if w := watch(func(t testing.TB) { Colmena(t) }); w.failed == "" {
		t.Errorf("a wrong path was accepted: %+v", w)
	}
}

func TestModuleIsTheFolderWithOurGoMod(t *testing.T) {
	if _, err := os.Stat(filepath.Join(Module(t), "internal", "testbed", "need", "need.go")); err != nil {
		t.Error(err)
	}
}
