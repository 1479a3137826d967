package nix

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
)

func client(t *testing.T) Client {
	t.Helper()
	need.Program(t, "nix-instantiate")
	need.Store(t)
	return Client{Run: run.Local{}}
}

func nixFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.nix")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestArgumentsArriveAsTheyAre(t *testing.T) {
	c := client(t)
	nasty := "''${builtins.abort \"x\"} \\ \n\t\"ü\" $HOME"
	out, err := c.Evaluate(context.Background(), Evaluation{File: nixFile(t, "{ a }: a"), Args: map[string]string{"a": nasty}})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(out)); got != `"''${builtins.abort \"x\"} \\ \n\t\"ü\" $HOME"` {
		t.Errorf("got %s", got)
	}
}

func TestTheAmbientSearchPathIsNeverUsed(t *testing.T) {
	c := client(t)
	t.Setenv("NIX_PATH", "nixpkgs=/ambient")
	file := nixFile(t, "toString <nixpkgs>")
	var failed *EvalError
	if _, err := c.Evaluate(context.Background(), Evaluation{File: file}); !errors.As(err, &failed) {
		t.Errorf("without a search path: %v", err)
	}
	pinned := t.TempDir()
	out, err := c.Evaluate(context.Background(), Evaluation{File: file, SearchPath: map[string]string{"nixpkgs": pinned}})
	if err != nil || strings.Trim(strings.TrimSpace(string(out)), `"`) != pinned {
		t.Errorf("%s, %v", out, err)
	}
}

func TestLinesComeWithoutColourAndErrorsWithoutTraces(t *testing.T) {
	c := client(t)
	var lines []string
	_, err := c.Evaluate(context.Background(), Evaluation{
		File: nixFile(t, "builtins.trace \"\x1b[1;31mwarning: old\x1b[0m\" (throw \"broken on purpose\")"),
		Line: func(l string) { lines = append(lines, l) },
	})
	if !slices.Contains(lines, "trace: warning: old") {
		t.Errorf("lines %q", lines)
	}
	var failed *EvalError
	if !errors.As(err, &failed) || failed.Message != "broken on purpose" {
		t.Errorf("error %v", err)
	}
}

func TestReadOnlyEvaluationLeavesTheStoreAlone(t *testing.T) {
	c := client(t)
	file := nixFile(t, "\"${./test.nix}\"")
	out, err := c.Evaluate(context.Background(), Evaluation{File: file})
	if err != nil {
		t.Fatal(err)
	}
	path := strings.Trim(strings.TrimSpace(string(out)), `"`)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s was copied into the store: %v", path, err)
	}
}

func TestAMissingNixIsNotAnEvaluationError(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	c := Client{Run: run.Local{}}
	var missing *run.MissingError
	if _, err := c.Evaluate(context.Background(), Evaluation{File: "/x.nix"}); !errors.As(err, &missing) || missing.Hint == "" {
		t.Errorf("evaluate: %v", err)
	}
	if _, err := c.Version(context.Background()); !errors.As(err, &missing) {
		t.Errorf("version: %v", err)
	}
}

// printing is a Runner that prints one text.
type printing string

func (p printing) Run(_ context.Context, c run.Command) error {
	_, err := c.Stdout.Write([]byte(p))
	return err
}

func TestVersionsOfAllKindsOfNixAreRead(t *testing.T) {
	for text, want := range map[string]string{
		"nix-instantiate (Nix) 2.8.0\n":                    "2.8.0",
		"nix-instantiate (Nix) 2.26.3\n":                   "2.26.3",
		"nix-instantiate (Nix) 2.35pre20260101_abcdef0\n":  "2.35",
		"nix-instantiate (Determinate Nix 3.6.2) 2.29.0\n": "2.29.0",
		"nix-instantiate (Lix, like Nix) 2.91.1\n":         "2.91.1",
	} {
		got, err := Client{Run: printing(text)}.Version(context.Background())
		if err != nil || got != want {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
	if _, err := (Client{Run: printing("something else")}).Version(context.Background()); err == nil {
		t.Error("a text without a number has a version")
	}
}
