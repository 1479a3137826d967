package vm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// Running is a machine that is on, until it ends. Its calls may be made by several goroutines at once; after its end they give an
// *EndedError.
type Running struct {
	lab      *Lab
	machine  Machine
	monitor  *monitor
	emulator emulator
	console  int64 // where this start begins in the serial log, in bytes
	unplugs  []func(context.Context) error

	ended chan struct{} // closed when QEMU is gone and end is set
	end   End

	mu      sync.Mutex
	killed  bool          // by us
	events  []event       // those that somebody may wait for, since the start
	changed chan struct{} // closed and replaced with each of them

	faults sync.Mutex // held while a disk is swapped
	disks  map[string]condition
}

// End is how a machine ended.
type End struct{ How How }

// How is the kind of an end.
type How string

// The ways a machine can end.
const (
	GuestShutdown How = "the guest shut down"
	GuestReset    How = "the guest rebooted" // only with StartOptions.EndOnReset
	GuestPanic    How = "the guest's kernel panicked"
	PowerCut      How = "its power was cut"      // by Cut
	Stopped       How = "it was switched off"    // by Lab.Close or a signal
	Killed        How = "QEMU ended by accident" // killed by somebody else, or crashed
)

// String says how in words.
func (e End) String() string { return string(e.How) }

func newRunning(l *Lab, m Machine) *Running {
	return &Running{lab: l, machine: m, ended: make(chan struct{}), changed: make(chan struct{}), disks: map[string]condition{}}
}

// Machine is the description it was started with.
func (r *Running) Machine() Machine { return r.machine }

// note keeps an event. Those that come in floods, such as errors of a disk, are left out.
func (r *Running) note(e event) {
	switch e.Name {
	case "SHUTDOWN", "RESET", "GUEST_PANICKED", "DEVICE_DELETED":
	default:
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	close(r.changed)
	r.changed = make(chan struct{})
}

// watch waits for QEMU's end and frees what the machine had.
func (r *Running) watch() {
	<-r.monitor.gone
	r.lab.mu.Lock()
	keptAndClosed := r.lab.closed && r.lab.kept
	r.lab.mu.Unlock()
	if keptAndClosed {
		return // it was us who ended the connection
	}
	// Until it is gone it holds the locks of the images. It ends by itself; if not, it hangs, and is of no use any more.
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	if r.emulator.wait(ctx) != nil {
		_ = stopAll(context.Background(), []emulator{r.emulator}, 0)
	}
	cancel()
	r.unplugAll(context.Background())
	r.end = End{How: r.how()}
	r.lab.vacate(r.machine.Name)
	close(r.ended)
}

// how reads the events for what QEMU says was the reason (ShutdownCause in its qapi/run-state.json).
func (r *Running) how() How {
	r.mu.Lock()
	defer r.mu.Unlock()
	how := Killed
	if r.killed {
		how = PowerCut
	}
	for _, e := range r.events {
		if e.Name != "SHUTDOWN" {
			continue
		}
		switch e.Data.Reason {
		case "guest-shutdown":
			how = GuestShutdown
		case "guest-reset":
			how = GuestReset
		case "guest-panic":
			how = GuestPanic
		default:
			how = Stopped
		}
	}
	return how
}

// Wait returns how the machine ended, once it has. The error is the cause of ctx's end.
func (r *Running) Wait(ctx context.Context) (End, error) {
	select {
	case <-r.ended:
		return r.end, nil
	case <-ctx.Done():
		return End{}, fmt.Errorf("wait for the end of %s: %w", r.machine.Name, context.Cause(ctx))
	}
}

// PowerDown presses the power button, to which most guests react by shutting down, and waits for the end. A machine that has not ended
// after grace loses its power: the End tells. The error is the cause of ctx's end; the machine may then still be shutting down.
func (r *Running) PowerDown(ctx context.Context, grace time.Duration) (End, error) {
	err := r.call(ctx, "system_powerdown", nil)
	if _, over := errors.AsType[*EndedError](err); err != nil && !over {
		return End{}, err
	}
	patient, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	end, err := r.Wait(patient)
	if err == nil || ctx.Err() != nil {
		return end, err
	}
	r.cut()
	return r.Wait(ctx)
}

// Cut takes the power away, from one instruction to the next, and returns when the machine is off. What the guest has flushed to a disk
// is there afterwards. What it has only written may be there, or not, or in parts: what reached the image file stays, what QEMU still
// held is lost (a real disk's cache loses more). The images are always sound. They are not brought to this computer's own disks with each flush:
// should this computer lose its power, machines may be damaged.
func (r *Running) Cut() {
	r.cut()
	<-r.ended
}

func (r *Running) cut() {
	r.mu.Lock()
	r.killed = true
	r.mu.Unlock()
	_ = r.emulator.signal(syscall.SIGKILL) // it has ended already, or will
}

// Reset presses the reset button.
func (r *Running) Reset(ctx context.Context) error { return r.call(ctx, "system_reset", nil) }

// AwaitResets waits until the guest has rebooted n times since the start, by itself or by the reset button.
func (r *Running) AwaitResets(ctx context.Context, n int) error {
	err := r.await(ctx, func(events []event) bool {
		resets := 0
		for _, e := range events {
			if e.Name == "RESET" {
				resets++
			}
		}
		return resets >= n
	})
	if err != nil {
		return fmt.Errorf("wait for a reboot of %s: %w", r.machine.Name, err)
	}
	return nil
}

// await waits until what was told since the start is as wanted.
func (r *Running) await(ctx context.Context, enough func([]event) bool) error {
	for {
		r.mu.Lock()
		ok, changed := enough(r.events), r.changed
		r.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-r.ended:
			return &EndedError{r.machine.Name, r.end}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// call is a command to QEMU whose answer does not matter.
func (r *Running) call(ctx context.Context, command string, arguments any) error {
	return r.ask(ctx, command, arguments, nil)
}

func (r *Running) ask(ctx context.Context, command string, arguments, result any) error {
	err := r.monitor.call(ctx, command, arguments, result)
	if errors.Is(err, errMonitorGone) {
		if _, waitErr := r.Wait(ctx); waitErr == nil {
			return &EndedError{r.machine.Name, r.end}
		}
	}
	return err
}

// plugAll makes a place in its network for each card's cable.
func (r *Running) plugAll(ctx context.Context, plugs map[string]string) error {
	for _, c := range r.machine.Cards {
		if c.Network == "" {
			continue
		}
		r.lab.mu.Lock()
		s := r.lab.segments[c.Network]
		r.lab.mu.Unlock()
		if s == nil {
			return fmt.Errorf("card %s: network %s is not up", c.Name, c.Network)
		}
		socket, unplug, err := s.plug(ctx)
		if err != nil {
			return fmt.Errorf("card %s: %w", c.Name, err)
		}
		plugs[c.Name] = socket
		r.unplugs = append(r.unplugs, unplug)
	}
	return nil
}

// unplugAll gives the places back. That the network is gone too is no error.
func (r *Running) unplugAll(ctx context.Context) {
	for _, unplug := range r.unplugs {
		_ = unplug(ctx)
	}
	r.unplugs = nil
}
