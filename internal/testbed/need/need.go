// Package need says what a test needs besides Go: a program, a tree of Nix files, a binary of Colmena. On a developer's machine a
// test without it is skipped; where CI is set a missing program fails, so that a green run cannot hide one. The real trees are
// optional in both. Every skip is also written to the file that STAGED_HIVE_SKIPS names, because go test does not show skips.
package need

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Program gives the path of a program that must be on PATH.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("program %s is not installed, and CI is set: a run there must not pass without it (see scripts/ensure-programs.sh)", name)
	}
	Skip(t, "program %s is not installed", name)
	return ""
}

// Store skips a test without Nix and makes others use the machine's own store, without any binary cache: what a test expects to be
// there or not must not depend on the network.
func Store(t testing.TB) {
	t.Helper()
	Program(t, "nix-store")
	if _, set := os.LookupEnv("NIX_REMOTE"); !set && os.Geteuid() == 0 {
		t.Setenv("NIX_REMOTE", "local")
	}
	t.Setenv("NIX_CONFIG", "substituters =\nbuild-users-group =\nsandbox = false")
}

// Root skips a test that only root can do.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Skip(t, "only root can do this")
	}
}

// Tree gives the real nixpkgs and disko that STAGED_HIVE_NIXPKGS and STAGED_HIVE_DISKO name, as absolute paths. Nothing else
// proves a claim about NixOS.
func Tree(t testing.TB) (nixpkgs, disko string) {
	t.Helper()
	return realTree(t, "STAGED_HIVE_NIXPKGS", "nixos/lib/eval-config.nix"), realTree(t, "STAGED_HIVE_DISKO", "module.nix")
}

// realTree fails on a path that is set but wrong: that is a mistake, not an absence.
func realTree(t testing.TB, key, mark string) string {
	t.Helper()
	dir := os.Getenv(key)
	if dir == "" {
		Skip(t, "NOT PROVEN ON REAL NIXOS: %s is not set", key)
	}
	return tree(t, dir, mark)
}

// Mini gives the miniature nixpkgs and disko of this repository, as absolute paths. They prove our plumbing, never NixOS.
func Mini(t testing.TB) (nixpkgs, disko string) {
	t.Helper()
	root := Module(t)
	return tree(t, filepath.Join(root, "test", "nixpkgs"), "nixos/lib/eval-config.nix"),
		tree(t, filepath.Join(root, "test", "disko"), "module.nix")
}

func tree(t testing.TB, dir, mark string) string {
	t.Helper()
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, mark)); err != nil {
		t.Fatalf("%s is not the tree it should be: %v", dir, err)
	}
	return dir
}

// Colmena gives the real binaries that STAGED_HIVE_COLMENA lists, separated by colons, one for each version to test with.
func Colmena(t testing.TB) []string {
	t.Helper()
	list := filepath.SplitList(os.Getenv("STAGED_HIVE_COLMENA"))
	if len(list) == 0 {
		Skip(t, "NOT PROVEN WITH COLMENA: STAGED_HIVE_COLMENA is not set")
	}
	for _, path := range list {
		if _, err := exec.LookPath(path); err != nil || !filepath.IsAbs(path) {
			t.Fatalf("STAGED_HIVE_COLMENA: %s is not the absolute path of a program", path)
		}
	}
	return list
}

// Module gives the folder of this repository's go.mod.
func Module(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if text, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && strings.HasPrefix(string(text), "module nixos-staged-hive\n") {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod of nixos-staged-hive above the test's folder")
		}
		dir = parent
	}
}

// Skip skips t and notes it down for the summary at the end of a whole run.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	reason := fmt.Sprintf(format, args...)
	if path := os.Getenv("STAGED_HIVE_SKIPS"); path != "" {
		if err := note(path, t.Name()+": "+reason+"\n"); err != nil {
			t.Errorf("note the skip: %v", err)
		}
	}
	t.Skip(reason)
}

// note appends in one write, which keeps the lines of test binaries running side by side apart.
func note(path, line string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
