package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
)

func TestGeneratedPagesAreFresh(t *testing.T) {
	need.Program(t, "nix-instantiate")
	root := need.Module(t)
	nixpkgs, disko := need.Mini(t)
	all, err := pages(t.Context(), sources{filepath.Join(root, "nix"), nixpkgs, disko})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range all {
		got, err := os.ReadFile(filepath.Join(root, "docs", name))
		if err != nil {
			t.Error(err)
		} else if string(got) != want {
			t.Errorf("docs/%s is stale: run make docs and commit the result", name)
		}
	}
}

// The reference is generated with the miniature, so that it can be everywhere. It says the same as real NixOS would.
func TestRealNixOSDescribesTheOptionsAlike(t *testing.T) {
	need.Program(t, "nix-instantiate")
	root := need.Module(t)
	real, realDisko := need.Tree(t)
	mini, miniDisko := need.Mini(t)
	local := run.Local{Log: slog.New(slog.DiscardHandler)}
	a, err := evaluate(t.Context(), local, sources{filepath.Join(root, "nix"), mini, miniDisko})
	if err != nil {
		t.Fatal(err)
	}
	b, err := evaluate(t.Context(), local, sources{filepath.Join(root, "nix"), real, realDisko})
	if err != nil {
		t.Fatal(err)
	}
	if x, y := optionsPage(a), optionsPage(b); x != y {
		t.Errorf("options.md differs between the miniature and real NixOS:\n%s", firstDifference(x, y))
	}
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return "mini: " + x[i] + "\nreal: " + y[i]
		}
	}
	return "one is longer"
}

func TestEveryOptionIsDescribed(t *testing.T) {
	need.Program(t, "nix-instantiate")
	nixpkgs, disko := need.Mini(t)
	o, err := evaluate(t.Context(), run.Local{Log: slog.New(slog.DiscardHandler)}, sources{filepath.Join(need.Module(t), "nix"), nixpkgs, disko})
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Options) < 40 || len(o.Aliases) < 30 {
		t.Errorf("%d options and %d aliases: the walk is broken", len(o.Options), len(o.Aliases))
	}
	for _, opt := range append(o.Options, o.Aliases...) {
		if opt.Description == "" || opt.Type == "" || len(opt.Declarations) == 0 {
			t.Errorf("%s is not described: %+v", opt.Name, opt)
		}
	}
}

func TestValuesAreWrittenAsNixHasThem(t *testing.T) {
	for raw, want := range map[string]string{
		`null`:                   `null`,
		`true`:                   `true`,
		`[]`:                     `[ ]`,
		`{}`:                     `{ }`,
		`["a", 2]`:               `[ "a" 2 ]`,
		`{"b": 1, "a": ["x"]}`:   `{ a = [ "x" ]; b = 1; }`,
		`"say \"${x}\"\nand \\"`: `"say \"\${x}\"\nand \\"`,
		`"plain $y$j9T$..."`:     `"plain $y$j9T$..."`,
	} {
		if got := nixText(json.RawMessage(raw)); got != want {
			t.Errorf("%s is written %s, want %s", raw, got, want)
		}
	}
}
