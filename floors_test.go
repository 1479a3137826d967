// Package house holds no code, only the test that keeps the floors of docs/architecture.md: imports go down, never sideways.
package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "nixos-staged-hive"

// floors lists the house from the ground up. A package imports packages of lower floors only. Folders below one of these belong to it.
var floors = [][]string{
	{"nix", "internal/hive", "internal/run", "internal/progress"},
	{
		"internal/nix", "internal/pin", "internal/generate", "internal/blockdev", "internal/remote", "internal/colmena",
		"internal/kube", "internal/secret", "internal/discovery", "internal/vm", "internal/ui",
	},
	{
		"internal/stage/workspace", "internal/stage/define", "internal/stage/medium", "internal/stage/install",
		"internal/stage/setup", "internal/stage/deploy", "internal/stage/cluster", "internal/stage/summary",
	},
	{"internal/stage/rehearse"},
	{"internal/cli"},
	{"cmd/nixos-staged-hive", "cmd/docs"},
	{"test/stages", "test/matrix", "test/faults", "test/lab", "bench"},
}

// scaffold holds the real things that tests stand on. Only tests import it, and it stands on the ground alone.
const scaffold = "internal/testbed"

// fences say who may import what from outside. Everything not named here is refused, so that each new dependency is a decision.
var fences = []struct {
	prefix    string
	allowed   []string // nil is everyone
	testsOnly bool     // in _test.go files and the scaffold
	testsFree bool     // _test.go files and the scaffold may import it anywhere
}{
	{prefix: "os/exec", allowed: []string{"internal/run"}, testsFree: true},
	{prefix: "github.com/spf13/", allowed: []string{"internal/cli", "cmd/docs"}},
	{prefix: "charm.land/", allowed: []string{"internal/ui"}},
	{prefix: "github.com/charmbracelet/", allowed: []string{"internal/ui"}},
	{prefix: "golang.org/x/sys/unix", allowed: []string{"internal/blockdev", "internal/run", "internal/stage/setup"}, testsFree: true},
	{prefix: "filippo.io/age", allowed: []string{"internal/secret"}},
	{prefix: "github.com/go-crypt/crypt/", allowed: []string{"internal/secret"}},
	{prefix: "golang.org/x/crypto/", allowed: []string{"internal/remote", "internal/secret", "internal/stage/workspace", "internal/stage/install"}},
	{prefix: "golang.org/x/net/", allowed: []string{"internal/discovery"}},
	{prefix: "github.com/pion/", allowed: []string{"internal/discovery"}},
	{prefix: "github.com/boombuler/barcode", allowed: []string{"internal/stage/setup"}}, // QR codes of the console
	{prefix: "github.com/muesli/cancelreader", allowed: []string{"internal/ui"}},
	{prefix: "golang.org/x/sync/"},
	{prefix: "golang.org/x/mod/semver"},
	{prefix: "github.com/creack/pty", testsOnly: true},
	{prefix: "github.com/google/go-cmp/", testsOnly: true},
	{prefix: "github.com/makiuchi-d/gozxing", testsOnly: true}, // reads QR codes back
	{prefix: "github.com/rogpeppe/go-internal/", testsOnly: true},
}

// pure packages use the standard library alone, and nothing of ours.
var pure = []string{"internal/hive", "internal/progress"}

var bannedNames = []string{"util", "utils", "common", "helper", "helpers", "manager", "info", "data", "process"}

// source is one parsed Go file.
type source struct {
	name    string // path from the module's root, with slashes
	test    bool
	syntax  *ast.File
	imports []string
}

func (s source) dir() string { return path.Dir(s.name) }

// TestImportsGoDown reads the files itself: a test that asked "go list" would be answered from the test cache after a change.
func TestImportsGoDown(t *testing.T) {
	files := readModule(t)
	for _, problem := range slices.Concat(importProblems(files), codeProblems(files), docProblems(files)) {
		t.Error(problem)
	}
	if len(files) < 10 {
		t.Errorf("only %d Go files found: the walk is broken", len(files))
	}
}

func readModule(t *testing.T) []source {
	t.Helper()
	var files []source
	root := os.DirFS(".")
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipped(root, name)
		}
		if !strings.HasSuffix(name, ".go") || name == "floors_test.go" {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := parse(name, string(text))
		files = append(files, file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// skipped leaves out hidden folders, test inputs, build results and modules of their own.
func skipped(root fs.FS, dir string) error {
	base := path.Base(dir)
	if dir == "." {
		return nil
	}
	if strings.HasPrefix(base, ".") || base == "testdata" || dir == "build" {
		return fs.SkipDir
	}
	if _, err := fs.Stat(root, dir+"/go.mod"); err == nil {
		return fs.SkipDir
	}
	return nil
}

func parse(name, text string) (source, error) {
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return source{}, err
	}
	s := source{name: name, test: strings.HasSuffix(name, "_test.go"), syntax: file}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return source{}, err
		}
		s.imports = append(s.imports, imported)
	}
	return s, nil
}

// place gives the floor and the unit (the entry of the table) that a folder belongs to; floor -1 is nowhere.
func place(dir string) (floor int, unit string) {
	for i, units := range floors {
		for _, u := range units {
			if within(dir, u) {
				return i, u
			}
		}
	}
	return -1, ""
}

func within(dir, unit string) bool { return dir == unit || strings.HasPrefix(dir, unit+"/") }

func importProblems(files []source) []string {
	var problems []string
	for _, f := range files {
		if floor, _ := place(f.dir()); floor < 0 && !within(f.dir(), scaffold) {
			problems = append(problems, f.name+": the package stands on no floor; give it a place in floors_test.go")
			continue
		}
		for _, imported := range f.imports {
			why := ""
			if own, ok := strings.CutPrefix(imported, module+"/"); ok {
				why = ownProblem(f, own)
			} else {
				why = foreignProblem(f, imported)
			}
			if why != "" {
				problems = append(problems, fmt.Sprintf("%s: imports %s: %s", f.name, imported, why))
			}
		}
	}
	return problems
}

func ownProblem(f source, own string) string {
	floor, unit := place(f.dir())
	below, target := place(own)
	switch {
	case unit != "" && unit == target, within(f.dir(), scaffold) && within(own, scaffold):
		return ""
	case within(own, scaffold):
		if f.test {
			return ""
		}
		return "the scaffold is for tests only"
	case below < 0:
		return "it stands on no floor"
	case slices.Contains(pure, unit) && !f.test:
		return unit + " uses the standard library alone"
	case within(f.dir(), scaffold) && below > 0:
		return "the scaffold stands on the ground alone"
	case !within(f.dir(), scaffold) && below == floor:
		return "imports never go sideways"
	case !within(f.dir(), scaffold) && below > floor:
		return "imports go down only"
	}
	return ""
}

func foreignProblem(f source, imported string) string {
	_, unit := place(f.dir())
	forTests := f.test || within(f.dir(), scaffold)
	for _, fence := range fences {
		if imported != fence.prefix && !strings.HasPrefix(imported, strings.TrimSuffix(fence.prefix, "/")+"/") {
			continue
		}
		switch {
		case fence.testsFree && forTests:
			return ""
		case fence.testsOnly && !forTests:
			return "it is for tests only"
		case fence.allowed != nil && !slices.Contains(fence.allowed, unit):
			return "it is fenced in " + strings.Join(fence.allowed, ", ")
		case slices.Contains(pure, unit) && !f.test:
			return unit + " uses the standard library alone"
		}
		return ""
	}
	if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") {
		return "no fence names it; a new dependency is decided in floors_test.go"
	}
	return ""
}

// codeProblems finds what makes a package hard to test: work at import time, and exits from the middle.
func codeProblems(files []source) []string {
	var problems []string
	for _, f := range files {
		if f.test || within(f.dir(), scaffold) { // a stand-in for a program ends as that program does
			continue
		}
		for _, decl := range f.syntax.Decls {
			function, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if function.Recv == nil && function.Name.Name == "init" {
				problems = append(problems, f.name+": has an init function")
			}
			if f.syntax.Name.Name == "main" && function.Name.Name == "main" {
				continue
			}
			if call := exitCall(function); call != "" {
				problems = append(problems, fmt.Sprintf("%s: %s calls %s; only main ends the program", f.name, function.Name.Name, call))
			}
		}
	}
	return problems
}

func exitCall(n ast.Node) string {
	found := ""
	ast.Inspect(n, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if from, ok := selector.X.(*ast.Ident); ok {
			name := from.Name + "." + selector.Sel.Name
			if name == "os.Exit" || strings.HasPrefix(name, "log.Fatal") {
				found = name
			}
		}
		return true
	})
	return found
}

// docProblems wants a doc comment and a telling name for every package.
func docProblems(files []source) []string {
	documented := map[string]bool{}
	for _, f := range files {
		if !f.test {
			documented[f.dir()] = documented[f.dir()] || f.syntax.Doc != nil
		}
	}
	var problems []string
	for dir, ok := range documented {
		if !ok {
			problems = append(problems, dir+": the package has no doc comment")
		}
		if slices.Contains(bannedNames, path.Base(dir)) {
			problems = append(problems, dir+": the name says nothing")
		}
	}
	slices.Sort(problems)
	return problems
}

func TestFloorsRefuseWhatTheyShould(t *testing.T) {
	for _, tt := range []struct{ name, file, imported, want string }{
		{"down", "internal/cli/x.go", "nixos-staged-hive/internal/hive", ""},
		{"up", "internal/hive/x_test.go", "nixos-staged-hive/internal/cli", "down only"},
		{"sideways", "internal/pin/x.go", "nixos-staged-hive/internal/nix", "sideways"},
		{"the Nix tree is not the nix programs", "internal/nix/x.go", "nixos-staged-hive/nix", ""},
		{"rooms keep apart", "internal/stage/define/x.go", "nixos-staged-hive/internal/stage/summary", "sideways"},
		{"the attic strings rooms together", "internal/stage/rehearse/x.go", "nixos-staged-hive/internal/stage/setup", ""},
		{"own test package", "internal/pin/x_test.go", "nixos-staged-hive/internal/pin", ""},
		{"folder of its own", "internal/ui/x.go", "nixos-staged-hive/internal/ui/glyph", ""},
		{"a new room", "internal/newroom/x.go", "fmt", "no floor"},
		{"an unknown room", "internal/cli/x.go", "nixos-staged-hive/internal/newroom", "no floor"},
		{"scaffold in a test", "internal/nix/x_test.go", "nixos-staged-hive/internal/testbed/need", ""},
		{"scaffold in the product", "internal/nix/x.go", "nixos-staged-hive/internal/testbed/need", "tests only"},
		{"scaffold on a wall", "internal/testbed/sshd/x.go", "nixos-staged-hive/internal/remote", "ground alone"},
		{"pure within the ground", "internal/hive/x.go", "nixos-staged-hive/internal/run", "standard library alone"},
		{"pure with a library", "internal/hive/x.go", "golang.org/x/mod/semver", "standard library alone"},
		{"exec in its place", "internal/run/x.go", "os/exec", ""},
		{"exec elsewhere", "internal/nix/x.go", "os/exec", "fenced in internal/run"},
		{"exec in a test", "internal/nix/x_test.go", "os/exec", ""},
		{"cobra in a room", "internal/stage/define/x.go", "github.com/spf13/cobra", "fenced in internal/cli"},
		{"terminal in the roof", "internal/cli/x.go", "charm.land/huh/v2", "fenced in internal/ui"},
		{"test library in the product", "internal/pin/x.go", "github.com/google/go-cmp/cmp", "tests only"},
		{"test library in a test", "internal/pin/x_test.go", "github.com/google/go-cmp/cmp", ""},
		{"undecided dependency", "internal/pin/x_test.go", "example.org/shiny", "no fence"},
		{"standard library", "internal/hive/x.go", "net/netip", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file, err := parse(tt.file, "package x\nimport _ "+strconv.Quote(tt.imported))
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(importProblems([]source{file}), "\n")
			if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q in it", got, tt.want)
			}
		})
	}
}

func TestCodeAndDocRulesRefuseWhatTheyShould(t *testing.T) {
	for _, tt := range []struct{ name, file, text, want string }{
		{"good", "internal/x/x.go", "// Package x is.\npackage x\nfunc f() {}", ""},
		{"no doc", "internal/x/x.go", "package x", "no doc comment"},
		{"a name that says nothing", "internal/util/x.go", "// Package util is.\npackage util", "says nothing"},
		{"init", "internal/x/x.go", "// Package x is.\npackage x\nfunc init() {}", "init function"},
		{"a method may be called init", "internal/x/x.go", "// Package x is.\npackage x\nfunc (t T) init() {}", ""},
		{"exit", "internal/x/x.go", "// Package x is.\npackage x\nimport \"os\"\nfunc f() { func() { os.Exit(1) }() }", "f calls os.Exit"},
		{"exit in main", "cmd/x/main.go", "// Command x is.\npackage main\nimport \"os\"\nfunc main() { os.Exit(1) }", ""},
		{"exit in a test", "internal/x/x_test.go", "package x\nimport \"os\"\nfunc f() { os.Exit(1) }", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file, err := parse(tt.file, tt.text)
			if err != nil {
				t.Fatal(err)
			}
			files := []source{file}
			got := strings.Join(slices.Concat(codeProblems(files), docProblems(files)), "\n")
			if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q in it", got, tt.want)
			}
		})
	}
}
