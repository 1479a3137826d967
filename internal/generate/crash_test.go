package generate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The crash tests run this binary again as a program that generates once and is killed before its n-th step on the disk.
const (
	crashDir  = "GENERATE_TEST_DIR"
	crashAt   = "GENERATE_TEST_KILL_AT"
	crashDisk = "GENERATE_TEST_DISK"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		os.Exit(crash(dir))
	}
	os.Exit(m.Run())
}

// exitWhole is the exit code of a run that had fewer steps than it was to be killed at.
const exitWhole = 77

func crash(dir string) int {
	at, err := strconv.Atoi(os.Getenv(crashAt))
	if err != nil {
		return 2
	}
	d := diskOf(os.Getenv(crashDisk))
	n := 0
	d.before = func(string, string) error {
		if n++; n == at {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	}
	if _, err := write(context.Background(), dir, newTree(), Options{Force: true}, d); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	return exitWhole
}

func diskOf(kind string) disk {
	return disk{unlinked: strings.Contains(kind, "unlinked"), unswapped: strings.Contains(kind, "unswapped")}
}

func newTree() Tree { return small("new", "a", "c") }

// lived makes a workspace with an old tree, files of the user's and a hand edit, and says what must never be lost.
func lived(t *testing.T) (dir string, users map[string]string) {
	t.Helper()
	dir = workspace(t)
	mustWrite(t, dir, small("old", "a", "b"), Options{})
	put(t, dir, "a/hardware-configuration.nix", "hardware")
	put(t, dir, "b/own/notes", "notes")
	put(t, dir, "a/host.json", "edited")
	if err := os.Symlink("/nix/store/none", filepath.Join(dir, "a/iso")); err != nil {
		t.Fatal(err)
	}
	return dir, map[string]string{
		"a/hardware-configuration.nix": "hardware", "b/own/notes": "notes", "a/iso": "-> /nix/store/none", "a/host.json.edited-1": "edited",
	}
}

// killAt runs the program and reports whether it was killed; otherwise it came to its end.
func killAt(t *testing.T, dir, kind string, n int) bool {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), crashDir+"="+dir, crashDisk+"="+kind, crashAt+"="+strconv.Itoa(n))
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("the program did not run: %v", err)
	}
	if exit.ExitCode() != exitWhole && exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the program ended with %v: %s", err, out)
	}
	return exit.ExitCode() != exitWhole
}

func TestAProcessKilledAtAnyStepLeavesTheOldTreeOrTheNewOneAndTheNextRunCleansUp(t *testing.T) {
	for _, kind := range []string{"linked", "unlinked", "unswapped"} {
		t.Run(kind, func(t *testing.T) {
			steps, gap := 0, 0
			for n := 1; ; n++ {
				dir, users := lived(t)
				old := contents(t, dir)
				killed := killAt(t, dir, kind, n)
				if !seesOldOrNew(t, dir, old, users) {
					gap++
				}
				mustWrite(t, dir, newTree(), Options{Force: true})
				want(t, dir, newTree(), users)
				if t.Failed() {
					t.Fatalf("killed before step %d", n)
				}
				if !killed {
					break
				}
				steps++
			}
			// without an exchange there is one step between the old tree and the new one
			if wanted := map[bool]int{true: 1}[kind == "unswapped"]; gap != wanted {
				t.Errorf("%d steps leave no tree, want %d", gap, wanted)
			}
			if steps < 30 {
				t.Errorf("only %d steps: the process was hardly killed", steps)
			}
			t.Logf("killed at each of %d steps", steps)
		})
	}
}

// seesOldOrNew fails the test when a reader sees a mixture. It reports whether there is a tree at all.
func seesOldOrNew(t *testing.T, dir string, old, users map[string]string) bool {
	t.Helper()
	if _, err := os.Lstat(dir); err != nil {
		return false
	}
	got := contents(t, dir)
	if maps.Equal(got, old) {
		return true
	}
	want(t, dir, newTree(), users)
	return true
}

func TestARunKilledWhileItCleansUpAfterAnotherLosesNothing(t *testing.T) {
	for n := 1; ; n++ {
		dir, users := lived(t)
		killedInSweep(t, dir)
		put(t, filepath.Dir(dir), asideOf(t, dir)+"/a/late", "came while the trees were exchanged")
		put(t, filepath.Dir(dir), asideOf(t, dir)+"/b/host.json", "edited meanwhile")
		users["a/late"], users["b/host.json"] = "came while the trees were exchanged", "edited meanwhile"
		killed := killAt(t, dir, "", n)
		mustWrite(t, dir, newTree(), Options{Force: true})
		want(t, dir, newTree(), users)
		if t.Failed() {
			t.Fatalf("killed before step %d", n)
		}
		if !killed {
			t.Logf("killed at each of %d steps", n-1)
			return
		}
	}
}

// killedInSweep leaves the new tree in place and the old one beside it.
func killedInSweep(t *testing.T, dir string) {
	t.Helper()
	stop := errors.New("stop")
	d := disk{before: func(step, name string) error {
		if step == "remove" && strings.Contains(name, ".old-") {
			return stop
		}
		return nil
	}}
	report, err := write(t.Context(), dir, newTree(), Options{Force: true}, d)
	if err != nil || !errors.Is(report.Problem, stop) || report.Leftover != filepath.Join(filepath.Dir(dir), asideOf(t, dir)) {
		t.Fatalf("report is %+v, %v", report, err)
	}
}

func asideOf(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(filepath.Dir(dir), ".generated.old-*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("beside the tree are %q, %v", found, err)
	}
	return filepath.Base(found[0])
}

func TestWhatComesWhileTheTreesAreExchangedIsBroughtOver(t *testing.T) {
	dir, users := lived(t)
	d := disk{before: func(step, _ string) error {
		if step == "exchange" {
			put(t, dir, "a/late", "late")
			put(t, dir, "hive.json", "edited late")
			put(t, dir, "a/hardware-configuration.nix.tmp", "fetched late")
		}
		return nil
	}}
	report, err := write(t.Context(), dir, newTree(), Options{Force: true}, d)
	if err != nil || report.Problem != nil || len(report.Recovered) != 3 {
		t.Fatalf("report is %+v, %v", report, err)
	}
	users["a/late"], users["hive.json.edited-1"], users["a/hardware-configuration.nix.tmp"] = "late", "edited late", "fetched late"
	want(t, dir, newTree(), users)
	noSiblings(t, dir)
}

func TestAnErrorAtAnyStepLeavesTheOldTreeOrTheNewOneAndNothingElse(t *testing.T) {
	for _, kind := range []string{"linked", "unlinked", "unswapped"} {
		t.Run(kind, func(t *testing.T) {
			for n := 1; ; n++ {
				dir, users := lived(t)
				old := contents(t, dir)
				d := diskOf(kind)
				steps := 0
				d.before = func(string, string) error {
					if steps++; steps == n {
						return syscall.ENOSPC
					}
					return nil
				}
				report, err := write(t.Context(), dir, newTree(), Options{Force: true}, d)
				switch got := contents(t, dir); {
				case err != nil:
					if !errors.Is(err, syscall.ENOSPC) || !maps.Equal(got, old) {
						t.Errorf("error %v leaves %q", err, got)
					}
					noSiblings(t, dir)
				case report.Problem == nil:
					noSiblings(t, dir)
					fallthrough
				default:
					want(t, dir, newTree(), users)
				}
				mustWrite(t, dir, newTree(), Options{Force: true})
				want(t, dir, newTree(), users)
				if t.Failed() {
					t.Fatalf("broken at step %d of %d", n, steps)
				}
				if steps < n {
					return
				}
			}
		})
	}
}

func TestFoldersThatOnlyLookLikeOursAreLeftAlone(t *testing.T) {
	dir := workspace(t)
	names := []string{".generated.old", ".generated.old-x", ".generated.old-007", "generated.new"}
	for _, name := range names {
		put(t, filepath.Dir(dir), name+"/x", "x")
	}
	if _, err := Write(t.Context(), dir, small("new", "a"), Options{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(filepath.Dir(dir), name, "x")); err != nil {
			t.Error(err)
		}
	}
}
