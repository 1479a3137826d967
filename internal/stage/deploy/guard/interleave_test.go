package guard_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/deploy/guard"
	"nixos-staged-hive/internal/testbed/hosts"
	"nixos-staged-hive/internal/testbed/hosts/system"
)

// at runs f once, when the operator's computer hears of the state.
func at(o guard.Order, state hive.Activation, f func()) guard.Order {
	progress, done := o.Progress, false
	o.Progress = func(s hive.ActivationState, line string) {
		progress(s, line)
		if s.State == state && !done {
			done = true
			f()
		}
	}
	return o
}

// loops kills guards of the run: "activate" is the one that acts.
func (b *bed) kill(t *testing.T, roles ...string) {
	t.Helper()
	for _, role := range roles {
		b.host.Sh(t, "systemctl kill --signal=KILL 'nixos-staged-hive-*-"+role+".service'")
	}
}

func TestWhateverIsKilledTheHostIsConfirmedOrGoesBack(t *testing.T) {
	t.Parallel()
	b := newBed(t, hosts.Trixie)
	slow := b.add(t, system.Spec{Name: "slow", Slow: 4 * time.Second})
	sick := errors.New("sick")
	for _, tt := range []struct {
		name   string
		state  hive.Activation
		do     func()
		check  error
		want   hive.Activation
		reason string
	}{
		{"the activation", hive.Activating, func() { b.kill(t, "switch") }, nil, hive.RolledBack, "was killed"},
		{"the first guard, during the activation", hive.Activating, func() { b.kill(t, "activate") }, sick, hive.RolledBack, "sick"},
		{"the second guard", hive.Activating, func() { b.kill(t, "watch") }, sick, hive.RolledBack, "sick"},
		{"both guards, while waiting", hive.Waiting, func() { b.kill(t, "activate", "watch") }, sick, hive.RolledBack, "sick"},
		{"all", hive.Activating, func() { b.kill(t, "switch", "activate", "watch") }, nil, hive.RolledBack, "killed"},
		{"both guards stopped for good", hive.Activating, func() {
			b.host.Sh(t, "systemctl stop 'nixos-staged-hive-*-activate.service' 'nixos-staged-hive-*-watch.service'")
		}, nil, hive.RolledBack, "its guard was gone"},
		{"a guard on its way back", hive.RollingBack, func() { b.kill(t, "activate") }, sick, hive.RolledBack, "sick"},
		{"systemd's memory of units", hive.Waiting, func() { b.host.Sh(t, "systemctl daemon-reload; systemctl daemon-reexec; systemctl daemon-reload") }, sick, hive.RolledBack, "sick"},
		{"sshd", hive.Activating, func() { b.host.KillSSHD(t) }, sick, hive.RolledBack, "sick"},
		{"the host, during the activation", hive.Activating, func() { b.host.Reboot(t) }, nil, hive.RolledBack, "restarted"},
		{"the host, while waiting", hive.Waiting, func() { b.host.Reboot(t) }, nil, hive.RolledBack, "restarted"},
	} {
		o := at(b.order(slow), tt.state, tt.do)
		o.Check = func(context.Context) error { return tt.check }
		began := time.Now()
		b.activate(t.Context(), t, o, tt.want, tt.reason)
		b.unchanged(t)
		t.Logf("%s: %.1f s", tt.name, time.Since(began).Seconds())
	}
	// The last one goes well although the guard is killed twice.
	o := at(at(b.order(slow), hive.Activating, func() { b.kill(t, "activate") }), hive.Waiting, func() { b.kill(t, "watch") })
	b.activate(t.Context(), t, o, hive.Committed, "")
	b.on(t, slow, 2)
}

func TestWhatIsRefusedChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t, hosts.Trixie)
	good := b.add(t, system.Spec{Name: "good"})
	b.activate(t.Context(), t, b.order(system.Build(t, b.lab.Controller, system.Spec{Name: "elsewhere"})), hive.Refused, "not in the host's store")
	b.unchanged(t)
	b.activate(t.Context(), t, b.order(b.add(t, system.Spec{Name: "inhibited", Inhibit: true})), hive.Refused, "needs a reboot")
	b.unchanged(t)
	b.host.Sh(t, `systemd-run -q --unit=lock sh -c 'exec 9>/run/nixos/$1; flock 9; exec sleep 1000' - switch-to-configuration.lock
until ! flock -n /run/nixos/switch-to-configuration.lock true; do sleep 0.1; done`)
	state, err := b.guard.Activate(t.Context(), b.order(good))
	if err != nil || state.State != hive.Refused || !strings.Contains(state.Reason, "is locked") {
		t.Errorf("while somebody else activates: %+v, %v", state, err)
	}
	b.host.Sh(t, "systemctl stop lock")
	b.clean(t)
	b.unchanged(t)
	if _, err := b.guard.Activate(t.Context(), guard.Order{Run: "x y", New: good}); err == nil {
		t.Error("a run's name with a blank was taken")
	}
	if _, err := b.guard.Activate(t.Context(), guard.Order{Run: "x", New: "/etc"}); err == nil {
		t.Error("/etc was taken for a store path")
	}
}

func TestAFullDisk(t *testing.T) {
	t.Parallel()
	b := newBedOf(t, hosts.Spec{Name: "h1", Suite: hosts.Trixie, Systemd: true, RootLogin: true, Space: 64 << 20})
	path := b.add(t, system.Spec{Name: "next"})
	fill := func() { b.host.Sh(t, "cat /dev/zero >/filler 2>/dev/null; ! echo x >>/filler-2 || exit 1") }
	empty := func() { b.host.Sh(t, "rm -f /filler /filler-2") }
	fill()
	b.activate(t.Context(), t, b.order(path), hive.Refused, "room on the disk")
	empty()
	b.unchanged(t)
	for _, state := range []hive.Activation{hive.Activating, hive.Waiting} {
		got, err := b.guard.Activate(t.Context(), at(b.order(path), state, fill))
		if err != nil || got.State != hive.RolledBack || !strings.Contains(got.Reason, "cannot be written") {
			t.Errorf("full when it was %s: %+v, %v", state, got, err)
		}
		b.unchanged(t)
		empty()
		if last, err := b.guard.Settle(t.Context()); last != nil || err != nil {
			t.Errorf("nothing is to be settled: %+v, %v", last, err)
		}
		b.clean(t)
		if last, err := b.guard.Last(t.Context()); err != nil || last.State != hive.RolledBack {
			t.Errorf("the record: %+v, %v", last, err)
		}
	}
	b.activate(t.Context(), t, b.order(path), hive.Committed, "")
	b.on(t, path, 2)
}

func TestTwoOperators(t *testing.T) {
	t.Parallel()
	b := newBed(t, hosts.Trixie)
	good := b.add(t, system.Spec{Name: "good"})
	o := b.order(good)
	o.Check = func(ctx context.Context) error {
		_, err := b.guard.Activate(ctx, b.order(b.base))
		if locked, ok := errors.AsType[*guard.LockedError](err); !ok || locked.State.Run != o.Run || locked.State.Remaining == 0 {
			t.Errorf("the second activation: %v", err)
		}
		if _, err := b.guard.Settle(ctx); err == nil || !strings.Contains(err.Error(), "by somebody@test is waiting") {
			t.Errorf("settling a run that goes on: %v", err)
		}
		if last, err := b.guard.Last(ctx); err != nil || last.Run != o.Run {
			t.Errorf("the record: %+v, %v", last, err)
		}
		return nil
	}
	b.activate(t.Context(), t, o, hive.Committed, "")
	if state, err := b.guard.Settle(t.Context()); state != nil || err != nil {
		t.Errorf("nothing is to be settled: %+v, %v", state, err)
	}
}

func TestAnInterruptedOperatorGoesBack(t *testing.T) {
	t.Parallel()
	b := newBed(t, hosts.Trixie)
	slow := b.add(t, system.Spec{Name: "slow", Slow: 5 * time.Second})
	for _, state := range []hive.Activation{hive.Activating, hive.Waiting} {
		ctx, cancel := context.WithCancel(t.Context())
		b.activate(ctx, t, at(b.order(slow), state, cancel), hive.RolledBack, "interrupted")
		b.unchanged(t)
		cancel()
	}
}

// dead is an operator's computer that is cut off after some commands.
type dead struct {
	run.Runner
	left int
}

func (d *dead) Run(ctx context.Context, c run.Command) error {
	if d.left--; d.left < 0 {
		return &run.Error{Command: c, ExitCode: -1, Err: errors.New("no way there")}
	}
	return d.Runner.Run(ctx, c)
}

func TestAnOperatorThatVanishes(t *testing.T) {
	t.Parallel()
	b := newBed(t, hosts.Trixie)
	slow := b.add(t, system.Spec{Name: "slow", Slow: 2 * time.Second})
	o := b.order(slow)
	o.Confirm, o.Activation = 4*time.Second, 6*time.Second
	h := guard.Host{Name: "h1", Root: &dead{Runner: b.guard.Root, left: 2}, Patience: time.Second}
	_, err := h.Activate(t.Context(), o)
	unknown, ok := errors.AsType[*guard.UnknownError](err)
	if !ok || unknown.State.Run != o.Run {
		t.Fatalf("got %v", err)
	}
	last, err := b.guard.Last(t.Context())
	if err != nil || last.State != hive.RolledBack || !strings.Contains(last.Reason, "not confirmed within 4 s") {
		t.Errorf("the host by itself: %+v, %v", last, err)
	}
	b.clean(t)
	b.unchanged(t)
}

func TestWhatWasDifferentBeforeIsPutBack(t *testing.T) {
	t.Parallel()
	b := newBed(t, hosts.Trixie)
	drifted, second := b.add(t, system.Spec{Name: "drifted"}), b.add(t, system.Spec{Name: "second"})
	loaderless := b.add(t, system.Spec{Name: "loaderless", BreakLoader: true})
	b.host.Sh(t, "nix-env -p "+system.Profile+" --set "+second+" && nix-env -p "+system.Profile+" --switch-generation 1 && "+
		b.base+"/bin/switch-to-configuration boot && "+drifted+"/bin/switch-to-configuration test")
	b.before = system.Read(t, b.host)
	if b.before.Current != drifted || b.before.Generation != 1 || b.before.Default != b.base {
		t.Fatalf("the drift: %+v", b.before)
	}
	links := b.host.Sh(t, "ls -l --time-style=full-iso /nix/var/nix/profiles/system-*; ls /boot/loader/entries")
	b.activate(t.Context(), t, b.order(loaderless), hive.RolledBack, "boot loader cannot be written")
	b.unchanged(t)
	if now := b.host.Sh(t, "ls -l --time-style=full-iso /nix/var/nix/profiles/system-*; ls /boot/loader/entries"); now != links {
		t.Errorf("links and entries were\n%s\nare\n%s", links, now)
	}
	// What is current already is only made what the next boot takes.
	log := system.Log(t, b.host)
	b.activate(t.Context(), t, b.order(drifted), hive.Committed, "")
	b.on(t, drifted, 3)
	if more := strings.TrimPrefix(system.Log(t, b.host), log); strings.Contains(more, "test") {
		t.Errorf("it was activated again: %s", more)
	}
	b.activate(t.Context(), t, b.order(drifted), hive.Committed, "nothing to do")
	b.on(t, drifted, 3)
	b.activate(t.Context(), t, b.order(second), hive.Committed, "")
	b.on(t, second, 4)
}

func TestAFailedUnitIsForTheChecksToJudge(t *testing.T) {
	t.Parallel()
	b := newBed(t, hosts.Bookworm)
	bad := b.add(t, system.Spec{Name: "bad", Units: map[string]string{"bad.service": "[Service]\nType=oneshot\nExecStart=/bin/false\n"}})
	if got := b.activate(t.Context(), t, b.order(bad), hive.Committed, ""); got.Exit != 4 {
		t.Errorf("exit code %d, want 4", got.Exit)
	}
	b.on(t, bad, 2)
}

func TestAnOrderThatNobodyFollowsChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t, hosts.Trixie)
	o := b.order(b.add(t, system.Spec{Name: "next"}))
	h := guard.Host{Name: "h1", Root: &dead{Runner: b.guard.Root, left: 1}, Patience: time.Second}
	o.Activation, o.Confirm = time.Second, time.Second
	if _, err := h.Activate(t.Context(), o); err == nil {
		t.Error("it is told to be activated")
	}
	for until := time.Now().Add(2 * time.Minute); time.Now().Before(until); time.Sleep(time.Second) {
		if last, err := b.guard.Last(t.Context()); err == nil && last.State.Ends() {
			break
		}
	}
	last, err := b.guard.Last(t.Context())
	if err != nil || last.State != hive.Refused || !strings.Contains(last.Reason, "nobody after it") {
		t.Errorf("%+v, %v", last, err)
	}
	b.clean(t)
	b.unchanged(t)
	if log := system.Log(t, b.host); strings.Contains(log, "next:") {
		t.Errorf("it was activated: %s", log)
	}
}
