package rehearse

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/secret"
	"nixos-staged-hive/internal/vm"
)

// step is one thing that happens to a host. What it returns is its line in the timeline.
type step struct {
	stage   Stage // the stage it leads to
	name    string
	standIn bool // replaced by the product's own stage when that is there
	do      func(*guest, context.Context) (string, error)
}

// journey is the whole way of a host, in order. After the last step of a stage the machine is saved as that stage.
func journey() []step {
	return []step{
		{Medium, "start the medium, with blank disks", false, (*guest).startMedium},
		{Medium, "log in to the medium", false, (*guest).login},
		{Medium, "is it the medium of this host", false, (*guest).checkMedium},

		{Mini, "lay out the disks that are only mounted", false, (*guest).layOutKept},
		{Mini, "setup: install the mini system", false, (*guest).setUp},
		{Mini, "power off, take the medium out, start from disk", false, (*guest).startInstalled},
		{Mini, "log in to the mini system", false, (*guest).login},
		{Mini, "is it the mini system, and well", false, (*guest).checkMini},

		{Hive, "copy the full system", true, (*guest).push},
		{Hive, "activate it, with the cable pulled out: it goes back", false, (*guest).activateAndLose},
		{Hive, "is it the mini system again, and well", false, (*guest).checkMini},
		{Hive, "activate it, under its guard", false, (*guest).activate},
		{Hive, "is it the full system, and well", false, (*guest).checkFull},
		{Hive, "restart", false, (*guest).restart},
		{Hive, "log in to the full system", false, (*guest).login},
		{Hive, "is it still, and well", false, (*guest).checkRestarted},
	}
}

// rest are the steps between two stages, the first left out.
func rest(from, until Stage) []step {
	var steps []step
	for _, s := range journey() {
		if from.before(s.stage) && !until.before(s.stage) {
			steps = append(steps, s)
		}
	}
	return steps
}

func (g *guest) startMedium(ctx context.Context) (string, error) {
	if err := g.lab.Erase(g.machine.Name); err != nil {
		return "", fmt.Errorf("blank the disks: %w", err)
	}
	return "", g.start(ctx, true, vm.StartOptions{})
}

// checkMedium asks the medium whose it is: a mix-up here would format the disks of another host.
func (g *guest) checkMedium(ctx context.Context) (string, error) {
	m, err := run.JSON[hive.Manifest](ctx, g.shell, run.Command{Name: "setup", Args: []string{"manifest", "--json"}})
	if err != nil {
		return "", fmt.Errorf("ask the medium what it carries: %w", err)
	}
	host, ok := m.Host(g.host.Name)
	if !ok || host.Toplevel != g.built.Mini {
		return "", fmt.Errorf("it is not the medium of %s with %s", g.host.Name, g.built.Mini)
	}
	return "", nil
}

// layOutKept makes the disks that setup only mounts what they are in real life: full of something to keep.
func (g *guest) layOutKept(ctx context.Context) (string, error) {
	if g.built.Kept == "" {
		return "there are none", nil
	}
	if err := g.copy(ctx, g.built.Kept); err != nil {
		return "", err
	}
	for _, script := range []string{g.built.Kept, "umount -R /mnt"} {
		if err := g.sh(ctx, script); err != nil {
			return "", err
		}
	}
	return "", nil
}

// putSecrets writes the passphrase of the rehearsal into each file that the script reads one from.
func (g *guest) putSecrets(ctx context.Context) error {
	if g.built.Secrets == "" {
		return nil
	}
	list, err := os.ReadFile(g.built.Secrets)
	if err != nil {
		return fmt.Errorf("read where passphrases are expected: %w", err)
	}
	for _, file := range strings.Split(strings.TrimSpace(string(list)), "\n") {
		write := run.Quote("mkdir", "-p", path.Dir(file)) + " && printf %s " + run.Quote(passphrase) + " >" + run.Quote(file)
		if err := g.sh(ctx, write); err != nil {
			return err
		}
	}
	return nil
}

// setUp installs as a person over SSH does: by the program on the medium. Each of its phases is a line of the timeline.
func (g *guest) setUp(ctx context.Context) (string, error) {
	if err := g.putSecrets(ctx); err != nil {
		return "", err
	}
	if err := g.sendBundle(ctx); err != nil {
		return "", err
	}
	watch := &phaseLines{guest: g}
	err := g.shell.Run(ctx, run.Command{
		Name:   "setup",
		Args:   []string{"run", "--name", g.host.Name, "--mode", string(hive.Fresh), "--then", "stay", "--json"},
		Stdout: watch,
	})
	if last := watch.last; err != nil && last.Error != "" {
		return "", fmt.Errorf("%s (its log: /run/nixos-staged-hive/setup.log)", last.Error)
	}
	return "", err
}

// sendBundle sends what a medium that was written for the real machine would have on it. The password is one that nobody knows: root logs in.
func (g *guest) sendBundle(ctx context.Context) error {
	hash, err := secret.HashPassword(rand.Text())
	if err != nil {
		return err
	}
	bundle, err := secret.Bundle{Host: g.host.Name, PasswordHash: hash}.Encode()
	if err != nil {
		return err
	}
	if err := g.shell.Run(ctx, run.Command{Name: "setup", Args: []string{"secrets"}, Stdin: bytes.NewReader(bundle)}); err != nil {
		return fmt.Errorf("send the secrets of the rehearsal: %w", err)
	}
	return nil
}

// phaseLines reads the events of setup, and makes a line of the timeline of each phase that ends.
type phaseLines struct {
	guest *guest
	part  []byte
	last  hive.SetupEvent
	began Seconds
}

func (l *phaseLines) Write(text []byte) (int, error) {
	l.part = append(l.part, text...)
	for {
		line, rest, whole := bytes.Cut(l.part, []byte("\n"))
		if !whole {
			return len(text), nil
		}
		l.part = rest
		var e hive.SetupEvent
		if err := json.Unmarshal(line, &e); err != nil {
			return 0, fmt.Errorf("read what setup says: %w", err)
		}
		l.see(e)
	}
}

func (l *phaseLines) see(e hive.SetupEvent) {
	g := l.guest
	l.last = e
	now := g.clock.now()
	switch progress.State(e.State) {
	case progress.Started:
		l.began = now
	case progress.Running:
		g.progress.Send(progress.Event{Task: "setup: install the mini system", Host: g.host.Name, State: progress.Running, Done: e.Done, Total: e.Total, Text: e.Phase + ": " + e.Text})
	case progress.Warned:
		g.outcome.Steps = append(g.outcome.Steps, Step{Stage: g.stage, Name: "setup " + e.Phase, Began: now, Text: "warning: " + e.Text + e.Error})
	case progress.Done, progress.Failed:
		g.outcome.Steps = append(g.outcome.Steps, Step{
			Stage: g.stage, Name: "setup " + e.Phase, Began: l.began, Took: now - l.began, Text: e.Text + e.Error, Failed: e.State == string(progress.Failed),
		})
	}
}

func (g *guest) startInstalled(ctx context.Context) (string, error) {
	if err := g.off(ctx); err != nil {
		return "", err
	}
	if err := g.saveInstalled(ctx); err != nil {
		return "", err
	}
	return "", g.start(ctx, false, vm.StartOptions{})
}

func (g *guest) checkMini(ctx context.Context) (string, error) {
	return g.well(ctx, g.built.Mini, g.built.Mini)
}

// push stands in for Colmena's copying.
func (g *guest) push(ctx context.Context) (string, error) {
	return "", g.copy(ctx, g.built.Full)
}

func (g *guest) checkFull(ctx context.Context) (string, error) {
	return g.well(ctx, g.built.Full, g.built.Mini)
}

func (g *guest) restart(ctx context.Context) (string, error) {
	if err := g.off(ctx); err != nil {
		return "", err
	}
	return "", g.start(ctx, false, vm.StartOptions{})
}

func (g *guest) checkRestarted(ctx context.Context) (string, error) {
	return g.well(ctx, g.built.Full, g.built.Full)
}

// pause waits between two looks at something that takes a while.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait: %w", context.Cause(ctx))
	case <-time.After(d):
		return nil
	}
}
