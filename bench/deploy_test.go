package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/hosts"
	"nixos-staged-hive/internal/testbed/hosts/system"
	"nixos-staged-hive/internal/testbed/need"
)

// field is test hosts, and on their controller a workspace of them and the program.
type field struct {
	lab      *hosts.Lab
	dir, exe string
}

// newField makes hosts that all run one system.
func newField(t *testing.T, n int) field {
	t.Helper()
	program := os.Getenv("STAGED_HIVE_PROGRAM")
	if program == "" {
		t.Fatal("STAGED_HIVE_PROGRAM names the program to measure")
	}
	nixpkgs, disko := trees(t)
	place := t.TempDir()
	h := field{dir: filepath.Join(place, "workspace"), exe: filepath.Join(place, "nixos-staged-hive")}
	net := hosts.Net{Controller: hosts.Trixie, Share: []string{place, nixpkgs, disko}}
	for i := range n {
		net.Hosts = append(net.Hosts, hosts.Spec{Name: fmt.Sprintf("host%02d", i+1), Suite: hosts.Trixie, NoPassword: true})
	}
	for _, colmena := range filepath.SplitList(os.Getenv("STAGED_HIVE_COLMENA")) {
		net.Share = append(net.Share, filepath.Dir(colmena))
	}
	h.lab = hosts.Up(t, net)
	h.write(t, program, nixpkgs, disko)
	base := system.Build(t, h.lab.Controller, system.Spec{Name: "base"})
	for _, host := range h.lab.Hosts {
		system.Install(t, h.lab.Controller, host, base)
	}
	h.sh(t, h.exe, "-q", "-p", h.dir, "generate")
	return h
}

func (h field) write(t *testing.T, program, nixpkgs, disko string) {
	t.Helper()
	binary, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	versions, err := json.Marshal(map[string]string{"nixos": nixpkgs, "disko": disko})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{h.exe: binary, filepath.Join(h.dir, "versions.json"): versions}
	for _, host := range h.lab.Hosts {
		files[filepath.Join(h.dir, "nixConfigs", host.Name+".nix")] = []byte(`{ lib, config, ... }: {
  # what runs already, but for the name that everything else is evaluated for
  system.build.toplevel = lib.mkForce (builtins.seq config.system.build.etc.drvPath (import /root/systems/base { name = "nixos-system-base"; size = "0"; }));
  hive.admin.sshKeys = [ "` + key + `" ];
  security.sudo.wheelNeedsPassword = false;
  hive.network = { interface = "eth0"; address = "dhcp"; };
  fileSystems."/" = { device = "/dev/disk/by-label/root"; fsType = "ext4"; };
  fileSystems."/boot" = { device = "/dev/disk/by-label/boot"; fsType = "vfat"; };
  boot.loader.systemd-boot.enable = true;
  nixpkgs.hostPlatform = "x86_64-linux";
  system.stateVersion = "24.05";
  hive.deployment = { targetHost = "` + host.Addr.String() + `"; targetUser = "` + hosts.Admin + `"; };
}
`)
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// sh runs a program on the controller.
func (h field) sh(t *testing.T, words ...string) sample {
	t.Helper()
	var said bytes.Buffer
	s, err := measure(func() error {
		return h.lab.Controller.Run(context.WithoutCancel(t.Context()), run.Command{Name: words[0], Args: words[1:], Stdout: &said, Stderr: &said})
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	return s
}

// each measures two commands in turn, every second pair the other way round, and gives the row of the table.
func (h field) each(t *testing.T, what, compared string, ours, plain []string) {
	t.Helper()
	h.sh(t, plain...)
	h.sh(t, ours...) // the keys of the hosts are known from here on, and the facts are remembered
	var o, p []sample
	var ratios []float64
	for i := range number("STAGED_HIVE_BENCH_PAIRS", 5) {
		var a, b sample
		if i%2 == 0 {
			b, a = h.sh(t, plain...), h.sh(t, ours...)
		} else {
			a, b = h.sh(t, ours...), h.sh(t, plain...)
		}
		o, p, ratios = append(o, a), append(p, b), append(ratios, a.wall.Seconds()/b.wall.Seconds())
		t.Logf("pair %d: plain %.2f s, ours %.2f s", i+1, b.wall.Seconds(), a.wall.Seconds())
	}
	slices.Sort(ratios)
	report(t, fmt.Sprintf("| %s, %d hosts | %s: %.2f s | %.2f s | **%.2f** (%.2f to %.2f, %d pairs) |",
		what, len(h.lab.Hosts), compared, median(p).wall.Seconds(), median(o).wall.Seconds(), ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1], len(ratios)))
}

// TestStatus compares what `hive status` takes with an ssh for each host at the same time that reads one link.
func TestStatus(t *testing.T) {
	wanted(t, "status")
	h := newField(t, number("STAGED_HIVE_BENCH_HOSTS", 20))
	var logins strings.Builder
	for _, host := range h.lab.Hosts {
		fmt.Fprintf(&logins, "ssh %s readlink /run/current-system & ", host.Name)
	}
	h.each(t, "`hive status`", "ssh to each at once, one readlink", []string{h.exe, "-q", "-p", h.dir, "hive", "status", "--json"}, []string{"bash", "-c", logins.String() + "wait"})
}

// TestDeploymentOfNothing compares `hive deploy` with Colmena's own apply where all hosts run their systems already.
func TestDeploymentOfNothing(t *testing.T) {
	wanted(t, "deploy")
	h := newField(t, number("STAGED_HIVE_BENCH_HOSTS", 20))
	for _, colmena := range need.Colmena(t) {
		t.Run(filepath.Base(filepath.Dir(colmena)), func(t *testing.T) {
			h.lab.Controller.Sh(t, "ln -sfn "+run.Quote(colmena)+" /usr/local/bin/colmena")
			h.each(t, "`hive deploy`, nothing to do, "+filepath.Base(filepath.Dir(colmena)), "`colmena apply`",
				[]string{h.exe, "-q", "-p", h.dir, "hive", "deploy", "--yes"},
				[]string{"colmena", "-f", filepath.Join(h.dir, "generated", "hive.nix"), "apply", "--on", "*", "--color", "never"})
		})
	}
}
