package deploy

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/stage/deploy/state"
)

//go:embed plan.sh
var planScript string

// Plan is what a run would change.
type Plan struct {
	Run   string     `json:"run"`
	Waves [][]string `json:"waves"` // the order: no host begins before all of the waves before are well
	Hosts []HostPlan `json:"hosts"` // those that were pushed, in the order of the hive
	Left  []Result   `json:"left"`  // those that the run leaves alone, and why
}

// Work are the hosts on which something would change.
func (p Plan) Work() []HostPlan {
	var all []HostPlan
	for _, h := range p.Hosts {
		if !h.Nothing {
			all = append(all, h)
		}
	}
	return all
}

// HostPlan is what a run would change on a host.
type HostPlan struct {
	Host         string            `json:"host"`
	From         string            `json:"from"`    // what runs
	To           string            `json:"to"`      // what was pushed
	Nothing      bool              `json:"nothing"` // it runs To already, boots it, and is not to be rebooted
	Difference   *state.Difference `json:"difference,omitempty"`
	Units        Units             `json:"units"`
	RebootNeeded bool              `json:"rebootNeeded"` // until then parts of the old system stay: kernel, its modules, initrd
	Reboot       bool              `json:"reboot"`       // it will be rebooted
	Network      []string          `json:"network"`      // files below /etc that say how the network is, and differ
	Keys         []string          `json:"keys"`         // that will be uploaded
	Warnings     []string          `json:"warnings,omitempty"`
}

// Units is what switch-to-configuration says that it would do.
type Units struct {
	Stop    []string `json:"stop"`
	Start   []string `json:"start"`
	Restart []string `json:"restart"`
	Reload  []string `json:"reload"`
	Kept    []string `json:"kept"` // changed, and not restarted on purpose
}

// plan asks every host what its new system would change.
func (s *session) plan(ctx context.Context) error {
	errs := make(chan error, len(s.hosts))
	together(s.pending(), usualLook, func(name string) { errs <- s.planHost(ctx, name) })
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	if err := s.leaveDependent(); err != nil {
		return err
	}
	s.plans = s.gather()
	if s.Show != nil {
		s.Show(s.plans)
	}
	return nil
}

// gather makes one plan of those of the hosts.
func (s *session) gather() Plan {
	p := Plan{Run: s.journal.id, Hosts: []HostPlan{}, Left: []Result{}}
	working := map[string][]string{}
	s.each(func(r *Result) {
		if r.Outcome != Pending && r.Outcome != Nothing {
			p.Left = append(p.Left, *r)
			return
		}
		p.Hosts = append(p.Hosts, s.hosts[r.Host].plan)
		working[r.Host] = nil
	})
	for name := range working {
		for _, b := range s.before[name] {
			if _, in := working[b]; in {
				working[name] = append(working[name], b)
			}
		}
	}
	p.Waves = hive.Waves(working)
	return p
}

// planHost finds out about one host. What cannot be found out is a warning: it does not decide.
func (s *session) planHost(ctx context.Context, name string) error {
	m := s.hosts[name]
	r, _ := s.result(name)
	p := HostPlan{Host: name, From: r.From, To: r.To, Network: []string{}, Keys: []string{}}
	for _, k := range m.Deployment.Keys {
		p.Keys = append(p.Keys, k.Name)
	}
	here := m.state.Current == p.To && m.state.Profile == p.To && (m.state.Default == "" || m.state.Default == p.To)
	p.RebootNeeded = here && m.state.RebootNeeded
	if here && len(p.Keys) == 0 && !s.wantsReboot(p.RebootNeeded) {
		p.Nothing = true
		m.plan = p
		if err := s.change(name, func(r *Result) {
			r.Runs, r.Boots, r.Generation, r.RebootNeeded = m.state.Current, m.state.Profile, m.state.Generation, m.state.RebootNeeded
		}); err != nil {
			return err
		}
		return s.finish(name, Nothing, "")
	}
	if !here {
		if err := s.compare(ctx, m, &p); err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("plan: %w", context.Cause(ctx))
			}
			p.Warnings = append(p.Warnings, err.Error())
		}
	}
	p.Reboot = s.wantsReboot(p.RebootNeeded)
	if p.Reboot && !m.Deployment.Rollout.BootGuard {
		p.Warnings = append(p.Warnings, "without hive.deployment.bootGuard, a reboot that nobody can reach waits for the next one to go back")
	}
	m.plan = p
	for _, w := range p.Warnings {
		s.warn(name, w)
	}
	return s.change(name, func(r *Result) { r.RebootNeeded = p.RebootNeeded })
}

func (s *session) wantsReboot(needed bool) bool {
	return s.Reboots == AlwaysReboot || s.Reboots == WhereNeeded && needed
}

// compare asks for the difference between what runs and what was pushed.
func (s *session) compare(ctx context.Context, m *member, p *HostPlan) error {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	difference, err := state.Diff(ctx, p.From, p.To, s.Local, s.Fleet.User(m.Name))
	if err == nil {
		p.Difference = &difference
	}
	out, failed := asRoot(ctx, m.root, planScript, p.From, p.To)
	if failed != nil {
		return errors.Join(err, fmt.Errorf("ask what would change: %w", failed))
	}
	room, failed := p.read(out)
	if failed != nil {
		return errors.Join(err, fmt.Errorf("ask what would change: %w", failed))
	}
	if w := m.bootRoom(room); w != "" {
		p.Warnings = append(p.Warnings, w)
	}
	return err
}

// bootRoom warns where kernel and initrd will hardly fit: the commit would fail after everything else went well, and the host go back. Boot loaders
// remove old entries first, so that it may fit after all.
func (m *member) bootRoom(bytes int64) string {
	for _, space := range m.state.Spaces {
		if space.Mount == "/boot" && bytes > space.Free {
			return fmt.Sprintf("/boot has %s free, and kernel and initrd need %s: `nixos-staged-hive hive gc` makes room", hive.Size(space.Free), hive.Size(bytes))
		}
	}
	return ""
}

var errHalfPlan = errors.New("the answer is not whole")

// read takes what plan.sh says, and gives the bytes that the boot loader has to copy.
func (p *HostPlan) read(out []byte) (boot int64, err error) {
	exit, whole := 0, false
	var says []string
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() && !whole {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "reboot":
			p.RebootNeeded = rest == "yes"
		case "boot":
			boot, err = strconv.ParseInt(rest, 10, 64)
		case "network":
			p.Network = append(p.Network, rest)
		case "dry":
			exit, err = strconv.Atoi(rest)
		case "says":
			says = append(says, rest)
		case "whole":
			whole = true
		default:
			return 0, fmt.Errorf("%q makes no sense", lines.Text())
		}
		if err != nil {
			return 0, fmt.Errorf("%q makes no sense: %w", lines.Text(), err)
		}
	}
	if err := lines.Err(); err != nil || !whole {
		return 0, errors.Join(errHalfPlan, err)
	}
	p.Units = readUnits(says)
	if exit != 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("what units would do is not known: dry-activate ended with %d: %s", exit, lastLine(says)))
	}
	return boot, nil
}

func lastLine(lines []string) string {
	for _, l := range slices.Backward(lines) {
		if strings.TrimSpace(l) != "" {
			return l
		}
	}
	return "it said nothing"
}

// readUnits reads the sentences of dry-activate, the same in switch-to-configuration of NixOS 23.05 to 26.05, in Perl and in Rust:
// "would restart the following units: a.service, b.service".
func readUnits(says []string) Units {
	var u Units
	for _, line := range says {
		verb, list, ok := strings.Cut(line, " the following ")
		if !ok {
			continue
		}
		_, list, ok = strings.Cut(list, ": ")
		if !ok {
			continue
		}
		units := strings.Split(strings.TrimSpace(list), ", ")
		switch strings.TrimPrefix(verb, "would ") {
		case "stop":
			u.Stop = append(u.Stop, units...)
		case "start":
			u.Start = append(u.Start, units...)
		case "restart":
			u.Restart = append(u.Restart, units...)
		case "reload":
			u.Reload = append(u.Reload, units...)
		case "NOT stop", "NOT restart":
			u.Kept = append(u.Kept, units...)
		}
	}
	return u
}

// Cuts are the units of the plan through which we are connected: where one of them is touched, the connection may go.
func (p HostPlan) Cuts() []string {
	var found []string
	for _, unit := range slices.Concat(p.Units.Stop, p.Units.Restart, p.Units.Start) {
		for _, prefix := range []string{"sshd", "systemd-networkd", "network-", "dhcpcd", "NetworkManager", "wpa_supplicant", "firewall", "nftables", "wireguard-", "wg-quick-", "tailscaled"} {
			if strings.HasPrefix(unit, prefix) && !slices.Contains(found, unit) {
				found = append(found, unit)
			}
		}
	}
	return found
}

func (s *session) result(name string) (Result, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report.Host(name)
}

// confirm shows the plan and asks, where there is anything to agree to.
func (s *session) confirm(ctx context.Context) error {
	if s.Confirm == nil || len(s.pending()) == 0 {
		return nil
	}
	return s.Confirm(ctx, s.plans)
}
