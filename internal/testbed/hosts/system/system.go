// Package system puts a stand-in for NixOS on the machines of package hosts: store paths with switch-to-configuration, activate, init and
// units that keep NixOS' order of steps and its exit codes (24.05), generations in the system profile, boot entries as
// systemd-boot has them, and a boot that activates the chosen one. Systems can be made to fail, to be slow, to hang or to break the network. What
// a real NixOS system does beyond that is proven in virtual machines only.
//
// Left on a host for tests to read: /var/log/testbed-activation, with a line for every step of every activation.
package system

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/hosts"
)

//go:embed files
var files embed.FS

// Profile is the link to the newest generation, as on NixOS.
const Profile = "/nix/var/nix/profiles/system"

// Spec says how a system behaves. The zero value of all but Name behaves well.
type Spec struct {
	Name         string            // of letters, digits and hyphens; unlike names are unlike systems
	Kernel       string            // what its link "kernel" is about: another one means that a reboot is needed
	Refuse       int               // exit code with which it refuses before anything is changed
	Exit         int               // exit code when it is current already: 4 is a failed unit
	Slow         time.Duration     // how long activation takes, in whole seconds, with a line of output each second
	Hang         bool              // activation never ends, and the system does not become current; at boot, the host does not come up
	Inhibit      bool              // it cannot be switched to from another one (NixOS 26.05), only booted
	BreakLoader  bool              // it cannot write the boot loader's files
	BreakNetwork bool              // activation, at boot too, takes the network card down
	Size         int64             // bytes that cannot be compressed, for copies that take their time
	Units        map[string]string // NAME.service to its text; started with the system where systemd runs
}

// Build builds a system in the controller's store and gives its path.
func Build(t testing.TB, controller *hosts.Host, spec Spec) string {
	t.Helper()
	if spec.Name == "" || strings.Trim(spec.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
		t.Fatalf("system name %q: letters, digits and hyphens, please", spec.Name)
	}
	dir := "/root/systems/" + spec.Name
	for _, name := range []string{"default.nix", "tree/activate", "tree/switch-to-configuration"} {
		controller.WriteFile(t, path.Join(dir, name), read(t, name), 0o644)
	}
	kernel := spec.Kernel
	if kernel == "" {
		kernel = "the usual one"
	}
	controller.WriteFile(t, dir+"/tree/kernel", kernel+"\n", 0o644)
	controller.WriteFile(t, dir+"/tree/nixos-version", "24.05-"+spec.Name+"\n", 0o644)
	controller.WriteFile(t, dir+"/tree/behaviour", spec.behaviour(), 0o644)
	for name, text := range spec.Units {
		controller.WriteFile(t, dir+"/tree/units/"+name, text, 0o644)
	}
	return controller.Sh(t, run.Quote("nix-build", "--no-out-link", "--argstr", "name", "nixos-system-"+spec.Name,
		"--argstr", "size", strconv.FormatInt(spec.Size, 10), dir))
}

// behaviour is the spec as the system's scripts read it.
func (s Spec) behaviour() string {
	word := func(b bool, yes, no string) string {
		if b {
			return yes
		}
		return no
	}
	return fmt.Sprintf("name=%s\nrefuse=%d\nexit=%d\nslow=%d\nhang=%s\nnetwork=%s\ninhibit=%s\nloader=%s\n", s.Name, s.Refuse, s.Exit,
		int(math.Ceil(s.Slow.Seconds())), word(s.Hang, "yes", "no"), word(s.BreakNetwork, "broken", "good"),
		word(s.Inhibit, "yes", "no"), word(s.BreakLoader, "broken", "good"))
}

func read(t testing.TB, name string) string {
	t.Helper()
	text, err := fs.ReadFile(files, "files/"+name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Install makes a host that has run this system since it was booted, as after nixos-install: profile, boot entry, current and booted
// system. Nothing goes over the network.
func Install(t testing.TB, controller, host *hosts.Host, system string) {
	t.Helper()
	Copy(t, controller, host, system)
	host.WriteFile(t, "/etc/testbed/boot", read(t, "boot"), 0o755)
	host.WriteFile(t, "/usr/local/bin/bootctl", read(t, "bootctl"), 0o755)
	host.Sh(t, run.Quote("nix-env", "--profile", Profile, "--set", system)+" && "+
		run.Quote(system+"/bin/switch-to-configuration", "boot")+" && /etc/testbed/boot")
}

// Copy brings a path and all it needs into a host's store, past the network and past signatures.
func Copy(t testing.TB, controller, host *hosts.Host, paths ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	from, to := io.Pipe()
	exported := make(chan error, 1)
	go func() {
		export := "nix-store --export $(" + run.Quote(append([]string{"nix-store", "--query", "--requisites"}, paths...)...) + ")"
		err := controller.Run(ctx, run.Command{Name: "bash", Args: []string{"-c", export}, Stdout: to})
		exported <- errors.Join(err, to.CloseWithError(err))
	}()
	err := host.Run(ctx, run.Command{Name: "nix-store", Args: []string{"--import"}, Stdin: from})
	if err := errors.Join(err, from.Close(), <-exported); err != nil {
		t.Fatalf("copy %s to %s: %v", strings.Join(paths, " "), host.Name, err)
	}
}

// State is what a host says about its systems. Paths are resolved store paths, empty where there is none.
type State struct {
	Current    string // /run/current-system
	Booted     string // /run/booted-system
	Profile    string // what the profile points to
	Generation int    // its number in the profile; 0 is none
	Default    string // what the next boot takes
	Once       string // what the next boot takes instead, once
}

// Read reads a host's state, past the network.
func Read(t testing.TB, host *hosts.Host) State {
	t.Helper()
	lines := strings.Split(host.Sh(t, `
entry() { [ -z "$1" ] || sed -n 's|^options init=\(.*\)/init$|\1|p' "/boot/loader/entries/$1"; }
put() { printf '%s\n' "$1"; }
put "$(readlink -e /run/current-system)"
put "$(readlink -e /run/booted-system)"
put "$(readlink -e /nix/var/nix/profiles/system)"
put "$(readlink /nix/var/nix/profiles/system | sed 's/^system-\(.*\)-link$/\1/')"
put "$(entry "$(sed -n 's/^default //p' /boot/loader/loader.conf 2>/dev/null)")"
put "$(entry "$(cat /boot/loader/once 2>/dev/null)")."`), "\n")
	if len(lines) != 6 {
		t.Errorf("state of %s: %q", host.Name, lines)
		return State{}
	}
	generation, _ := strconv.Atoi(lines[3]) // empty where there is no profile
	return State{
		Current: lines[0], Booted: lines[1], Profile: lines[2], Generation: generation,
		Default: lines[4], Once: strings.TrimSuffix(lines[5], "."),
	}
}

// Log is what activations on a host did, a line a step: "NAME: STEP".
func Log(t testing.TB, host *hosts.Host) string {
	t.Helper()
	return host.Sh(t, "cat /var/log/testbed-activation 2>/dev/null; true")
}
