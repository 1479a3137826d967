package guard

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"nixos-staged-hive/internal/hive"
)

// following is one activation, seen from the operator's computer.
type following struct {
	host  Host
	order Order
	last  answer    // the last that was heard
	heard time.Time // when

	told     hive.Activation // the state that Progress knows
	offset   int             // of the log, in bytes
	log      lines
	passed   hive.Activation // the state in which the checks have passed
	why      string          // the host is to go back, because; empty while it is not
	orphaned int             // how often nobody was seen to work at it
	settling bool            // nothing is confirmed
}

// begin orders the run. An order that is not followed by "proceed" over another connection changes nothing, so that an error is always
// of a host that stays as it is, also where the order arrives in spite of it, or later.
func (f *following) begin(ctx context.Context) (answer, error) {
	o := f.order
	reboot := map[bool]string{true: "1", false: "0"}[o.RebootAfter]
	tried := time.Now()
	settled := false
	for {
		if err := context.Cause(ctx); err != nil {
			return answer{}, fmt.Errorf("activate %s: %w", f.host.Name, err)
		}
		// Once it is sent, it is to be heard how it went, interrupted or not.
		a, err := f.host.send(context.WithoutCancel(ctx), "begin", o.Run, o.By, o.New,
			wholeSeconds(o.Activation), wholeSeconds(o.Confirm), wholeSeconds(o.Reboot), reboot, strconv.Itoa(o.Generation))
		switch {
		case err == nil && a.Run == o.Run:
			return a, nil
		case err == nil && a.known && !settled:
			settled = true
			if _, err := f.host.Settle(ctx); err != nil {
				return answer{}, err
			}
			continue
		case err == nil && a.known:
			return answer{}, &LockedError{Host: f.host.Name, State: a.ActivationState}
		case err == nil:
			err = errors.New("the guard's script said nothing")
		}
		if definite(err) || time.Since(tried) > f.host.patience() {
			return answer{}, fmt.Errorf("begin the activation of %s: %w", f.host.Name, err)
		}
		pause(ctx, longPause)
	}
}

// follow looks at the record until it has ended.
func (f *following) follow(ctx context.Context, a answer) (hive.ActivationState, error) {
	wait := shortPause
	f.note(a)
	for {
		if f.last.State.Ends() {
			_ = f.poll(ctx) // the rest of the log, where it can still be had
			return f.last.ActivationState, nil
		}
		before := f.last.State
		if err := f.step(ctx); err != nil {
			return f.last.ActivationState, err
		}
		if f.last.State != before {
			wait = shortPause
			continue
		}
		if !f.settling && f.why == "" {
			pause(ctx, wait)
		} else {
			pause(context.WithoutCancel(ctx), wait)
		}
		wait = min(wait*3/2, longPause)
		if err := f.poll(ctx); err != nil && f.away() {
			return f.last.ActivationState, &UnknownError{Host: f.host.Name, State: f.last.ActivationState, Err: err}
		}
	}
}

// step does what the state asks for.
func (f *following) step(ctx context.Context) error {
	if f.settling {
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("settle %s: %w", f.host.Name, err)
		}
	} else if err := context.Cause(ctx); err != nil && f.why == "" {
		f.why = "interrupted by the operator"
	}
	if f.abandoned() {
		f.tell(f.host.send(context.WithoutCancel(ctx), "settle"))
		return nil
	}
	switch {
	case f.settling || !f.open():
	case f.why == "" && f.last.State == hive.Begun:
		f.tell(f.host.call(context.WithoutCancel(ctx), "proceed", f.order.Run))
	case f.why != "":
		f.tell(f.host.call(context.WithoutCancel(ctx), "back", f.order.Run, oneLine(f.why)))
	case f.current():
		f.decide(ctx)
	}
	return nil
}

// open tells that it can still be gone back from.
func (f *following) open() bool {
	switch f.last.State {
	case hive.Begun, hive.Activating, hive.Waiting, hive.Rebooting:
		return true
	}
	return false
}

// current tells that the new system runs and waits to be confirmed.
func (f *following) current() bool {
	a := f.last
	return a.State == hive.Waiting || a.State == hive.Rebooting && a.thisBoot != a.BootID && a.booted == a.New
}

// decide asks the checks, and confirms or goes back.
func (f *following) decide(ctx context.Context) {
	if f.passed != f.last.State {
		limit := max(time.Duration(f.last.Remaining)*time.Second-margin, time.Second)
		checking, cancel := context.WithTimeout(ctx, limit)
		err := f.order.Check(checking)
		cancel()
		if err != nil {
			f.why = oneLine(err.Error())
			if ctx.Err() != nil {
				f.why = "interrupted by the operator"
			}
			f.tell(f.host.call(context.WithoutCancel(ctx), "back", f.order.Run, f.why))
			return
		}
		f.passed = f.last.State
	}
	f.tell(f.host.call(context.WithoutCancel(ctx), "confirm", f.order.Run))
}

// abandoned tells that nobody works at the record any more, as after a restart of the host.
func (f *following) abandoned() bool {
	if f.last.alive || !f.last.known {
		f.orphaned = 0
		return false
	}
	f.orphaned++
	const enough = 3
	if f.orphaned < enough {
		return false
	}
	f.orphaned = 0
	return true
}

// poll asks for the record and what is new in the log.
func (f *following) poll(ctx context.Context) error {
	a, err := f.host.call(context.WithoutCancel(ctx), "poll", f.order.Run, strconv.Itoa(f.offset))
	if err != nil {
		return err
	}
	f.note(a)
	return nil
}

// tell takes an answer, if there is one: what was lost is asked again.
func (f *following) tell(a answer, err error) {
	if err == nil {
		f.note(a)
	}
}

// note takes what was heard of our run.
func (f *following) note(a answer) {
	if a.Run != f.order.Run {
		return
	}
	f.last, f.heard = a, time.Now()
	f.offset += len(a.log)
	for _, line := range f.log.add(a.log) {
		f.order.Progress(a.ActivationState, line)
	}
	if a.State != f.told {
		f.told = a.State
		f.order.Progress(a.ActivationState, "")
	}
}

// away tells that the host has not answered for longer than its guard needs to bring it back.
func (f *following) away() bool {
	o := f.order
	limit := f.host.patience() + o.Activation
	switch f.last.State {
	case hive.Begun, hive.Activating:
		limit += o.Activation + o.Confirm
	case hive.Waiting:
		limit += o.Confirm
	}
	if o.RebootAfter {
		limit += 2*o.Reboot + o.Confirm // there and back
	}
	return time.Since(f.heard) > limit
}
