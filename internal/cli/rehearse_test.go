package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/testbed/need"
)

// disks are laid out by disko for a machine that boots in this way.
func laidOut(device string) string {
	return `hive.partitioning.format.disk.main = { device = "` + device + `"; content = { type = "gpt"; partitions = {
  ESP = { size = "1G"; type = "EF00"; content = { type = "filesystem"; format = "vfat"; mountpoint = "/boot"; }; };
  root = { size = "100%"; content = { type = "filesystem"; format = "ext4"; mountpoint = "/"; }; }; }; }; };`
}

// rehearsable is a host that can be had as a virtual machine.
func rehearsable(more string) string {
	return "{ " + strings.NewReplacer(
		`fileSystems."/" = { device = "/dev/disk/by-label/root"; fsType = "ext4"; };`, "",
		`fileSystems."/boot" = { device = "/dev/disk/by-label/boot"; fsType = "vfat"; };`, "",
	).Replace(sound) + laidOut("/dev/disk/by-id/ata-DISK_1") + more + "}"
}

func TestARehearsalIsPlannedWithoutDoingAnything(t *testing.T) {
	t.Parallel()
	d := newDesk(t, map[string]string{"nixConfigs/web.nix": rehearsable("")})
	var plan struct {
		Guests []struct {
			Machine struct {
				Firmware string
				Disks    []struct{ Bus, Model, Serial string }
				Cards    []struct{ Interface, Network string }
			}
		}
	}
	if err := json.Unmarshal([]byte(d.run("rehearse", "--plan", "--json").exits(0).out), &plan); err != nil {
		t.Fatal(err)
	}
	m := plan.Guests[0].Machine
	if m.Firmware != "uefi" || len(m.Disks) != 1 || m.Disks[0].Serial != "1" || len(m.Cards) != 1 || m.Cards[0].Interface != "ens3" || m.Cards[0].Network == "" {
		t.Errorf("planned %+v", plan)
	}
	d.run("rehearse", "--plan", "web").exits(0).says("uefi", "sata", "ens3")
	for _, made := range []string{"generated", ".staged-hive/rehearsal"} {
		if _, err := os.Stat(d.path(made)); err == nil {
			t.Errorf("%s was made", made)
		}
	}
}

func TestAllThatStandsAgainstARehearsalIsToldAtOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t, map[string]string{
		"nixConfigs/arm.nix":  strings.ReplaceAll(rehearsable(""), "x86_64-linux", "aarch64-linux"),
		"nixConfigs/hand.nix": "{" + sound + "}",
		"nixConfigs/far.nix":  strings.ReplaceAll(rehearsable(""), `interface = "ens3"; address = "dhcp";`, `interface = "ens3"; vlan = 7; address = "10.0.0.2/24";`),
	})
	d.run("rehearse").exits(1).says(
		"arm: it is for aarch64-linux", "hand: disko formats none of its disks", "far: its address is in VLAN 7",
	)
	if _, err := os.Stat(d.path(".staged-hive/rehearsal")); err == nil {
		t.Error("something was begun")
	}
	d.run("rehearse", "nobody").exits(2).says("nobody")
	d.run("rehearse", "--from", "moon").exits(2).says("the stages are")
	d.run("rehearse", "--from", "mini", "--until", "medium").exits(1).says("cannot stop")
	d.run("rehearse", "--stop", "--keep").exits(2).says("--stop does nothing else")
	d.run("rehearse", "--stop").exits(0).says("nothing has been rehearsed")
}

func TestWithoutQEMUARehearsalSaysWhatToInstall(t *testing.T) {
	t.Parallel()
	d := newDesk(t, map[string]string{"nixConfigs/web.nix": rehearsable("")})
	nix := filepath.Dir(need.Program(t, "nix-instantiate"))
	bin := t.TempDir()
	// of what else may be in that folder only the nix programs
	for _, name := range []string{"nix-instantiate", "nix-store", "nix-build"} {
		if err := os.Symlink(filepath.Join(nix, name), filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	d.env = append(slices.Clone(d.env), "PATH="+bin)
	d.runEnv(nil, need.Program(t, program), "-p", d.dir, "rehearse", "--setup-program", staticProgram(t)).exits(5).says("qemu-system-x86_64", "qemu-img", "apt install qemu-system-x86")
}

// What the miniature builds is no image. Nobody shall wait for a machine that shows nothing.
func TestOnTheMiniatureARehearsalSaysThatNothingWouldBoot(t *testing.T) {
	need.Program(t, "qemu-system-x86_64")
	need.Program(t, "qemu-img")
	need.Program(t, "ssh-keygen")
	d := newDesk(t, map[string]string{"nixConfigs/web.nix": rehearsable("")})
	d.run("rehearse", "--setup-program", staticProgram(t)).exits(1).says("has no boot record", "pin a real NixOS")
	if left, _ := filepath.Glob(d.path(".staged-hive/rehearsal/lab/pids/*")); len(left) > 0 {
		t.Errorf("still there: %v", left)
	}
}
