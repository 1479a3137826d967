package define

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nixos-staged-hive/internal/testbed/need"
)

func TestLexerTakesTheLongestMatchAsNixDoes(t *testing.T) {
	for text, want := range map[string][]string{
		`a/b`:              {"a/b", ""},
		`a / b`:            {"a", "/", "b"},
		`a//b`:             {"a", "//", "b"},
		`./x.nix`:          {"./x.nix", ""},
		`~/x`:              {"~/x", ""},
		`<nixpkgs/lib>`:    {"<nixpkgs/lib>"},
		`a<b`:              {"a", "<", "b"},
		`x:x`:              {"x:x"},
		`x: x`:             {"x", ":", "x"},
		`https://a.b/c?d`:  {"https://a.b/c?d"},
		`1.5e3 .5 12`:      {"1.5e3", ".5", "12"},
		`a.b`:              {"a", ".", "b"},
		`{...}`:            {"{", "...", "}"},
		`./${x}/y`:         {"./", "${", "x", "}", "/y", ""},
		`./a${x}.nix`:      {"./a", "${", "x", "}", ".nix", ""},
		`"a${b}c"`:         {`"`, "a", "${", "b", "}", "c", `"`},
		`"$${b}\${c}$"`:    {`"`, "$${b}${c}$", `"`},
		`"\n\""`:           {`"`, "\n\"", `"`},
		`''a'''b''${c''`:   {"''", "a''b${c", "''"},
		`''$${b}${c}''`:    {"''", "$${b}", "${", "c", "}", "''"},
		"a # b\n/* c */ d": {"a", "d"},
		`"${"${a}"}"`:      {`"`, "${", `"`, "${", "a", "}", `"`, "}", `"`},
	} {
		tokens, err := lex(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var got []string
		for _, token := range tokens[:len(tokens)-1] {
			got = append(got, token.text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", text, diff)
		}
	}
}

func TestWhatNixRefusesIsNotUnderstood(t *testing.T) {
	for _, text := range []string{
		`"`, `''`, `"${`, `"${a"`, `./a/`, `/* `, `{ a = 1 }`, `[ 1`, `(`, `let a = 1;`, `a b: c`, `{ a, b }`, `x: `, `1 +`, "\x00", `if a then b`,
		`inherit`, `{ inherit (a; }`, strings.Repeat("(", 5000),
	} {
		if _, err := parse(text); err == nil {
			t.Errorf("%.40q was understood", text)
		}
	}
}

func TestOperatorsBindAsInNix(t *testing.T) {
	for text, want := range map[string]string{
		`a + b ++ c`:             `(a + (b ++ c))`,
		`a ++ b ++ c`:            `(a ++ (b ++ c))`,
		`a - b - c`:              `((a - b) - c)`,
		`f x + g y z`:            `((f x) + ((g y) z))`,
		`!a && b || c -> d`:      `(((!a) && b) || c) -> d`,
		`a // b // c == d`:       `((a // (b // c)) == d)`,
		`a.b or c d`:             `(a.b|c d)`,
		`-a + b`:                 `((-a) + b)`,
		`x: y: x + y`:            `(\x. (\y. (x + y)))`,
		`a ? b && c`:             `((a?b) && c)`,
		`with a; b.c`:            `(with a b.c)`,
		`[ a b.c (d e) ]`:        `[a b.c (d e)]`,
		`{ a, b ? c, ... }@d: e`: `(\a b d. e)`,
	} {
		n, err := parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := show(n); strings.Trim(got, "()") != strings.Trim(want, "()") {
			t.Errorf("%s: %s, not %s", text, got, want)
		}
	}
}

func show(n *node) string {
	var parts []string
	for _, p := range n.parts {
		parts = append(parts, show(p))
	}
	switch n.form {
	case nodeOp:
		if len(parts) == 1 {
			return "(" + n.name + parts[0] + ")"
		}
		return "(" + parts[0] + " " + n.name + " " + parts[1] + ")"
	case nodeApply:
		return "(" + parts[0] + " " + parts[1] + ")"
	case nodeList:
		return "[" + strings.Join(parts, " ") + "]"
	case nodeWith:
		return "(with " + strings.Join(parts, " ") + ")"
	case nodeSelect:
		return parts[0] + "." + n.names[0].name + strings.Join(append([]string{""}, parts[1:]...), "|")
	case nodeHas:
		return "(" + parts[0] + "?" + n.names[0].name + ")"
	case nodeLambda:
		var names []string
		for _, f := range n.formals {
			names = append(names, f.name)
		}
		return `(\` + strings.Join(names, " ") + ". " + parts[0] + ")"
	}
	return n.name
}

// mentioned collects the names and the paths of an expression.
func mentioned(n *node, base string, names, paths map[string]bool) {
	if n == nil {
		return
	}
	switch n.form {
	case nodeName:
		names[n.name] = true
	case nodePath:
		if len(n.parts) == 1 {
			s := scanner{base: base, home: "/home/somebody"}
			paths[s.absolute(n.parts[0].name)] = true
		}
	}
	for _, p := range slices.Concat(n.parts, n.names) {
		mentioned(p, base, names, paths)
	}
	for _, b := range n.binds {
		mentioned(b.value, base, names, paths)
		mentioned(b.from, base, names, paths)
		for _, p := range b.names {
			mentioned(p, base, names, paths)
		}
		for _, name := range b.inherit {
			if b.from == nil {
				names[name] = true
			}
		}
	}
	for _, f := range n.formals {
		mentioned(f.fallback, base, names, paths)
	}
}

// Nix prints what it parsed with all paths absolute and everything in brackets. Both texts must mention the same.
func TestParserSeesTheSameNamesAndPathsAsNix(t *testing.T) {
	need.Program(t, "nix-instantiate")
	nixpkgs, _ := need.Mini(t)
	checked := 0
	for _, pattern := range []string{"nixos/modules/*/*.nix", "nixos/lib/*.nix", "lib/*.nix", "pkgs/*/*.nix", "default.nix"} {
		files, err := filepath.Glob(filepath.Join(nixpkgs, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			compareWithNix(t, file)
			checked++
		}
	}
	if checked < 20 {
		t.Errorf("only %d files were compared", checked)
	}
}

func compareWithNix(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	run := exec.Command("nix-instantiate", "--parse", file)
	run.Env = append(os.Environ(), "HOME=/home/somebody")
	printed, err := run.Output()
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if strings.Contains(string(text), "/${") || strings.Contains(string(text), " /. ") {
		return // printed as a path that ends with a slash, which nobody can read back
	}
	var got, want [2]map[string]bool
	for text, found := range map[string]*[2]map[string]bool{string(text): &got, string(printed): &want} {
		n, err := parse(text)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			return
		}
		found[0], found[1] = map[string]bool{}, map[string]bool{}
		mentioned(n, filepath.Dir(file), found[0], found[1])
		for name := range found[0] {
			if strings.HasPrefix(name, "__") {
				delete(found[0], name) // Nix prints operators as calls
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (- Nix, + we):\n%s", file, diff)
	}
}

func TestEveryFileOfTheRealTreeIsUnderstood(t *testing.T) {
	nixpkgs, disko := need.Tree(t)
	count := 0
	for _, dir := range []string{filepath.Join(nixpkgs, "nixos/modules"), filepath.Join(nixpkgs, "lib"), disko} {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".nix") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			count++
			for _, doubt := range scanText(string(text), filepath.Dir(path), "/root", os.Getenv).doubts {
				if doubt.line == 0 {
					t.Errorf("%s %s", path, doubt.path)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if count < 1000 {
		t.Errorf("only %d files were looked at", count)
	}
}

func FuzzScanEndsWithoutPanic(f *testing.F) {
	for _, seed := range []string{
		`{ lib, ... }: let k = builtins.getEnv "HOME" + "/x"; in { a.b = [ ./x "/y/${k}" ]; imports = [ (./. + "/z") ]; }`,
		`''a ${b} ''$ ''\n '' ./${x}/y ~/z <a/b> http://c`, `let a = a; b = a + b + b; in b`, `rec { inherit (builtins) readFile path; }`,
		`{ a, b ? 1, ... }@c: with builtins; assert a; if b then c else -d.e or f ? g.${"h"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := scanText(text, "/base", "/home/somebody", func(string) string { return "/value" })
		for _, m := range slices.Concat(s.literals, s.rooted) {
			if m.line < 1 || m.line > 1+strings.Count(text, "\n") {
				t.Errorf("%q: line %d of %q", m.path, m.line, text)
			}
		}
	})
}
