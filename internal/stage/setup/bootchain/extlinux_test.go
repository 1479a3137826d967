package bootchain

import (
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
)

const extFile = "/boot/extlinux/extlinux.conf"

func withExtlinux(t *testing.T) *installed {
	i := install(t, hive.Boot{Loader: "extlinux", Firmware: "board"})
	i.host.Plan.Platform = "aarch64-linux"
	i.write("/boot/nixos/2-linux-Image", i.read(linux))
	i.write("/boot/nixos/3-initrd", i.read(initrd))
	i.write("/boot/nixos/4-dtbs/broadcom/bcm2711-rpi-4-b.dtb", "tree")
	i.write(extFile, `# Generated file, all changes will be lost on nixos-rebuild!

# Change this to e.g. nixos-42 to temporarily boot to an older configuration.
DEFAULT nixos-default

MENU TITLE ------------------------------------------------------------
TIMEOUT 50

LABEL nixos-default
  MENU LABEL NixOS - Default
  LINUX ../nixos/2-linux-Image
  INITRD ../nixos/3-initrd
  APPEND init=`+toplevel+`/init console=ttyS0,115200n8
  FDTDIR ../nixos/4-dtbs

LABEL nixos-1-default
  LINUX ../nixos/2-linux-Image
  INITRD ../nixos/3-initrd
  APPEND init=`+toplevel+`/init
`)
	return i
}

func TestExtlinuxIsFollowedToTheSystem(t *testing.T) {
	c, problems := withExtlinux(t).verify()
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	if c.Kernel != "/boot/nixos/2-linux-Image" || c.Initrds[0] != "/boot/nixos/3-initrd" || c.Entry != "nixos-default" || c.Program != "" ||
		c.CommandLine != "init="+toplevel+"/init console=ttyS0,115200n8" {
		t.Errorf("the chain is %+v", c)
	}
}

func TestExtlinuxThatWouldNotStartIsTold(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(i *installed)
		rules  []string
		says   string
	}{
		{"no configuration", func(i *installed) { i.remove(extFile) }, []string{"loader-configuration"}, extFile},
		{"no such label", func(i *installed) { i.change(extFile, "LABEL nixos-default", "LABEL x") }, []string{"entry-missing"}, "nixos-default"},
		{"no kernel", func(i *installed) { i.remove("/boot/nixos/2-linux-Image") }, []string{"boot-file"}, "2-linux-Image"},
		{"no initrd", func(i *installed) { i.change(extFile, "INITRD", "# INITRD") }, []string{"initrd-missing"}, "no initrd"},
		{"another system", func(i *installed) { i.change(extFile, toplevel+"/init console", gone+"/init console") }, []string{"wrong-system"}, gone},
		{"a generation that is gone", func(i *installed) { i.change(extFile, toplevel+"/init\n", gone+"/init\n") }, []string{"warning stale-entry"}, gone},
		{"no device trees", func(i *installed) { i.remove("/boot/nixos/4-dtbs/broadcom") }, []string{"boot-file"}, "4-dtbs"},
		{"one device tree that is missing", func(i *installed) { i.change(extFile, "FDTDIR ../nixos/4-dtbs", "FDT ../nixos/4-dtbs/x.dtb") }, []string{"boot-file"}, "x.dtb"},
		{"one device tree", func(i *installed) {
			i.change(extFile, "FDTDIR ../nixos/4-dtbs", "FDT ../nixos/4-dtbs/broadcom/bcm2711-rpi-4-b.dtb")
		}, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := withExtlinux(t)
			tt.change(i)
			var said strings.Builder
			for _, p := range i.expect(tt.rules...) {
				said.WriteString(p.Message + "\n")
			}
			if !strings.Contains(said.String(), tt.says) {
				t.Errorf("%q is not in %s", tt.says, said.String())
			}
		})
	}
}

func TestLoaderOfTheUsersOwnIsNotProven(t *testing.T) {
	i := install(t, hive.Boot{Loader: "custom"})
	i.expect("warning loader-unproven")
}

func TestClosureThatCannotBeRead(t *testing.T) {
	i := withExtlinux(t)
	i.host.Closure = t.TempDir()
	i.expect("closure")
}
