package colmena_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/colmena"
	"nixos-staged-hive/internal/run"
)

func TestPushGivesThePathsOfThisRun(t *testing.T) {
	each(t, "allowApplyAll = false;", fourNodes, fourNodesKnown(), func(t *testing.T, l lab) {
		dir := filepath.Join(t.TempDir(), "state")
		file, err := colmena.StandIn(dir, l.hive)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, ".gcroots"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"good", "good2", "nobuild"} { // of an earlier run
			if err := os.Symlink("/nix/store/old-"+name, filepath.Join(dir, ".gcroots", "node-"+name)); err != nil {
				t.Fatal(err)
			}
		}
		var log strings.Builder
		job := colmena.Job{Hive: file, Nodes: l.nodes, Err: &log}
		job.Call.Words = []string{"-v"}
		paths, o, err := l.tool.Push(t.Context(), run.Local{}, job, []string{"good", "nobuild", "down"})
		if err != nil || o.Code != 3 || !slices.Equal(o.Failed, []string{"down", "nobuild"}) {
			t.Fatalf("%+v, %v\n%s", o, err, log.String())
		}
		if len(paths) != 1 || !strings.Contains(paths["good"], "stand-in-system-good") || !strings.HasPrefix(paths["good"], "/nix/store/") {
			t.Errorf("paths %q", paths)
		}
		if paths, o, err := l.tool.Push(t.Context(), run.Local{}, job, []string{"nobuild"}); err != nil || len(paths) != 0 || o.Code != 1 {
			t.Errorf("%q, %+v, %v", paths, o, err)
		}
		if link, err := os.Readlink(filepath.Join(dir, ".gcroots", "node-good2")); err != nil || link != "/nix/store/old-good2" {
			t.Errorf("a host that was not pushed to is forgotten: %s, %v", link, err)
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(l.hive), ".gcroots")); err == nil {
			t.Error("something was left beside the hive")
		}
	})
}

func TestPushNamesItsHostsAndNoOthers(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{nil, {"a*"}, {"a,b"}, {"[x]"}} {
		_, _, err := colmena.Tool{Path: "/no/such"}.Push(t.Context(), run.Local{}, colmena.Job{Hive: "/h/hive.nix"}, names)
		if wrong, ok := errors.AsType[*colmena.UsageError](err); !ok {
			t.Errorf("%q: %v %v", names, err, wrong)
		}
	}
}

// Colmena writes the path of a hive into Nix code as it is.
func TestAHiveIsReadWhereverItIs(t *testing.T) {
	each(t, "", "a = { };", []colmena.Node{{Name: "a", Deployable: true}}, func(t *testing.T, l lab) {
		odd := filepath.Join(t.TempDir(), `a "b" ${c} 'd' ä`)
		if err := os.Mkdir(odd, 0o755); err != nil {
			t.Fatal(err)
		}
		moved := filepath.Join(odd, "hive.nix")
		text, err := os.ReadFile(l.hive)
		if err = errors.Join(err, os.WriteFile(moved, text, 0o600)); err != nil {
			t.Fatal(err)
		}
		if colmena.CanRead(moved) {
			t.Error("it is taken for readable")
		}
		if _, err := colmena.StandIn(odd, moved); err == nil {
			t.Error("a stand-in where Colmena cannot read it")
		}
		if l.hive, err = colmena.StandIn(t.TempDir(), moved); err != nil {
			t.Fatal(err)
		}
		if o, out, errOut := l.run(t, "eval", "-E", "{ nodes, ... }: builtins.attrNames nodes"); o.Code != 0 || out != "[\"a\"]\n" {
			t.Errorf("%+v, %q\n%s", o, out, errOut)
		}
	})
}
