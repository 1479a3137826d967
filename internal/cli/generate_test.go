package cli_test

import (
	"os"
	"strings"
	"testing"
)

func twoHosts() map[string]string {
	return map[string]string{"nixConfigs/web.nix": host(""), "nixConfigs/db/default.nix": host("")}
}

func TestHandEditsAreListedAllAndNeverOverwrittenUnasked(t *testing.T) {
	t.Parallel()
	d := newDesk(t, twoHosts())
	d.run("generate").exits(0)
	d.put("generated/web/iso.nix", "mine\n")
	d.put("generated/db/host.json", "{ }\n")
	d.put("generated/_hive/eval.nix", "also mine\n")
	d.put("generated/web/hardware-configuration.nix", "{ }\n")
	before := snapshot(t, d.path("generated"))
	for _, args := range [][]string{{"generate"}, {"generate", "--dry-run"}, {"hive", "generate"}} {
		d.run(args...).exits(4).says("web/iso.nix", "db/host.json", "_hive/eval.nix", "--force", "hive.mini.modules").saysNot("hardware-configuration")
	}
	unchanged(t, "generated/", before, snapshot(t, d.path("generated")))

	d.run("generate", "--force", "--dry-run").exits(0).says("web/iso.nix.edited-1")
	unchanged(t, "generated/", before, snapshot(t, d.path("generated")))
	d.run("generate", "--force").exits(0).says("generated/web/iso.nix.edited-1", "generated/db/host.json.edited-1")
	if got := d.read("generated/web/iso.nix.edited-1"); got != "mine\n" {
		t.Errorf("the edited version became %q", got)
	}
	if got := d.read("generated/web/hardware-configuration.nix"); got != "{ }\n" {
		t.Errorf("the hardware report became %q", got)
	}
	d.run("generate").exits(0).says("0 files written")
}

func TestOneHostIsGeneratedAloneAndGoneHostsGo(t *testing.T) {
	t.Parallel()
	d := newDesk(t, twoHosts())
	d.run("generate").exits(0)
	before := snapshot(t, d.path("generated"))
	d.put("nixConfigs/web.nix", host(`networking.domain = "one.example";`))
	d.put("nixConfigs/db/default.nix", host(`networking.domain = "two.example";`))
	d.run("generate", "web").exits(0)
	changed := strings.Join(differences(before, snapshot(t, d.path("generated"))), " ")
	if !strings.Contains(changed, "web/host.json") || strings.Contains(changed, "db") {
		t.Errorf("changed: %s", changed)
	}
	d.run("generate").exits(0)
	if !strings.Contains(d.read("generated/db/host.json"), "two.example") {
		t.Error("db was left behind")
	}

	d.put("generated/db/notes.txt", "mine")
	if err := os.RemoveAll(d.path("nixConfigs/db")); err != nil {
		t.Fatal(err)
	}
	d.run("generate", "--dry-run").exits(0).says("removed: generated/db/host.json")
	d.run("generate").exits(0).says("removed: generated/db/host.json", "kept, with files of yours: generated/db")
	if _, err := os.Stat(d.path("generated/db/host.json")); err == nil {
		t.Error("the folder of a host that is gone is still there")
	}
	if d.read("generated/db/notes.txt") != "mine" || strings.Contains(d.read("generated/hive.json"), "db") {
		t.Error("the user's file or the hive is not as it should be")
	}
}

const password = "$6$rounds=500000$example$rHGmuqIlU6oMOXlDTP2d6CdDFQ4HPdDs/gFYu/IPg5m97SIhYOcFpsqE/BvSMLFZHxDTWJzNfrS6G1xJy5YXO0"

func TestSecretsNeverReachTheTree(t *testing.T) {
	t.Parallel()
	for name, setting := range map[string]string{
		"a kernel parameter": `boot.kernelParams = [ "pw=` + password + `" ];`,
		"a module option":    `boot.extraModprobeConfig = "options x key=` + password + `";`,
		"a key":              `fileSystems."/x" = { device = "/dev/x"; fsType = "ext4"; options = [ "-----BEGIN OPENSSH PRIVATE KEY-----" ]; };`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, map[string]string{"nixConfigs/web.nix": host(setting)})
			d.run("generate").exits(4).says("web", "host.json", "hint: keep secrets out").saysNot("rHGmuqI", "BEGIN OPENSSH")
			if _, err := os.Stat(d.path("generated")); err == nil {
				t.Error("generated/ was written")
			}
			d.run("generate", "--force", "--despite-errors").exits(4)
		})
	}
	t.Run("where passwords belong they stay out of every file and every output", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t, map[string]string{"nixConfigs/web.nix": host(`
  hive.admin.hashedPassword = "` + password + `";
  hive.setup.preScript = [ "echo ` + strings.ReplaceAll(password, "$", `''$`) + `" ];
  users.users.root.hashedPassword = "` + password + `";
  users.users.mia = { isNormalUser = true; password = "correct horse"; };`)})
		d.run("generate").exits(1).says("users.users.mia.password", "Nix store", "hashedPasswordFile")
		d.run("generate", "--despite-errors").exits(0)
		d.holdsNoSecret("generated")
		d.run("-v", "check", "--fresh").exits(1).saysNot("correct horse", password)
		for _, args := range [][]string{{"summary"}, {"summary", "web"}, {"summary", "-f", "markdown"}, {"summary", "--json"}} {
			d.run(args...).exits(0).saysNot("correct horse", password)
		}
		for name, text := range snapshot(t, d.path("generated")) {
			if strings.Contains(text, "correct horse") {
				t.Errorf("%s holds a password", name)
			}
		}
	})
}

func TestADryRunWritesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t, twoHosts())
	d.run("generate", "-n").exits(0).says("would be written")
	d.run("hive", "-n", "generate").exits(0).says("would be written")
	d.run("hive", "-n", "deploy", "--on", "web").exits(2).says("--dry-run is for generate")
	if _, err := os.Stat(d.path("generated")); err == nil {
		t.Error("generated/ was written")
	}
}
