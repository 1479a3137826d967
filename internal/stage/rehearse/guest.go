package rehearse

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/vm"
)

// guest is a host on its journey.
type guest struct {
	host    hive.Host
	machine vm.Machine
	reach   address
	spec    spec
	built   Built

	lab      *vm.Lab
	segment  *vm.Segment
	access   *remote.Access
	clock    *clock
	local    run.Runner
	dir      string // of the rehearsal
	patience time.Duration
	progress progress.Sink

	stage   Stage // where it is going to: decides which sshd answers
	running *vm.Running
	shell   run.Runner // root on the machine, as it runs now
	outcome Outcome
}

// travel takes the guest through the steps. The outcome says how far it came.
func (g *guest) travel(ctx context.Context, from, until Stage) {
	if from != Blank && !g.do(ctx, step{stage: from, name: "go back to what was saved", do: (*guest).resume}) {
		return
	}
	g.outcome.Reached = from
	steps := rest(from, until)
	for i, s := range steps {
		if !g.do(ctx, s) {
			return
		}
		if i+1 == len(steps) || steps[i+1].stage != s.stage {
			if !g.do(ctx, step{stage: s.stage, name: "save", do: (*guest).save}) {
				return
			}
			g.outcome.Reached = s.stage
		}
	}
}

// do runs one step and writes its line of the timeline. After the end of the context nothing is begun: the first step blanks the disks.
func (g *guest) do(ctx context.Context, s step) bool {
	if ctx.Err() != nil {
		g.failed(s, context.Cause(ctx))
		return false
	}
	g.stage = s.stage
	line := Step{Stage: s.stage, Name: s.name, StandIn: s.standIn, Began: g.clock.now()}
	event := progress.Event{Task: s.name, Host: g.host.Name, State: progress.Started}
	g.progress.Send(event)

	limit, cancel := context.WithTimeoutCause(ctx, g.patience, fmt.Errorf("it took longer than %s", g.patience))
	defer cancel()
	text, err := s.do(g, limit)
	line.Took, line.Text, line.Failed = g.clock.now()-line.Began, text, err != nil
	event.State, event.Text, event.Err = progress.Done, text, nil
	if err != nil {
		event.State, event.Err = progress.Failed, err
		g.failed(s, err)
		g.look(context.WithoutCancel(ctx))
	}
	g.progress.Send(event)
	g.outcome.Steps = append(g.outcome.Steps, line)
	return err == nil
}

func (g *guest) failed(s step, err error) {
	g.outcome.err = fmt.Errorf("%s: %w", s.name, err)
	g.outcome.Error = g.outcome.err.Error()
}

// look keeps what the screen shows when something failed. There may be nothing to see any more.
func (g *guest) look(ctx context.Context) {
	if g.running == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	file := filepath.Join(g.dir, g.host.Name+"-failed.png")
	if g.running.Screenshot(ctx, file) == nil {
		g.outcome.Screen = file
	}
}

// start switches the machine on, with its medium or without.
func (g *guest) start(ctx context.Context, medium bool, o vm.StartOptions) error {
	m := g.machine
	if medium {
		m.Medium = g.built.Image
	}
	running, err := g.lab.Start(ctx, m, o)
	if err != nil {
		return fmt.Errorf("start the machine: %w", err)
	}
	g.clock.on()
	go g.clock.whileOn(context.WithoutCancel(ctx), running)
	g.running, g.outcome.Console = running, running.SerialLog()
	return nil
}

// off powers the machine down, as somebody would who presses its button.
func (g *guest) off(ctx context.Context) error {
	end, err := g.running.PowerDown(ctx, g.patience/2)
	if err != nil {
		return fmt.Errorf("power the machine off: %w", err)
	}
	if end.How != vm.GuestShutdown {
		return fmt.Errorf("power the machine off: it did not shut down by itself (%s)", end)
	}
	return nil
}

// sh runs a line of shell on the machine, as root. What it says is kept in the log.
func (g *guest) sh(ctx context.Context, line string) error {
	log, err := os.OpenFile(filepath.Join(g.dir, g.host.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	defer log.Close() //nolint:errcheck // a log line that is lost is no failure of the machine
	if _, err := fmt.Fprintf(log, "\n$ %s\n", line); err != nil {
		return fmt.Errorf("write the log: %w", err)
	}
	if err := g.shell.Run(ctx, run.Command{Name: "sh", Args: []string{"-c", line}, Stdout: log, Stderr: log}); err != nil {
		return fmt.Errorf("%s (all it said is in %s): %w", firstWords(line), log.Name(), err)
	}
	return nil
}

// firstWords is enough of a command to know it by.
func firstWords(line string) string {
	words := strings.Fields(line)
	return filepath.Base(strings.Join(words[:min(2, len(words))], " "))
}
