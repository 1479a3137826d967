package install

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/run"
)

const (
	defaultPatience = 10 * time.Minute
	firstPause      = 500 * time.Millisecond // between two attempts to connect; it doubles
	longestPause    = 10 * time.Second
)

// patiently does what needs the connection until that is there, and gives up when the machine was out of reach for too long. An answer, whatever
// it is, ends it.
func (c *conversation) patiently(ctx context.Context, do func() error) error {
	since, wait := time.Now(), firstPause
	for {
		err := do()
		connection, ok := errors.AsType[*remote.ConnectionError](err)
		if !ok || ctx.Err() != nil {
			return err
		}
		if silent := time.Since(since); silent >= cmp.Or(c.order.Patience, defaultPatience) {
			return &SilentError{Host: c.order.Host.Name, Since: silent, Err: err}
		}
		c.say("%s; trying again", connection.Reason)
		if paused := pause(ctx, wait); paused != nil {
			return fmt.Errorf("wait for the medium: %w", paused)
		}
		wait = min(2*wait, longestPause)
	}
}

// errEnded is a follow that ended without the last event.
var errEnded = errors.New("ended without a last word")

// follow passes events on until the last one of the run, with as many connections as that takes.
func (c *conversation) follow(ctx context.Context, after int) (hive.SetupEvent, error) {
	f := &follower{last: hive.SetupEvent{Number: after}, watch: c.order.Watch}
	for {
		heard := f.last.Number
		err := c.listen(ctx, f)
		switch {
		case f.finished:
			return f.last, c.verdict(f.last)
		case ctx.Err() != nil:
			return f.last, fmt.Errorf("stopped following the installation of %s, which goes on without us: %w", c.order.Host.Name, context.Cause(ctx))
		}
		if _, lost := errors.AsType[*remote.ConnectionError](err); !lost {
			return f.last, c.unfinished(ctx, err)
		}
		c.say("the connection was lost after event %d; the installation goes on", f.last.Number)
		again, err := c.sameStart(ctx)
		if err != nil {
			return f.last, err
		}
		if !again {
			return hive.SetupEvent{}, nil // restarted from its disk: Await tells how
		}
		c.say("connected again")
		if f.last.Number == heard { // a connection that breaks before it tells anything must not be made in a tight loop
			if err := pause(ctx, firstPause); err != nil {
				continue
			}
		}
	}
}

// listen is one connection.
func (c *conversation) listen(ctx context.Context, f *follower) error {
	err := c.medium.Runner.Run(ctx, run.Command{
		Name: "setup", Args: []string{"follow", "--json", "--after", strconv.Itoa(f.last.Number)}, Stdout: f, Grace: time.Second,
	})
	f.rest = nil // the beginning of a line that was cut off comes again, whole
	return errors.Join(err, f.err)
}

// verdict says how a run ended.
func (c *conversation) verdict(last hive.SetupEvent) error {
	if last.Code != 0 {
		return &FailedError{Host: c.order.Host.Name, Last: last}
	}
	return nil
}

// unfinished sorts a follow that ended over a good connection, and without the last event.
func (c *conversation) unfinished(ctx context.Context, err error) error {
	if _, missing := errors.AsType[*run.MissingError](err); missing {
		again, err := c.sameStart(ctx)
		if err != nil || !again {
			return err
		}
	}
	if err == nil {
		err = errEnded
	}
	text := err.Error()
	if failed, ok := errors.AsType[*run.Error](err); ok && len(failed.Stderr) > 0 {
		text = strings.TrimSpace(strings.ToValidUTF8(string(failed.Stderr), "?"))
	}
	return &KilledError{Host: c.order.Host.Name, Text: text}
}

// sameStart waits for the connection and reports whether the medium still runs as it did. False is a machine that runs something else now, which
// may be the system that was installed; a medium that was started anew is a *RestartedError.
func (c *conversation) sameStart(ctx context.Context) (bool, error) {
	var id []byte
	err := c.patiently(ctx, func() (err error) {
		id, err = run.Output(ctx, c.medium.Runner, run.Command{Name: "cat", Args: []string{bootIDFile}})
		if e, ok := errors.AsType[*remote.ConnectionError](err); ok && gone(e.Reason) {
			return errAnother
		}
		return err
	})
	switch {
	case errors.Is(err, errAnother):
		return false, nil
	case err != nil:
		return false, err
	case strings.TrimSpace(string(id)) == c.medium.BootID:
		return true, nil
	}
	if medium := (&Medium{Runner: c.medium.Runner}); medium.identify(ctx, c.order.Host.Name) == nil {
		return false, &RestartedError{c.order.Host.Name}
	}
	return false, nil
}

// bootIDFile has another text after each start of a kernel.
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// errAnother is another system than the medium at its address.
var errAnother = errors.New("another system answers")

// gone reports whether a reason says that what answers is not the medium: the installed system has another key, and lets other users in.
func gone(r remote.Reason) bool {
	return r == remote.HostKeyChanged || r == remote.Denied
}

// follower takes the lines of `setup follow`.
type follower struct {
	watch    func(hive.SetupEvent)
	last     hive.SetupEvent
	finished bool
	rest     []byte
	err      error
}

// longestLine is the most that one event may take, in bytes.
const longestLine = 1 << 20

// Write takes what came; it never fails, so that the program at the other end does not either.
func (f *follower) Write(p []byte) (int, error) {
	f.rest = append(f.rest, p...)
	for f.err == nil {
		line, rest, whole := bytes.Cut(f.rest, []byte("\n"))
		if !whole {
			break
		}
		f.rest = rest
		f.take(line)
	}
	if len(f.rest) > longestLine {
		f.err, f.rest = errors.New("follow the installation: an event without an end"), nil
	}
	return len(p), nil
}

func (f *follower) take(line []byte) {
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	var e hive.SetupEvent
	if err := json.Unmarshal(line, &e); err != nil {
		f.err = fmt.Errorf("follow the installation: the medium says %.80q", line)
		return
	}
	if e.Number <= f.last.Number || f.finished { // heard already, over the connection before
		return
	}
	f.last, f.finished = e, e.State == "finished"
	if f.watch != nil {
		f.watch(e)
	}
}
