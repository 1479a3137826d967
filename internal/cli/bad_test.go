package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"nixos-staged-hive/internal/testbed/need"
)

// broken is a definition that does not evaluate, and what its owner has to be told.
type broken struct {
	text  string
	place string // file below nixConfigs, with the line where Nix (2.8 to 2.34) knows it
	says  string
	hint  string
}

func brokenDefinitions() map[string]broken {
	return map[string]broken{
		"syntax":       {"{ ... }:\n{\n  networking.hostName = \"x\"\n  system.stateVersion = \"24.05\";\n}\n", "syntax.nix:4:", "syntax error", "`;`"},
		"empty":        {"", "empty.nix:1:", "unexpected end of file", "not valid Nix"},
		"noise":        {"\x00\x7fELF\xff\xfe", "noise.nix:1:", "syntax error", "not valid Nix"},
		"undefined":    {"{ lib, ... }:\n{\n  boot.kernelParams = [ foo ];\n}\n", "undefined.nix:3:", "undefined variable 'foo'", "arguments"},
		"circle":       {"{ config, ... }:\n{\n  networking.hostName = config.networking.hostName + \"x\";\n}\n", "circle.nix", "infinite recursion", "needs itself"},
		"imports":      {"{ config, ... }: {\n  imports = if config.services.openssh.enable then [ ] else [ ];\n}\n", "imports.nix:2:", "infinite recursion", "`imports`"},
		"pkgs-imports": {"{ pkgs, ... }: {\n  imports = [ (pkgs.path + \"/x.nix\") ];\n}\n", "pkgs-imports.nix", "infinite recursion", "`pkgs` used in `imports`"},
		"stack":        {"{ lib, ... }:\nlet f = n: 1 + f (n + 1); in\n{ boot.kernelParams = [ (toString (f 0)) ]; }\n", "stack.nix", "stack overflow", "needs itself"},
		"type":         {"{\n  boot.loader.timeout = \"soon\";\n}\n", "type.nix", "`boot.loader.timeout' is not of type", "another kind of value"},
		"gone":         {"{\n  imports = [ ./not/here.nix ];\n}\n", "gone.nix", "not/here.nix", "check the path"},
		"option":       {"{\n  services.opensshd.enable = true;\n}\n", "option.nix", "`services.opensshd' does not exist", "spelling"},
		"hive-option":  {"{\n  hive.admin.sshKey = \"x\";\n}\n", "hive-option.nix", "`hive.admin.sshKey' does not exist", "spelling"},
		"attribute":    {"{ lib, ... }:\n{\n  boot.kernelParams = lib.noSuchThing [ ];\n}\n", "attribute.nix:3:", "attribute 'noSuchThing' missing", "spelling"},
		"twice":        {"{\n  boot.loader.timeout = 1;\n  boot.loader = { timeout = 2; };\n}\n", "twice.nix", "already defined", "join the two"},
		"throw":        {"{\n  networking.hostName = throw \"the owner says no\";\n}\n", "throw.nix", "the owner says no", ""},
		"abort":        {"{\n  networking.hostName = builtins.abort \"the owner says stop\";\n}\n", "abort.nix", "the owner says stop", ""},
		"assert":       {"{ ... }:\nassert 1 == 2;\n{ }\n", "assert.nix:2:", "assertion '(1 == 2)' failed", ""},
		"list":         {"[ { boot.kernelParams = [ ]; } ]\n", "list.nix", "list", "function to one"},
		"text":         {"\"hello\"\n", "text.nix", "string", "function to one"},
		"search-path":  {"{\n  imports = [ <home-manager/nixos> ];\n}\n", "search-path.nix:2:", "home-manager", "only <nixpkgs> is known"},
		"conflict":     {"{\n  imports = [ { networking.domain = \"a\"; } { networking.domain = \"b\"; } ];\n}\n", "conflict.nix", "conflicting definition values", "mkForce"},
		"utf8":         {"{\n  boot.kernelParams = [ \"x\xff\xfey\" ];\n}\n", "utf8.nix", "not valid UTF-8", ""},
	}
}

// host is the text of a host that is in order but for one more setting.
func host(more string) string { return "{ lib, pkgs, config, ... }: {" + sound + more + "\n}\n" }

type problem struct{ Host, Option, File, Severity, Rule, Message, Way string }

func (d *desk) problems(code int, args ...string) []problem {
	d.Helper()
	var doc struct{ Problems []problem }
	d.run(append([]string{"check", "--json"}, args...)...).exits(code).into(&doc)
	return doc.Problems
}

func TestEveryBrokenHostIsToldWithPlaceAndHintAndHidesNoOther(t *testing.T) {
	t.Parallel()
	nixpkgs, disko := need.Mini(t)
	tellsBroken(t, nixpkgs, disko, brokenDefinitions())
}

// The words are those of the real module system.
func TestBrokenHostsAreToldTheSameOnRealNixOS(t *testing.T) {
	t.Parallel()
	nixpkgs, disko := need.Tree(t)
	some := map[string]broken{}
	for _, name := range []string{"circle", "pkgs-imports", "type", "option", "gone", "conflict", "list"} {
		some[name] = brokenDefinitions()[name]
	}
	tellsBroken(t, nixpkgs, disko, some)
}

func tellsBroken(t *testing.T, nixpkgs, disko string, definitions map[string]broken) {
	t.Helper()
	files := map[string]string{"nixConfigs/a-good.nix": host(""), "nixConfigs/zz-good.nix": host("")}
	for name, b := range definitions {
		files["nixConfigs/"+name+".nix"] = b.text
	}
	d := newDeskOn(t, nixpkgs, disko, files)
	told := map[string][]problem{}
	for _, p := range d.problems(1) {
		if p.Severity == "error" {
			told[p.Host] = append(told[p.Host], p)
		}
	}
	for name, want := range definitions {
		got := told[name]
		if len(got) != 1 {
			t.Errorf("%s: told %d times: %+v", name, len(got), got)
			continue
		}
		if p := got[0]; !strings.HasPrefix(p.File, "nixConfigs/"+want.place) || !strings.Contains(p.Message, want.says) || !strings.Contains(p.Way, want.hint) {
			t.Errorf("%s: told as %+v", name, p)
		}
		delete(told, name)
	}
	if len(told) > 0 {
		t.Errorf("sound hosts have errors: %+v", told)
	}
	shown := d.run("summary").exits(3)
	for name, want := range definitions {
		shown.says("error: " + name + ": nixConfigs/" + want.place)
	}
	shown.says("a-good", "zz-good", "systemd-boot")
}

func TestSkipBrokenWritesTheOthersAndLeavesTheBrokenAsTheyWere(t *testing.T) {
	t.Parallel()
	d := newDesk(t, map[string]string{"nixConfigs/web.nix": host(""), "nixConfigs/db.nix": host("")})
	d.run("generate").exits(0)
	before := snapshot(t, d.path("generated"))
	d.put("nixConfigs/db.nix", "{")
	d.put("nixConfigs/web.nix", host(`networking.domain = "example.org";`))
	d.run("generate").exits(3).says("db", "syntax error", "--skip-broken")
	d.run("hive", "generate").exits(3)
	unchanged(t, "generated/", before, snapshot(t, d.path("generated")))

	d.run("generate", "--skip-broken").exits(3).says("db", "syntax error")
	after := snapshot(t, d.path("generated"))
	if changed := strings.Join(differences(before, after), " "); !strings.Contains(changed, "web/host.json") || strings.Contains(changed, "db/") {
		t.Errorf("changed: %s", changed)
	}
	if !strings.Contains(d.read("generated/web/host.json"), "example.org") {
		t.Error("web was not written")
	}
	d.put("nixConfigs/web.nix", "{")
	d.run("generate", "--skip-broken").exits(1).says("left as it was")
	unchanged(t, "generated/", after, snapshot(t, d.path("generated")))
}

func TestAFullDiskChangesNothing(t *testing.T) {
	t.Parallel()
	need.Root(t)
	d := newDesk(t, map[string]string{"nixConfigs/web.nix": host("")})
	d.run("versions", "update").exits(0)
	small := filepath.Join(filepath.Dir(d.dir), "small")
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", small, "tmpfs", 0, "size=128k"); err != nil {
		need.Skip(t, "a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"nixConfigs/web.nix", "versions.json", "versions.lock.json"} {
		text := d.read(name)
		path := filepath.Join(small, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d.dir = small
	if err := fill(filepath.Join(small, "ballast")); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, small, ".staged-hive")
	d.run("summary").exits(0).says("web")
	d.run("generate").exits(1).says("no space left on device", "hint: ", "the tree is as it was")
	unchanged(t, "the workspace", before, snapshot(t, small, ".staged-hive"))

	if err := os.Remove(d.path("versions.lock.json")); err != nil {
		t.Fatal(err)
	}
	if err := fill(filepath.Join(small, "ballast2")); err != nil {
		t.Fatal(err)
	}
	before = snapshot(t, small, ".staged-hive")
	d.run("summary").exits(1).says("hint: the disk is full")
	unchanged(t, "the workspace", before, snapshot(t, small, ".staged-hive"))
}

// fill writes until the disk is full.
func fill(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return nil
		}
	}
}

func TestValuesThatAreNotTextAreNamed(t *testing.T) {
	t.Parallel()
	d := newDesk(t, map[string]string{"nixConfigs/web.nix": host(fmt.Sprintf("networking.domain = %q;", "a\x01b"))})
	d.run("check").saysNot("\x01")
	d.run("summary").saysNot("\x01")
}
