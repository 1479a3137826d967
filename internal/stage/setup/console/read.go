package console

import (
	"context"

	"nixos-staged-hive/internal/ui"
)

// scroll is where in a long page somebody is.
type scroll struct {
	first, room int
	end         bool // begin at the last line
}

// apply puts the page to where the person is, with the choices for a page that is, or is not, shown to its end.
func (s *scroll) apply(p page, look Look, choices func(end bool) []choice) (page, bool) {
	p.choices = choices(true)
	if s.end {
		s.first, s.end = len(p.body), false
	}
	p.first = s.first
	if _, more := p.scrolled(look); !more {
		s.first = 0
		return p, true
	}
	// the longer choices decide how much room there is, so that it does not change under way
	moving := choice{name: "Up/Down", what: "scroll"}
	p.choices = append([]choice{moving}, choices(false)...)
	s.room = p.room(look)
	first, _ := p.scrolled(look)
	s.first, p.first = first, first
	end := first+s.room >= len(p.body)
	if end {
		p.choices = append([]choice{moving}, choices(true)...)
	}
	return p, end
}

func (s *scroll) press(key ui.Key) {
	switch key {
	case ui.Up:
		s.first--
	case ui.Down:
		s.first++
	case ui.PageUp:
		s.first -= max(1, s.room-1)
	case ui.PageDown, ' ':
		s.first += max(1, s.room-1)
	}
	s.first = max(0, s.first)
}

// read shows a text that is too long for one screen.
func (c *console) read(ctx context.Context, title string, get func(context.Context) (string, error), end bool) error {
	c.say(title, "One moment...")
	text, err := get(ctx)
	if err != nil {
		return c.tell(ctx, title, ui.Bad, err.Error())
	}
	at := scroll{end: end}
	for {
		key, err := c.key(ctx, func(look Look) page {
			p := page{title: title, body: verbatim(text)}
			p, _ = at.apply(p, look, func(bool) []choice { return []choice{{name: "Esc", what: "back"}} })
			return p
		})
		switch {
		case err != nil:
			return err
		case key == ui.Escape, key == ui.Interrupt, key == 'q':
			return errBack
		}
		at.press(key)
	}
}
