package setup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// Countdown is an unattended installation that begins soon, unless somebody stops it.
type Countdown struct {
	Host  string    `json:"host"`
	Begin time.Time `json:"begin"`
	What  []string  `json:"what"` // will happen, in lines for a person
}

// DefaultCountdown is how long an unattended installation waits for somebody to stop it.
const DefaultCountdown = 30 * time.Second

// countdownFile is below Installer.Dir. Taking it away stops the countdown.
const countdownFile = "countdown.json"

// ErrStopped is a countdown that somebody stopped.
var ErrStopped = errors.New("stopped before it began; nothing was changed")

// Countdown gives the one that runs.
func (in Installer) Countdown() (c Countdown, running bool) {
	text, err := os.ReadFile(in.file(countdownFile))
	return c, err == nil && json.Unmarshal(text, &c) == nil
}

// StopCountdown stops it, if there is one.
func (in Installer) StopCountdown() error {
	err := os.Remove(in.file(countdownFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Count shows for so long what an unattended run would do, and returns nil when nobody stopped it. What it would refuse, it refuses at once.
func (in Installer) Count(ctx context.Context, o Order, wait time.Duration) error {
	intent, _, err := in.intend(ctx, o)
	if err == nil {
		err = allowed(intent, o)
	}
	if err != nil {
		return err
	}
	c := Countdown{Host: intent.Host, Begin: time.Now().Add(wait)}
	for _, t := range intent.Targets {
		c.What = append(c.What, fmt.Sprintf("disk %s (%s %s), %s: %s", t.Disk.Name, t.Device.Path, t.Device.Model, t.State, fates()[t.Fate]))
	}
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("write the countdown: %w", err)
	}
	if err := writeDurably(in.file(countdownFile), text, 0o600); err != nil {
		return err
	}
	for time.Now().Before(c.Begin) {
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("count down: %w", context.Cause(ctx)), in.StopCountdown())
		case <-time.After(100 * time.Millisecond):
		}
		if _, err := os.Stat(in.file(countdownFile)); errors.Is(err, os.ErrNotExist) {
			return ErrStopped
		}
	}
	return in.StopCountdown()
}

// fates say in words what becomes of a disk, see hive.Target.
func fates() map[string]string {
	return map[string]string{
		"destroy": "everything on it is destroyed", "format": "laid out and formatted", "mount": "mounted, nothing is formatted",
	}
}
