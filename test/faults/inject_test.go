package faults

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/hosts/system"
)

type command = run.Command

// patience is for what takes no time, on a machine that is very busy.
const patience = 2 * time.Minute

// inside runs a script as root on the host, past the network. It gives what it said where it failed.
func inside(ctx context.Context, h run.Runner, script string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := run.Output(ctx, h, run.Command{Name: "bash", Args: []string{"-c", script}, Grace: time.Second})
	if err != nil {
		failed, _ := errors.AsType[*run.Error](err)
		if failed != nil {
			out = append(out, failed.Stderr...)
		}
		return fmt.Sprintf("%s%v", out, err), err
	}
	return string(out), nil
}

// try gives nothing when the script succeeds without a word.
func (m *machine) try(script string) string {
	out, _ := inside(context.Background(), m.host, script)
	return out
}

func (m *machine) controller(script string) string {
	out, err := inside(context.Background(), m.lab.Controller, script)
	if err == nil {
		return ""
	}
	return out
}

// await waits until the host's own record says the state, and then some. False is that it never did.
func (m *machine) await(ctx context.Context, s strike) bool {
	script := fmt.Sprintf(`until grep -qx 'state=%s' /run/nixos-staged-hive-deploy/record 2>/dev/null; do sleep 0.05; done; sleep %f`, s.State, s.After.Seconds())
	for ctx.Err() == nil {
		out := m.host.Run(ctx, run.Command{Name: "bash", Args: []string{"-c", script}, Grace: time.Millisecond})
		if out == nil {
			return true
		}
		time.Sleep(100 * time.Millisecond) // it may be off
	}
	return false
}

// inject does what the strike says. Nothing here waits for long, except for what ends by itself.
func (m *machine) inject(over context.Context, t *testing.T, s strike, o *outcome, kill, interrupt func()) {
	h := m.host
	units := func(verb string, roles ...string) {
		for _, role := range roles {
			m.try("systemctl " + verb + " 'nixos-staged-hive-case-*-" + role + ".service'")
		}
	}
	hold := func() {
		select {
		case <-over.Done():
		case <-time.After(s.For):
		}
	}
	switch s.kind {
	case "link cut for a moment":
		h.Link.Down(t)
		hold()
		h.Link.Up(t)
	case "link cut until the end":
		h.Link.Down(t)
	case "link cut after some bytes":
		h.Link.CutAfter(t, s.Bytes)
	case "packets lost":
		h.Link.Loss(t, 15)
	case "slow link":
		h.Link.Rate(t, 400_000)
	case "sshd killed":
		m.try("pkill -KILL '^sshd'")
	case "power off":
		if h.Alive() {
			h.Kill(t)
			hold()
			h.Boot(t)
		}
	case "reboot":
		boots := h.Boots()
		if _, err := inside(context.WithoutCancel(t.Context()), h, "systemctl reboot"); err == nil {
			for until := time.Now().Add(patience); h.Boots() == boots && time.Now().Before(until); {
				time.Sleep(50 * time.Millisecond)
			}
		}
	case "activation killed":
		units("kill --signal=KILL", "switch")
	case "first guard killed":
		units("kill --signal=KILL", "activate")
	case "second guard killed":
		units("kill --signal=KILL", "watch")
	case "both guards killed":
		units("kill --signal=KILL", "activate", "watch")
	case "all killed":
		units("kill --signal=KILL", "switch", "activate", "watch")
	case "both guards stopped":
		units("stop", "activate", "watch")
	case "first guard frozen":
		units("kill --signal=STOP", "activate")
	case "systemd reloaded":
		m.try("systemctl daemon-reload")
	case "systemd executed anew":
		m.try("systemctl daemon-reexec")
	case "disk full":
		m.try("cat /dev/zero >/filler 2>/dev/null; true")
	case "operator killed":
		kill()
	case "operator interrupted":
		interrupt()
	case "operator settles":
		_, err := m.guard(context.WithoutCancel(t.Context()), "").Settle(over)
		_ = err // a lock, or nothing; the host says whether it did any harm
	case "no clock":
		h.WriteFile(t, "/usr/local/bin/date", "#!/bin/sh\necho 1970-01-01T00:00:00Z\n", 0o755)
	case "garbage collected":
		m.try("nix-collect-garbage >/dev/null 2>&1; true")
	}
}

// restore takes away what does not end by itself, as an administrator would in the end.
func (m *machine) restore(t *testing.T, _ trial, _ *outcome) {
	m.host.Link.Restore(t)
	if !m.host.Alive() {
		m.host.Boot(t)
	}
	m.host.Await(t, 1)
	m.host.Sh(t, "rm -f /filler /usr/local/bin/date")
	// A guard that has to go back yet does so in its own time. Only a broken network is mended by nobody else.
}

// reset makes the host fit for the next case after a failed one.
func (m *machine) reset(t *testing.T) {
	m.try("systemctl stop 'nixos-staged-hive-*'; rm -rf /run/nixos-staged-hive-deploy /var/lib/nixos-staged-hive /nix/var/nix/gcroots/nixos-staged-hive-deploy /boot/loader")
	system.Install(t, m.lab.Controller, m.host, m.base)
	m.host.Reboot(t)
}

// stray says what must not be left on a host: units, files, locks, processes.
const stray = `
for i in $(seq 150); do
	units=$(systemctl list-units --all --plain --no-legend 'nixos-staged-hive-*'; ls /run/systemd/transient 2>/dev/null | grep staged-hive)
	[ -n "$units" ] || break
	sleep 0.1
done
[ -z "$units" ] || echo "units: $units"
[ ! -e /run/nixos-staged-hive-deploy ] || echo "memory: $(ls -la /run/nixos-staged-hive-deploy)"
[ ! -e /nix/var/nix/gcroots/nixos-staged-hive-deploy ] || echo "roots"
left=$(find /var/lib/nixos-staged-hive/deploy -mindepth 1 2>/dev/null | grep -vxE '/var/lib/nixos-staged-hive/deploy/(actor|guard|record|log)')
[ -z "$left" ] || echo "files: $left"
left=$(ls -A /nix/var/nix/profiles | grep -vE '^(system|system-[0-9]+-link|per-user|default|default-.*)$')
[ -z "$left" ] || echo "links: $left"
for d in /var/lib/nixos-staged-hive/deploy /var/lib/nixos-staged-hive/deploy/actor; do
	[ ! -e $d ] || flock -n $d true || echo "locked: $d"
done
# what a connection ran ends a moment after it
for i in $(seq 150); do
	left=$(pgrep -fa 'nixos-staged-hive-deploy|switch-to-configuration' | grep -v pgrep)
	[ -n "$left" ] || break
	sleep 0.1
done
printf %s "$left"`
