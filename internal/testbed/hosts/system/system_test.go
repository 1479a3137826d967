package system_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/hosts"
	"nixos-staged-hive/internal/testbed/hosts/system"
)

// bed is a lab with one host that runs a system.
type bed struct {
	lab  *hosts.Lab
	host *hosts.Host
	base string
}

func newBed(t *testing.T, systemd bool) bed {
	t.Helper()
	lab := hosts.Up(t, hosts.Net{Hosts: []hosts.Spec{{Name: "h1", Suite: hosts.Trixie, Systemd: systemd}}})
	b := bed{lab: lab, host: lab.Host(t, "h1"), base: system.Build(t, lab.Controller, system.Spec{Name: "base"})}
	system.Install(t, lab.Controller, b.host, b.base)
	want := system.State{Current: b.base, Booted: b.base, Profile: b.base, Generation: 1, Default: b.base}
	if got := system.Read(t, b.host); got != want {
		t.Fatalf("a host that was just installed: %+v, want %+v", got, want)
	}
	return b
}

// add builds and copies a system and makes it a generation.
func (b bed) add(t *testing.T, spec system.Spec) string {
	t.Helper()
	path := system.Build(t, b.lab.Controller, spec)
	system.Copy(t, b.lab.Controller, b.host, path)
	b.host.Sh(t, "nix-env -p "+system.Profile+" --set "+path)
	return path
}

func (b bed) act(t *testing.T, path, action string) int {
	t.Helper()
	_, err := b.host.Try(t, path+"/bin/switch-to-configuration "+action)
	if failed, ok := errors.AsType[*run.Error](err); ok {
		return failed.ExitCode
	}
	return 0
}

// state leaves out what a test does not care about.
func (b bed) state(t *testing.T) (current, next string) {
	t.Helper()
	s := system.Read(t, b.host)
	return s.Current, s.Default
}

func TestActions(t *testing.T) {
	t.Parallel()
	b := newBed(t, false)
	path := b.add(t, system.Spec{Name: "next"})
	for _, tt := range []struct {
		action        string
		current, next string
	}{
		{"dry-activate", b.base, b.base},
		{"test", path, b.base},
		{"boot", path, path},
		{"switch", path, path},
	} {
		if code := b.act(t, path, tt.action); code != 0 {
			t.Errorf("%s: exit code %d", tt.action, code)
		}
		if current, next := b.state(t); current != tt.current || next != tt.next {
			t.Errorf("after %s: current %s, default %s", tt.action, current, next)
		}
	}
	if code := b.act(t, path, "fly"); code != 1 {
		t.Errorf("an unknown action: exit code %d", code)
	}
}

func TestSystemsThatFail(t *testing.T) {
	t.Parallel()
	b := newBed(t, true)
	failing := "[Service]\nType=oneshot\nExecStart=/bin/false\n"
	for _, tt := range []struct {
		spec    system.Spec
		code    int
		current bool
	}{
		{system.Spec{Name: "refuses", Refuse: 1}, 1, false},
		{system.Spec{Name: "fails", Exit: 4}, 4, true},
		{system.Spec{Name: "bad-unit", Units: map[string]string{"bad.service": failing}}, 4, true},
		{system.Spec{Name: "good"}, 0, true},
	} {
		before, _ := b.state(t)
		path := b.add(t, tt.spec)
		code := b.act(t, path, "switch")
		current, _ := b.state(t)
		want := before
		if tt.current {
			want = path
		}
		if code != tt.code || current != want {
			t.Errorf("%s: exit code %d, current %s; want %d, %s", tt.spec.Name, code, current, tt.code, want)
		}
		got := strings.Contains(b.host.Sh(t, "systemctl list-units --failed --no-legend"), "bad.service")
		if want := tt.spec.Name == "bad-unit"; got != want {
			t.Errorf("%s: unit failed %v, want %v", tt.spec.Name, got, want)
		}
		b.host.Sh(t, "systemctl reset-failed")
	}
}

func TestASystemThatHangsIsNeverCurrent(t *testing.T) {
	t.Parallel()
	b := newBed(t, true)
	path := b.add(t, system.Spec{Name: "hangs", Hang: true})
	b.host.Sh(t, "systemd-run -q --unit=act "+path+"/bin/switch-to-configuration switch; "+
		"until grep -q 'hangs: hanging' /var/log/testbed-activation; do sleep 0.05; done")
	if current, next := b.state(t); current != b.base || next != path {
		t.Errorf("current %s, default %s", current, next)
	}
	if code := b.act(t, b.base, "switch"); code != 1 {
		t.Errorf("a second activation: exit code %d, want 1: the first holds the lock", code)
	}
	b.host.Sh(t, "systemctl stop act")
	if code := b.act(t, b.base, "switch"); code != 0 {
		t.Errorf("afterwards: exit code %d", code)
	}
}

func TestASystemThatBreaksTheNetwork(t *testing.T) {
	t.Parallel()
	b := newBed(t, true)
	path := b.add(t, system.Spec{Name: "cut", BreakNetwork: true, Slow: time.Second})
	if code := b.act(t, path, "test"); code != 0 {
		t.Errorf("exit code %d: it does not know what it did", code)
	}
	if _, err := b.lab.Controller.Try(t, "ssh h1 true"); err == nil {
		t.Error("still reachable")
	}
	if code := b.act(t, b.base, "test"); code != 0 {
		t.Errorf("going back: exit code %d", code)
	}
	b.lab.Controller.Sh(t, "ssh h1 true")
}

// A new system is tried for one boot; the one after that takes the default again.
func TestBootingOnce(t *testing.T) {
	t.Parallel()
	b := newBed(t, true)
	path := b.add(t, system.Spec{Name: "next", Kernel: "another", Units: map[string]string{"web.service": "[Service]\nExecStart=/bin/sleep infinity\n"}})
	if code := b.act(t, b.base, "boot"); code != 0 { // writes an entry for each generation, with itself as the default
		t.Fatalf("exit code %d", code)
	}
	b.host.Sh(t, "bootctl set-oneshot nixos-generation-2.conf")
	if got := system.Read(t, b.host); got.Once != path || got.Default != b.base {
		t.Fatalf("before the boot: %+v", got)
	}
	b.host.Reboot(t)
	want := system.State{Current: path, Booted: path, Profile: path, Generation: 2, Default: b.base}
	if got := system.Read(t, b.host); got != want {
		t.Errorf("in the boot: %+v, want %+v", got, want)
	}
	b.host.Sh(t, "systemctl is-active web; cmp -s /run/booted-system/kernel "+b.base+"/kernel && exit 1; true")
	b.host.Reboot(t)
	if got := system.Read(t, b.host); got.Current != b.base || got.Booted != b.base {
		t.Errorf("in the boot after that: %+v", got)
	}
	if got := b.host.Sh(t, "systemctl is-active web; true"); got != "inactive" {
		t.Errorf("the unit of the other system is %s", got)
	}
	if log := system.Log(t, b.host); !strings.Contains(log, "booting nixos-generation-2.conf: "+path+"\nnext: activating\nnext: current\nbooting nixos-generation-1.conf") {
		t.Errorf("log of activations:\n%s", log)
	}
}
