package nix

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/run"
)

// secretive tells a secret under the word, says something for everybody, and ends well or not.
const secretive = `{ word, seed }:
let
  tell = builtins.trace "${word} {\"hash\":\"the$secret\"}";
  d = derivation { name = "told"; inherit seed; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo > $out" ]; };
in {
  good = tell (builtins.trace "for everybody" d);
  broken = tell (throw "broken after it was told");
}`

func TestWhatIsToldUnderTheWordGoesNowhereElse(t *testing.T) {
	c := client(t)
	for _, attr := range []string{"good", "broken"} {
		var told, log []string
		b := sampleBuild(t, attr)
		b.File, b.Word = nixFile(t, secretive), "a-word-nobody-knows"
		b.Told = func(text string) { told = append(told, text) }
		b.Log = func(_, line string) { log = append(log, line) }
		_, err := c.Build(t.Context(), b)
		if (err == nil) != (attr == "good") {
			t.Errorf("%s: %v", attr, err)
		}
		if !slices.Equal(told, []string{`{"hash":"the$secret"}`}) {
			t.Errorf("%s: told %q", attr, told)
		}
		if attr == "good" && !slices.Contains(log, "trace: for everybody") {
			t.Errorf("what is for everybody is not in the log: %q", log)
		}
		said := fmt.Sprintf("%q %+v", log, err)
		for e := err; e != nil; e = errors.Unwrap(e) {
			said += fmt.Sprintf(" %+v", e)
			if failed, ok := errors.AsType[*run.Error](e); ok {
				said += string(failed.Stderr)
			}
			if failed, ok := errors.AsType[*EvalError](e); ok {
				said += failed.Text
			}
		}
		if strings.Contains(said, "the$secret") {
			t.Errorf("%s: the secret is in %s", attr, said)
		}
	}
}

func TestWithoutAWordTracesAreLines(t *testing.T) {
	c := client(t)
	var log []string
	b := sampleBuild(t, "good")
	b.File = nixFile(t, secretive)
	b.Args["word"] = ""
	b.Log = func(_, line string) { log = append(log, line) }
	if _, err := c.Build(t.Context(), b); err != nil || !slices.Contains(log, "trace: for everybody") {
		t.Errorf("log %q, %v", log, err)
	}
}

func TestAFileIsAddedUnderItsNameAndKept(t *testing.T) {
	c := client(t)
	dir := filepath.Join(t.TempDir(), "with blank")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file, link := filepath.Join(dir, "a program"), filepath.Join(dir, "root")
	content := []byte("#!/bin/sh\n# " + sampleBuild(t).Args["seed"] + "\n")
	if err := os.WriteFile(file, content, 0o700); err != nil {
		t.Fatal(err)
	}
	path, err := c.Add(t.Context(), file, "nixos-staged-hive", link)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(stored, content) || Name(path) != "nixos-staged-hive" {
		t.Errorf("%s holds %q, %v", path, stored, err)
	}
	if about, err := os.Stat(path); err != nil || about.Mode().Perm()&0o111 == 0 {
		t.Errorf("it is not executable: %v, %v", about, err)
	}
	if got, err := os.Readlink(link); got != path {
		t.Errorf("the link leads to %s, %v", got, err)
	}
	roots, err := run.Output(t.Context(), c.Run, run.Command{Name: "nix-store", Args: []string{"--query", "--roots", path}})
	if err != nil || !strings.Contains(string(roots), link) {
		t.Errorf("the link is no root: %s, %v", roots, err)
	}
	again, err := c.Add(t.Context(), file, "nixos-staged-hive", link)
	if err != nil || again != path {
		t.Errorf("once more it is %s, %v", again, err)
	}
}

func TestWhatCannotBeAddedSaysWhy(t *testing.T) {
	c := client(t)
	link := filepath.Join(t.TempDir(), "root")
	if _, err := c.Add(t.Context(), "/nowhere/file", "x", link); err == nil || !strings.Contains(err.Error(), "add /nowhere/file to the store: ") {
		t.Errorf("no file: %v", err)
	}
	for _, name := range []string{"", ".hidden", "a/b", "a b", "--help;", strings.Repeat("x", 212)} {
		if _, err := c.Add(t.Context(), "/etc/passwd", name, link); err == nil || !strings.Contains(err.Error(), "is no name") {
			t.Errorf("name %q: %v", name, err)
		}
	}
}
