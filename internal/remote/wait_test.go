package remote

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/sshd"
)

// told collects events, and calls back with each text once.
type told struct {
	mu     sync.Mutex
	events []progress.Event
	on     map[string]func()
}

func (t *told) sink(e progress.Event) {
	t.mu.Lock()
	t.events = append(t.events, e)
	var act func()
	for part, f := range t.on {
		if strings.HasPrefix(e.Text, part) {
			act = f
			delete(t.on, part)
		}
	}
	t.mu.Unlock()
	if act != nil {
		act()
	}
}

func (t *told) texts() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var texts []string
	for _, e := range t.events {
		if e.State == progress.Running {
			text, _, _ := strings.Cut(e.Text, " at ")
			texts = append(texts, text)
		}
	}
	return texts
}

func quick(o WaitOptions) WaitOptions {
	o.Interval, o.MaxInterval, o.Attempt = 20*time.Millisecond, 50*time.Millisecond, time.Second
	return o
}

// A machine that starts: nobody listens, nobody answers, then the keys are not there yet, then all is well.
func TestWaitSaysWhatIsTheCaseUntilALoginWorks(t *testing.T) {
	t.Parallel()
	s, a := host(t)
	mine := authorized(t, s)
	s.Close()
	seen := &told{on: map[string]func(){}}
	seen.on[string(Refused)] = func() { s.Pause(); s.Open() }
	seen.on[string(Timeout)] = func() { s.Authorize(); s.Resume() }
	seen.on[string(Denied)] = func() { s.Authorize(mine) }
	if err := a.Wait(t.Context(), "web1", quick(WaitOptions{Progress: seen.sink})); err != nil {
		t.Fatal(err)
	}
	if got := seen.texts(); !slices.Equal(got, []string{string(Refused), string(Timeout), string(Denied)}) {
		t.Errorf("told %q", got)
	}
	first, last := seen.events[0], seen.events[len(seen.events)-1]
	if first.State != progress.Started || last.State != progress.Done || first.Task != "wait" || first.Host != "web1" {
		t.Errorf("events begin with %+v and end with %+v", first, last)
	}
}

// authorized is the public half of the key that s lets in.
func authorized(t *testing.T, s *sshd.Server) string {
	t.Helper()
	out, err := run.Output(t.Context(), run.Local{}, run.Command{Name: "ssh-keygen", Args: []string{"-y", "-f", s.Identity}})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestWaitStopsWhereWaitingIsOfNoUse(t *testing.T) {
	t.Parallel()
	s, a := host(t)
	s.Authorize()
	err := a.Wait(t.Context(), "web1", quick(WaitOptions{Denied: 200 * time.Millisecond}))
	if e, ok := errors.AsType[*ConnectionError](err); !ok || e.Reason != Denied {
		t.Errorf("denied: %v", err)
	}
	s.ChangeHostKey()
	err = a.Wait(t.Context(), "web1", quick(WaitOptions{}))
	if e, ok := errors.AsType[*ConnectionError](err); !ok || e.Reason != HostKeyChanged {
		t.Errorf("another machine: %v", err)
	}
	if err := a.Wait(t.Context(), "web2", quick(WaitOptions{})); !errors.Is(err, ErrNoTarget) {
		t.Errorf("an unknown target: %v", err)
	}
}

func TestWaitEndsWithItsContextAndSaysWhatWasTheCase(t *testing.T) {
	t.Parallel()
	s, a := host(t)
	s.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	seen := &told{on: map[string]func(){string(Refused): func() { cancel(enough) }}}
	err := a.Wait(ctx, "web1", quick(WaitOptions{Progress: seen.sink}))
	e, ok := errors.AsType[*ConnectionError](err)
	if !errors.Is(err, enough) || !ok || e.Reason != Refused {
		t.Errorf("got %v", err)
	}
}

// After a reboot the same address is another system, with the key that is known.
func TestWaitCanOutlastTheSystemBefore(t *testing.T) {
	t.Parallel()
	before, after := sshd.Start(t, sshd.Options{}), sshd.Start(t, sshd.Options{})
	to := target(after)
	to.Port = before.Port
	a := open(t, impatient(), to)
	seen := &told{on: map[string]func(){string(HostKeyChanged): func() {
		before.Close()
		after.Close()
		after.Port = before.Port
		after.Open()
	}}}
	if err := a.Wait(t.Context(), "web1", quick(WaitOptions{OtherKeys: true, Progress: seen.sink})); err != nil {
		t.Fatal(err)
	}
	if got := seen.texts(); !slices.Contains(got, string(HostKeyChanged)) {
		t.Errorf("told %q", got)
	}
}

func TestWaitAsksWhetherTheHostIsReady(t *testing.T) {
	t.Parallel()
	_, a := host(t)
	seen := &told{}
	asked := 0
	o := quick(WaitOptions{Progress: seen.sink, Ready: func(ctx context.Context, host run.Runner) error {
		if asked++; asked < 3 {
			return errors.New("the old system still runs")
		}
		return host.Run(ctx, run.Command{Name: "true"})
	}})
	if err := a.Wait(t.Context(), "web1", o); err != nil || asked != 3 {
		t.Errorf("asked %d times, %v", asked, err)
	}
	if got := seen.texts(); !slices.Equal(got, []string{"the old system still runs"}) {
		t.Errorf("told %q", got)
	}
}

func TestTheBootIDIsThisKernels(t *testing.T) {
	t.Parallel()
	_, a := host(t)
	first, err := a.BootID(t.Context(), "web1")
	if err != nil || len(first) != 36 || strings.ContainsAny(first, " \n") {
		t.Errorf("got %q, %v", first, err)
	}
	if again, err := a.BootID(t.Context(), "web1"); err != nil || again != first {
		t.Errorf("then %q, %v", again, err)
	}
}
