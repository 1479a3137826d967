package faults

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/stage/deploy/guard"
	"nixos-staged-hive/internal/testbed/hosts"
	"nixos-staged-hive/internal/testbed/hosts/system"
)

var (
	seed  = flag.Int64("faults.seed", -1, "this case alone")
	base  = flag.Int64("faults.base", -1, "the first case; cases go on from it (default: chosen by the day)")
	cases = flag.Int("faults.cases", 0, "how many cases (default: 40 in CI, else 8)")
	limit = flag.Duration("faults.limit", 9*time.Minute, "begin no further case after this time")
)

// machine is a host with the way to it.
type machine struct {
	lab    *hosts.Lab
	host   *hosts.Host
	access *remote.Access
	sudo   string // how the login becomes root
	base   string
}

// TestFaults is the matrix. See README.md.
func TestFaults(t *testing.T) {
	seeds := chosen(t)
	machines := labOf(t)
	began := time.Now()
	next := make(chan int64)
	var all sync.WaitGroup
	tally := &tally{}
	for _, m := range machines {
		all.Go(func() {
			for s := range next {
				tally.add(m.prove(t, trialOf(s)))
			}
		})
	}
	left := 0
	for _, s := range seeds {
		if len(seeds) > 1 && time.Since(began) > *limit {
			left++
			continue
		}
		next <- s
	}
	close(next)
	all.Wait()
	t.Logf("%s, in %.0f s", tally, time.Since(began).Seconds())
	if left > 0 {
		t.Logf("no time for %d more cases (-faults.limit=%s)", left, *limit)
	}
}

func chosen(t *testing.T) []int64 {
	if *seed >= 0 {
		return []int64{*seed}
	}
	count := *cases
	if count == 0 {
		count = 8
		if os.Getenv("CI") != "" {
			count = 40
		}
	}
	first := *base
	if first < 0 {
		first = time.Now().Unix() / 86400 % 1000 * 40
	}
	var seeds []int64
	for i := range count {
		seeds = append(seeds, first+int64(i))
	}
	t.Logf("cases %d to %d: -faults.base=%d -faults.cases=%d", first, seeds[len(seeds)-1], first, count)
	return seeds
}

// labOf starts the hosts, each with another way to become root. Their disks are small, so that they can be filled.
func labOf(t *testing.T) []*machine {
	t.Helper()
	dir := t.TempDir()
	const space = 256 << 20
	lab := hosts.Up(t, hosts.Net{Share: []string{dir}, Controller: hosts.Trixie, Hosts: []hosts.Spec{
		{Name: "trixie-password", Suite: hosts.Trixie, Systemd: true, Space: space},
		{Name: "bookworm-password", Suite: hosts.Bookworm, Systemd: true, Space: space},
		{Name: "trixie-free", Suite: hosts.Trixie, Systemd: true, Space: space, NoPassword: true},
		{Name: "bookworm-root", Suite: hosts.Bookworm, Systemd: true, Space: space, RootLogin: true},
	}})
	first := system.Build(t, lab.Controller, system.Spec{Name: "base"})
	var targets []remote.Target
	for _, h := range lab.Hosts {
		user := hosts.Admin
		if strings.HasSuffix(h.Name, "-root") {
			user = "root"
		}
		targets = append(targets, remote.Target{
			Name: h.Name, Address: h.Addr.String(), User: user, HostKeys: []string{h.HostKey()}, IdentityFiles: []string{"/root/.ssh/id_ed25519"},
		})
	}
	access, err := remote.Open(lab.Controller, targets, remote.Options{Dir: dir, ConnectTimeout: 3 * time.Second, KeepAlive: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	modes := map[string]string{"password": remote.SudoPassword, "free": remote.SudoFree, "root": remote.SudoRoot}
	var machines []*machine
	for _, h := range lab.Hosts {
		system.Install(t, lab.Controller, h, first)
		// As on NixOS: what runs is not garbage.
		h.Sh(t, "ln -sfn /run/current-system /nix/var/nix/gcroots/current-system; ln -sfn /run/booted-system /nix/var/nix/gcroots/booted-system")
		_, mode, _ := strings.Cut(h.Name, "-")
		machines = append(machines, &machine{lab: lab, host: h, access: access, sudo: modes[mode], base: first})
	}
	return machines
}

// tally is what the cases came to.
type tally struct {
	mu                      sync.Mutex
	confirmed, back, failed int
	seconds                 []float64
}

func (c *tally) add(o outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seconds = append(c.seconds, o.took.Seconds())
	switch {
	case len(o.problems) > 0:
		c.failed++
	case o.confirmed:
		c.confirmed++
	default:
		c.back++
	}
}

func (c *tally) String() string {
	slices.Sort(c.seconds)
	if len(c.seconds) == 0 {
		return "no cases"
	}
	return fmt.Sprintf("%d cases: %d confirmed on the new system, %d as they were, %d FAILED; a case took %.0f s, %.0f s at most",
		len(c.seconds), c.confirmed, c.back, c.failed, c.seconds[len(c.seconds)/2], c.seconds[len(c.seconds)-1])
}

// outcome is how a case ended.
type outcome struct {
	confirmed bool
	took      time.Duration
	story     []string
	problems  []string
}

func (o *outcome) tell(format string, args ...any) {
	o.story = append(o.story, fmt.Sprintf(format, args...))
}

func (o *outcome) wrong(format string, args ...any) {
	o.problems = append(o.problems, fmt.Sprintf(format, args...))
}

// prove goes through a case, tells what happened, and leaves the host ready for the next one.
func (m *machine) prove(t *testing.T, c trial) outcome {
	o := &outcome{}
	began := time.Now()
	path := m.prepare(t, c)
	before := m.look(t)
	state, err := m.activate(t, c, path, o)
	m.restore(t, c, o)
	state, err = m.settled(t, state, err, o)
	m.judge(t, c, path, before, state, err, o)
	o.took = time.Since(began)
	text := fmt.Sprintf("case %s, on %s: %s (%.0f s)", c, m.host.Name, strings.Join(o.story, "; "), o.took.Seconds())
	if len(o.problems) == 0 {
		t.Log(text)
		return *o
	}
	t.Errorf("%s\nFAILED: %s\nthe record and the log:\n%s\nagain: go test ./test/faults -faults.seed=%d", text, strings.Join(o.problems, "\n"),
		m.try("cat /run/nixos-staged-hive-deploy/record /var/lib/nixos-staged-hive/deploy/record; tail -n 30 /var/lib/nixos-staged-hive/deploy/log; journalctl -n 60 --no-pager | grep -v sshd; cat /var/log/testbed-activation | tail -n 40"), c.Seed)
	m.reset(t)
	return *o
}

// look is all of a host that a deployment changes.
type look struct {
	system.State
	Links, Entries string
}

func (m *machine) look(t *testing.T) look {
	return look{
		State:   system.Read(t, m.host),
		Links:   m.host.Sh(t, "cd /nix/var/nix/profiles && for l in system system-*-link; do echo $l $(readlink $l); done | sort"),
		Entries: m.host.Sh(t, "cd /boot/loader/entries && cat $(ls | sort); cat ../loader.conf"),
	}
}

// prepare builds the new system, brings it to the host, and makes the drift.
func (m *machine) prepare(t *testing.T, c trial) string {
	spec := c.System.spec
	spec.Name = fmt.Sprintf("%s-%d-%d", m.host.Name, c.Seed, time.Now().UnixNano()%1_000_000)
	if c.System.reboot && c.Seed%2 == 0 {
		spec.Units = map[string]string{"boot-guard.service": "[Service]\nType=exec\nExecStart=/bin/sh " + guard.ScriptFile + " boot\n"}
	}
	path := system.Build(t, m.lab.Controller, spec)
	system.Copy(t, m.lab.Controller, m.host, path)
	const profile = "nix-env -p " + system.Profile
	other := func() string {
		p := system.Build(t, m.lab.Controller, system.Spec{Name: spec.Name + "-other"})
		system.Copy(t, m.lab.Controller, m.host, p)
		return p
	}
	switch c.Drift {
	case "current is no generation":
		m.host.Sh(t, other()+"/bin/switch-to-configuration test")
	case "profile went back":
		m.host.Sh(t, "old=$(readlink "+system.Profile+" | tr -dc 0-9); "+profile+" --set "+other()+" && "+profile+" --switch-generation $old && /run/current-system/bin/switch-to-configuration boot")
	case "holes between generations":
		m.host.Sh(t, "old=$(readlink "+system.Profile+" | tr -dc 0-9); "+profile+" --set "+other()+" && "+profile+" --switch-generation $old && "+
			profile+" --set "+path+" && "+profile+" --switch-generation $old && rm $(ls -d "+system.Profile+"-*-link | sort -V | tail -n 1); /run/current-system/bin/switch-to-configuration boot")
	}
	return path
}

// operator is a computer that can be killed: what it runs ends, and nothing runs any more.
type operator struct {
	runner interface {
		Run(context.Context, command) error
	}
	dead context.Context
}

var errKilled = errors.New("the operator was killed")

func (p operator) Run(ctx context.Context, c command) error {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(p.dead, func() { cancel(errKilled) })
	defer func() { stop(); cancel(nil) }()
	return p.runner.Run(ctx, c)
}

func (m *machine) guard(dead context.Context, password string) guard.Host {
	sudo := remote.Sudo{Mode: m.sudo, Password: func(context.Context) (string, error) { return password, nil }}
	return guard.Host{Name: m.host.Name, Root: operator{m.access.Elevated(m.host.Name, sudo), dead}, Patience: 20 * time.Second}
}

// activate does what the case is about.
func (m *machine) activate(t *testing.T, c trial, path string, o *outcome) (hive.ActivationState, error) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	dead, kill := context.WithCancel(context.WithoutCancel(t.Context()))
	defer kill()
	order := c.order(fmt.Sprintf("case-%d-%d", c.Seed, time.Now().UnixNano()), path)
	password := hosts.AdminPassword
	for _, s := range c.Faults {
		switch s.kind {
		case "checks fail":
			order.Check = func(context.Context) error { return errors.New("it is sick") }
		case "wrong sudo password":
			if m.sudo == remote.SudoPassword {
				password = "not " + password
			} else {
				order.Check = func(context.Context) error { return errors.New("no password was asked for") }
			}
		}
	}
	var seen []string
	order.Progress = func(s hive.ActivationState, line string) {
		if line == "" {
			seen = append(seen, string(s.State))
		}
	}
	over, ended := context.WithCancel(context.WithoutCancel(t.Context()))
	var striking sync.WaitGroup
	for _, s := range c.Faults {
		if s.State == "" {
			m.inject(over, t, s, o, kill, interrupt)
			continue
		}
		striking.Go(func() {
			if m.await(over, s) {
				m.inject(over, t, s, o, kill, interrupt)
			}
		})
	}
	state, err := m.guard(dead, password).Activate(ctx, order)
	for range 100 { // the order of the case before may have come late; it ends by itself
		locked, ok := errors.AsType[*guard.LockedError](err)
		if !ok || locked.State.Run == order.Run {
			break
		}
		time.Sleep(time.Second)
		state, err = m.guard(dead, password).Activate(ctx, order)
	}
	ended()
	striking.Wait()
	o.tell("%s", strings.Join(seen, ", "))
	if err != nil {
		o.tell("%v", err)
	}
	return state, err
}

// settled is what the report says in the end: where the operator did not hear it, the next run finds it out.
func (m *machine) settled(t *testing.T, state hive.ActivationState, err error, o *outcome) (hive.ActivationState, error) {
	h := m.guard(context.WithoutCancel(t.Context()), hosts.AdminPassword)
	rebooted := false
	for until := time.Now().Add(4 * time.Minute); time.Now().Before(until); time.Sleep(time.Second) {
		found, settling := h.Settle(t.Context())
		if locked, ok := errors.AsType[*guard.LockedError](settling); ok {
			state = locked.State
			continue // it ends by itself
		}
		if unknown, ok := errors.AsType[*guard.UnknownError](settling); ok && !rebooted {
			o.tell("it is switched off and on by hand: %v", unknown)
			m.host.Reboot(t)
			rebooted = true
			continue
		}
		if settling != nil {
			if time.Until(until) < time.Minute {
				o.wrong("the next run cannot settle: %v", settling)
				break
			}
			if _, ok := errors.AsType[*remote.ConnectionError](settling); ok && !rebooted && time.Until(until) < 3*time.Minute {
				o.tell("it is switched off and on by hand")
				m.host.Reboot(t)
				rebooted = true
			}
			continue
		}
		if found != nil {
			o.tell("the next run settles: %s, %s", found.State, found.Reason)
			return *found, nil
		}
		break
	}
	if err == nil {
		return state, nil
	}
	last, asking := h.Last(t.Context())
	if asking != nil || last == nil {
		return state, errors.Join(err, asking)
	}
	if state.Run != "" && last.Run != state.Run {
		return state, err
	}
	o.tell("the record: %s, %s", last.State, last.Reason)
	return *last, nil
}

// judge compares the host with the report.
func (m *machine) judge(t *testing.T, c trial, path string, before look, state hive.ActivationState, err error, o *outcome) {
	now := m.look(t)
	o.confirmed = err == nil && state.State == hive.Committed && state.New == path
	if o.confirmed {
		want := system.State{Current: path, Booted: now.Booted, Profile: path, Generation: now.Generation, Default: path}
		if now.State != want {
			o.wrong("it is said to be confirmed, and is\n%+v, not\n%+v", now.State, want)
		}
		if c.System.reboot && now.Booted != path {
			o.wrong("it was confirmed without the reboot")
		}
	} else {
		m.judgeBack(path, before, now, o)
	}
	if err == nil && state.New == path && !slices.Contains([]hive.Activation{hive.Committed, hive.RolledBack, hive.Refused}, state.State) {
		o.wrong("the report is %s: %s", state.State, state.Reason)
	}
	switch want := c.fate(); {
	case want == confirms && !o.confirmed:
		o.wrong("it should have been confirmed: %s, %s, %v", state.State, state.Reason, err)
	case want == returns && o.confirmed:
		o.wrong("it should not have been confirmed")
	}
	if left := m.try(stray); left != "" {
		o.wrong("left on the host: %s", left)
	}
	if said := m.controller("for i in 1 2 3 4 5 6; do ssh " + m.host.Name + " -l " + m.login() + " true && exit; sleep 1; done; exit 1"); said != "" {
		o.wrong("it is not reachable: %s", said)
	}
}

// judgeBack wants the host to be what it was. One that was restarted runs what its boot loader had all the time.
func (m *machine) judgeBack(path string, before, now look, o *outcome) {
	want := before
	want.Booted = now.Booted
	if now.Booted != before.Booted || now.Current == before.Default {
		want.Current = now.Current
		if now.Current != before.Current && now.Current != before.Default {
			o.wrong("it runs %s", now.Current)
		}
	}
	if now != want || now.Booted == path && before.Booted != path {
		o.wrong("it should be as it was, and is\n%+v, was\n%+v", now, before)
	}
}

func (m *machine) login() string {
	if m.sudo == remote.SudoRoot {
		return "root"
	}
	return hosts.Admin
}
