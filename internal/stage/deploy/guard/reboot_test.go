package guard_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/stage/deploy/guard"
	"nixos-staged-hive/internal/testbed/hosts"
	"nixos-staged-hive/internal/testbed/hosts/system"
)

// bootGuard is the unit that full systems may have.
const bootGuard = "[Service]\nType=exec\nExecStart=/bin/sh " + guard.ScriptFile + " boot\n"

func TestAGuardedReboot(t *testing.T) {
	t.Parallel()
	b := newBed(t, hosts.Trixie)
	sick := errors.New("sick")
	units := map[string]string{"boot-guard.service": bootGuard}
	for _, tt := range []struct {
		name   string
		spec   system.Spec
		check  func(boots int) error
		do     func() // when it is confirmed for the first time
		reason string
	}{
		{"checks fail before", system.Spec{Name: "sick-before"}, func(int) error { return sick }, nil, "sick"},
		{"checks fail after", system.Spec{Name: "sick-after"}, func(boots int) error {
			if boots > 1 {
				return sick
			}
			return nil
		}, nil, "sick"},
		{"it breaks the network, and its boot guard reboots", system.Spec{Name: "cut", Inhibit: true, BreakNetwork: true, Units: units}, nil, nil, "not confirmed within 6 s after the reboot"},
		{"it hangs, and somebody switches it off and on", system.Spec{Name: "hangs", Inhibit: true, Hang: true}, nil, func() {
			for { // "hangs: hanging" is said by its boot alone
				if _, err := b.host.Try(t, "grep -q 'hangs: hanging' /var/log/testbed-activation"); err == nil {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
			b.host.Reboot(t)
		}, "did not start"},
	} {
		b.before = system.Read(t, b.host)
		o := b.order(b.add(t, tt.spec))
		o.RebootAfter = true
		boots := b.host.Boots()
		o.Check = func(context.Context) error {
			if tt.check == nil {
				return nil
			}
			return tt.check(b.host.Boots() - boots + 1)
		}
		if tt.spec.BreakNetwork {
			o.Confirm = 6 * time.Second
		}
		if tt.do != nil {
			o = at(o, hive.Confirmed, tt.do)
		}
		began := time.Now()
		b.activate(t.Context(), t, o, hive.RolledBack, tt.reason)
		b.unchanged(t)
		t.Logf("%s: %.1f s, %s", tt.name, time.Since(began).Seconds(), b.states())
	}
	for i, spec := range []system.Spec{{Name: "next", Units: units}, {Name: "inhibited", Inhibit: true, Units: units}} {
		path := b.add(t, spec)
		o := b.order(path)
		o.RebootAfter = true
		b.activate(t.Context(), t, o, hive.Committed, "")
		b.on(t, path, 2+i)
		if got := system.Read(t, b.host); got.Booted != path {
			t.Errorf("booted %s, want %s", got.Booted, path)
		}
		b.host.Reboot(t)
		b.on(t, path, 2+i)
	}
}
