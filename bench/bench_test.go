// Package bench measures what the README beside it claims. It has no code but tests, and they run only when asked:
// `make bench`, or STAGED_HIVE_BENCH=facts,deep,summary go test -v ./bench.
package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/nix"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/define"
	"nixos-staged-hive/internal/testbed/need"
	nixfiles "nixos-staged-hive/nix"
)

// wanted skips what was not asked for.
func wanted(t *testing.T, name string) {
	t.Helper()
	if !slices.Contains(strings.Split(os.Getenv("STAGED_HIVE_BENCH"), ","), name) {
		need.Skip(t, "a measurement: run it with make bench")
	}
	need.Program(t, "nix-instantiate")
}

func number(key string, fallback int) int {
	if n, err := strconv.Atoi(os.Getenv(key)); err == nil && n > 0 {
		return n
	}
	return fallback
}

// trees are the real ones, or the miniatures with a warning.
func trees(t *testing.T) (nixpkgs, disko string) {
	t.Helper()
	if os.Getenv("STAGED_HIVE_NIXPKGS") != "" && os.Getenv("STAGED_HIVE_DISKO") != "" {
		return need.Tree(t)
	}
	t.Log("NOT REAL NIXOS: STAGED_HIVE_NIXPKGS and STAGED_HIVE_DISKO are not set, the figures say nothing")
	return need.Mini(t)
}

// sample is one measured run: wall time, and the most memory that it and all its children had at once.
type sample struct {
	wall time.Duration
	peak int64
}

func measure(f func() error) (sample, error) {
	stop, peak := make(chan struct{}), make(chan int64)
	go func() {
		var most int64
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-stop:
				peak <- most
				return
			case <-tick.C:
				most = max(most, childrenMemory(os.Getpid()))
			}
		}
	}()
	start := time.Now()
	err := f()
	s := sample{wall: time.Since(start)}
	close(stop)
	s.peak = <-peak
	return s, err
}

// childrenMemory is what all descendants have in memory, in bytes (proc(5): VmRSS).
func childrenMemory(pid int) int64 {
	var sum int64
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range tasks {
		text, _ := os.ReadFile(file)
		for _, field := range strings.Fields(string(text)) {
			child, _ := strconv.Atoi(field)
			sum += memory(child) + childrenMemory(child)
		}
	}
	return sum
}

func memory(pid int) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	return 0
}

func median(samples []sample) sample {
	by := slices.SortedFunc(slices.Values(samples), func(a, b sample) int { return cmp.Compare(a.wall, b.wall) })
	s := by[len(by)/2]
	for _, other := range by {
		s.peak = max(s.peak, other.peak)
	}
	return s
}

// facts are all hosts evaluated by the program and by one plain Nix.
type facts struct {
	dir, tree, nixpkgs, disko string
	hosts                     []string
	deep                      bool
}

func newFacts(t *testing.T, deep bool) facts {
	t.Helper()
	nixpkgs, disko := trees(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := facts{dir: dir, tree: filepath.Join(need.Module(t), "nix"), nixpkgs: nixpkgs, disko: disko, deep: deep}
	f.hosts = writeHosts(t, f.dir, number("STAGED_HIVE_BENCH_HOSTS", 50))
	return f
}

func (f facts) ours(t *testing.T) (sample, []hive.Host) {
	t.Helper()
	in := define.Input{
		Workspace: f.dir, Generated: filepath.Join(f.dir, "generated"), Tree: nixfiles.FS, CacheDir: t.TempDir(), Deep: f.deep, Fresh: true,
	}
	for _, name := range f.hosts {
		in.Sources = append(in.Sources, define.Source{
			Name: name, Definition: "nixConfigs/" + name + ".nix", Nixpkgs: f.nixpkgs, Disko: f.disko, DiskoVersion: "1.8.2",
		})
	}
	var r define.Result
	s, err := measure(func() (err error) {
		r, err = define.Evaluator{Nix: nix.Client{Run: run.Local{}}}.Load(context.Background(), in)
		return err
	})
	if err != nil || len(r.Failures) > 0 {
		t.Fatalf("%v %v", err, r.Failures)
	}
	return s, r.Hive.Hosts
}

func (f facts) plain(t *testing.T) (sample, []hive.Host) {
	t.Helper()
	hosts := map[string]any{}
	for _, name := range f.hosts {
		hosts[name] = map[string]any{"definition": "nixConfigs/" + name + ".nix"}
	}
	request, err := json.Marshal(map[string]any{
		"workspace": f.dir, "tree": f.tree, "nixpkgs": f.nixpkgs, "disko": f.disko, "diskoVersion": "1.8.2", "deep": f.deep, "hosts": hosts,
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "request.json")
	if err := os.WriteFile(file, request, 0o600); err != nil {
		t.Fatal(err)
	}
	plain := exec.Command("nix-instantiate", "--eval", "--strict", "--json", "--readonly-mode", filepath.Join(need.Module(t), "bench", "plain.nix"), "--argstr", "request", file)
	plain.Env = append(os.Environ(), "NIX_PATH=nixpkgs="+f.nixpkgs)
	var problems strings.Builder
	plain.Stderr = &problems
	var out []byte
	s, err := measure(func() (err error) {
		out, err = plain.Output()
		return err
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, problems.String())
	}
	var all []hive.Host
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatal(err)
	}
	return s, all
}

// compare measures pairs, the order of each turned around, and wants equal facts.
func compare(t *testing.T, name string, deep bool, pairs int) {
	f := newFacts(t, deep)
	var ours, plain []sample
	var ratios []float64
	for i := range pairs {
		var o, p sample
		var hosts, expected []hive.Host
		if i%2 == 0 {
			p, expected = f.plain(t)
			o, hosts = f.ours(t)
		} else {
			o, hosts = f.ours(t)
			p, expected = f.plain(t)
		}
		// what Nix warns of while it evaluates is told beside the facts, not in them
		if diff := gocmp.Diff(expected, hosts, cmpopts.IgnoreFields(hive.Host{}, "Warnings"), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("the facts differ (- plain, + ours):\n%.4000s", diff)
		}
		ours, plain, ratios = append(ours, o), append(plain, p), append(ratios, o.wall.Seconds()/p.wall.Seconds())
		t.Logf("pair %d: plain %.1f s, ours %.1f s, ratio %.2f", i+1, p.wall.Seconds(), o.wall.Seconds(), ratios[i])
	}
	slices.Sort(ratios)
	report(t, fmt.Sprintf("| %s, %d hosts | plain %.1f s, %.1f GiB | ours %.1f s, %.1f GiB | **%.2f** (%.2f to %.2f, %d pairs) |",
		name, len(f.hosts), median(plain).wall.Seconds(), gib(median(plain).peak), median(ours).wall.Seconds(), gib(median(ours).peak),
		ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1], pairs))
}

func gib(n int64) float64 { return float64(n) / (1 << 30) }

// report writes a row of the table to where bench/run.sh collects them.
func report(t *testing.T, row string) {
	t.Helper()
	t.Log(row)
	file := os.Getenv("STAGED_HIVE_BENCH_TABLE")
	if file == "" {
		return
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintln(f, row); err != nil {
		t.Fatal(err)
	}
}

func TestFactsAgainstOnePlainNix(t *testing.T) {
	wanted(t, "facts")
	compare(t, "facts", false, number("STAGED_HIVE_BENCH_PAIRS", 5))
}

func TestDeepFactsAgainstOnePlainNix(t *testing.T) {
	wanted(t, "deep")
	compare(t, "facts with NixOS' own assertions", true, number("STAGED_HIVE_BENCH_PAIRS", 5))
}

// The program itself, as a user starts it.
func TestRepeatedSummary(t *testing.T) {
	wanted(t, "summary")
	program := os.Getenv("STAGED_HIVE_PROGRAM")
	if program == "" {
		t.Fatal("STAGED_HIVE_PROGRAM names the program to measure")
	}
	f := newFacts(t, false)
	versions, err := json.Marshal(map[string]string{"nixos": f.nixpkgs, "disko": f.disko})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, "versions.json"), versions, 0o600); err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	summary := func() sample {
		c := exec.Command(program, "-q", "-p", f.dir, "summary", "--json")
		c.Env = append(os.Environ(), "XDG_CACHE_HOME="+cache)
		var problems strings.Builder
		c.Stderr = &problems
		s, err := measure(c.Run)
		if err != nil {
			t.Fatalf("%v\n%s", err, problems.String())
		}
		return s
	}
	first := summary()
	var again []sample
	for range 11 {
		again = append(again, summary())
	}
	fastest := slices.MinFunc(again, func(a, b sample) int { return cmp.Compare(a.wall, b.wall) })
	report(t, fmt.Sprintf("| `summary` again, %d hosts | first run with locking the pins %.1f s | %d ms (fastest %d ms) | |",
		len(f.hosts), first.wall.Seconds(), median(again).wall.Milliseconds(), fastest.wall.Milliseconds()))
	if median(again).wall > 150*time.Millisecond {
		t.Errorf("a repeated summary takes %v, more than 150 ms, on %d processors", median(again).wall, runtime.NumCPU())
	}
}
