package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nixos-staged-hive/internal/testbed/need"
)

// medium is a workspace whose host has its image built already.
type medium struct {
	dir, program, host string
	setup              string // store path of the program on the image
	env                []string
}

func newMedium(t *testing.T) medium {
	t.Helper()
	nixpkgs, disko := os.Getenv("STAGED_HIVE_LAB_TREE"), os.Getenv("STAGED_HIVE_DISKO")
	if nixpkgs == "" || disko == "" {
		t.Log("NOT REAL NIXOS: STAGED_HIVE_LAB_TREE (scripts/lab-tree.sh prints it) or STAGED_HIVE_DISKO is not set, the figures say nothing")
		nixpkgs, disko = need.Mini(t)
	}
	m := medium{dir: filepath.Join(t.TempDir(), "workspace"), program: os.Getenv("STAGED_HIVE_PROGRAM"), host: "desk"}
	if m.program == "" {
		t.Fatal("STAGED_HIVE_PROGRAM names the program to measure")
	}
	m.env = append(os.Environ(), "XDG_CACHE_HOME="+t.TempDir())
	if err := os.CopyFS(m.dir, os.DirFS(filepath.Join(need.Module(t), "examples", "rehearsal"))); err != nil {
		t.Fatal(err)
	}
	versions, err := json.Marshal(map[string]string{"nixos": nixpkgs, "disko": disko})
	if err == nil {
		err = os.WriteFile(filepath.Join(m.dir, "versions.json"), versions, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	m.ours(t) // builds it
	if m.setup, err = filepath.EvalSymlinks(filepath.Join(m.dir, ".staged-hive", "media", "setup-x86_64-linux")); err != nil {
		t.Fatal(err)
	}
	return m
}

// effort runs a program and gives the processor time of it and all that it started and waited for.
func (m medium) effort(t *testing.T, name string, args ...string) (string, time.Duration) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir, c.Env = m.dir, m.env
	var problems strings.Builder
	c.Stderr = &problems
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, problems.String())
	}
	return strings.TrimSpace(string(out)), c.ProcessState.UserTime() + c.ProcessState.SystemTime()
}

func (m medium) ours(t *testing.T) (image string, effort time.Duration) {
	t.Helper()
	out, effort := m.effort(t, m.program, "-q", "-p", m.dir, "install", "-n", m.host, "--json")
	var answer struct{ Image string }
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Image, effort
}

// plain is what somebody types who has only Nix: it evaluates once, and builds what it evaluated.
func (m medium) plain(t *testing.T) (image string, effort time.Duration) {
	t.Helper()
	links := filepath.Join(m.dir, ".staged-hive")
	drv, evaluating := m.effort(t, "nix-instantiate", filepath.Join(m.dir, "generated"), "-A", m.host+".iso", "--argstr", "setup", m.setup,
		"--add-root", filepath.Join(links, "drv"), "--indirect")
	out, building := m.effort(t, "nix-build", drv, "--out-link", filepath.Join(links, "plain"))
	return out, evaluating + building
}

// TestInstallAgainstPlainNix claims at most 1.1 of the processor time that Nix alone takes for the same image, when all is built already.
func TestInstallAgainstPlainNix(t *testing.T) {
	wanted(t, "install")
	m := newMedium(t)
	var ours, plain []sample
	var ratios []float64
	for i := range number("STAGED_HIVE_BENCH_PAIRS", 5) {
		var a, b string
		var o, p time.Duration
		if i%2 == 0 {
			b, p = m.plain(t)
			a, o = m.ours(t)
		} else {
			a, o = m.ours(t)
			b, p = m.plain(t)
		}
		if !strings.HasPrefix(a, b+"/") {
			t.Fatalf("install built %s, and Nix %s", a, b)
		}
		ours, plain, ratios = append(ours, sample{wall: o}), append(plain, sample{wall: p}), append(ratios, o.Seconds()/p.Seconds())
		t.Logf("pair %d: plain %.2f s, ours %.2f s, ratio %.2f", i+1, p.Seconds(), o.Seconds(), ratios[i])
	}
	slices.Sort(ratios)
	ratio := ratios[len(ratios)/2]
	report(t, fmt.Sprintf("| processor time of `install -n`, everything built | nix-instantiate and nix-build %.1f s | %.1f s | **%.2f** (%.2f to %.2f, %d pairs) |",
		median(plain).wall.Seconds(), median(ours).wall.Seconds(), ratio, ratios[0], ratios[len(ratios)-1], len(ratios)))
	if ratio > 1.1 {
		t.Errorf("install takes %.2f of the processor time of Nix alone", ratio)
	}
}
