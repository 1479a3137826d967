package ui

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"

	"nixos-staged-hive/internal/progress"
)

const (
	redrawEvery = 100 * time.Millisecond
	clearLine   = "\r\x1b[2K"
	namesShown  = 3 // hosts named in the live line
)

// Progress shows progress events on Err. On a terminal one line at the bottom says what runs; it is drawn with nothing but a
// carriage return and "erase line", and the cursor is never hidden, so that there is nothing to restore whatever ends the program.
// Elsewhere each finished step is one plain line.
//
// It is also a writer for log lines: they appear above the live line.
type Progress struct {
	s    *Streams
	live bool
	now  func() time.Time

	mu      sync.Mutex
	tasks   []*task // running, oldest first
	groups  map[string]*group
	pending []byte // an unfinished log line
	drawn   bool
	frame   int
	stop    chan struct{}
	stopped sync.WaitGroup
}

type task struct {
	progress.Event
	since time.Time
}

// group counts the hosts that tasks of one name are done for.
type group struct{ seen, ended int }

// Progress starts showing. Close ends it.
func (s *Streams) Progress() *Progress {
	p := &Progress{s: s, live: s.ErrTerminal && !s.Dumb, now: time.Now, groups: map[string]*group{}, stop: make(chan struct{})}
	if p.live {
		p.stopped.Go(p.redraw)
	}
	return p
}

// Close removes the live line. Events after it still leave their plain lines.
func (p *Progress) Close() {
	p.mu.Lock()
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	p.mu.Unlock()
	p.stopped.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live = false
	rest := p.pending
	p.pending = nil
	if len(rest) > 0 {
		rest = append(rest, '\n')
	}
	p.above(string(rest))
}

func (p *Progress) redraw() {
	tick := time.NewTicker(redrawEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			p.mu.Lock()
			p.frame++
			p.above("")
			p.mu.Unlock()
		}
	}
}

// Write puts whole lines above the live line.
func (p *Progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = append(p.pending, b...)
	if end := bytes.LastIndexByte(p.pending, '\n') + 1; end > 0 {
		text := string(p.pending[:end])
		p.pending = append(p.pending[:0], p.pending[end:]...)
		p.above(text)
	}
	return len(b), nil
}

// Sink takes the events to show.
func (p *Progress) Sink() progress.Sink { return p.event }

func (p *Progress) event(e progress.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.task(e)
	took := p.now().Sub(t.since)
	if e.State.Ends() {
		p.tasks = slices.DeleteFunc(p.tasks, func(o *task) bool { return o == t })
		if e.Host != "" {
			p.groups[e.Task].ended++
		}
	}
	// A counted host needs no line of its own on a terminal: the live line shows the count.
	if e.State == progress.Done && e.Host != "" && p.live {
		return
	}
	if line := p.line(e, took); line != "" {
		p.above(line + "\n")
	}
}

// task finds the running task an event belongs to, or starts it, and takes over what the event says.
func (p *Progress) task(e progress.Event) *task {
	i := slices.IndexFunc(p.tasks, func(t *task) bool { return t.Task == e.Task && t.Host == e.Host })
	if i < 0 {
		g := p.groups[e.Task]
		if g == nil {
			g = &group{}
			p.groups[e.Task] = g
		}
		if e.Host != "" {
			g.seen++
		}
		t := &task{Event: e, since: p.now()}
		if e.State != progress.Warned { // a remark alone starts nothing
			p.tasks = append(p.tasks, t)
		}
		return t
	}
	t := p.tasks[i]
	if e.Total == 0 {
		e.Total = t.Total
	}
	if e.Done == 0 {
		e.Done = t.Done
	}
	t.Event = e
	return t
}

// line is what an event leaves on the screen for good; empty for one that only moves the live line. The error of a failed task is
// not in it: it is reported once, at the end.
func (p *Progress) line(e progress.Event, took time.Duration) string {
	name := strings.TrimSpace(oneLine(e.Task) + " " + oneLine(e.Host))
	text := firstLine(e.Text)
	if text == "" && e.State == progress.Warned && e.Err != nil {
		text = firstLine(e.Err.Error())
	}
	if text != "" {
		text = ": " + text
	}
	var mark, word string
	tone := Good
	switch e.State {
	case progress.Done:
		mark, word = "✓", fmt.Sprintf("done in %s", seconds(took))
	case progress.Failed:
		mark, word, tone = "✗", fmt.Sprintf("failed after %s", seconds(took)), Bad
	case progress.Warned:
		mark, word, tone = "!", "warning", Doubtful
	case progress.Started, progress.Running:
		return ""
	}
	if !p.live {
		return name + ": " + word + text
	}
	if p.s.Simple {
		mark = map[string]string{"✓": "+", "✗": "x", "!": "!"}[mark]
	}
	return tone.paint(mark, p.s.Colour) + " " + name + ": " + word + text
}

// above writes text over the live line and draws that again below it, in one write: no half line is ever seen. The caller holds
// the lock.
func (p *Progress) above(text string) {
	status := ""
	if p.live {
		status = p.status()
	}
	if text == "" && status == "" && !p.drawn {
		return
	}
	if p.drawn {
		text = clearLine + text
	}
	p.drawn = status != ""
	p.s.say(text + status)
}

// status is the live line, one part for each kind of task, cut to the terminal's width.
func (p *Progress) status() string {
	var names []string
	for _, t := range p.tasks {
		if !slices.Contains(names, t.Task) {
			names = append(names, t.Task)
		}
	}
	if len(names) == 0 {
		return ""
	}
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = p.part(name)
	}
	frames := []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}
	if p.s.Simple {
		frames = []string{"-", `\`, "|", "/"}
	}
	line := frames[p.frame%len(frames)] + " " + strings.Join(parts, " · ")
	return ansi.Truncate(line, p.s.columns(p.s.Err)-1, "…")
}

// part is "evaluate 3/20 12s web1, web2 +1: what it said last".
func (p *Progress) part(name string) string {
	var hosts []string
	var since time.Time
	count, text := "", ""
	if g := p.groups[name]; g.seen > 1 {
		count = fmt.Sprintf(" %d/%d", g.ended, g.seen)
	}
	for _, t := range p.tasks {
		if t.Task != name {
			continue
		}
		if since.IsZero() {
			since = t.since
		}
		if t.Host != "" {
			hosts = append(hosts, oneLine(t.Host))
		}
		if t.Total > 0 && (t.Host == "" || p.groups[name].seen <= 1) {
			count = " " + counted(t.Done, t.Total)
		}
		if t.Text != "" {
			text = ": " + firstLine(t.Text)
		}
	}
	more := ""
	if n := len(hosts) - namesShown; n > 0 {
		hosts, more = hosts[:namesShown], fmt.Sprintf(" +%d", n)
	}
	who := ""
	if len(hosts) > 0 {
		who = " " + strings.Join(hosts, ", ") + more
	}
	return oneLine(name) + count + " " + seconds(p.now().Sub(since)) + who + text
}

// counted shows small numbers as they are and large ones, which are bytes, as a share.
func counted(done, total int64) string {
	if total < 10_000 {
		return fmt.Sprintf("%d/%d", done, total)
	}
	return fmt.Sprintf("%d%%", int(100*float64(done)/float64(total)))
}

// seconds is a duration as people say it: 0.4s, 12s, 2m05s, 1h02m.
func seconds(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
