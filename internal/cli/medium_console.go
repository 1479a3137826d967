package cli

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/setup"
	"nixos-staged-hive/internal/stage/setup/console"
	"nixos-staged-hive/internal/stage/setup/machine"
)

func setupConsoleCommand(h *house, o *mediumOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "console",
		Short: "The screens at the machine",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, err := h.installer(o)
			if err != nil {
				return err
			}
			s := &screens{house: h, in: in, options: o}
			return console.Run(cmd.Context(), h.ui, s.actions())
		},
	}
}

// screens gives package console what it shows, and does what it asks for.
type screens struct {
	house   *house
	in      setup.Installer
	options *mediumOptions

	mu     sync.Mutex
	found  hive.Machine
	looked time.Time
}

func (s *screens) actions() console.Actions {
	return console.Actions{
		State: s.state, Intent: s.intent, Start: s.start, Follow: s.in.Follow,
		Stop:   func(context.Context) error { return s.in.StopCountdown() },
		Unlock: s.unlock,
		Disks:  s.disks, Log: s.log, Undo: s.undo,
		Shell: s.shell, Reboot: s.systemctl("reboot"), PowerOff: s.systemctl("poweroff"),
	}
}

// machine looks at the machine now and then, beside the screens: it takes longer than a key may wait.
func (s *screens) machine(ctx context.Context) hive.Machine {
	s.mu.Lock()
	first, due := s.looked.IsZero(), time.Since(s.looked) > 10*time.Second
	if due {
		s.looked = time.Now()
	}
	s.mu.Unlock()
	look := func() {
		found, err := machine.Probe(ctx, s.house.run)
		if err != nil {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.found = found
	}
	switch {
	case first:
		look()
	case due:
		go look()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.found
}

func (s *screens) state(ctx context.Context) console.State {
	name, _ := os.Hostname()
	state := console.State{Program: strings.TrimSpace("nixos-staged-hive " + programVersion()), Name: name, Machine: s.machine(ctx), Finger: hostKeyFingerprint(), Running: s.in.Running()}
	sealed := s.in.Sealed()
	for _, m := range s.in.Manifest.Hosts {
		state.Hosts = append(state.Hosts, console.Host{Name: m.Name, Release: m.Plan.Release, Sealed: sealed[m.Name]})
		if len(s.in.Manifest.Hosts) == 1 && len(m.Plan.SSHPorts) > 0 {
			state.SSHPort = m.Plan.SSHPorts[0]
		}
	}
	if host, why, err := machine.Recognise(s.in.Manifest, state.Machine, ""); err == nil {
		state.Host, state.Why = host.Name, why
	}
	for _, p := range setup.Phases() {
		state.Phases = append(state.Phases, console.Phase{Name: p[0], What: p[1]})
	}
	state.Earlier, _ = s.in.Journal()
	if state.Running && state.Earlier != nil {
		state.Task = fmt.Sprintf("%s, %s", state.Earlier.Host, state.Earlier.Mode)
	}
	if c, ok := s.in.Countdown(); ok {
		state.Countdown = &console.Countdown{Host: c.Host, Begin: c.Begin, What: c.What}
	}
	_, state.After, _ = s.in.Standing()
	return state
}

func (s *screens) intent(ctx context.Context, host string, mode hive.Mode) (hive.Intent, error) {
	return s.in.Intent(ctx, setup.Order{Host: host, Mode: mode})
}

// start begins in a unit of its own: leaving the screens ends nothing.
func (s *screens) start(ctx context.Context, intent hive.Intent, confirmed []string) error {
	return s.house.detach(ctx, s.in, s.options, setupRun{order: setup.Order{
		Host: intent.Host, Mode: intent.Mode, PlanHash: intent.PlanHash, Confirm: confirmed, Then: setup.Boot,
	}})
}

func (s *screens) unlock(_ context.Context, passphrase string) error {
	region, err := os.Open(setup.RegionFile)
	if err != nil {
		return err
	}
	defer region.Close() //nolint:errcheck // it was only read
	return s.in.Unlock(region, passphrase)
}

func (s *screens) disks(ctx context.Context) (string, error) {
	var text strings.Builder
	found := s.machine(ctx)
	for _, t := range machine.Tables(found) {
		text.WriteString(t.Title + "\n")
		for _, row := range t.Rows {
			for i, cell := range row {
				if cell != "" {
					fmt.Fprintf(&text, "  %-10s %s\n", strings.ToLower(t.Columns[i]), strings.ReplaceAll(cell, "\n", ", "))
				}
			}
			text.WriteString("\n")
		}
	}
	for _, l := range machine.Lines(found) {
		fmt.Fprintf(&text, "# %s\n%s\n", l.About, l.Text)
	}
	return text.String(), nil
}

func (s *screens) log(context.Context) (string, error) {
	text, err := os.ReadFile(s.in.LogFile())
	if os.IsNotExist(err) {
		return "nothing was begun yet\n", nil
	}
	return string(text), err
}

func (s *screens) undo(context.Context) (string, error) {
	kits, err := s.in.Undo()
	if err != nil {
		return "", err
	}
	if len(kits) == 0 {
		return "nothing was wiped since the medium was started\n", nil
	}
	var text strings.Builder
	text.WriteString("What was on these disks before they were wiped can be written back, as long as nothing was formatted since:\n\n")
	for _, k := range kits {
		fmt.Fprintf(&text, "  %s  %s %s %s\n      setup undo %s\n", k.Disk, k.Device, k.Model, k.Serial, k.Disk)
	}
	return text.String(), nil
}

func (s *screens) shell(ctx context.Context) error {
	shell := os.Getenv("SHELL")
	if shell == "" {
		shell = "sh"
	}
	return s.house.run.Run(ctx, run.Command{Name: shell, Args: []string{"-l"}, Interactive: true})
}

func (s *screens) systemctl(verb string) func(context.Context) error {
	return func(ctx context.Context) error {
		return s.house.run.Run(ctx, run.Command{Name: "systemctl", Args: []string{verb}})
	}
}
