package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/ui"
)

// course is how far an installation has come, as its events tell.
type course struct {
	mu     sync.Mutex
	task   string
	began  time.Time
	phases []step
	at     int // index of the phase that goes on, -1 before the first
	said   []ui.Span
	last   *hive.SetupEvent // the one that ended it
	cut    error            // why no more events come, without a last one
	number int              // of the last event
}

type step struct {
	Phase
	state       progress.State // empty: not begun
	text        string
	done, total int64
	began, over time.Time
}

// saidKept is how many lines of what was said are remembered: more than any screen has.
const saidKept = 100

func newCourse(s State) *course {
	c := &course{task: s.Task, at: -1, number: s.After}
	for _, p := range s.Phases {
		c.phases = append(c.phases, step{Phase: p})
	}
	return c
}

func (c *course) take(e hive.SetupEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number = e.Number
	if c.began.IsZero() {
		c.began = e.Time
	}
	if e.State == "finished" {
		c.last = &e
		return
	}
	s := c.step(e.Phase)
	switch state := progress.State(e.State); state {
	case progress.Started:
		if s.state == "" {
			s.began = e.Time
		}
		s.state = progress.Running
	case progress.Running:
		s.state = progress.Running
		s.done, s.total = e.Done, e.Total
	case progress.Done, progress.Failed:
		s.state, s.over = state, e.Time
		s.text = e.Text
	case progress.Warned:
		c.say(ui.Doubtful, "! "+e.Text)
		return
	}
	if e.Text != "" && s.state == progress.Running && e.State != string(progress.Started) {
		c.say(ui.Faint, e.Text)
	}
}

// step finds the phase of an event, which becomes the one that goes on. One that nobody announced comes after the one before it.
func (c *course) step(name string) *step {
	i := slices.IndexFunc(c.phases, func(s step) bool { return s.Name == name })
	if i < 0 {
		i = c.at + 1
		c.phases = slices.Insert(c.phases, i, step{Phase: Phase{Name: name}})
	}
	c.at = i
	return &c.phases[i]
}

func (c *course) say(tone ui.Tone, text string) {
	c.said = append(c.said, ui.Span{Tone: tone, Text: text})
	if len(c.said) > saidKept {
		c.said = slices.Delete(c.said, 0, len(c.said)-saidKept)
	}
}

func (c *course) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last != nil || c.cut != nil
}

// follow shows an installation, whoever began it, to its end, and stays there until a key.
func (c *console) follow(ctx context.Context) error {
	run := newCourse(c.state)
	if !c.state.Running {
		run.number = c.seen // it is over already: show how it ended
	}
	ctx, stop := context.WithCancel(ctx)
	var ended sync.WaitGroup
	ended.Go(func() {
		err := c.act.Follow(ctx, run.number, run.take)
		run.mu.Lock()
		defer run.mu.Unlock()
		if run.last == nil {
			run.cut = cmp.Or(err, errNoEnd)
		}
	})
	c.following = true
	err := c.watch(ctx, run)
	c.following = false
	stop()
	ended.Wait()
	c.state = c.act.State(context.WithoutCancel(ctx))
	c.seen = max(run.number, c.seen)
	if !c.state.Running {
		c.seen = max(c.state.After, c.seen)
	}
	return err
}

var errNoEnd = errors.New("its last word did not come")

// drawEvery is how often the screen follows the events.
const drawEvery = 300 * time.Millisecond

func (c *console) watch(ctx context.Context, run *course) error {
	for {
		over := run.over()
		var choices []choice
		if over {
			choices = c.over()
		} else {
			choices = c.texts()
		}
		c.show(func(look Look) page { return run.page(c.now(), look).with(choices) })
		key, err := c.screen.Key(ctx, drawEvery)
		switch {
		case err != nil:
			return err
		case over && key == ui.Escape:
			return errBack
		}
		if err := press(ctx, choices, key); err != nil && !errors.Is(err, errBack) && !errors.Is(err, errCounting) {
			return err
		}
	}
}

// page shows the phases, the bar of the one that goes on, and what was said; at the end what became of it.
func (c *course) page(now time.Time, look Look) page {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := page{title: c.title(now)}
	if c.last != nil || c.cut != nil {
		p.body = c.outcome(look)
	}
	room := page{title: "x", choices: []choice{{}}}.room(look) - len(p.body)
	p.body = append(p.body, c.steps(look, room)...)
	if c.last == nil && c.cut == nil {
		p.body = append(p.body, nil)
		p.body = append(p.body, c.bar(look)...)
	}
	if left := room - len(p.body) - 1; left > 0 && len(c.said) > 0 {
		p.body = append(p.body, nil)
		for _, s := range c.said[max(0, len(c.said)-left):] {
			p.body = append(p.body, ui.Line{{Tone: s.Tone, Text: look.cut(ui.OneLine(s.Text), look.Columns)}})
		}
	}
	return p
}

func (c *course) title(now time.Time) string {
	what := "Installing"
	if c.last != nil || c.cut != nil {
		what = "Installation"
	}
	if c.task != "" {
		what += " " + ui.OneLine(c.task)
	}
	if c.last != nil {
		now = c.last.Time
	}
	if !c.began.IsZero() && c.cut == nil {
		what += ", " + took(now.Sub(c.began))
	}
	return what
}

func took(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	d = d.Round(time.Second)
	if d < time.Minute {
		return fmt.Sprintf("%ds", int(d.Seconds()))
	}
	return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
}

// outcome says what happened, and what now.
func (c *course) outcome(look Look) []ui.Line {
	var lines []ui.Line
	switch {
	case c.last == nil:
		lines = look.paragraph(ui.Bad, "Nothing more is heard of it: "+ui.OneLine(c.cut.Error()))
		lines = append(lines, look.paragraph(ui.Plain, "Install it again from the main screen: it goes on where it was.")...)
	case c.last.Code == 0:
		lines = look.paragraph(ui.Good, "It is installed. "+c.last.Text)
		lines = append(lines, look.paragraph(ui.Plain, "Take the medium out if the machine starts from it again; then deploy from your computer.")...)
	default:
		lines = look.paragraph(ui.Bad, c.last.Error)
		lines = append(lines, look.paragraph(ui.Plain, c.last.Way)...)
		again := "What is done is remembered: install again from the main screen, and it goes on."
		if c.last.Code == 4 {
			again = "Nothing was changed."
		}
		lines = append(lines, look.paragraph(ui.Plain, again)...)
	}
	return append(lines, nil)
}

// steps are the phases, those around the current one where there is no room for all.
func (c *course) steps(look Look, room int) []ui.Line {
	width := 0
	for _, s := range c.phases {
		width = max(width, len([]rune(s.Name))+2)
	}
	lines := make([]ui.Line, len(c.phases))
	for i, s := range c.phases {
		lines[i] = s.line(look, width, i < c.at)
	}
	const barAndTail = 5
	if show := max(room-barAndTail, 3); look.Rows != 0 && len(lines) > show {
		first := max(0, min(c.at-show/2, len(lines)-show))
		return lines[first : first+show]
	}
	return lines
}

func (s step) line(look Look, width int, passed bool) ui.Line {
	mark, tone := "  ", ui.Faint
	text := s.What
	switch {
	case s.state == progress.Done:
		mark, tone, text = look.mark(true)+" ", ui.Good, s.text
		if d := s.over.Sub(s.began); text == "" && !s.began.IsZero() && d >= time.Second {
			text = took(d)
		}
	case s.state == progress.Failed:
		mark, tone = look.mark(false)+" ", ui.Bad
	case s.state != "":
		mark, tone = "> ", ui.Strong
	case passed:
		mark, text = "- ", "" // not in this mode, or done before
	}
	text = look.cut(ui.OneLine(text), look.Columns-width-3)
	line := ui.Line{{Tone: tone, Text: mark}, {Tone: tone, Text: pad(ui.OneLine(s.Name), width)}}
	if s.state == "" {
		return append(line, ui.Span{Tone: ui.Faint, Text: text})
	}
	return append(line, ui.Span{Text: text})
}

// bar is how far the current phase is, where it says so.
func (c *course) bar(look Look) []ui.Line {
	if c.at < 0 || c.phases[c.at].total <= 0 {
		return nil
	}
	s := c.phases[c.at]
	share := max(0, min(1, float64(s.done)/float64(s.total)))
	width := min(look.Columns-8, 60)
	if width < 4 {
		return nil
	}
	full := int(share * float64(width))
	on, off := "#", "."
	if !look.Plain {
		on, off = "█", "░" // both are in code page 437
	}
	return []ui.Line{{
		{Tone: ui.Good, Text: strings.Repeat(on, full)},
		{Tone: ui.Faint, Text: strings.Repeat(off, width-full)},
		{Text: fmt.Sprintf(" %3d%%", int(share*100))},
	}}
}
