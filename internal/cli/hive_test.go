package cli_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	standin "nixos-staged-hive/internal/testbed/colmena"
	"nixos-staged-hive/internal/testbed/need"
)

// withColmena runs a test with every Colmena there is on PATH, on a hive of two hosts and one that is off.
func withColmena(t *testing.T, test func(t *testing.T, d *desk)) {
	t.Helper()
	standin.Lab(t)
	standin.Each(t, func(t *testing.T, colmena string) {
		d := newDesk(t, map[string]string{
			"nixConfigs/web.nix":  host(`hive.deployment.tags = [ "all" ]; networking.domain = "a''b";`),
			"nixConfigs/db.nix":   host(`hive.deployment = { tags = [ "all" ]; targetHost = "10.0.0.2"; };`),
			"nixConfigs/down.nix": host(`hive.deployment.targetHost = "down";`),
		})
		d.env = append(d.env, "PATH="+filepath.Dir(colmena)+":"+os.Getenv("PATH"), "RUST_BACKTRACE=0")
		test(t, d)
	})
}

func TestTheHiveIsBuiltAndDeployedThroughColmena(t *testing.T) {
	withColmena(t, func(t *testing.T, d *desk) {
		d.run("hive", "build", "--on", "web").exits(0).says("Built")
		if _, err := os.Stat(d.path("generated/hive.nix")); err != nil {
			t.Error("build did not generate")
		}
		d.run("hive", "-s", "build", "--on", "@all").exits(0)
		d.run("hive", "apply", "push", "--on", "web,db").exits(0)
		d.run("hive", "-s", "apply", "--on", "web").exits(0).says("web")
		d.run("hive", "-s", "apply", "push", "--on", "web,down").exits(3).says("down", "push")
		d.run("hive", "-s", "apply", "push").exits(3).says("1 of 3 hosts failed: push down")
		d.run("hive", "-s", "apply", "push", "--on", "down").exits(1).says("1 of 1 host failed: push down")
		d.run("hive", "-s", "exec", "--on", "web", "--", "echo", "a b").exits(0).says("a b")
		d.run("hive", "-s", "exec", "--on", "down", "true").exits(1)
		d.run("hive", "-s", "eval", "-E", "{ nodes, ... }: builtins.attrNames nodes").exits(0).says("web")
	})
}

func TestSelectionsThatColmenaWouldMisunderstandAreRefused(t *testing.T) {
	withColmena(t, func(t *testing.T, d *desk) {
		d.run("hive", "generate").exits(0)
		for _, words := range []string{"build --on nosuch", "build --on @nosuch", "apply --on web,nosuch", "exec --on nosuch* true", "build -f other.nix", "build --on ="} {
			d.run(append([]string{"hive", "-s"}, strings.Fields(words)...)...).exits(2)
		}
		d.run("hive", "-s", "build", "--on", "nosuch").says("no host is named nosuch", "web")
		d.run("hive", "nosuch").exits(2)
		d.run("hive", "--nosuch", "build").exits(2)
	})
}

func TestWordsBehindTheSubcommandAreColmenas(t *testing.T) {
	withColmena(t, func(t *testing.T, d *desk) {
		before := snapshot(t, d.dir)
		d.run("hive", "apply", "--help").exits(0).says("colmena apply", "upload-keys").saysNot("nixos-staged-hive hive")
		d.run("hive", "build", "-h").exits(0)
		d.run("hive", "--help").exits(0).says("--skip-generate", "deploy", "Exit codes")
		d.run("hive").exits(0).says("--skip-generate")
		unchanged(t, "the workspace", before, snapshot(t, d.dir))
		// -p is Colmena's --parallel there, and no other workspace
		d.run("hive", "build", "-p", "1", "--on", "web").exits(0)
		d.run("hive", "-s", "build", "-v", "--on", "web").exits(0)
		d.run("hive", "-s", "build", "--nosuch").exits(2)
	})
}

func TestHiveCommandsStopBeforeColmenaWhereTheHiveIsWrong(t *testing.T) {
	standin.Lab(t)
	d := newDesk(t, map[string]string{"nixConfigs/web.nix": host(""), "nixConfigs/db.nix": host("")})
	d.env = append(d.env, "PATH="+filepath.Dir(standin.Install(t, "0.4.0"))+":"+os.Getenv("PATH"))
	d.run("hive", "-s", "build").exits(1).says("the hive is not generated", "hint: ", "hive generate")
	d.put("nixConfigs/db.nix", "{")
	d.run("hive", "build").exits(3).says("db", "syntax error", "--skip-broken").saysNot("Built")
	d.run("hive", "--skip-broken", "build", "--on", "web").exits(0).says("Built")
	d.put("generated/deploy.json", strings.Replace(d.read("generated/deploy.json"), `"schema": 1`, `"schema": 99`, 1))
	d.run("hive", "-s", "build").exits(1).says("schema 99")
	d.run("hive", "build").exits(3)
	d.put("nixConfigs/db.nix", host(""))
	d.run("hive", "build", "--on", "web").exits(4).says("edited by hand", "deploy.json")
}

// static is a sound host with a fixed address.
func static(last string) string {
	return host(`imports = [ ({ lib, ... }: { hive.network = {
    address = lib.mkForce "10.0.0.` + last + `/24"; gateway = "10.0.0.254"; nameservers = [ "10.0.0.254" ]; }; }) ];`)
}

// The systems of the hive build, and know each other.
func TestEveryStageOfTheTreeBuildsOnTheMiniature(t *testing.T) {
	t.Parallel()
	d := newDesk(t, map[string]string{
		"nixConfigs/web.nix": static("1"),
		"nixConfigs/db.nix":  static("2"),
	})
	d.run("generate").exits(0)
	for _, attribute := range []string{"web.full", "web.mini", "db.mini", "web.iso"} {
		built := strings.TrimSpace(d.runEnv(nil, "nix-build", "--no-out-link", d.path("generated"), "-A", attribute).exits(0).out)
		if _, err := os.Stat(built); err != nil {
			t.Errorf("%s: %v", attribute, err)
		}
	}
	built := strings.TrimSpace(d.runEnv(nil, "nix-build", "--no-out-link", d.path("generated"), "-A", "web.full").exits(0).out)
	if hosts := etc(t, built, "hosts"); !strings.Contains(hosts, "10.0.0.2 db") {
		t.Errorf("/etc/hosts: %s", hosts)
	}
}

// etc reads a file of a built system of the miniature, whose etc is a list: name, mode, content.
func etc(t *testing.T, system, name string) string {
	t.Helper()
	list, err := os.ReadFile(filepath.Join(system, "etc"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(list)) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == name {
			text, err := os.ReadFile(words[2])
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
	}
	return ""
}

// Without a Colmena on PATH, that of the pinned nixpkgs is built; the miniature has one that only says its version.
func TestColmenaComesFromThePinnedNixpkgs(t *testing.T) {
	t.Parallel()
	d := newDesk(t, map[string]string{"nixConfigs/web.nix": host("")})
	d.env = append(d.env, "PATH="+pathWithout(t, "colmena"))
	d.run("hive", "nix-info").exits(0).says("not on PATH", "pinned nixpkgs", "miniature colmena: -f "+d.path(".staged-hive/colmena/hive.nix")+" nix-info")
	d.run("hive", "-s", "nix-info").exits(0).says("miniature colmena").saysNot("not on PATH")
	empty := t.TempDir()
	for _, name := range []string{"default.nix", "nixos/lib/eval-config.nix"} { // so that it is taken for nixpkgs
		file := filepath.Join(empty, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("{ ... }: { }\n"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	_, disko := need.Mini(t)
	d.put("versions.json", pinned(empty, disko))
	if err := os.Remove(d.path("versions.lock.json")); err != nil {
		t.Fatal(err)
	}
	d.run("hive", "-s", "nix-info").exits(5).says("colmena is not on PATH", "gives none", "hint: ", "nix-shell -p colmena")
}

// pathWithout is a PATH of what is on this one but a program.
func pathWithout(t *testing.T, program string) string {
	t.Helper()
	var dirs []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, program)); err != nil {
			dirs = append(dirs, dir)
		}
	}
	return strings.Join(dirs, ":")
}
