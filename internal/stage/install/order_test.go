package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/secret"
	"nixos-staged-hive/internal/testbed/sshd"
)

// heard collects what an installation tells.
type heard struct {
	mu     sync.Mutex
	events []hive.SetupEvent
	lines  []string
	on     func(hive.SetupEvent)
}

func (h *heard) watch(e hive.SetupEvent) {
	h.mu.Lock()
	h.events = append(h.events, e)
	h.mu.Unlock()
	if h.on != nil {
		h.on(e)
	}
}

func (h *heard) line(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, text)
}

func (h *heard) said(part string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.lines, func(l string) bool { return strings.Contains(l, part) })
}

// numbers of the events, which must be heard once each and in order.
func (h *heard) numbers() []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []int
	for _, e := range h.events {
		all = append(all, e.Number)
	}
	return all
}

func upTo(n int) []int {
	var all []int
	for i := range n {
		all = append(all, i+1)
	}
	return all
}

// order is one that confirms what is asked.
func order(h *heard) Order {
	return Order{
		Host: web1(), Mode: hive.Fresh, Toplevel: toplevel, Watch: h.watch, Connection: h.line, Patience: time.Minute,
		Confirm: func(_ context.Context, i hive.Intent) ([]string, error) { return i.Confirm, nil },
	}
}

func TestAnInstallationGoesThrough(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.write("wants-secrets", "")
	h := &heard{}
	o := order(h)
	o.Secrets = &secret.Bundle{Host: "web1", PasswordHash: "$6$salt$hash", Files: []secret.File{{Path: "/tmp/k", Mode: 0o400, Content: []byte("x")}}}
	o.Then = "poweroff"
	go func() {
		m.begun()
		m.tell(hive.SetupEvent{Phase: "wipe", State: "started"})
		m.tell(hive.SetupEvent{Phase: "wipe", State: "done"})
		m.finish(hive.SetupEvent{Text: "web1 is installed"})
	}()
	r, err := Install(t.Context(), m.reached(m.address()), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Joined || r.Last.Text != "web1 is installed" || r.Intent.Host != "web1" || !slices.Equal(h.numbers(), upTo(3)) {
		t.Errorf("got %+v, heard %v", r, h.numbers())
	}
	got, err := secret.DecodeBundle(bytes.NewReader([]byte(m.read("secrets"))))
	if err != nil || !reflect.DeepEqual(got, *o.Secrets) {
		t.Errorf("the medium has %v, %v", got, err)
	}
	runs := m.read("runs")
	want := "run --json -n web1 --mode fresh --plan-hash " + r.Intent.PlanHash + " --detach --confirm S3RIAL --then poweroff\n"
	if runs != want {
		t.Errorf("got %q, want %q", runs, want)
	}
	if strings.Contains(m.read("calls")+m.Log(), "$6$") {
		t.Error("the hash is in an argument or a log")
	}
}

func TestEachEventIsHeardOnceOverConnectionsThatBreak(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(*machine, *sshd.Cable){
		"reset":         func(_ *machine, c *sshd.Cable) { c.Drop() },
		"sshd is gone":  func(m *machine, _ *sshd.Cable) { m.Cut() },
		"cut in a line": func(m *machine, c *sshd.Cable) { c.CutAfter(100); time.AfterFunc(5*time.Second, c.Resume) },
		"refused for a while": func(m *machine, c *sshd.Cable) {
			m.Close()
			c.Drop()
			time.AfterFunc(time.Second, m.Open)
		},
		"silent for a while": func(_ *machine, c *sshd.Cable) { c.Stall(); time.AfterFunc(5*time.Second, c.Resume) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			cable := sshd.NewCable(t, m.Address, m.Port)
			medium := m.reached(fmt.Sprintf("%s:%d", cable.Address, cable.Port))
			h := &heard{}
			h.on = func(e hive.SetupEvent) {
				if e.Number == 2 || e.Number == 5 {
					harm(m, cable)
				}
			}
			go func() {
				m.begun()
				for i := range 6 {
					m.tell(hive.SetupEvent{Phase: "copy", State: "running", Text: strings.Repeat("x", 200)})
					m.until("heard", func() bool { return len(h.numbers()) > i || i == 2 }) // some come while there is no connection
				}
				m.finish(hive.SetupEvent{})
			}()
			r, err := Install(t.Context(), medium, order(h))
			if err != nil {
				t.Fatal(err)
			}
			if r.Last.State != "finished" || !slices.Equal(h.numbers(), upTo(7)) {
				t.Errorf("got %+v, heard %v", r.Last, h.numbers())
			}
			if strings.Count(m.read("runs"), "\n") != 1 {
				t.Errorf("begun: %q", m.read("runs"))
			}
			if !h.said("the installation goes on") || !h.said("connected again") {
				t.Errorf("said %q", h.lines)
			}
		})
	}
}

func TestAConnectionThatBreaksAtTheStartBeginsNoSecondRun(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]string{"it had begun": "may-answer", "it had not": "may-begin"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.remove(late)
			h := &heard{}
			go func() {
				m.until("asked to begin", func() bool { return strings.Contains(m.read("calls"), "run --json") })
				if late == "may-answer" {
					m.begun()
				}
				m.Cut()
				m.until("noticed", func() bool { return h.said("while the installation was begun") })
				m.write(late, "")
				m.begun()
				m.finish(hive.SetupEvent{})
			}()
			r, err := Install(t.Context(), m.reached(m.address()), order(h))
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(m.read("runs"), "\n"); n != 1 || r.Last.Number != 1 {
				t.Errorf("%d runs, last event %+v", n, r.Last)
			}
		})
	}
}

func TestWhatStandsInTheWayIsSaidAndNothingBegun(t *testing.T) {
	t.Parallel()
	forbidden := errors.New("the person said no")
	for _, tt := range []struct {
		name string
		make func(*machine, *Order)
		want func(error) bool
	}{
		{"another plan", func(_ *machine, o *Order) {
			o.Host.Storage.Disks = []hive.Disk{{Name: "main", Device: "/dev/sdb", Table: "gpt"}}
		}, func(err error) bool {
			e, ok := errors.AsType[*OtherPlanError](err)
			return ok && len(e.Differences) == 1 && strings.Contains(e.Differences[0], "/dev/sdb") && e.Hint() != ""
		}},
		{"another mini system", func(_ *machine, o *Order) { o.Toplevel += "-new" }, func(err error) bool {
			e, ok := errors.AsType[*OtherPlanError](err)
			return ok && strings.HasPrefix(e.Differences[0], "mini system")
		}},
		{"the medium refuses", func(m *machine, _ *Order) { m.write("wants-secrets", "") }, func(err error) bool {
			e, ok := errors.AsType[*RefusedError](err)
			return ok && strings.Contains(err.Error(), "password is missing") && e.Hint() == "install over SSH"
		}},
		{"not confirmed", func(_ *machine, o *Order) { o.Confirm = nil }, func(err error) bool {
			e, ok := errors.AsType[*ConsentError](err)
			return ok && slices.Equal(e.Missing, []string{"S3RIAL"}) && strings.Contains(e.Hint(), "--confirm S3RIAL")
		}},
		{"another disk confirmed", func(_ *machine, o *Order) {
			o.Confirm = func(context.Context, hive.Intent) ([]string, error) { return []string{"OTHER"}, nil }
		}, func(err error) bool { _, ok := errors.AsType[*ConsentError](err); return ok }},
		{"the person says no", func(_ *machine, o *Order) {
			o.Confirm = func(context.Context, hive.Intent) ([]string, error) { return nil, forbidden }
		}, func(err error) bool { return errors.Is(err, forbidden) }},
		{"another host is installed", func(m *machine, _ *Order) {
			m.write("running", "")
			m.json("status.json", hive.Journal{Schema: 1, Host: "nas"})
		}, func(err error) bool { e, ok := errors.AsType[*BusyError](err); return ok && e.Host == "nas" }},
		{"the medium means another host", func(m *machine, _ *Order) {
			m.json("intent.json", hive.Intent{Schema: hive.ManifestSchema, Host: "nas"})
		}, func(err error) bool { return strings.Contains(err.Error(), "the medium means nas") }},
		{"another version", func(m *machine, _ *Order) { m.json("intent.json", hive.Intent{Schema: 9}) }, func(err error) bool {
			return strings.Contains(err.Error(), "schema is 9")
		}},
		{"no answer that can be read", func(m *machine, _ *Order) {
			m.remove("bin/setup")
			m.write("bin/setup", "#!/bin/sh\necho hello\n")
			check(m.t, os.Chmod(m.file("bin/setup"), 0o755))
		}, func(err error) bool { return strings.Contains(err.Error(), `it answers "hello`) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			medium, o := m.reached(m.address()), order(&heard{})
			tt.make(m, &o)
			_, err := Install(t.Context(), medium, o)
			if err == nil || !tt.want(err) {
				t.Errorf("got %v", err)
			}
			if m.read("runs") != "" {
				t.Errorf("begun: %s", m.read("runs"))
			}
		})
	}
}

// What is refused only when it begins, because it changed since it was planned.
func TestARefusalAtTheStartIsOne(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	o := order(&heard{})
	o.Confirm = func(_ context.Context, i hive.Intent) ([]string, error) {
		m.write("wants-secrets", "")
		return i.Confirm, nil
	}
	_, err := Install(t.Context(), m.reached(m.address()), o)
	if e, ok := errors.AsType[*RefusedError](err); !ok || e.Intent.Host != "web1" {
		t.Errorf("got %v", err)
	}
}

func TestARunThatGoesOnIsJoined(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	medium := m.reached(m.address())
	m.tell(hive.SetupEvent{Phase: "identify", State: "started"})
	m.finish(hive.SetupEvent{Code: 1, Error: "an earlier run"})
	m.write("running", "")
	m.json("status.json", hive.Journal{Schema: 1, Host: "web1"})
	m.tell(hive.SetupEvent{Phase: "identify", State: "started"})
	h := &heard{}
	h.on = func(e hive.SetupEvent) {
		if e.Number == 3 {
			m.finish(hive.SetupEvent{})
		}
	}
	o := order(h)
	o.Confirm = func(context.Context, hive.Intent) ([]string, error) {
		t.Error("asked about a run that goes on")
		return nil, nil
	}
	r, err := Install(t.Context(), medium, o)
	if err != nil || !r.Joined || !slices.Equal(h.numbers(), []int{3, 4}) {
		t.Errorf("got %+v, %v, heard %v", r, err, h.numbers())
	}
}

func TestAnInterruptedRunIsTakenUpWithTheNextEvents(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.tell(hive.SetupEvent{Phase: "wipe", State: "started"}) // and killed
	h := &heard{}
	go func() {
		m.begun()
		m.finish(hive.SetupEvent{})
	}()
	r, err := Install(t.Context(), m.reached(m.address()), order(h))
	if err != nil || r.Last.Number != 2 || !slices.Equal(h.numbers(), []int{2}) {
		t.Errorf("got %+v, %v, heard %v", r, err, h.numbers())
	}
}

func TestHowARunEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(*machine)
		want func(Result, error) bool
	}{
		{"badly", func(m *machine) {
			m.finish(hive.SetupEvent{Code: 1, Error: "mount: no such disk", Way: "put it in"})
		}, func(r Result, err error) bool {
			e, ok := errors.AsType[*FailedError](err)
			return ok && strings.Contains(err.Error(), "no such disk") && strings.HasPrefix(e.Hint(), "put it in\n") && r.Last.Code == 1
		}},
		{"killed", func(m *machine) { m.remove("running") }, func(_ Result, err error) bool {
			e, ok := errors.AsType[*KilledError](err)
			return ok && strings.Contains(e.Text, "setup was killed")
		}},
		{"started from the medium again", func(m *machine) {
			m.write("root"+bootIDFile, "another\n")
			m.remove("running")
			m.Cut()
		}, func(_ Result, err error) bool { _, ok := errors.AsType[*RestartedError](err); return ok }},
		{"restarted as the installed system, without a last word", func(m *machine) {
			m.installed("running")
			m.Cut()
		}, func(r Result, err error) bool { return err == nil && r.Last.Number == 0 }},
		{"and with a host key of its own", func(m *machine) {
			m.installed("running")
			m.ChangeHostKey()
			m.Cut()
		}, func(r Result, err error) bool { return err == nil && r.Last.Number == 0 }},
		{"and root is not let in", func(m *machine) {
			m.installed("running")
			m.Authorize()
			m.Cut()
		}, func(r Result, err error) bool { return err == nil && r.Last.Number == 0 }},
		{"gone for good", func(m *machine) {
			m.Close()
			m.Cut()
		}, func(_ Result, err error) bool {
			e, ok := errors.AsType[*SilentError](err)
			lost, connection := errors.AsType[*remote.ConnectionError](err)
			return ok && connection && lost.Reason == remote.Refused && strings.Contains(e.Hint(), "goes on")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			h := &heard{}
			var once sync.Once
			h.on = func(hive.SetupEvent) { once.Do(func() { tt.end(m) }) }
			o := order(h)
			if tt.name == "gone for good" {
				o.Patience = time.Second
			}
			go func() {
				m.begun()
				m.tell(hive.SetupEvent{Phase: "wipe", State: "started"})
			}()
			if r, err := Install(t.Context(), m.reached(m.address()), o); !tt.want(r, err) {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
}

func TestWithoutUsItGoesOn(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	h := &heard{on: func(hive.SetupEvent) { cancel(enough) }}
	go func() {
		m.begun()
		m.tell(hive.SetupEvent{Phase: "wipe", State: "started"})
	}()
	_, err := Install(ctx, m.reached(m.address()), order(h))
	if !errors.Is(err, enough) || !strings.Contains(err.Error(), "goes on without us") {
		t.Errorf("got %v", err)
	}
	if m.read("running") != "" || !there(m.file("running")) {
		t.Error("the installation was ended")
	}
}

func TestEventsAreReadLineByLine(t *testing.T) {
	t.Parallel()
	var got []hive.SetupEvent
	f := &follower{watch: func(e hive.SetupEvent) { got = append(got, e) }}
	for _, part := range []string{`{"num`, `ber":1,"text":"a"}` + "\n\n" + `{"number":1}`, "\n" + `{"number":3,"state":"finished"}` + "\n" + `{"number":4}` + "\n"} {
		if n, err := f.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("%q: %d, %v", part, n, err)
		}
	}
	if len(got) != 2 || got[0].Text != "a" || got[1].Number != 3 || !f.finished || f.err != nil {
		t.Errorf("got %+v, %v", got, f.err)
	}
	f = &follower{}
	f.Write([]byte("Last login: never\n"))
	if f.err == nil || !strings.Contains(f.err.Error(), "Last login") {
		t.Errorf("what is no event: %v", f.err)
	}
	f = &follower{}
	f.Write(make([]byte, longestLine+1))
	if f.err == nil || len(f.rest) > 0 {
		t.Errorf("a line without an end: %v", f.err)
	}
}

func FuzzFollower(f *testing.F) {
	f.Add([]byte(`{"number":1}`+"\n"+`{"number":2,"state":"finished"}`+"\n"), 5)
	f.Add([]byte("x\n"), 1)
	f.Fuzz(func(t *testing.T, text []byte, at int) {
		if at < 0 || at > len(text) {
			return
		}
		var whole, parts []int
		a := &follower{watch: func(e hive.SetupEvent) { whole = append(whole, e.Number) }}
		b := &follower{watch: func(e hive.SetupEvent) { parts = append(parts, e.Number) }}
		a.Write(text)
		b.Write(text[:at])
		b.Write(text[at:])
		if !slices.Equal(whole, parts) || a.finished != b.finished || !slices.IsSorted(whole) {
			t.Errorf("%v at once, %v in parts", whole, parts)
		}
	})
}
