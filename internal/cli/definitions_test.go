package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nixos-staged-hive/internal/testbed/need"
)

// facts are what summary --json says of one host.
type facts struct {
	Name, HostName, Domain, HostID string
	Without, Warnings              []string
	Admin                          struct{ Keys []string }
	Deployment                     struct {
		Tags       []string
		TargetHost *string
	}
	Network struct {
		Interfaces []struct{ Addresses []string }
	}
	Setup   struct{ PreScript []string }
	Storage struct {
		Disks []struct{ Name string }
		Disko struct {
			Own    bool
			Enable bool
		}
	}
	Carried []struct {
		Path  []string
		Value any
	}
}

func (d *desk) factsOf(name string) facts {
	d.Helper()
	var doc struct{ Hosts []facts }
	d.run("summary", "--json", name).exits(0).into(&doc)
	if len(doc.Hosts) != 1 {
		d.Fatalf("%d hosts", len(doc.Hosts))
	}
	return doc.Hosts[0]
}

// carried is the value of a setting that the mini system takes over.
func (f facts) carried(path string) any {
	for _, c := range f.Carried {
		if strings.Join(c.Path, ".") == path {
			return c.Value
		}
	}
	return nil
}

// has tells whether a carried list holds a text.
func (f facts) has(path, text string) bool {
	list, _ := f.carried(path).([]any)
	for _, v := range list {
		if v == text {
			return true
		}
	}
	return false
}

func TestDefinitionsAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text  string
		files map[string]string
		check func(t *testing.T, d *desk, f facts)
	}{
		"modulesPath, <nixpkgs>, unfree packages": {
			text: `{ config, lib, pkgs, modulesPath, ... }: {
  imports = [ (modulesPath + "/profiles/qemu-guest.nix") <nixpkgs/nixos/modules/profiles/minimal.nix> ];
  nixpkgs.config.allowUnfree = true;` + sound + `
  boot.kernelParams = lib.mkIf (pkgs.config.allowUnfree or false) [ "unfree" ];
}`,
			check: func(t *testing.T, _ *desk, f facts) {
				if !f.has("boot.kernelParams", "unfree") {
					t.Errorf("carried %v", f.carried("boot.kernelParams"))
				}
			},
		},
		"a key from the home folder": {
			text: `{` + strings.Replace(sound, `[ "`+key+`" ]`, `[ (builtins.readFile (builtins.getEnv "HOME" + "/.ssh/id_ed25519.pub")) ]`, 1) + `}`,
			check: func(t *testing.T, _ *desk, f facts) {
				if len(f.Admin.Keys) != 1 || !strings.HasSuffix(f.Admin.Keys[0], "owner@home") {
					t.Errorf("keys %q", f.Admin.Keys)
				}
			},
		},
		"disks in several files": {
			text: `{ imports = [ ../disks/main.nix ../disks/data.nix ]; ` + sound + `}`,
			files: map[string]string{
				"disks/main.nix": oneDisk("main"),
				"disks/data.nix": oneDisk("data"),
			},
			check: func(t *testing.T, _ *desk, f facts) {
				if disks := f.Storage.Disks; len(disks) != 2 || disks[0].Name != "data" || disks[1].Name != "main" {
					t.Errorf("disks %v", disks)
				}
			},
		},
		"what nixos-generate-config writes": {
			text: `{ lib, ... }: { imports = [ { networking.useDHCP = lib.mkDefault true; nixpkgs.hostPlatform = lib.mkDefault "x86_64-linux"; } ]; ` + sound + `}`,
			check: func(t *testing.T, _ *desk, f facts) {
				if len(f.Network.Interfaces) != 1 {
					t.Errorf("interfaces %v: the one of hive.network alone has DHCP", f.Network.Interfaces)
				}
			},
		},
		"a clash with our aliases": {
			text: `{ lib, ... }: { options.ip = lib.mkOption { default = "mine"; }; options.setup.mine = lib.mkOption { default = 1; }; config = {` + sound + `}; }`,
			check: func(t *testing.T, d *desk, f facts) {
				if strings.Join(f.Without, " ") != "ip setup" && strings.Join(f.Without, " ") != "ip" {
					t.Errorf("without %q", f.Without)
				}
				d.run("check", "--fresh").exits(0).says("declares ip itself", `"without" of versions.json`)
				d.run("generate").exits(0)
				if !strings.Contains(d.read("generated/hive.json"), `"ip"`) {
					t.Error("the other stages do not know")
				}
				keepsTheLaw(t, d)
			},
		},
		"an own option of the same name as a part of ours, opted out": {
			text: `{ lib, ... }: { options.ip = lib.mkOption { default = "mine"; }; config = {` + sound + `}; }`,
			check: func(t *testing.T, d *desk, f facts) {
				versions := strings.Replace(d.read("versions.json"), "{", `{ "hosts": { "odd": { "without": [ "ip" ] } },`, 1)
				d.put("versions.json", versions)
				d.run("check").exits(0).saysNot("declares ip itself")
				d.put("versions.json", strings.Replace(versions, `"hosts"`, `"without": [ "ip" ], "hosts"`, 1))
				d.run("check").exits(0).saysNot("declares ip itself")
			},
		},
		"an own import of disko": {
			text: `{ imports = [ ../disko/module.nix ];` + strings.ReplaceAll(sound, "fileSystems", "# fileSystems") + `
  disko.devices.disk.main = { device = "/dev/vda"; type = "disk"; content = { type = "gpt"; partitions = {
    ESP = { size = "1G"; type = "EF00"; content = { type = "filesystem"; format = "vfat"; mountpoint = "/boot"; }; };
    root = { size = "100%"; content = { type = "filesystem"; format = "ext4"; mountpoint = "/"; }; }; }; }; };
}`,
			check: func(t *testing.T, d *desk, f facts) {
				if strings.Join(f.Without, " ") != "disko" || !f.Storage.Disko.Own {
					t.Errorf("without %q, disko %+v", f.Without, f.Storage.Disko)
				}
				d.run("summary", "odd").says("/dev/vda", "ext4")
				d.run("generate").exits(0)
				keepsTheLaw(t, d)
			},
		},
		"a module like home-manager's": {
			text: `{ imports = [ ../people/module.nix ];` + sound + `
  people.useGlobalPkgs = true;
  people.users.admin = { pkgs, config, ... }: { home.packages = [ pkgs.git ]; programs.editor = "vi"; home.file."x".text = config.programs.editor; };
}`,
			files: map[string]string{"people/module.nix": `
{ config, lib, pkgs, ... }:
let
  person = lib.types.submoduleWith {
    specialArgs = { inherit lib; osConfig = config; };
    modules = [ ({ name, ... }: { config._module.args = { inherit pkgs; }; options = {
      home.packages = lib.mkOption { type = lib.types.listOf lib.types.package; default = [ ]; };
      home.username = lib.mkOption { type = lib.types.str; default = name; };
      home.file = lib.mkOption { type = lib.types.attrsOf (lib.types.submodule { options.text = lib.mkOption { type = lib.types.str; }; }); default = { }; };
      programs.editor = lib.mkOption { type = lib.types.str; default = "nano"; };
    }; }) ];
  };
in
{
  options.people.useGlobalPkgs = lib.mkEnableOption "sharing packages";
  options.people.users = lib.mkOption { type = lib.types.attrsOf person; default = { }; };
  config.users.users = lib.mapAttrs (_: p: { packages = p.home.packages; }) config.people.users;
  config.systemd.services = lib.mapAttrs' (n: p: lib.nameValuePair "people-${n}" { description = p.home.file.x.text; }) config.people.users;
  config.boot.kernelParams = map (p: "editor=${p.programs.editor}") (lib.attrValues config.people.users);
}`},
			check: func(t *testing.T, d *desk, f facts) {
				if !f.has("boot.kernelParams", "editor=vi") {
					t.Errorf("carried %v", f.carried("boot.kernelParams"))
				}
				d.run("check").exits(0)
			},
		},
		"Colmena's arguments and options": {
			text: `{ name, nodes, ... }: {` + sound + `
  networking.domain = "${name}.${nodes.other.config.networking.domain}";
  deployment = { targetHost = "10.1.2.3"; tags = [ "stock" ]; };
}`,
			check: func(t *testing.T, _ *desk, f facts) {
				if f.Domain != "odd.other.example" || f.Deployment.TargetHost == nil || *f.Deployment.TargetHost != "10.1.2.3" || strings.Join(f.Deployment.Tags, " ") != "stock" {
					t.Errorf("domain %q, deployment %+v", f.Domain, f.Deployment)
				}
			},
		},
		"the original's names": {
			text: `{ imports = [ ../bin/modules ../bin/modules ];` + strings.ReplaceAll(strings.ReplaceAll(sound, "hive.network =", "# "), "hive.admin.sshKeys", "admin.sshKeys") + `
  ip = "10.9.8.7"; netmask = 24; gateway = "10.9.8.1"; interface = "ens3"; networking.nameservers = [ "10.9.8.1" ];
  setup.preScript = [ "echo before" ];
  colmena.deployment.tags = [ "orig" ];
}`,
			files: map[string]string{"bin/modules/default.nix": "{ lib, ... }: { options.ip = lib.mkOption { }; }\n"},
			check: func(t *testing.T, d *desk, f facts) {
				if len(f.Network.Interfaces) != 1 || strings.Join(f.Network.Interfaces[0].Addresses, " ") != "10.9.8.7/24" || f.Setup.PreScript[0] != "echo before" || f.Deployment.Tags[0] != "orig" || len(f.Admin.Keys) != 1 {
					t.Errorf("facts %+v", f)
				}
				d.run("generate").exits(0)
				keepsTheLaw(t, d)
			},
		},
		"our modules imported once more": {
			text: `{ imports = [ ../hive/modules ../hive/modules/default.nix ];` + sound + `}`,
			check: func(t *testing.T, d *desk, f facts) {
				if len(f.Without) > 0 {
					t.Errorf("without %q", f.Without)
				}
				// and from where they are generated
				d.run("generate").exits(0)
				d.put("nixConfigs/odd.nix", strings.Replace(d.read("nixConfigs/odd.nix"), "../hive/modules ", "../generated/_hive/modules ", 1))
				d.run("check").exits(0)
				d.run("generate").exits(0)
			},
		},
		"a fetched module": {
			text: "", // set below: its hash is not known here
			check: func(t *testing.T, d *desk, f facts) {
				if !f.has("boot.kernelParams", "from-the-archive") {
					t.Errorf("carried %v", f.carried("boot.kernelParams"))
				}
			},
		},
		"warnings of the definition": {
			text: `{ lib, ... }: {` + sound + ` warnings = [ "mind the gap" ]; networking.domain = lib.warn "traced aloud" "x.example"; }`,
			check: func(t *testing.T, d *desk, f facts) {
				d.run("check").exits(0).says("mind the gap", "traced aloud")
			},
		},
		"a failed assertion": {
			text: `{` + sound + ` assertions = [ { assertion = false; message = "the owner demands more"; } ]; }`,
			check: func(t *testing.T, d *desk, f facts) {
				d.run("check").exits(1).says("the owner demands more")
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, tt.files)
			if tt.text == "" {
				tt.text = fetched(d)
			}
			d.put("nixConfigs/odd.nix", tt.text)
			d.put("nixConfigs/other.nix", host(`networking.domain = "other.example";`))
			d.put("../home/.ssh/id_ed25519.pub", strings.Replace(key, "mia@laptop", "owner@home", 1)+"\n")
			_, disko := need.Mini(t)
			for name, folder := range map[string]string{"disko": disko, "hive": filepath.Join(need.Module(t), "nix")} {
				if err := os.CopyFS(d.path(name), os.DirFS(folder)); err != nil {
					t.Fatal(err)
				}
			}
			tt.check(t, d, d.factsOf("odd"))
		})
	}
}

// oneDisk is a module with a disk that is mounted where its name says.
func oneDisk(disk string) string {
	return `{ hive.partitioning.format.disk.` + disk + ` = {
  device = "/dev/disk/by-id/ata-Example_` + disk + `";
  content = { type = "gpt"; partitions.all = { size = "100%"; content = { type = "filesystem"; format = "ext4"; mountpoint = "/srv/` + disk + `"; }; }; };
}; }`
}

// fetched packs a module into an archive and gives a definition that fetches it by file:// and hash.
func fetched(d *desk) string {
	d.Helper()
	need.Program(d, "tar")
	d.put("pack/module/default.nix", `{ boot.kernelParams = [ "from-the-archive" ]; }`)
	archive := filepath.Join(d.tmp, "module.tar.gz")
	d.runEnv(nil, "tar", "-C", d.path("pack"), "-czf", archive, "module").exits(0)
	hash := d.runEnv(nil, "nix-prefetch-url", "--unpack", "file://"+archive).exits(0).out
	return `{ imports = [ (fetchTarball { url = "file://` + archive + `"; sha256 = "` + strings.TrimSpace(hash) + `"; }) ];` + sound + `}`
}

func TestAHostIDIsWrittenWhereTheDefinitionTakesIt(t *testing.T) {
	t.Parallel()
	d := newDesk(t, map[string]string{
		"nixConfigs/set.nix":              "{" + sound + "}\n",
		"nixConfigs/function.nix":         "{ lib, ... }:\nlet x = 1; in\n{" + sound + "}\n# } the end\n",
		"nixConfigs/folder/default.nix":   "{ imports = [ ./more.nix ]; }\n",
		"nixConfigs/folder/more.nix":      "{" + sound + "}\n",
		"nixConfigs/import.nix":           "let x = { }; in import ../parts/one.nix { }\n",
		"nixConfigs/has.nix":              "{" + sound + ` networking.hostId = "0badcafe"; }` + "\n",
		"nixConfigs/list.nix":             "import ../parts/two.nix\n",
		"parts/one.nix":                   "{ }: {" + sound + "}\n",
		"parts/two.nix":                   "{" + sound + "}\n",
		"nixConfigs/commented.nix":        "{" + sound + "} # }\n",
		"nixConfigs/one-line-comment.nix": "{" + sound + " # all }\n}\n",
	})
	for _, name := range []string{"set", "folder", "one-line-comment"} {
		d.run("check", "--write-host-id", name).exits(0).says(name+": networking.hostId", "nixConfigs/"+name)
		if id := d.factsOf(name).HostID; len(id) != 8 {
			t.Errorf("%s has the id %q", name, id)
		}
	}
	for _, name := range []string{"function", "import", "list", "commented"} {
		before := snapshot(t, d.path("nixConfigs"))
		e := d.run("check", "--write-host-id", name)
		if e.code == 0 { // a cleverer writer may manage, but then it must be true
			if id := d.factsOf(name).HostID; len(id) != 8 {
				t.Errorf("%s has the id %q", name, id)
			}
			continue
		}
		e.exits(1).says("networking.hostId = ")
		unchanged(t, "nixConfigs/ of "+name, before, snapshot(t, d.path("nixConfigs")))
	}
	before := snapshot(t, d.path("nixConfigs"))
	d.run("check", "--write-host-id", "has").exits(1).says("0badcafe already")
	d.run("check", "--write-host-id", "nosuch").exits(2).says("no such host")
	unchanged(t, "nixConfigs/", before, snapshot(t, d.path("nixConfigs")))
	d.run("summary").exits(0)
}

func TestZFSWithoutHostIDIsOfferedOne(t *testing.T) {
	t.Parallel()
	zfs := strings.ReplaceAll(sound, "ext4", "zfs")
	d := newDesk(t, map[string]string{"nixConfigs/nas.nix": "{" + zfs + "}\n"})
	d.run("check").exits(1).says("hostId", "--write-host-id nas")
	d.run("check", "--write-host-id", "nas").exits(0)
	d.run("check").saysNot("--write-host-id")
}
