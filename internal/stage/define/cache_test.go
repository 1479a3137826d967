package define

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/nix"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
	nixfiles "nixos-staged-hive/nix"
)

// stage is a workspace with an outside folder beside it, evaluated by the real Nix with the miniature nixpkgs.
type stage struct {
	t       *testing.T
	dir     string // workspace
	outside string
	in      Input
}

func newStage(t *testing.T) *stage {
	t.Helper()
	need.Program(t, "nix-instantiate")
	nixpkgs, disko := need.Mini(t)
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, dir: filepath.Join(root, "hive"), outside: filepath.Join(root, "outside")}
	home := filepath.Join(root, "home")
	s.in = Input{
		Workspace: s.dir, Generated: filepath.Join(s.dir, "generated"), Tree: nixfiles.FS,
		CacheDir: filepath.Join(root, "cache"), Tool: "test",
	}
	for _, dir := range []string{s.outside, home} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", home)
	t.Setenv("BESIDE", s.outside)
	s.source("a", nixpkgs, disko)
	s.source("b", nixpkgs, disko)
	s.host("a", "{ }")
	s.host("b", "{ }")
	return s
}

func (s *stage) source(name, nixpkgs, disko string) {
	s.in.Sources = append(s.in.Sources, Source{
		Name: name, Definition: "nixConfigs/" + name + ".nix", Nixpkgs: nixpkgs, Disko: disko, DiskoVersion: "1.8.2",
	})
}

// host writes a definition; more is a module beside what each host needs.
func (s *stage) host(name, more string) {
	s.write("nixConfigs/"+name+".nix", `{ ... }: {
  nixpkgs.hostPlatform = "x86_64-linux";
  system.stateVersion = "24.05";
  imports = [ (
`+s.expand(more)+`
  ) ];
}`)
}

// expand: OUTSIDE stands for the folder beside the workspace.
func (s *stage) expand(text string) string { return strings.ReplaceAll(text, "OUTSIDE", s.outside) }

// write writes below the workspace, or wherever an absolute path says.
func (s *stage) write(name, text string) {
	s.t.Helper()
	path := s.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(s.expand(text)), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) path(name string) string {
	if name = s.expand(name); filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.dir, name)
}

func (s *stage) link(target, name string) {
	s.t.Helper()
	path := s.path(name)
	os.Remove(path)
	if err := os.Symlink(s.expand(target), path); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) load() Result {
	s.t.Helper()
	e := Evaluator{Nix: nix.Client{Run: run.Local{}}}
	r, err := e.Load(context.Background(), s.in)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range r.Failures {
		s.t.Fatalf("%v\n%s", f, f.Trace)
	}
	return r
}

// cached are the hosts that were remembered.
func (s *stage) cached() []string {
	s.t.Helper()
	return slices.Sorted(maps.Keys(s.load().Cached))
}

func (s *stage) expect(what string, want ...string) {
	s.t.Helper()
	if got := s.cached(); !slices.Equal(got, want) {
		s.t.Errorf("%s: remembered %v, not %v", what, got, want)
	}
}

func TestUnchangedHostsAreNotEvaluatedAgainAndSayTheSame(t *testing.T) {
	s := newStage(t)
	s.host("a", `{ lib, ... }: { networking.domain = "one.example"; warnings = [ "mind" ]; }`)
	first := s.load()
	second := s.load()
	if len(first.Cached) != 0 || len(second.Cached) != 2 {
		t.Errorf("remembered %v, then %v", first.Cached, second.Cached)
	}
	if diff := cmp.Diff(first.Hive, second.Hive); diff != "" {
		t.Errorf("remembered facts differ:\n%s", diff)
	}
	s.in.Fresh = true
	s.expect("fresh facts are wanted")
}

func TestAStateIsTheSameAsLongAsNothingChanges(t *testing.T) {
	s := newStage(t)
	first, second := s.load().States, s.load().States
	if len(first) != 2 || first["a"] == first["b"] {
		t.Fatalf("states %v", first)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("remembered hosts have other states than evaluated ones:\n%s", diff)
	}
	s.host("a", `{ networking.domain = "two.example"; }`)
	if third := s.load().States; third["a"] == first["a"] {
		t.Error("the definition changed and the state did not")
	}
	s.in.Fresh = true
	if fresh := s.load().States; fresh["a"] == "" || fresh["a"] == first["a"] {
		t.Errorf("evaluated again without need: state %q, first %q", fresh["a"], first["a"])
	}
}

func TestADeepLookAlsoServesAShallowOneButNotTheReverse(t *testing.T) {
	s := newStage(t)
	s.load()
	s.in.Deep = true
	s.expect("deep after shallow")
	s.expect("deep after deep", "a", "b")
	s.in.Deep = false
	s.expect("shallow after deep", "a", "b")
}

// Everything that a definition can depend on: a module, files it needs, and the change that must be noticed.
func TestEveryChangeOfAnInputIsNoticed(t *testing.T) {
	for name, c := range map[string]struct {
		module string
		files  map[string]string
		change func(s *stage)
	}{
		"the definition":         {change: func(s *stage) { s.host("a", `{ networking.domain = "x"; }`) }},
		"an imported file":       {module: `{ imports = [ ../common.nix ]; }`, files: map[string]string{"common.nix": "{ }"}, change: func(s *stage) { s.write("common.nix", "{ networking.domain = \"x\"; }") }},
		"a new host":             {change: func(s *stage) { s.source("c", s.in.Sources[0].Nixpkgs, s.in.Sources[0].Disko); s.host("c", "{ }") }},
		"a host that goes":       {change: func(s *stage) { s.in.Sources = s.in.Sources[:1] }},
		"a file removed":         {files: map[string]string{"notes": "x"}, change: func(s *stage) { os.Remove(s.path("notes")) }},
		"a hardware report":      {change: func(s *stage) { s.write("generated/a/hardware-configuration.nix", "{ }") }},
		"another program":        {change: func(s *stage) { s.in.Tool = "another" }},
		"another disko version":  {change: func(s *stage) { s.in.Sources[0].DiskoVersion = "2"; s.in.Sources[1].DiskoVersion = "2" }},
		"parts left out":         {change: func(s *stage) { s.in.Sources[0].Without = []string{"ip"} }},
		"configuration of Nix":   {change: func(s *stage) { s.write(home()+"/.config/nix/nix.conf", "cores = 2\n") }},
		"a variable of Nix":      {change: func(s *stage) { s.t.Setenv("NIXPKGS_ALLOW_UNFREE", "1") }},
		"nixpkgs' configuration": {change: func(s *stage) { s.write(home()+"/.config/nixpkgs/config.nix", "{ }") }},
		"an outside path literal": {
			module: `{ networking.domain = builtins.readFile OUTSIDE/domain; }`, files: map[string]string{"OUTSIDE/domain": "a"},
			change: func(s *stage) { s.write("OUTSIDE/domain", "b") },
		},
		"an outside literal far from its reader": {
			module: `let f = x: { networking.domain = g (x + "/domain"); }; g = p: import p; in f OUTSIDE/sub`,
			files:  map[string]string{"OUTSIDE/sub/domain": `"a"`}, change: func(s *stage) { s.write("OUTSIDE/sub/domain", `"b"`) },
		},
		"an outside text that is read": {
			module: `{ networking.domain = builtins.readFile "OUTSIDE/domain"; }`, files: map[string]string{"OUTSIDE/domain": "a"},
			change: func(s *stage) { s.write("OUTSIDE/domain", "b") },
		},
		"a key that an option names": {
			module: `{ users.users.root.openssh.authorizedKeys.keyFiles = [ "OUTSIDE/key" ]; }`, files: map[string]string{"OUTSIDE/key": "ssh-ed25519 A"},
			change: func(s *stage) { s.write("OUTSIDE/key", "ssh-ed25519 B") },
		},
		"an outside file that comes": {
			module: `{ networking.domain = if builtins.pathExists OUTSIDE/flag then "a" else "b"; }`, change: func(s *stage) { s.write("OUTSIDE/flag", "") },
		},
		"an outside module": {
			module: `{ imports = [ "OUTSIDE/module.nix" ]; }`, files: map[string]string{"OUTSIDE/module.nix": "{ }"},
			change: func(s *stage) { s.write("OUTSIDE/module.nix", `{ networking.domain = "b"; }`) },
		},
		"an outside module of a computed name": {
			module: `let place = builtins.concatStringsSep "/" [ "OUTSIDE" "x.nix" ]; in { networking.domain = import place; }`,
			files:  map[string]string{"OUTSIDE/x.nix": `"a"`}, change: func(s *stage) { s.write("OUTSIDE/x.nix", `"b"`) },
		},
		"what an outside module reads": {
			module: `{ imports = [ OUTSIDE/module.nix ]; }`,
			files:  map[string]string{"OUTSIDE/module.nix": `{ networking.domain = builtins.readFile ./d; }`, "OUTSIDE/d": "a"},
			change: func(s *stage) { s.write("OUTSIDE/d", "b") },
		},
		"a folder that is listed": {
			module: `{ networking.search = builtins.attrNames (builtins.readDir OUTSIDE/list); }`, files: map[string]string{"OUTSIDE/list/a": ""},
			change: func(s *stage) { s.write("OUTSIDE/list/b", "") },
		},
		"a file of the home folder": {
			module: `let key = builtins.getEnv "HOME" + "/.ssh/id.pub"; in { networking.domain = if builtins.pathExists key then builtins.readFile key else "none"; }`,
			change: func(s *stage) { s.write(home()+"/.ssh/id.pub", "x") },
		},
		"a home path literal": {
			module: `{ networking.domain = if builtins.pathExists ~/x then "a" else "b"; }`, change: func(s *stage) { s.write(home()+"/x", "") },
		},
		"a variable that is read": {
			module: `{ networking.domain = builtins.getEnv "DOMAIN"; }`, change: func(s *stage) { s.t.Setenv("DOMAIN", "x") },
		},
		"a variable that is read with with": {
			module: `with builtins; { networking.domain = getEnv "DOMAIN"; }`, change: func(s *stage) { s.t.Setenv("DOMAIN", "x") },
		},
		"a link that is turned": {
			module: `{ imports = [ ../linked.nix ]; }`, files: map[string]string{"one.nix": "{ }", "two.nix": "{ }"},
			change: func(s *stage) { s.link("two.nix", "linked.nix") },
		},
		"what a link leads to outside": {
			files: map[string]string{"OUTSIDE/far.nix": "{ }"}, change: func(s *stage) { s.write("OUTSIDE/far.nix", "{ networking.domain = \"x\"; }") },
		},
		"a great file": {
			module: `{ networking.domain = builtins.substring 0 1 (builtins.readFile OUTSIDE/great); }`, files: map[string]string{"OUTSIDE/great": strings.Repeat("a", hashedWhole+1)},
			change: func(s *stage) { s.write("OUTSIDE/great", "b"+strings.Repeat("a", hashedWhole)) },
		},
		"a generated file that is named": {
			module: `{ networking.domain = builtins.readFile ../generated/x; }`, files: map[string]string{"generated/x": "a"},
			change: func(s *stage) { s.write("generated/x", "b") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			for file, text := range c.files {
				s.write(file, text)
			}
			if strings.Contains(name, "link") {
				s.link("one.nix", "linked.nix")
				s.link("OUTSIDE/far.nix", "far.nix")
				s.write("one.nix", "{ }")
				s.write("OUTSIDE/far.nix", "{ }")
			}
			if c.module != "" {
				s.host("a", c.module)
			}
			first := s.load()
			if got := s.cached(); !slices.Contains(got, "a") {
				t.Fatalf("it was not remembered to begin with: %v", first.Uncached)
			}
			c.change(s)
			if got := s.cached(); slices.Contains(got, "a") {
				t.Error("the change was not noticed")
			}
			if got := s.cached(); !slices.Contains(got, "a") {
				t.Error("it was not remembered afterwards")
			}
		})
	}
}

// Changes of what is no input must not cost an evaluation.
func TestWhatIsNoInputChangesNothing(t *testing.T) {
	s := newStage(t)
	s.load()
	s.write("generated/a/host.json", "{}")
	s.write(".git/HEAD", "x")
	s.write("OUTSIDE/other", "x")
	s.link("/nix/store/00000000000000000000000000000000-x", "result")
	s.expect("only generated files, git's and links to results changed", "a", "b")
}

func TestHostsThatCannotBeTrackedAreNeverRememberedAndSayWhy(t *testing.T) {
	for module, want := range map[string]string{
		`{ networking.domain = toString builtins.currentTime; }`:                                                           "uses currentTime (nixConfigs/a.nix:5)",
		`let r = builtins.readFile; in { networking.domain = r OUTSIDE/d; }`:                                               "passes readFile on as a value (nixConfigs/a.nix:5)",
		`{ networking.domain = builtins.${"readFile"} OUTSIDE/d; }`:                                                        "chooses a function of builtins by a computed name (nixConfigs/a.nix:5)",
		`let b = builtins; in { networking.domain = b.readFile OUTSIDE/d; }`:                                               "passes builtins on as a value (nixConfigs/a.nix:5)",
		`let f = p: builtins.readFile p; in { networking.domain = f ("OUTSIDE" + "/d"); }`:                                 "reads a file by a computed path (nixConfigs/a.nix:5)",
		`{ name, ... }: { networking.domain = builtins.readFile "OUTSIDE/${name}"; }`:                                      "reads a file by a computed path (nixConfigs/a.nix:5)",
		`{ name, ... }: { users.users.root.openssh.authorizedKeys.keyFiles = [ "${builtins.getEnv "BESIDE"}/${name}" ]; }`: "gives keyFiles a computed path (nixConfigs/a.nix:5)",
		`{ name, ... }: { networking.domain = builtins.getEnv name; }`:                                                     "reads a variable of the environment by a computed name (nixConfigs/a.nix:5)",
		`{ networking.domain = builtins.concatStringsSep "" (builtins.attrNames (builtins.readDir /proc/self/fdinfo)); }`:  "names /proc/self/fdinfo",
		`{ name, ... }: { networking.domain = builtins.readFile (./. + "/../../outside/${name}"); }`:                       "reads a file by a computed path (nixConfigs/a.nix:5)",
		`{ networking.domain = import (/. + "${builtins.head [ "OUTSIDE" ]}/x.nix"); }`:                                    "names /, which cannot be watched",
		`{ imports = [ OUTSIDE/m.nix ]; }`:                                                                                 "uses currentTime (OUTSIDE/m.nix:2)",
		`{ imports = map (n: ../lib + "/${n}.nix") [ "m" ]; }`:                                                             "uses currentTime (lib/m.nix:1)",
		`{ nodes, ... }: { networking.domain = nodes.b.config.networking.domain; }`:                                        "reads a file by a computed path (nixConfigs/b.nix:5)",
	} {
		t.Run(want, func(t *testing.T) {
			s := newStage(t)
			s.write("OUTSIDE/d", "x")
			s.write("OUTSIDE/a", "x")
			s.write("OUTSIDE/x.nix", `"x"`)
			s.write("OUTSIDE/m.nix", "{\n networking.domain = toString builtins.currentTime; }")
			s.write("lib/m.nix", "{ networking.domain = toString builtins.currentTime; }")
			if strings.Contains(module, "nodes") {
				s.host("b", `let f = p: builtins.readFile p; in { networking.domain = f ("OUTSIDE" + "/d"); }`)
			}
			s.host("a", module)
			for range 2 {
				r := s.load()
				if r.Cached["a"] || !strings.HasPrefix(r.Uncached["a"], s.expand(want)) {
					t.Errorf("remembered %v, uncached %q", r.Cached["a"], r.Uncached)
				}
				if !strings.Contains(module, "nodes") && len(r.Uncached) > 1 {
					t.Errorf("the other host pays for it: %v", r.Uncached)
				}
			}
			if !strings.Contains(module, "nodes") {
				s.expect("the other host", "b")
			}
		})
	}
}

func TestCommonWaysOfReadingAreTracked(t *testing.T) {
	for _, module := range []string{
		`{ networking.search = map builtins.readFile [ ./k1 ../k2 ]; }`,
		`{ networking.search = map (n: builtins.readFile (./. + "/${n}")) [ "k1" ]; }`,
		`let dir = ./.; in { networking.search = map (n: builtins.readFile "${toString dir}/${n}") [ "k1" ]; }`,
		`{ name, ... }: { networking.domain = if builtins.pathExists ./${name}.txt then "a" else "b"; }`,
		`{ modulesPath, ... }: { imports = [ (modulesPath + "/profiles/minimal.nix") ]; }`,
		`{ environment.variables.X = "/var/lib/x"; }`,
		`{ lib, ... }: { imports = [ (lib.mkAliasOptionModule [ "x" ] [ "networking" "domain" ]) ]; }`,
	} {
		t.Run(module, func(t *testing.T) {
			s := newStage(t)
			s.write("nixConfigs/k1", "x")
			s.write("k2", "x")
			s.host("a", module)
			r := s.load()
			if len(r.Uncached) > 0 {
				t.Fatal(r.Uncached)
			}
			s.expect("again", "a", "b")
		})
	}
}

func TestADamagedEntryIsIgnoredAndReplaced(t *testing.T) {
	s := newStage(t)
	s.load()
	file := entryFile(s.in, "a")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range []string{"", "x", string(whole[:len(whole)-1]), strings.Replace(string(whole), `"a"`, `"z"`, 1)} {
		if err := os.WriteFile(file, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		s.expect("one entry is damaged", "b")
		s.expect("it is replaced", "a", "b")
	}
}

func TestRemarksAreRepeatedWithRememberedFacts(t *testing.T) {
	s := newStage(t)
	s.host("a", `{ lib, ... }: { options.ip = lib.mkOption { type = lib.types.str; default = "x"; }; }`)
	first, second := s.load(), s.load()
	if len(first.Remarks) != 1 || !second.Cached["a"] {
		t.Fatalf("remarks %v, remembered %v, %v", first.Remarks, second.Cached, second.Uncached)
	}
	if diff := cmp.Diff(first.Remarks, second.Remarks); diff != "" {
		t.Error(diff)
	}
}

func TestFailuresAreNotRemembered(t *testing.T) {
	s := newStage(t)
	s.write("nixConfigs/a.nix", `{ x = throw "broken"; }`)
	e := Evaluator{Nix: nix.Client{Run: run.Local{}}}
	for i := range 2 {
		r, err := e.Load(context.Background(), s.in)
		if err != nil || len(r.Failures) != 1 || r.Cached["a"] || i == 1 && !r.Cached["b"] {
			t.Errorf("run %d: %v, %v, remembered %v", i, err, r.Failures, r.Cached)
		}
	}
}

func TestAChangeWhileEvaluatingIsNotRemembered(t *testing.T) {
	for _, file := range []string{"nixConfigs/b.nix", "OUTSIDE/d"} {
		s := newStage(t)
		s.write("OUTSIDE/d", "x")
		s.host("a", `{ networking.domain = builtins.readFile OUTSIDE/d; }`)
		e := Evaluator{Nix: nix.Client{Run: meddler{run: run.Local{}, meddle: func() { s.write(file, `{ }`) }}}}
		if _, err := e.Load(context.Background(), s.in); err != nil {
			t.Fatal(err)
		}
		if got := s.cached(); slices.Contains(got, "a") {
			t.Errorf("%s changed while it was read, and facts from before or after were remembered", file)
		}
	}
}

// meddler changes something behind the back of an evaluation.
type meddler struct {
	run    run.Runner
	meddle func()
}

func (m meddler) Run(ctx context.Context, c run.Command) error {
	err := m.run.Run(ctx, c)
	m.meddle()
	return err
}

func TestRunsSideBySideDoNotHarmEachOther(t *testing.T) {
	s := newStage(t)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			e := Evaluator{Nix: nix.Client{Run: run.Local{}}}
			if r, err := e.Load(context.Background(), s.in); err != nil || len(r.Hive.Hosts) != 2 {
				t.Errorf("%v, %d hosts", err, len(r.Hive.Hosts))
			}
		})
	}
	group.Wait()
	s.expect("afterwards", "a", "b")
}

func TestOldEntriesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	for i := range mostEntries + 5 {
		file := filepath.Join(dir, string(rune('a'+i%26))+strings.Repeat("x", i/26))
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-time.Duration(i) * time.Minute)
		if err := os.Chtimes(file, old, old); err != nil {
			t.Fatal(err)
		}
	}
	prune(dir)
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != mostEntries {
		t.Errorf("%d entries are left, %v", len(left), err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a")); err != nil {
		t.Error("the newest was removed")
	}
}

// newHost carries as much as a real one: 200 settings.
func newHost(name string) hive.Host {
	h := hive.Host{Name: name}
	for i := range 200 {
		value, _ := json.Marshal(strings.Repeat("x", 100))
		h.Carried = append(h.Carried, hive.Carried{Path: []string{"a", fmt.Sprint(i)}, Value: value})
	}
	return h
}

// The bound for a whole summary is 150 ms; this part of it must leave room on a slow machine.
func BenchmarkRecallOfFiftyHosts(b *testing.B) {
	dir := b.TempDir()
	in := Input{Workspace: filepath.Join(dir, "hive"), Tree: nixfiles.FS, CacheDir: filepath.Join(dir, "cache")}
	in.Generated = filepath.Join(in.Workspace, "generated")
	if err := os.MkdirAll(in.Workspace, 0o755); err != nil {
		b.Fatal(err)
	}
	for i := range 50 {
		name := "host" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		if err := os.WriteFile(filepath.Join(in.Workspace, name+".nix"), []byte("{ x = ../y; }"), 0o600); err != nil {
			b.Fatal(err)
		}
		in.Sources = append(in.Sources, Source{Name: name, Definition: name + ".nix"})
	}
	known := recall(in)
	ev := newEvaluation(Evaluator{}, in, dir)
	ev.told.total = 50
	for _, s := range in.Sources {
		h := newHost(s.Name)
		ev.told.host(h)
		ev.log = append(ev.log, evaluator{hosts: []string{s.Name}, tells: true})
	}
	if uncached := remember(in, ev, known); len(uncached) > 0 {
		b.Fatal(uncached)
	}
	for b.Loop() {
		if r := recall(in); len(r.hosts) != 50 {
			b.Fatalf("%d hosts were remembered", len(r.hosts))
		}
	}
}

// However a file is read, facts are never older than it: the host is tracked or it is not remembered.
func TestFactsAreNeverStaleHoweverAFileIsRead(t *testing.T) {
	for i, read := range []string{
		`let inherit (builtins) readFile; in readFile OUTSIDE/d`,
		`with builtins; readFile (toPath "OUTSIDE/d")`,
		`__readFile OUTSIDE/d`,
		`(builtins).readFile OUTSIDE/d`,
		`(x: x.readFile) builtins OUTSIDE/d`,
		`{ f = builtins.readFile; }.f OUTSIDE/d`,
		`import (OUTSIDE + "/d.nix")`,
		`import (builtins.concatStringsSep "/" [ "OUTSIDE" "d.nix" ])`,
		`lib.fileContents OUTSIDE/d`,
		`lib.fileContents "OUTSIDE/d"`,
		`with lib; fileContents (/. + "OUTSIDE/d")`,
		`builtins.readFile (builtins.head [ OUTSIDE/d ])`,
		`let p = "OUTSIDE"; in builtins.readFile "${p}/d"`,
		`let p = "OUTSIDE"; q = p + "/d"; f = { inherit q; }; in builtins.readFile f.q`,
		`(rec { p = "OUTSIDE/d"; v = builtins.readFile p; }).v`,
		`({ p ? "OUTSIDE/d" }: builtins.readFile p) { }`,
		`let p.q = "OUTSIDE/d"; in builtins.readFile p.q`,
		`let p = builtins.getEnv "BESIDE"; in builtins.readFile "${p}/d"`,
		`let p = builtins.getEnv "BESIDE"; f = x: y: builtins.readFile (x + "/${y}"); in f p "d"`,
		`let p = { inherit (builtins) getEnv; }; in builtins.readFile (p.getEnv "BESIDE" + "/d")`,
		`builtins.hashFile "sha256" "OUTSIDE/d"`,
		`builtins.readFile (./. + "/../../outside/d")`,
		`let up = ".."; in builtins.readFile (./. + "/${up}/${up}/outside/d")`,
		`builtins.readFile ../link`,
		`builtins.readFile ../folder/d`,
		`builtins.substring 0 32 (builtins.hashString "sha256" (builtins.readFile (builtins.path { path = OUTSIDE/d; })))`,
		`lib.concatStrings (map builtins.readFile (map (n: OUTSIDE + "/${n}") [ "d" ]))`,
		`builtins.concatStringsSep "" (lib.mapAttrsToList (n: _: builtins.readFile (OUTSIDE/sub + "/${n}")) (builtins.readDir OUTSIDE/sub))`,
		`import ../reader.nix "OUTSIDE/d"`,
		`import ../reader.nix (builtins.fromJSON (builtins.readFile ../place.json))`,
		`''${builtins.readFile ''OUTSIDE/d''}''`,
		`toString (builtins.pathExists "OUTSIDE/later")`,
		`toString (lib.pathExists (OUTSIDE + "/later"))`,
		`let names = builtins.attrNames (builtins.readDir OUTSIDE); in builtins.concatStringsSep "." names`,
	} {
		// the folder of a test is named after it, and must be an ordinary path
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			s := newStage(t)
			s.write("reader.nix", `path: builtins.readFile path`)
			s.write("place.json", `"OUTSIDE/d"`)
			s.link("OUTSIDE/d", "link")
			s.link("OUTSIDE/sub", "folder")
			s.host("a", `{ lib, ... }: { networking.domain = `+read+`; }`)
			domain := func(text string) string {
				s.write("OUTSIDE/d", text)
				s.write("OUTSIDE/d.nix", `"`+text+`"`)
				s.write("OUTSIDE/sub/d", text)
				if text == "new" {
					s.write("OUTSIDE/later", "")
				}
				e := Evaluator{Nix: nix.Client{Run: run.Local{}}}
				r, err := e.Load(context.Background(), s.in)
				if err != nil {
					t.Fatal(err)
				}
				for _, h := range r.Hive.Hosts {
					if h.Name == "a" {
						return h.Domain
					}
				}
				t.Fatalf("%s: %v", read, r.Failures)
				return ""
			}
			before, after := domain("old"), domain("new")
			if before == after {
				t.Errorf("%s: the facts are stale: %q", read, after)
			}
		})
	}
}
