package cli_test

import (
	"os"
	"path/filepath"
	"testing"

	standin "nixos-staged-hive/internal/testbed/colmena"
)

func TestAWorkspaceMayBeAnywhere(t *testing.T) {
	standin.Lab(t)
	colmena := "PATH=" + filepath.Dir(standin.Install(t, "0.4.0")) + ":" + os.Getenv("PATH")
	for _, name := range []string{"my hive", "it's", `q"uote`, "${HOME}", `back\n`, "c:d", "e#f?g&h", "ü 漢", "line\nbreak", "-p"} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, map[string]string{"nixConfigs/web.nix": host("imports = [ ../parts/more.nix ];"), "parts/more.nix": "{ }"})
			place := filepath.Join(filepath.Dir(d.dir), name)
			if err := os.Rename(d.dir, place); err != nil {
				t.Fatal(err)
			}
			d.dir = place
			d.env = append(d.env, colmena)
			d.run("check").exits(0)
			d.run("hive", "build", "--on", "web").exits(0).says("Built")
			keepsTheLaw(t, d)
			d.runEnv(nil, "nix-instantiate", "--readonly-mode", d.path("generated"), "-A", "web.iso").exits(0)

			// moved once more, the tree still works
			moved := filepath.Join(filepath.Dir(d.dir), "moved")
			if err := os.Rename(d.dir, moved); err != nil {
				t.Fatal(err)
			}
			d.dir = moved
			keepsTheLaw(t, d)
			d.run("generate").exits(0).says("0 files written")
		})
	}
}

func TestHostsWithNamesNobodyCanAddressAreRefused(t *testing.T) {
	t.Parallel()
	named := func(name string) string { return "nixConfigs/" + name + ".nix" }
	for _, name := range []string{"a b", "it's", "${HOME}", "-x", "@z", "_hive", "a,b", "a*b", "meta", "defaults", "line\nbreak"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, map[string]string{named(name): host(`networking.hostName = "plain";`), named("ok"): host("")})
			if found := d.problems(1); len(found) != 1 || found[0].Host != name || found[0].Way == "" {
				t.Errorf("problems: %+v", found)
			}
			d.run("generate").exits(1)
			if _, err := os.Stat(d.path("generated")); err == nil {
				t.Error("generated/ was written")
			}
		})
	}
	d := newDesk(t, map[string]string{named("a b"): "{" + sound + "}"})
	d.run("check").exits(1).says("networking.hostName", "is called as its file is")
}
