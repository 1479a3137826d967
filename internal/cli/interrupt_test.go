package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// endless evaluates for longer than any test waits, in a loop that Nix (2.8) does not leave for Ctrl-C.
const endless = `
let
  count = n: builtins.foldl' (a: b: a + b) 0 (builtins.genList (x: x) n);
in
{
  boot.kernelParams = [ (toString (builtins.foldl' (a: b: a + count 1000) 0 (builtins.genList (x: x) 30000000))) ];
}
`

// started is a program that runs.
type started struct {
	*desk
	c    *exec.Cmd
	err  bytes.Buffer
	over chan struct{}
}

func (d *desk) start(args ...string) *started {
	d.Helper()
	s := &started{desk: d, over: make(chan struct{})}
	s.c = d.command(d.Context(), nil, append([]string{program, "-p", d.dir}, args...)...)
	s.c.Stderr = &s.err
	if err := s.c.Start(); err != nil {
		d.Fatal(err)
	}
	go func() {
		_ = s.c.Wait() // the exit code is looked at by who waits
		close(s.over)
	}()
	d.Cleanup(func() { _ = s.c.Process.Kill(); <-s.over })
	return s
}

// wait gives the exit code, -1 for an end by a signal.
func (s *started) wait(limit time.Duration) int {
	s.Helper()
	select {
	case <-s.over:
		return s.c.ProcessState.ExitCode()
	case <-time.After(limit):
		s.Fatalf("still running after %s", limit)
		return 0
	}
}

func (s *started) signal(sig os.Signal) {
	s.Helper()
	if err := s.c.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.Fatal(err)
	}
}

// evaluators are the processes of nix that work for this desk, by the environment they were started with.
func (d *desk) evaluators() []int {
	d.Helper()
	folders, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		d.Fatal(err)
	}
	var pids []int
	for _, f := range folders {
		environ, err := os.ReadFile(f)
		if err != nil || !bytes.Contains(environ, []byte("TMPDIR="+d.tmp+"\x00")) {
			continue
		}
		command, err := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
		if err == nil && bytes.Contains(command, []byte("nix-instantiate")) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			pids = append(pids, pid)
		}
	}
	return pids
}

func (d *desk) waitFor(what string, is func() bool) {
	d.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			d.Fatalf("waited in vain until %s", what)
		}
	}
}

// leftBehind lists temporary files and unfinished trees that a run left.
func (d *desk) leftBehind() []string {
	d.Helper()
	var left []string
	for _, pattern := range []string{d.tmp + "/*", d.cache + "/nixos-staged-hive/nix-new-*", d.dir + "/.generated.*", d.dir + "/.*.new", d.dir + "/nixConfigs/.*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			d.Fatal(err)
		}
		left = append(left, found...)
	}
	return left
}

func TestAnInterruptedEvaluationEndsAtOnceAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		signal syscall.Signal
		args   []string
	}{
		{syscall.SIGINT, []string{"summary"}},
		{syscall.SIGTERM, []string{"generate", "--jobs", "2"}},
		{syscall.SIGINT, []string{"check", "-q"}},
	} {
		t.Run(fmt.Sprint(tt.signal, tt.args), func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, map[string]string{"nixConfigs/web.nix": host(""), "nixConfigs/slow.nix": endless, "nixConfigs/slower.nix": endless})
			d.run("versions", "update").exits(0)
			before := snapshot(t, d.dir, ".staged-hive")
			s := d.start(tt.args...)
			d.waitFor("it evaluates", func() bool { return len(d.evaluators()) > 0 })
			time.Sleep(300 * time.Millisecond) // past reading the modules, into the long value
			asked := time.Now()
			s.signal(tt.signal)
			if code := s.wait(12 * time.Second); code != 130 || time.Since(asked) > 5*time.Second {
				t.Errorf("exit code %d after %s", code, time.Since(asked))
			}
			if text := s.err.String(); !strings.Contains(text, "interrupted") || brokeDown.MatchString(text) || strings.Contains(text, "context canceled") {
				t.Errorf("said: %s", text)
			}
			if pids := d.evaluators(); len(pids) > 0 {
				t.Errorf("evaluators still run: %v", pids)
			}
			if left := d.leftBehind(); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			unchanged(t, "the workspace", before, snapshot(t, d.dir, ".staged-hive"))
		})
	}
}

// many is a workspace whose tree takes a while to write.
func many(generation string) map[string]string {
	files := map[string]string{}
	for i := range 6 {
		files[fmt.Sprintf("nixConfigs/web%d.nix", i)] = host(fmt.Sprintf(`networking.domain = "%s.example";`, generation))
	}
	return files
}

// generationOf says which generation a tree is: every host of it must be of the same.
func generationOf(t *testing.T, tree map[string]string) string {
	t.Helper()
	seen := map[string]int{}
	for name, text := range tree {
		for _, g := range []string{"old.example", "new.example"} {
			if strings.HasSuffix(name, "/host.json") && strings.Contains(text, g) {
				seen[g]++
			}
		}
	}
	if len(seen) != 1 {
		t.Errorf("the tree is of no one generation: %v", seen)
	}
	for g, n := range seen {
		if n != 6 {
			t.Errorf("%d hosts of 6 are of %s", n, g)
		}
		return g
	}
	return ""
}

// TestAKilledRunLeavesTheOldTreeOrTheNewOne kills at moments spread over the time that generating takes. Internal/generate kills before
// each single step; here the whole program is killed, whatever it is at.
func TestAKilledRunLeavesTheOldTreeOrTheNewOne(t *testing.T) {
	t.Parallel()
	d := newDesk(t, many("old"))
	d.run("generate").exits(0)
	old := snapshot(t, d.path("generated"))
	for name, text := range many("new") {
		d.put(name, text)
	}
	start := time.Now()
	d.run("generate", "--fresh").exits(0)
	whole := time.Since(start)
	fresh := snapshot(t, d.path("generated"))

	random := rand.New(rand.NewPCG(2, 24))
	ends := map[string]int{}
	for i := range 8 {
		generation, want := "old", old
		if i%2 == 1 {
			generation, want = "new", fresh
		}
		for name, text := range many(generation) {
			d.put(name, text)
		}
		s := d.start("generate", "--fresh")
		// the second half of the time is when the tree is written
		time.Sleep(whole/2 + time.Duration(random.Int64N(int64(whole*2/3))))
		s.signal(syscall.SIGKILL)
		s.wait(10 * time.Second)
		tree := snapshot(t, d.path("generated"))
		ends[generationOf(t, tree)]++
		if len(differences(tree, old)) > 0 && len(differences(tree, fresh)) > 0 {
			t.Fatalf("run %d: neither tree: %q and %q", i, differences(tree, old), differences(tree, fresh))
		}
		d.killOrphans()
		d.run("generate").exits(0)
		if diff := differences(want, snapshot(t, d.path("generated"))); len(diff) > 0 {
			t.Fatalf("run %d: the next run does not make the tree whole: %q", i, diff)
		}
		left := slices.DeleteFunc(d.leftBehind(), func(name string) bool { return strings.HasPrefix(name, d.tmp) })
		if len(left) > 0 {
			t.Fatalf("run %d: the next run leaves %q", i, left)
		}
	}
	t.Logf("killed runs left: %v", ends)
}

// killOrphans ends evaluators whose program was killed: nobody can do that for it.
func (d *desk) killOrphans() {
	for _, pid := range d.evaluators() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func TestAnInterruptedWriterLeavesTheTreeAndNoSiblings(t *testing.T) {
	t.Parallel()
	d := newDesk(t, many("old"))
	d.run("generate").exits(0)
	for name, text := range many("new") {
		d.put(name, text)
	}
	random := rand.New(rand.NewPCG(5, 24))
	for range 6 {
		s := d.start("generate")
		time.Sleep(time.Duration(random.Int64N(int64(250 * time.Millisecond))))
		s.signal(syscall.SIGINT)
		// a program that has not come to its main function yet is ended by the signal itself
		if code := s.wait(12 * time.Second); code != 130 && code != 0 && code != -1 {
			t.Errorf("exit code %d: %s", code, s.err.String())
		}
		generationOf(t, snapshot(t, d.path("generated")))
		if left := d.leftBehind(); len(left) > 0 && s.c.ProcessState.ExitCode() >= 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}

func TestTwoRunsAtOnceDoNoHarm(t *testing.T) {
	t.Parallel()
	d := newDesk(t, twoHosts())
	var runs []*started
	for range 3 {
		runs = append(runs, d.start("generate"))
	}
	for _, s := range runs {
		if code := s.wait(60 * time.Second); code != 0 {
			t.Errorf("exit code %d: %s", code, s.err.String())
		}
	}
	d.run("generate").exits(0).says("0 files written")
	if _, err := os.Stat(d.path("generated/web/host.json")); errors.Is(err, fs.ErrNotExist) {
		t.Error("nothing was generated")
	}
	if left := d.leftBehind(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
