package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/secret"
)

// exitRefused is the exit code of setup when something stands in the way of an installation.
const exitRefused = 4

// Order says what is to be installed, and who decides.
type Order struct {
	Host     hive.Host // the definition as the workspace has it now
	Mode     hive.Mode
	Toplevel string // store path of the mini system, where it is known; empty does not compare it
	Then     string // afterwards: "boot", "poweroff", "stay"; empty is boot

	// Secrets are sent to the medium before it is asked what it would do. Nil sends none: the medium has them, or does without.
	Secrets *secret.Bundle
	// Confirm is shown what will be done, and returns the serials (hive.Intent.Confirm) of what may be destroyed. Returning fewer than asked
	// refuses. It is not asked when a run that is going on is followed.
	Confirm func(ctx context.Context, i hive.Intent) (serials []string, err error)
	// Watch gets every event of the installation, in order, each once; nil drops them.
	Watch func(hive.SetupEvent)
	// Connection is told how the connection is, a line each; nil drops them.
	Connection func(text string)
	// Patience is how long the machine may be out of reach while the installation goes on; 0 is 10 minutes.
	Patience time.Duration
}

// Result is an installation that ended well, as far as the medium could tell.
type Result struct {
	Intent hive.Intent
	// Last is the last event; its number is 0 if the machine was restarted before that was heard of. Await tells then.
	Last hive.SetupEvent
	// Joined says that the installation had been begun before, and was only followed.
	Joined bool
}

// RefusedError is an installation that was not begun: its Intent says what stands in its way.
type RefusedError struct{ Intent hive.Intent }

func (e *RefusedError) Error() string {
	lines := []string{fmt.Sprintf("%s cannot be installed on this machine; nothing was changed", e.Intent.Host)}
	for _, p := range e.Intent.Problems {
		if p.Severity == hive.Error {
			lines = append(lines, p.Message)
		}
	}
	return strings.Join(lines, "\n")
}

// Hint says what the user can do.
func (e *RefusedError) Hint() string {
	var ways []string
	for _, p := range e.Intent.Problems {
		if p.Severity == hive.Error && p.Way != "" && !slices.Contains(ways, p.Way) {
			ways = append(ways, p.Way)
		}
	}
	return strings.Join(ways, "\n")
}

// ConsentError is a disk whose contents would be lost and that was not confirmed. Nothing was changed.
type ConsentError struct{ Missing []string }

func (e *ConsentError) Error() string {
	return "not confirmed, and nothing was changed: what is on the disk " + strings.Join(e.Missing, " and on the disk ") + " would be lost"
}

// Hint says what the user can do.
func (e *ConsentError) Hint() string {
	return "look at what is on it; to go on give --confirm " + strings.Join(e.Missing, ",")
}

// BusyError is a medium that installs another host at the moment.
type BusyError struct{ Host string }

func (e *BusyError) Error() string {
	return "the machine is being installed as " + e.Host + " at the moment"
}

// FailedError is an installation that ended badly. The machine still runs from its medium.
type FailedError struct {
	Host string
	Last hive.SetupEvent
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("the installation of %s failed: %s", e.Host, e.Last.Error)
}

// Hint says what the user can do.
func (e *FailedError) Hint() string {
	return strings.TrimSpace(e.Last.Way + "\nrun the same command again to go on from there; all that programs said is in /run/nixos-staged-hive/setup.log on the machine")
}

// KilledError is an installation that ended without a last word.
type KilledError struct{ Host, Text string }

func (e *KilledError) Error() string {
	return fmt.Sprintf("the installation of %s ended before it was done: %s", e.Host, e.Text)
}

// Hint says what the user can do.
func (e *KilledError) Hint() string { return "run the same command again to go on from there" }

// RestartedError is a machine that was started from its medium anew before it was installed: a power failure, or somebody did it.
type RestartedError struct{ Host string }

func (e *RestartedError) Error() string {
	return fmt.Sprintf("the machine was started from its medium anew before %s was installed", e.Host)
}

// Hint says what the user can do.
func (e *RestartedError) Hint() string {
	return "run the same command again: what was done and verified is not done twice"
}

// SilentError is a machine that was lost during an installation, which may go on.
type SilentError struct {
	Host  string
	Since time.Duration
	Err   error // how it was last tried
}

func (e *SilentError) Error() string {
	return fmt.Sprintf("the machine of %s has not answered for %s: %v", e.Host, e.Since.Round(time.Second), e.Err)
}

// Hint says what the user can do.
func (e *SilentError) Hint() string {
	return "the installation goes on without this connection: look at the machine's screen. The same command follows it again once it can be reached"
}

// Unwrap gives how it was last tried.
func (e *SilentError) Unwrap() error { return e.Err }

// Install has the medium install a host and follows it to its end. One that is going on already is followed. When ctx ends it goes on without us.
//
// Nothing was changed on the machine after *OtherPlanError, *RefusedError, *ConsentError, *BusyError. The other errors are *FailedError,
// *KilledError, *RestartedError and *SilentError.
func Install(ctx context.Context, m *Medium, o Order) (Result, error) {
	if err := compare(m.Host, hive.PlanOf(o.Host), o.Toplevel); err != nil {
		return Result{}, err
	}
	c := &conversation{medium: m, order: o}
	intent, err := c.plan(ctx)
	if err != nil {
		return Result{}, err
	}
	if intent.Running {
		return c.join(ctx, intent)
	}
	if o.Secrets != nil {
		if err := c.sendSecrets(ctx); err != nil {
			return Result{}, err
		}
		if intent, err = c.plan(ctx); err != nil { // what was missing may be there now
			return Result{}, err
		}
	}
	serials, err := c.consent(ctx, intent)
	if err != nil {
		return Result{Intent: intent}, err
	}
	if err := c.start(ctx, intent, serials); err != nil {
		return Result{Intent: intent}, err
	}
	last, err := c.follow(ctx, intent.After)
	return Result{Intent: intent, Last: last}, err
}

// conversation is one installation, seen over a connection that may break.
type conversation struct {
	medium *Medium
	order  Order
}

func (c *conversation) say(format string, args ...any) {
	if c.order.Connection != nil {
		c.order.Connection(fmt.Sprintf(format, args...))
	}
}

// setup runs a command of the program on the medium, and tries again while there is no connection: do must not change anything, or not mind
// being done twice.
func (c *conversation) setup(ctx context.Context, input string, args ...string) (out []byte, err error) {
	err = c.patiently(ctx, func() error {
		cmd := run.Command{Name: "setup", Args: args}
		if input != "" {
			cmd.Stdin, cmd.Secret = strings.NewReader(input), []string{input}
		}
		out, err = run.Output(ctx, c.medium.Runner, cmd)
		return err
	})
	return out, err
}

// join follows a run that goes on.
func (c *conversation) join(ctx context.Context, intent hive.Intent) (Result, error) {
	out, err := c.setup(ctx, "", "status", "--json")
	if err != nil {
		return Result{}, fmt.Errorf("ask what the medium is doing: %w", err)
	}
	var journal *hive.Journal
	if err := json.Unmarshal(out, &journal); err != nil {
		return Result{}, fmt.Errorf("ask what the medium is doing: %w", err)
	}
	if journal != nil && journal.Host != c.order.Host.Name && !journal.Done {
		return Result{}, &BusyError{journal.Host}
	}
	c.say("an installation goes on already; following it")
	last, err := c.follow(ctx, intent.After)
	return Result{Intent: intent, Last: last, Joined: true}, err
}

// plan asks what the medium would do.
func (c *conversation) plan(ctx context.Context) (hive.Intent, error) {
	out, err := c.setup(ctx, "", "plan", "--json", "-n", c.order.Host.Name, "--mode", string(c.order.Mode))
	intent, ok := intentIn(out, err)
	if !ok {
		return hive.Intent{}, fmt.Errorf("ask the medium what it would do: %w", worded(out, err))
	}
	if intent.Schema != hive.ManifestSchema {
		return hive.Intent{}, fmt.Errorf("ask the medium what it would do: its schema is %d instead of %d", intent.Schema, hive.ManifestSchema)
	}
	if intent.Host != c.order.Host.Name || intent.PlanHash != c.medium.Host.PlanHash || intent.Mode != c.order.Mode {
		return hive.Intent{}, fmt.Errorf("the medium means %s, mode %s, plan %.8s, and was asked for %s, mode %s, plan %.8s",
			intent.Host, intent.Mode, intent.PlanHash, c.order.Host.Name, c.order.Mode, c.medium.Host.PlanHash)
	}
	return intent, nil
}

// intentIn reads the intent that setup prints, with exit code 0 or when it refuses.
func intentIn(out []byte, err error) (hive.Intent, bool) {
	var intent hive.Intent
	if err != nil && exitCode(err) != exitRefused {
		return intent, false
	}
	return intent, json.Unmarshal(out, &intent) == nil
}

func exitCode(err error) int {
	if failed, ok := errors.AsType[*run.Error](err); ok {
		return failed.ExitCode
	}
	return -1
}

// worded is the error of a program whose output was not what it should be.
func worded(out []byte, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("it answers %.80q", out)
}

func (c *conversation) sendSecrets(ctx context.Context) error {
	text, err := c.order.Secrets.Encode()
	if err != nil {
		return err
	}
	if _, err := c.setup(ctx, string(text), "secrets"); err != nil {
		return fmt.Errorf("send the %s: %w", c.order.Secrets, err)
	}
	return nil
}

// consent shows the intent and takes the answer.
func (c *conversation) consent(ctx context.Context, intent hive.Intent) ([]string, error) {
	if intent.Refused() {
		return nil, &RefusedError{intent}
	}
	var serials []string
	if c.order.Confirm != nil {
		given, err := c.order.Confirm(ctx, intent)
		if err != nil {
			return nil, err
		}
		serials = given
	}
	var missing []string
	for _, serial := range intent.Confirm {
		if !slices.Contains(serials, serial) {
			missing = append(missing, serial)
		}
	}
	if len(missing) > 0 {
		return nil, &ConsentError{missing}
	}
	return intent.Confirm, nil // and nothing that was not asked for
}

// start begins the installation, once: when the connection breaks meanwhile the medium is asked whether it has begun.
func (c *conversation) start(ctx context.Context, intent hive.Intent, serials []string) error {
	args := []string{"run", "--json", "-n", intent.Host, "--mode", string(intent.Mode), "--plan-hash", intent.PlanHash, "--detach"}
	for _, serial := range serials {
		args = append(args, "--confirm", serial)
	}
	if c.order.Then != "" {
		args = append(args, "--then", c.order.Then)
	}
	for again := false; ; again = true {
		out, err := run.Output(ctx, c.medium.Runner, run.Command{Name: "setup", Args: args})
		if err == nil {
			return nil
		}
		connection, lost := errors.AsType[*remote.ConnectionError](err)
		if !lost && !again || ctx.Err() != nil {
			return c.notStarted(out, err)
		}
		if lost {
			c.say("%s while the installation was begun", connection.Reason)
		}
		now, asked := c.plan(ctx)
		switch {
		case asked != nil:
			return asked
		case now.Running || now.After > intent.After: // the first attempt had come through
			return nil
		case !lost:
			return c.notStarted(out, err)
		}
	}
}

func (c *conversation) notStarted(out []byte, err error) error {
	if intent, ok := intentIn(out, err); ok && exitCode(err) == exitRefused {
		return &RefusedError{intent}
	}
	return fmt.Errorf("begin the installation of %s: %w", c.order.Host.Name, err)
}
