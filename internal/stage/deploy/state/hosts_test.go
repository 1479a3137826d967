package state_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/deploy/guard"
	"nixos-staged-hive/internal/stage/deploy/state"
	"nixos-staged-hive/internal/testbed/hosts"
	"nixos-staged-hive/internal/testbed/hosts/system"
	"nixos-staged-hive/internal/testbed/need"
)

// login runs commands as the admin, over SSH from the controller.
type login struct {
	controller *hosts.Host
	name       string
}

func (l login) Run(ctx context.Context, c run.Command) error {
	line := run.Quote(append([]string{c.Name}, c.Args...)...)
	return l.controller.Run(ctx, run.Command{Name: "ssh", Args: []string{l.name, line}, Stdin: c.Stdin, Stdout: c.Stdout, Stderr: io.Discard})
}

func read(t *testing.T, r run.Runner) hive.HostState {
	t.Helper()
	s, err := state.Read(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestHosts asks hosts with old and new tools, with and without systemd, as an ordinary user and as root.
func TestHosts(t *testing.T) {
	t.Parallel()
	lab := hosts.Up(t, hosts.Net{Hosts: []hosts.Spec{
		{Name: "old", Suite: hosts.Bookworm, Systemd: true, TrustController: true},
		{Name: "new", Suite: hosts.Trixie},
	}})
	c := lab.Controller
	first, second := system.Build(t, c, system.Spec{Name: "first"}), system.Build(t, c, system.Spec{
		Name: "second", Kernel: "another", Units: map[string]string{"bad.service": "[Service]\nType=oneshot\nExecStart=/bin/false\n"},
	})
	for _, h := range lab.Hosts {
		system.Install(t, c, h, first)
	}
	t.Run("old", func(t *testing.T) { aHostThatIsSwitched(t, lab, first, second) })
	t.Run("new", func(t *testing.T) {
		h := lab.Host(t, "new")
		h.Sh(t, "chmod 700 /boot; echo 'echo Welcome, admin' >>/home/admin/.bashrc")
		user, root := read(t, login{c, "new"}), read(t, h)
		if user.Default != "" || root.Default != first {
			t.Errorf("next boot: %q to the user, %q to root", user.Default, root.Default)
		}
		root.Default, root.Uptime, user.Uptime = "", 0, 0
		if user.Trusted || !root.Trusted {
			t.Errorf("trusted: the user %v, root %v", user.Trusted, root.Trusted)
		}
		if user.Current != first || user.SystemState == "running" || len(user.Spaces) == 0 {
			t.Errorf("%+v", user)
		}
	})
	t.Run("difference", func(t *testing.T) { difference(t, lab, first, second) })
}

func aHostThatIsSwitched(t *testing.T, lab *hosts.Lab, first, second string) {
	h := lab.Host(t, "old")
	before := read(t, login{lab.Controller, "old"})
	if before.Current != first || before.Booted != first || before.Profile != first || before.Default != first || before.Generation != 1 || before.RebootNeeded {
		t.Errorf("as installed: %+v", before)
	}
	if before.HostName != "old" || before.BootID == "" || before.Uptime <= 0 || before.Version != "24.05-first" || len(before.Failed) != 0 {
		t.Errorf("as installed: %+v", before)
	}
	system.Copy(t, lab.Controller, h, second)
	if _, err := h.Try(t, "nix-env -p "+system.Profile+" --set "+second+"; "+second+"/bin/switch-to-configuration switch"); err == nil {
		t.Error("a unit fails, but the switch did not")
	}
	h.Sh(t, first+"/bin/switch-to-configuration boot; echo 'extra-trusted-users = @sudo' >/etc/nix/more.conf; echo '!include more.conf' >>/etc/nix/nix.conf; adduser --quiet admin sudo >&2")
	after := read(t, login{lab.Controller, "old"})
	if after.Current != second || after.Booted != first || after.Profile != second || after.Default != first || after.Generation != 2 || !after.RebootNeeded {
		t.Errorf("after the switch: %+v", after)
	}
	if len(after.Generations) != 2 || after.Generations[1].Path != second || after.Generations[1].Made.Before(after.Generations[0].Made) {
		t.Errorf("generations: %+v", after.Generations)
	}
	if len(after.Failed) != 1 || after.Failed[0] != "bad.service" || after.SystemState != "degraded" {
		t.Errorf("failed: %q, %s", after.Failed, after.SystemState)
	}
	h.Sh(t, "mkdir -p "+guard.Folder+" && printf '%s\\n' run=r1 by=mia@desk state=waiting bootId="+after.BootID+" deadline=1 end >"+guard.RecordFile)
	if u := read(t, login{lab.Controller, "old"}).Unfinished; u == nil || u.By != "mia@desk" || u.State != hive.Waiting {
		t.Errorf("a deployment that did not end: %+v", u)
	}
	if !after.Trusted {
		t.Error("a member of a trusted group is not trusted")
	}
}

// difference: what only the host has is asked there.
func difference(t *testing.T, lab *hosts.Lab, first, second string) {
	h, c := lab.Host(t, "old"), lab.Controller
	third := h.Sh(t, "echo grown >/tmp/third-1.0; nix-store --add /tmp/third-1.0")
	d, err := state.Diff(t.Context(), third, second, c, login{c, "old"})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Changes) != 2 || d.Changes[0].Name != "nixos-system-second" || d.Changes[1].Name != "third" || d.Changes[1].From[0] != "1.0" || d.From != third {
		t.Errorf("%+v", d)
	}
	if _, err := state.Diff(t.Context(), first, strings.Replace(first, "first", "other", 1), c, login{c, "old"}); !errors.Is(err, state.ErrNotThere) {
		t.Errorf("a path that nobody has: %v", err)
	}
}

// The real system closures of this machine's own Nix, whatever they are, are read without a host.
func TestReadClosure(t *testing.T) {
	need.Store(t)
	need.Root(t)
	dir := t.TempDir()
	path, err := run.Output(t.Context(), run.Local{}, run.Command{Name: "nix-store", Args: []string{"--add", dir}})
	if err != nil {
		t.Fatal(err)
	}
	root := strings.TrimSpace(string(path))
	c, err := state.ReadClosure(t.Context(), run.Local{}, root)
	if err != nil || len(c) != 1 || c[root] <= 0 {
		t.Errorf("%v, %v", c, err)
	}
}
