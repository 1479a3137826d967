package guard_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/stage/deploy/guard"
	"nixos-staged-hive/internal/testbed/hosts"
	"nixos-staged-hive/internal/testbed/hosts/system"
)

// bed is a lab with one host that runs the system "base".
type bed struct {
	lab    *hosts.Lab
	host   *hosts.Host
	guard  guard.Host
	base   string
	before system.State

	mu   sync.Mutex
	seen []hive.Activation
	log  []string
}

var runs atomic.Int64

func newBed(t *testing.T, suite hosts.Suite) *bed {
	t.Helper()
	return newBedOf(t, hosts.Spec{Name: "h1", Suite: suite, Systemd: true, RootLogin: true})
}

func newBedOf(t *testing.T, spec hosts.Spec) *bed {
	t.Helper()
	dir := t.TempDir()
	lab := hosts.Up(t, hosts.Net{Share: []string{dir}, Hosts: []hosts.Spec{spec}})
	b := &bed{lab: lab, host: lab.Host(t, "h1"), base: system.Build(t, lab.Controller, system.Spec{Name: "base"})}
	system.Install(t, lab.Controller, b.host, b.base)
	access, err := remote.Open(lab.Controller, []remote.Target{{
		Name: "h1", Address: b.host.Addr.String(), User: "root", HostKeys: []string{b.host.HostKey()},
		IdentityFiles: []string{"/root/.ssh/id_ed25519"},
	}}, remote.Options{Dir: dir, ConnectTimeout: 3 * time.Second, KeepAlive: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	b.guard = guard.Host{Name: "h1", Root: access.Runner("h1"), Patience: time.Minute}
	b.before = system.Read(t, b.host)
	return b
}

// add builds a system and copies it to the host.
func (b *bed) add(t *testing.T, spec system.Spec) string {
	t.Helper()
	path := system.Build(t, b.lab.Controller, spec)
	system.Copy(t, b.lab.Controller, b.host, path)
	return path
}

// order has limits that fit fake systems.
func (b *bed) order(system string) guard.Order {
	return guard.Order{
		Run: fmt.Sprintf("test-%d", runs.Add(1)), By: "somebody@test", New: system,
		Activation: 30 * time.Second, Confirm: 20 * time.Second, Reboot: time.Minute,
		Progress: func(s hive.ActivationState, line string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if line != "" {
				b.log = append(b.log, line)
			} else {
				b.seen = append(b.seen, s.State)
			}
		},
	}
}

func (b *bed) states() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var words []string
	for _, s := range b.seen {
		words = append(words, string(s))
	}
	return strings.Join(words, ", ")
}

func (b *bed) said() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.log, "\n")
}

// activate fails the test unless it ends in the wanted state with the wanted reason.
func (b *bed) activate(ctx context.Context, t *testing.T, o guard.Order, want hive.Activation, reason string) hive.ActivationState {
	t.Helper()
	got, err := b.guard.Activate(ctx, o)
	if err != nil {
		t.Fatalf("activate: %v (states: %s)", err, b.states())
	}
	if got.State != want || !strings.Contains(got.Reason, reason) {
		t.Errorf("%s, %q; want %s, %q (states: %s)\nlog:\n%s", got.State, got.Reason, want, reason, b.states(), b.said())
	}
	b.clean(t)
	return got
}

// unchanged wants the host to be exactly what it was.
func (b *bed) unchanged(t *testing.T) {
	t.Helper()
	if got := system.Read(t, b.host); got != b.before {
		t.Errorf("the host is\n%+v, was\n%+v", got, b.before)
	}
	b.reachable(t)
}

// on wants the host to be on a system as a whole, in its n-th generation.
func (b *bed) on(t *testing.T, path string, generation int) {
	t.Helper()
	got := system.Read(t, b.host)
	want := system.State{Current: path, Booted: got.Booted, Profile: path, Generation: generation, Default: path}
	if got != want {
		t.Errorf("the host is\n%+v, want\n%+v", got, want)
	}
	b.reachable(t)
}

func (b *bed) reachable(t *testing.T) {
	t.Helper()
	b.lab.Controller.Sh(t, "for i in 1 2 3 4 5; do ssh h1 true && exit; sleep 1; done; exit 1")
}

// stray is what must not be left on a host: units, files, locks, processes.
const stray = `
fail=0; say() { echo "$*"; fail=1; }
for i in $(seq 100); do
	units=$(systemctl list-units --all --plain --no-legend 'nixos-staged-hive-*'; ls /run/systemd/transient 2>/dev/null | grep staged-hive)
	[ -n "$units" ] || break
	sleep 0.1
done
[ -z "$units" ] || say "units: $units"
[ ! -e /run/nixos-staged-hive-deploy ] || say "memory: $(ls -la /run/nixos-staged-hive-deploy)"
[ ! -e /nix/var/nix/gcroots/nixos-staged-hive-deploy ] || say "roots"
left=$(cd /var/lib/nixos-staged-hive/deploy && ls -A | grep -vxE 'actor|guard|record|log')
[ -z "$left" ] || say "files: $left"
left=$(ls -A /var/lib/nixos-staged-hive/deploy/actor)
[ -z "$left" ] || say "files: $left"
flock -n /var/lib/nixos-staged-hive/deploy true || say "locked"
flock -n /var/lib/nixos-staged-hive/deploy/actor true || say "locked by a guard"
# what a connection ran ends a moment after it
for i in $(seq 150); do
	left=$(pgrep -fa 'nixos-staged-hive|switch-to-configuration' | grep -v pgrep)
	[ -n "$left" ] || break
	sleep 0.1
done
[ -z "$left" ] || say "processes: $left"
[ "$fail" = 0 ]`

func (b *bed) clean(t *testing.T) {
	t.Helper()
	if out, err := b.host.Try(t, stray); err != nil {
		t.Errorf("left on the host: %s %v", out, err)
	}
}
