package guard_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/testbed/hosts"
	"nixos-staged-hive/internal/testbed/hosts/system"
)

func TestActivate(t *testing.T) {
	t.Parallel()
	for _, suite := range []hosts.Suite{hosts.Bookworm, hosts.Trixie} {
		t.Run(string(suite), func(t *testing.T) {
			t.Parallel()
			b := newBed(t, suite)
			path := b.add(t, system.Spec{Name: "next", Slow: 2 * time.Second})
			got := b.activate(t.Context(), t, b.order(path), hive.Committed, "")
			b.on(t, path, 2)
			if got.Exit != 0 || got.Old != b.base || got.OldGeneration != 1 || got.By != "somebody@test" {
				t.Errorf("the record: %+v", got)
			}
			if want := "begun, activating, waiting, confirmed, committed"; !strings.HasSuffix(want, b.states()) {
				t.Errorf("states %s, want an end of %s", b.states(), want)
			}
			if log := b.said(); !strings.Contains(log, "step 1 of 2") {
				t.Errorf("the log: %s", log)
			}
			t.Log(b.states(), b.said())
		})
	}
}

// A rollback goes to a generation that is there, and makes none.
func TestActivateAGeneration(t *testing.T) {
	t.Parallel()
	b := newBed(t, hosts.Trixie)
	path := b.add(t, system.Spec{Name: "next"})
	b.activate(t.Context(), t, b.order(path), hive.Committed, "")
	o := b.order(b.base)
	o.Generation = 2
	b.activate(t.Context(), t, o, hive.Refused, "generation 2 is not the system")
	o = b.order(b.base)
	o.Generation = 1
	b.activate(t.Context(), t, o, hive.Committed, "")
	b.on(t, b.base, 1)
	b.before = system.Read(t, b.host)
	o = b.order(path)
	o.Generation, o.Check = 2, func(context.Context) error { return errors.New("sick") }
	b.activate(t.Context(), t, o, hive.RolledBack, "sick")
	b.unchanged(t)
	if links := b.host.Sh(t, "cd /nix/var/nix/profiles; echo system*"); links != "system system-1-link system-2-link" {
		t.Errorf("profiles: %s", links)
	}
}

func TestWhatMakesAHostGoBack(t *testing.T) {
	t.Parallel()
	b := newBed(t, hosts.Trixie)
	for _, tt := range []struct {
		spec   system.Spec
		check  error
		reason string
	}{
		{system.Spec{Name: "refuses", Refuse: 1}, nil, "exit code 1"},
		{system.Spec{Name: "fails", Exit: 2}, nil, "exit code 2"},
		{system.Spec{Name: "sick"}, errors.New("the web\npage is white"), "the web page is white"},
		{system.Spec{Name: "cut", BreakNetwork: true}, nil, "not confirmed within 5 s"},
		{system.Spec{Name: "hangs", Hang: true}, nil, "did not end within 4 s"},
	} {
		o := b.order(b.add(t, tt.spec))
		o.Check = func(context.Context) error { return tt.check }
		if tt.spec.BreakNetwork {
			o.Confirm = 5 * time.Second
		}
		if tt.spec.Hang {
			o.Activation = 4 * time.Second
		}
		began := time.Now()
		b.activate(t.Context(), t, o, hive.RolledBack, tt.reason)
		t.Logf("%s: %s", tt.spec.Name, time.Since(began))
		b.unchanged(t)
	}
}
