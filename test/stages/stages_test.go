// Package stages proves the generated stage files with the whole program: every example, on the miniature nixpkgs always and
// on a real one where STAGED_HIVE_NIXPKGS and STAGED_HIVE_DISKO name it.
package stages

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/pin"
	"nixos-staged-hive/internal/run"
	standin "nixos-staged-hive/internal/testbed/colmena"
	"nixos-staged-hive/internal/testbed/need"
)

func TestMain(m *testing.M) {
	standin.MainIfAsked()
	// as the program sets it: Nix 2.8 crashes in a collection now and then
	os.Setenv("GC_INITIAL_HEAP_SIZE", "2G")
	code := m.Run()
	os.RemoveAll(built.dir)
	os.Exit(code)
}

// trees are the pinned sources of a run.
type trees struct{ name, nixpkgs, disko string }

// onEach runs test on the miniatures and on the real trees.
func onEach(t *testing.T, test func(*testing.T, trees)) {
	t.Run("miniature", func(t *testing.T) {
		nixpkgs, disko := need.Mini(t)
		test(t, trees{"miniature", nixpkgs, disko})
	})
	t.Run("real NixOS", func(t *testing.T) {
		nixpkgs, disko := need.Tree(t)
		test(t, trees{"real", inStore(t, nixpkgs), inStore(t, disko)})
	})
}

// stored remembers trees that were copied into the store: it takes a while, and a workspace that pins a store path copies nothing.
var stored sync.Map

func inStore(t *testing.T, tree string) string {
	t.Helper()
	once, _ := stored.LoadOrStore(tree, sync.OnceValues(func() (string, error) {
		f := pin.Fetcher{Run: run.Local{}, Dir: tree}
		spec, err := pin.ParseSpec(tree)
		if err != nil {
			return "", err
		}
		locked, err := f.Resolve(context.Background(), pin.Source{Name: "tree"}, spec)
		return locked.StorePath, err
	}))
	path, err := once.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// built is the program under test.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func program(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "staged-hive-test-*"); built.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", built.dir, "nixos-staged-hive/cmd/nixos-staged-hive").CombinedOutput()
		if err != nil {
			built.err = &run.Error{Stderr: out, Err: err}
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "nixos-staged-hive")
}

// workspace copies an example and pins it to the trees.
func workspace(t *testing.T, example string, on trees) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), example)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(need.Module(t), "examples", example))); err != nil {
		t.Fatal(err)
	}
	pins(t, dir, on)
	return dir
}

func pins(t *testing.T, dir string, on trees) {
	t.Helper()
	b, err := json.Marshal(map[string]string{"nixos": on.nixpkgs, "disko": on.disko, "k3s": "v1.30.1-k3s1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "versions.json"), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// hiveOf runs the program on a workspace and returns its stdout.
func hiveOf(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	return command(t, program(t), append([]string{"-q", "-p", dir}, args...)...)
}

func command(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	out, _ := outputs(t, name, args...)
	return out
}

// outputs is what a command that succeeds wrote to stdout and to stderr.
func outputs(t *testing.T, name string, args ...string) (stdout []byte, stderr string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", run.Quote(append([]string{filepath.Base(name)}, args...)...), err, tail(out.Bytes()), tail(errOut.Bytes()))
	}
	return out.Bytes(), errOut.String()
}

func tail(b []byte) []byte { return b[max(0, len(b)-4000):] }

func examples(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(need.Module(t), "examples"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	if len(names) < 9 {
		t.Fatalf("only %d examples found: %v", len(names), names)
	}
	return names
}

// hosts are the facts of a workspace, as `summary NAME...` prints them.
func hosts(t *testing.T, dir string) []hive.Host {
	t.Helper()
	var doc struct{ Hosts []hive.Host }
	if err := json.Unmarshal(hiveOf(t, dir, "summary", "--json", "*"), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Hosts) == 0 {
		t.Fatal("no hosts")
	}
	return doc.Hosts
}

// TestEveryStageOfEveryExampleInstantiates evaluates image, mini system and full system of each host to a derivation, through
// the generated tree alone, and holds the mini system to the law: what is carried is what the host has.
func TestEveryStageOfEveryExampleInstantiates(t *testing.T) {
	need.Program(t, "nix-instantiate")
	onEach(t, func(t *testing.T, on trees) {
		for _, example := range examples(t) {
			t.Run(example, func(t *testing.T) {
				t.Parallel()
				dir := workspace(t, example, on)
				hiveOf(t, dir, "generate")
				for _, host := range hosts(t, dir) {
					instantiate(t, dir, host)
					law(t, dir, host.Name)
				}
			})
		}
	})
}

func instantiate(t *testing.T, dir string, host hive.Host) {
	t.Helper()
	args := []string{filepath.Join(dir, "generated"), "-A", host.Name + ".iso", "-A", host.Name + ".mini", "-A", host.Name + ".full"}
	want := 3
	if len(host.Storage.Disks) > 0 {
		args = append(args, "-A", host.Name+".format")
		want++
	}
	var derivations []string
	for line := range strings.Lines(string(command(t, "nix-instantiate", args...))) {
		if strings.HasSuffix(strings.TrimSpace(line), ".drv") {
			derivations = append(derivations, line)
		}
	}
	if len(derivations) != want {
		t.Errorf("%s: %d derivations, want %d: %q", host.Name, len(derivations), want, derivations)
	}
	slices.Sort(derivations)
	if n := len(slices.Compact(derivations)); n != want {
		t.Errorf("%s: stages share derivations: %q", host.Name, derivations)
	}
}

// law evaluates the mini system and reads from it what was carried.
func law(t *testing.T, dir, name string) {
	t.Helper()
	out := command(t, "nix-instantiate", "--eval", "--strict", "--json", filepath.Join(need.Module(t), "nix", "tests", "law.nix"),
		"--argstr", "tree", filepath.Join(dir, "generated"), "--argstr", "name", name)
	var differences []struct {
		Path       string
		Host, Mini any
	}
	if err := json.Unmarshal(out, &differences); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	for _, d := range differences {
		t.Errorf("%s: %s: the host has %v, its mini system %v", name, d.Path, d.Host, d.Mini)
	}
}

// TestTheMiniSystemNeedsNixpkgsAlone evaluates mini_sys.nix where nothing else of the tree is: with host.json in an empty folder.
func TestTheMiniSystemNeedsNixpkgsAlone(t *testing.T) {
	need.Program(t, "nix-instantiate")
	onEach(t, func(t *testing.T, on trees) {
		dir := workspace(t, "luks", on)
		hiveOf(t, dir, "generate")
		alone := t.TempDir()
		for _, file := range []string{"mini_sys.nix", "host.json"} {
			b, err := os.ReadFile(filepath.Join(dir, "generated", "notebook", file))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(alone, file), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		there := command(t, "nix-instantiate", filepath.Join(dir, "generated"), "-A", "notebook.mini")
		here := command(t, "nix-instantiate", filepath.Join(on.nixpkgs, "nixos"), "-A", "config.system.build.toplevel",
			"--arg", "configuration", filepath.Join(alone, "mini_sys.nix"))
		if !bytes.Equal(bytes.TrimSpace(there), bytes.TrimSpace(here)) {
			t.Errorf("in the tree %s, alone %s", there, here)
		}
	})
}

// TestAHardwareReportIsPartOfTheHostAndItsAbsenceIsNone: it is the user's, comes and goes, and nothing else in the tree depends on it.
func TestAHardwareReportIsPartOfTheHostAndItsAbsenceIsNone(t *testing.T) {
	need.Program(t, "nix-instantiate")
	onEach(t, func(t *testing.T, on trees) {
		dir := workspace(t, "single-vm", on)
		hiveOf(t, dir, "generate")
		system := func() (drv string, modules bool) {
			for _, c := range hosts(t, dir)[0].Carried {
				modules = modules || strings.Contains(string(c.Value), "from-the-report")
			}
			return string(command(t, "nix-instantiate", filepath.Join(dir, "generated"), "-A", "testvm.full")), modules
		}
		without, marked := system()
		if marked {
			t.Error("the report is there before it is")
		}
		report := filepath.Join(dir, "generated", "testvm", "hardware-configuration.nix")
		if err := os.WriteFile(report, []byte(`{ boot.initrd.kernelModules = [ "from-the-report" ]; }`), 0o644); err != nil {
			t.Fatal(err)
		}
		if with, marked := system(); !marked || with == without {
			t.Error("the report is no part of the host")
		}
		hiveOf(t, dir, "generate")
		if _, err := os.Stat(report); err != nil {
			t.Errorf("generate takes the report away: %v", err)
		}
		if err := os.Remove(report); err != nil {
			t.Fatal(err)
		}
		hiveOf(t, dir, "generate")
		if again, marked := system(); marked || again != without {
			t.Error("something of the report stays")
		}
	})
}

// TestWithoutHiveOptionsASystemIsUnchanged: adding our modules to a definition that sets none of their options adds nothing.
func TestWithoutHiveOptionsASystemIsUnchanged(t *testing.T) {
	need.Program(t, "nix-instantiate")
	onEach(t, func(t *testing.T, on trees) {
		dir := t.TempDir()
		definition := filepath.Join(dir, "plain.nix")
		if err := os.WriteFile(definition, []byte(plain), 0o644); err != nil {
			t.Fatal(err)
		}
		expression := filepath.Join(dir, "both.nix")
		if err := os.WriteFile(expression, []byte(both), 0o644); err != nil {
			t.Fatal(err)
		}
		out := command(t, "nix-instantiate", "--eval", "--strict", "--json", expression,
			"--argstr", "ours", filepath.Join(need.Module(t), "nix"), "--argstr", "nixpkgs", on.nixpkgs,
			"--argstr", "disko", on.disko, "--argstr", "definition", definition)
		var systems []string
		if err := json.Unmarshal(out, &systems); err != nil {
			t.Fatal(err)
		}
		if len(systems) != 2 || systems[0] != systems[1] || !strings.HasSuffix(systems[0], ".drv") {
			t.Errorf("without and with our modules: %q", systems)
		}
	})
}

const plain = `{ pkgs, ... }: {
  networking.hostName = "plain";
  nixpkgs.hostPlatform = "x86_64-linux";
  boot.loader.grub.device = "/dev/disk/by-id/x";
  fileSystems."/" = { device = "/dev/disk/by-label/root"; fsType = "ext4"; };
  users.users.ben = { isNormalUser = true; extraGroups = [ "wheel" ]; password = "x"; };
  services.openssh.enable = true;
  environment.systemPackages = [ pkgs.git ];
  system.stateVersion = "24.05";
}
`

const both = `{ ours, nixpkgs, disko, definition }:
let path = text: /. + text; in [
  (import (path nixpkgs + "/nixos/lib/eval-config.nix") { modules = [ (path definition) ]; }).config.system.build.toplevel.drvPath
  (import (path ours + "/lib/host.nix") {
    nixpkgs = path nixpkgs; disko = path disko; name = "plain"; definition = path definition; workspace = path (dirOf definition);
  }).config.system.build.toplevel.drvPath
]
`

// TestColmenaTakesTheHive hands the generated hive to every Colmena at hand: each node has the deployment that the facts say,
// the others in its /etc/hosts, and, with the first of them, a system that is the one the tree has without Colmena.
func TestColmenaTakesTheHive(t *testing.T) {
	need.Program(t, "nix-instantiate")
	onEach(t, func(t *testing.T, on trees) {
		for _, example := range []string{"static-trio", "original", "aarch64", "without-disko"} {
			t.Run(example, func(t *testing.T) {
				dir := workspace(t, example, on)
				hiveOf(t, dir, "generate")
				facts := hosts(t, dir)
				standin.Each(t, func(t *testing.T, colmena string) {
					nodesHaveTheirDeployment(t, dir, colmena, facts)
				})
			})
		}
	})
}

const nodesExpression = `{ nodes, lib, ... }: lib.mapAttrs (_: n: {
  inherit (n.config.deployment) targetHost targetUser tags;
  hosts = n.config.networking.hosts;
  hostName = n.config.networking.hostName;
  system = n.pkgs.stdenv.hostPlatform.system;
}) nodes`

func nodesHaveTheirDeployment(t *testing.T, dir, colmena string, facts []hive.Host) {
	t.Helper()
	out := command(t, colmena, "-f", filepath.Join(dir, "generated", "hive.nix"), "eval", "-E", nodesExpression)
	var nodes map[string]struct {
		TargetHost, TargetUser *string
		Tags                   []string
		Hosts                  map[string][]string
		HostName, System       string
	}
	if err := json.Unmarshal(out, &nodes); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(nodes) != len(facts) {
		t.Errorf("%d nodes for %d hosts", len(nodes), len(facts))
	}
	entries := hive.HostsEntries(hive.Hive{Hosts: facts})
	for _, host := range facts {
		node, ok := nodes[host.Name]
		if !ok {
			t.Errorf("no node %s", host.Name)
			continue
		}
		d := host.Deployment
		if text(node.TargetHost) != text(d.TargetHost) || text(node.TargetUser) != text(d.TargetUser) || !slices.Equal(node.Tags, d.Tags) {
			t.Errorf("%s: node %s@%s %v, facts %s@%s %v", host.Name, text(node.TargetUser), text(node.TargetHost), node.Tags,
				text(d.TargetUser), text(d.TargetHost), d.Tags)
		}
		if node.System != host.System || node.HostName != host.HostName {
			t.Errorf("%s: node %s on %s, facts %s on %s", host.Name, node.HostName, node.System, host.HostName, host.System)
		}
		for address, names := range entries {
			if has := containsAll(node.Hosts[address], names); has != host.Network.HostsEntry {
				t.Errorf("%s: entry %s %v in /etc/hosts is %v, wanted %v: %v", host.Name, address, names, has, host.Network.HostsEntry, node.Hosts)
			}
		}
	}
}

func text(s *string) string {
	if s == nil {
		return "(null)"
	}
	return *s
}

func containsAll(in, all []string) bool {
	return !slices.ContainsFunc(all, func(s string) bool { return !slices.Contains(in, s) })
}

// TestColmenaBuildsTheSystemOfTheTree: a node's system under a real Colmena is the derivation the tree has by itself, so what
// was looked at before is what gets deployed.
func TestColmenaBuildsTheSystemOfTheTree(t *testing.T) {
	need.Program(t, "nix-instantiate")
	onEach(t, func(t *testing.T, on trees) {
		binaries := need.Colmena(t)
		dir := workspace(t, "single-vm", on)
		hiveOf(t, dir, "generate")
		want := strings.TrimSpace(string(command(t, "nix-instantiate", filepath.Join(dir, "generated"), "-A", "testvm.full")))
		for _, colmena := range binaries {
			out := command(t, colmena, "-f", filepath.Join(dir, "generated", "hive.nix"), "eval", "-E",
				`{ nodes, ... }: nodes.testvm.config.system.build.toplevel.drvPath`)
			if got := strings.Trim(strings.TrimSpace(string(out)), `"`); got != want {
				t.Errorf("%s: %s, the tree has %s", colmena, got, want)
			}
		}
	})
}
