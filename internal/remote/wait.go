package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
)

// WaitOptions say how long and for what to wait. The zero value waits for a login until the context ends.
type WaitOptions struct {
	Interval    time.Duration // between the first two attempts; it grows by half each time. 0 is 500 ms
	MaxInterval time.Duration // 0 is 5 s
	Attempt     time.Duration // for one attempt to connect, in whole seconds; 0 is 5 s
	// Denied is how long a host may refuse our keys before that is the answer: while a machine starts, sshd may run before the users'
	// keys are in place. 0 is 20 s.
	Denied time.Duration
	// OtherKeys waits on while another host key is shown, or none is known: the address still belongs to the system before the reboot.
	// Otherwise that ends the wait at once.
	OtherKeys bool
	// Ready is asked after a login, over the host's runner; its error is why it is not yet time ("the old system still runs"). Nil is ready.
	Ready func(ctx context.Context, host run.Runner) error

	Progress progress.Sink
	Task     string // of the events; empty is "wait"
}

// Login proves that a new connection can be made and a command be run, within the context.
func (a *Access) Login(ctx context.Context, name string) error {
	return a.Runner(name).Run(ctx, run.Command{Name: "true"})
}

// Wait tries to log in to name until that works, and says meanwhile what is the case. It returns the last *ConnectionError when waiting
// longer is of no use; when the context ends, an error that wraps its cause and what was last the case.
func (a *Access) Wait(ctx context.Context, name string, o WaitOptions) error {
	event := progress.Event{Task: cmp.Or(o.Task, "wait"), Host: name, State: progress.Started}
	o.Progress.Send(event)
	err := a.wait(ctx, name, o, func(text string) {
		if text != event.Text {
			event.State, event.Text = progress.Running, text
			o.Progress.Send(event)
		}
	})
	event.State, event.Err, event.Text = progress.Done, err, ""
	if err != nil {
		event.State = progress.Failed
	}
	o.Progress.Send(event)
	return err
}

func (a *Access) wait(ctx context.Context, name string, o WaitOptions, say func(string)) error {
	attempt := o.attempt(a, name)
	pause, limit := cmp.Or(o.Interval, 500*time.Millisecond), cmp.Or(o.MaxInterval, 5*time.Second)
	var deniedSince time.Time
	for {
		err := attempt(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil && !o.endures(err, &deniedSince) {
			return err
		}
		if !interrupted(ctx, err) {
			say(circumstance(err))
		}
		if waited := sleep(ctx, min(pause, limit)); waited != nil {
			return fmt.Errorf("wait for %s: %w (last: %w)", name, waited, err)
		}
		pause += pause / 2
	}
}

// attempt makes one login with its own time-out.
func (o WaitOptions) attempt(a *Access, name string) func(context.Context) error {
	limit := cmp.Or(o.Attempt, 5*time.Second)
	host := runner{access: a, name: name, options: []string{"-o", "ConnectTimeout=" + seconds(limit)}}
	return func(ctx context.Context) error {
		if err := host.Run(ctx, run.Command{Name: "true"}); err != nil || o.Ready == nil {
			return err
		}
		if err := o.Ready(ctx, a.Runner(name)); err != nil {
			return &notReady{err}
		}
		return nil
	}
}

// notReady is what Ready said. It hides a *ConnectionError within: that is a host that went away again, and worth waiting for.
type notReady struct{ error }

// endures tells whether it makes sense to try again after err.
func (o WaitOptions) endures(err error, deniedSince *time.Time) bool {
	if _, ok := errors.AsType[*notReady](err); ok {
		return true
	}
	connection, ok := errors.AsType[*ConnectionError](err)
	if !ok {
		return false // no ssh here, no such target, a command that cannot be
	}
	if connection.Reason != Denied {
		*deniedSince = time.Time{}
	}
	switch connection.Reason {
	case HostKeyChanged, HostKeyUnknown:
		return o.OtherKeys
	case Unusable:
		return false
	case Denied:
		if deniedSince.IsZero() {
			*deniedSince = time.Now()
		}
		return time.Since(*deniedSince) < cmp.Or(o.Denied, 20*time.Second)
	}
	return true
}

// circumstance is one line about why it does not work yet.
func circumstance(err error) string {
	if connection, ok := errors.AsType[*ConnectionError](err); ok {
		return string(connection.Reason) + " at " + connection.Target.address()
	}
	return err.Error()
}

func interrupted(ctx context.Context, err error) bool {
	return ctx.Err() != nil && errors.Is(err, context.Cause(ctx))
}

// sleep waits, or gives the cause of the context's end.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// BootID is the host's /proc/sys/kernel/random/boot_id, which is another one after each start of its kernel.
func (a *Access) BootID(ctx context.Context, name string) (string, error) {
	out, err := run.Output(ctx, a.Runner(name), run.Command{Name: "cat", Args: []string{"/proc/sys/kernel/random/boot_id"}})
	if err != nil {
		return "", fmt.Errorf("ask %s when it started: %w", name, err)
	}
	if len(out) < 36 {
		return "", fmt.Errorf("ask %s when it started: boot id %s", name, strconv.Quote(string(out)))
	}
	return string(out[:36]), nil
}
