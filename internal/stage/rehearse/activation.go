package rehearse

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/stage/deploy/guard"
)

const (
	slowActivation = 30 * time.Minute // without KVM everything takes its time
	slowConfirm    = 10 * time.Minute
	loseFor        = 90 * time.Second // how long the host waits for a confirmation that cannot come
	plugAfter      = 15 * time.Second // after that
)

// activate brings the machine to its full system as `hive deploy` does.
func (g *guest) activate(ctx context.Context) (string, error) {
	a, err := g.guarded(ctx, guard.Order{Confirm: slowConfirm})
	if err != nil {
		return "", err
	}
	if a.State != hive.Committed {
		return "", fmt.Errorf("it is %s: %s", a.State, a.Reason)
	}
	if a.Exit != 0 {
		return fmt.Sprintf("switch-to-configuration ended with %d: units failed", a.Exit), nil
	}
	return "", nil
}

// activateAndLose pulls the machine's cables out when the new system waits to be confirmed: nobody can tell it to go back.
func (g *guest) activateAndLose(ctx context.Context) (string, error) {
	lose := func(waiting context.Context) error {
		err := g.cables(ctx, false)
		<-waiting.Done()
		return errors.Join(err, pause(ctx, plugAfter), g.cables(ctx, true), errors.New("the cable was pulled out"))
	}
	a, err := g.guarded(ctx, guard.Order{Confirm: loseFor, Check: lose})
	if err != nil {
		return "", err
	}
	if a.State != hive.RolledBack || !strings.Contains(a.Reason, "not confirmed") {
		return "", fmt.Errorf("it did not go back by itself, but is %s: %s", a.State, a.Reason)
	}
	return a.Reason, nil
}

func (g *guest) cables(ctx context.Context, in bool) error {
	var problems []error
	for _, card := range g.machine.Cards {
		if card.Network == "" {
			continue
		}
		change := g.running.Unplug
		if in {
			change = g.running.Plug
		}
		problems = append(problems, change(ctx, card.Name))
	}
	return errors.Join(problems...)
}

// guarded activates the full system. What is given is completed with what all activations have.
func (g *guest) guarded(ctx context.Context, o guard.Order) (hive.ActivationState, error) {
	o.Run, o.By, o.New, o.Activation = "rehearsal-"+strings.ToLower(rand.Text()[:8]), "rehearse", g.built.Full, slowActivation
	o.Progress = func(a hive.ActivationState, line string) {
		g.progress.Send(progress.Event{Task: "activate", Host: g.host.Name, State: progress.Running, Text: strings.TrimSpace(string(a.State) + " " + line)})
	}
	return guard.Host{Name: g.host.Name, Root: g.shell}.Activate(ctx, o)
}
