package faults

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/stage/deploy/guard"
	"nixos-staged-hive/internal/testbed/hosts/system"
)

// fate is what a case has to end in.
type fate string

const (
	either   fate = "either"
	confirms fate = "confirmed"
	returns  fate = "as it was"
)

// fault is something that goes wrong. Its name is also what is done, see inject.
type fault struct {
	kind  string
	fate  fate // of a good system; a bad one always returns
	quick bool // short limits, or the case takes minutes
	odds  int
}

func faults() []fault {
	return []fault{
		{"nothing", confirms, false, 4},
		{"link cut for a moment", either, false, 5},
		{"link cut until the end", either, true, 6},
		{"link cut after some bytes", either, true, 6},
		{"packets lost", either, false, 2},
		{"slow link", confirms, false, 1},
		{"sshd killed", confirms, false, 4},
		{"power off", either, false, 6},
		{"reboot", either, false, 5},
		{"activation killed", either, false, 4},
		{"first guard killed", confirms, false, 4},
		{"second guard killed", confirms, false, 3},
		{"both guards killed", either, false, 4},
		{"all killed", either, false, 3},
		{"both guards stopped", either, false, 2},
		{"first guard frozen", either, true, 1},
		{"systemd reloaded", confirms, false, 2},
		{"systemd executed anew", confirms, false, 3},
		{"disk full", either, false, 5},
		{"operator killed", either, true, 6},
		{"operator interrupted", either, false, 4},
		{"operator settles", either, false, 2},
		{"wrong sudo password", returns, false, 1},
		{"no clock", confirms, false, 1},
		{"garbage collected", confirms, false, 2},
		{"checks fail", returns, false, 3},
	}
}

// behaviour is how the new system is.
type behaviour struct {
	name   string
	spec   system.Spec
	fate   fate // without a fault
	quick  bool
	reboot bool
	odds   int
}

func behaviours() []behaviour {
	return []behaviour{
		{"good", system.Spec{}, confirms, false, false, 12},
		{"slow", system.Spec{Slow: 3 * time.Second}, confirms, false, false, 10},
		{"with a failed unit", system.Spec{Exit: 4}, confirms, false, false, 2},
		{"refusing", system.Spec{Refuse: 1}, returns, false, false, 2},
		{"failing", system.Spec{Exit: 2, Slow: time.Second}, returns, false, false, 2},
		{"hanging", system.Spec{Hang: true}, returns, true, false, 2},
		{"breaking the network", system.Spec{BreakNetwork: true}, returns, true, false, 3},
		{"without a boot loader", system.Spec{BreakLoader: true}, returns, false, false, 2},
		{"inhibited", system.Spec{Inhibit: true}, returns, false, false, 1},
		{"with a reboot", system.Spec{}, confirms, false, true, 3},
		{"inhibited, with a reboot", system.Spec{Inhibit: true}, confirms, false, true, 2},
		{"breaking the network, with a reboot", system.Spec{Inhibit: true, BreakNetwork: true}, returns, true, true, 1},
	}
}

// drifts are what a host was in before.
func drifts() []string {
	return []string{"", "", "", "current is no generation", "profile went back", "holes between generations"}
}

// trial is a case. All of it comes from its seed.
type trial struct {
	Seed   int64
	System behaviour
	Drift  string
	Faults []strike
}

// strike is a fault at a moment: when the host's record says State, or before all with an empty one, and After more.
type strike struct {
	fault
	State hive.Activation
	After time.Duration
	Bytes int64         // for the link that is cut after some
	For   time.Duration // for what ends by itself
}

func (s strike) String() string {
	text := s.kind
	if s.kind == "link cut after some bytes" {
		text = fmt.Sprintf("link cut after %d bytes", s.Bytes)
	}
	if s.State == "" {
		return text + " before it begins"
	}
	return fmt.Sprintf("%s %.1f s after %q", text, s.After.Seconds(), s.State)
}

func (c trial) String() string {
	words := []string{fmt.Sprintf("%d: a system %s", c.Seed, c.System.name)}
	if c.Drift != "" {
		words = append(words, c.Drift)
	}
	for _, s := range c.Faults {
		words = append(words, s.String())
	}
	return strings.Join(words, ", ")
}

func trialOf(seed int64) trial {
	dice := rand.New(rand.NewPCG(uint64(seed), 11))
	c := trial{Seed: seed}
	c.System = pick(dice, behaviours(), func(b behaviour) int { return b.odds })
	c.Drift = drifts()[dice.IntN(len(drifts()))]
	for range 1 + dice.IntN(5)/4 {
		c.Faults = append(c.Faults, strikeOf(dice, c.System))
	}
	return c
}

func strikeOf(dice *rand.Rand, b behaviour) strike {
	s := strike{fault: pick(dice, faults(), func(f fault) int { return f.odds })}
	moments := []hive.Activation{hive.Begun, hive.Activating, hive.Activating, hive.Activating, hive.Waiting, hive.Waiting, hive.Confirmed, hive.Confirmed}
	if b.fate == returns {
		moments = append(moments, hive.RollingBack, hive.RollingBack, hive.RollingBack)
	}
	if b.reboot {
		moments = append(moments, hive.Rebooting, hive.Rebooting, hive.Rebooting)
	}
	s.State = moments[dice.IntN(len(moments))]
	s.After = time.Duration(dice.IntN(20)) * 100 * time.Millisecond
	if dice.IntN(3) == 0 {
		s.After = 0
	}
	s.For = time.Duration(500+dice.IntN(4000)) * time.Millisecond
	switch s.kind {
	case "link cut after some bytes": // the script goes over with the first call
		s.State, s.Bytes = "", int64(500+dice.IntN(80_000))
	case "wrong sudo password", "no clock", "checks fail", "nothing", "packets lost", "slow link":
		s.State = ""
	case "disk full":
		if dice.IntN(3) == 0 {
			s.State = ""
		}
	}
	if s.State == hive.Begun && s.fate == confirms {
		s.fate = either // a guard that cannot be started is refused
	}
	return s
}

func pick[T any](dice *rand.Rand, from []T, odds func(T) int) T {
	sum := 0
	for _, f := range from {
		sum += odds(f)
	}
	at := dice.IntN(sum)
	for _, f := range from {
		if at -= odds(f); at < 0 {
			return f
		}
	}
	return from[0]
}

// fate is what the case has to end in, as far as it is certain.
func (c trial) fate() fate {
	if c.System.fate == returns {
		return returns
	}
	all := confirms
	for _, s := range c.Faults {
		switch s.fate {
		case returns:
			return returns
		case either:
			all = either
		}
	}
	return all
}

// order has limits that are short where the case has to wait for them.
func (c trial) order(run, path string) guard.Order {
	quick := c.System.quick
	for _, s := range c.Faults {
		quick = quick || s.quick
	}
	o := guard.Order{
		Run: run, By: "somebody@faults", New: path, RebootAfter: c.System.reboot,
		Activation: time.Minute, Confirm: time.Minute, Reboot: 90 * time.Second,
	}
	if quick {
		o.Activation, o.Confirm, o.Reboot = 12*time.Second, 10*time.Second, 40*time.Second
	}
	return o
}
