package ui

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"charm.land/lipgloss/v2"

	"nixos-staged-hive/internal/progress"
)

// clock makes elapsed times exact.
type clock struct{ t time.Time }

func (c *clock) now() time.Time          { return c.t }
func (c *clock) advance(d time.Duration) { c.t = c.t.Add(d) }

// shown is a Progress that the test draws itself, without the ticker.
func shown(s *Streams) (*Progress, *clock) {
	c := &clock{t: time.Unix(1_000_000, 0)}
	p := &Progress{s: s, live: s.ErrTerminal && !s.Dumb, now: c.now, groups: map[string]*group{}, stop: make(chan struct{})}
	return p, c
}

func TestProgressElsewhereIsOneLinePerFinishedStep(t *testing.T) {
	var out bytes.Buffer
	p, c := shown(&Streams{Err: &out, Colour: true})
	send := p.Sink()
	send(progress.Event{Task: "fetch nixos", State: progress.Started, Total: 100})
	send(progress.Event{Task: "fetch nixos", State: progress.Running, Done: 50, Text: "half"})
	c.advance(83 * time.Second)
	send(progress.Event{Task: "fetch nixos", State: progress.Done})
	send(progress.Event{Task: "evaluate", Host: "web1", State: progress.Started})
	send(progress.Event{Task: "evaluate", Host: "web2", State: progress.Started})
	send(progress.Event{Task: "evaluate", Host: "web1", State: progress.Warned, Err: errors.New("no hostId\nmore")})
	c.advance(1500 * time.Millisecond)
	send(progress.Event{Task: "evaluate", Host: "web1", State: progress.Done, Text: "two\x1b[2J lines\nof text"})
	send(progress.Event{Task: "evaluate", Host: "web2", State: progress.Failed, Err: errors.New("told at the end")})
	p.Close()
	want := "fetch nixos: done in 1m23s\n" +
		"evaluate web1: warning: no hostId\n" +
		"evaluate web1: done in 1.5s: two lines\n" +
		"evaluate web2: failed after 1.5s\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestLiveLineNamesWhatRunsWithCountsAndTime(t *testing.T) {
	for _, tt := range []struct {
		name   string
		events []progress.Event
		width  int
		want   string
	}{
		{"nothing runs", []progress.Event{{Task: "a", State: progress.Done}}, 80, ""},
		{"a remark alone starts nothing", []progress.Event{{Task: "a", State: progress.Warned}}, 80, ""},
		{"one task", []progress.Event{{Task: "lock nixos", State: progress.Started}}, 80, "⠋ lock nixos 12s"},
		{"bytes as a share", []progress.Event{
			{Task: "fetch", State: progress.Started, Total: 1 << 20},
			{Task: "fetch", State: progress.Running, Done: 1 << 18, Text: "from the cache"},
		}, 80, "⠋ fetch 25% 12s: from the cache"},
		{"hosts are counted and some named", []progress.Event{
			{Task: "evaluate", Host: "a", State: progress.Started},
			{Task: "evaluate", Host: "b", State: progress.Started},
			{Task: "evaluate", Host: "c", State: progress.Started},
			{Task: "evaluate", Host: "d", State: progress.Started},
			{Task: "evaluate", Host: "e", State: progress.Started},
			{Task: "evaluate", Host: "b", State: progress.Done},
		}, 80, "⠋ evaluate 1/5 12s a, c, d +1"},
		{"the whole task knows how many hosts there will be", []progress.Event{
			{Task: "evaluate", State: progress.Started, Total: 50},
			{Task: "evaluate", Host: "a", State: progress.Started},
			{Task: "evaluate", Host: "b", State: progress.Started},
			{Task: "evaluate", State: progress.Running, Done: 7},
		}, 80, "⠋ evaluate 7/50 12s a, b"},
		{"two kinds of tasks", []progress.Event{
			{Task: "fetch nixos", State: progress.Started}, {Task: "fetch disko", State: progress.Started},
		}, 80, "⠋ fetch nixos 12s · fetch disko 12s"},
		{"cut to the width", []progress.Event{{Task: "日本日本日本", State: progress.Started}}, 10, "⠋ 日本日…"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			p, c := shown(&Streams{Err: &out, ErrTerminal: true, Width: tt.width})
			for _, e := range tt.events {
				p.event(e)
			}
			c.advance(12 * time.Second)
			if got := p.status(); got != tt.want || lipgloss.Width(got) >= tt.width {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLogLinesAppearAboveTheLiveLineAndNothingIsLeftBehind(t *testing.T) {
	var out bytes.Buffer
	p, _ := shown(&Streams{Err: &out, ErrTerminal: true, Width: 80})
	p.event(progress.Event{Task: "evaluate", Host: "web1", State: progress.Started})
	p.mu.Lock()
	p.above("") // as the ticker does
	p.mu.Unlock()
	fmt.Fprint(p, "one\ntw")
	if got := screen(out.String()); len(got) != 2 || got[0] != "one" || !strings.Contains(got[1], "evaluate") {
		t.Errorf("in between: %q", got)
	}
	fmt.Fprint(p, "o\n")
	p.event(progress.Event{Task: "evaluate", Host: "web1", State: progress.Done})
	p.event(progress.Event{Task: "evaluate", Host: "web2", State: progress.Failed, Text: "boom"})
	fmt.Fprint(p, "unfinished")
	p.Close()
	p.Close() // twice does no harm
	want := []string{"one", "two", "✗ evaluate web2: failed after 0.0s: boom", "unfinished", ""}
	if got := screen(out.String()); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestProgressOnARealTerminalDrawsItselfAndLeavesOnlyTheLines(t *testing.T) {
	term := openTerminal(t, 40)
	s := term.streams("TERM=xterm", "NO_COLOR=1")
	p := s.Progress()
	log := s.Logger(p, 0, false)
	p.event(progress.Event{Task: "a task with a name longer than the terminal is wide", State: progress.Started})
	term.waitFor(t, "…")
	log.Info("above")
	p.event(progress.Event{Task: "lock", State: progress.Done})
	p.Close()
	s.Note("end")
	term.waitFor(t, "end")
	want := []string{"INFO  above", "✓ lock: done in 0.0s", "end", ""}
	if got := screen(term.text()); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if strings.Contains(term.text(), "\x1b[?25l") {
		t.Error("the cursor was hidden")
	}
}

func TestConsoleWithoutTheGlyphsGetsPlainMarks(t *testing.T) {
	var out bytes.Buffer
	p, _ := shown(&Streams{Err: &out, ErrTerminal: true, Simple: true, Width: 80})
	for _, state := range []progress.State{progress.Done, progress.Failed, progress.Warned} {
		p.event(progress.Event{Task: "t", State: state})
	}
	p.event(progress.Event{Task: "next", State: progress.Started})
	p.mu.Lock()
	p.above("")
	p.mu.Unlock()
	for _, r := range out.String() {
		if r > 127 {
			t.Fatalf("%q in %q", r, out.String())
		}
	}
}

func TestProgressTakesEventsFromManyGoroutines(t *testing.T) {
	var out bytes.Buffer
	p := (&Streams{Err: &out, ErrTerminal: true, Width: 80}).Progress()
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			host := fmt.Sprint("h", i)
			p.Sink().Send(progress.Event{Task: "evaluate", Host: host, State: progress.Started})
			fmt.Fprintln(p, "log", host)
			p.Sink().Send(progress.Event{Task: "evaluate", Host: host, State: progress.Done})
		})
	}
	all.Wait()
	p.Close()
	got := screen(out.String())
	if len(got) != 21 || got[20] != "" {
		t.Errorf("%d lines: %q", len(got), got)
	}
}

func TestSecondsReadAsPeopleSayThem(t *testing.T) {
	for d, want := range map[time.Duration]string{
		400 * time.Millisecond: "0.4s", 12 * time.Second: "12s", 125 * time.Second: "2m05s", 3720 * time.Second: "1h02m",
	} {
		if got := seconds(d); got != want {
			t.Errorf("seconds(%s) = %s, want %s", d, got, want)
		}
	}
}
