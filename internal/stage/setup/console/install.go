package console

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/ui"
)

// install asks which host and how, shows what that means, and begins after the one question that counts.
func (c *console) install(ctx context.Context) error {
	host, err := c.chooseHost(ctx)
	if err != nil {
		return err
	}
	if c.act.Unlock != nil && sealedHost(c.state, host) {
		if err := c.unlock(ctx); err != nil && !errors.Is(err, errBack) {
			return err
		}
	}
	mode, err := c.chooseMode(ctx, host)
	if err != nil {
		return err
	}
	c.say(fmt.Sprintf("Install %s, %s", host, mode), "Looking at the machine and its disks...")
	intent, err := c.act.Intent(ctx, host, mode)
	if err != nil {
		return c.tell(ctx, host+" cannot be installed", ui.Bad, err.Error())
	}
	if err := c.showIntent(ctx, intent); err != nil {
		return err
	}
	typed, err := c.consent(ctx, intent)
	if err != nil {
		return err
	}
	c.say(fmt.Sprintf("Install %s, %s", host, mode), "Beginning...")
	if err := c.act.Start(ctx, intent, typed); err != nil {
		return c.tell(ctx, host+" was not begun", ui.Bad, err.Error())
	}
	c.state = c.act.State(ctx)
	return nil
}

func sealedHost(s State, host string) bool {
	for _, h := range s.Hosts {
		if h.Name == host {
			return h.Sealed
		}
	}
	return false
}

// option is a line of a menu.
type option struct{ name, what string }

// chooseHost asks only where neither the machine nor the medium says it.
func (c *console) chooseHost(ctx context.Context) (string, error) {
	switch {
	case c.state.Host != "":
		return c.state.Host, nil
	case len(c.state.Hosts) == 1:
		return c.state.Hosts[0].Name, nil
	}
	options := make([]option, len(c.state.Hosts))
	for i, h := range c.state.Hosts {
		options[i] = option{h.Name, ""}
		if h.Release != "" {
			options[i].what = "NixOS " + h.Release
		}
	}
	return c.choose(ctx, "Which host is this machine to become?", options)
}

func (c *console) chooseMode(ctx context.Context, host string) (hive.Mode, error) {
	var options []option
	for _, m := range hive.Modes() {
		options = append(options, option{string(m), map[hive.Mode]string{
			hive.Fresh: "destroy what is on its disks, lay them out anew, and install",
			hive.Keep:  "keep all data: check and mount what is there, and install a new system beside it",
			hive.Add:   "lay out disks that are blank, keep the others, and install",
		}[m]})
	}
	mode, err := c.choose(ctx, "How is "+host+" to be installed?", options)
	return hive.Mode(mode), err
}

// choose is a menu. Letters narrow it down.
func (c *console) choose(ctx context.Context, title string, options []option) (string, error) {
	m := menu{title: title, options: options}
	for {
		key, err := c.key(ctx, m.page)
		if err != nil {
			return "", err
		}
		if key == ui.Escape || key == ui.Interrupt {
			return "", errBack
		}
		if chosen := m.press(key); chosen != "" {
			return chosen, nil
		}
	}
}

type menu struct {
	title   string
	options []option
	typed   string
	at      int
}

func (m *menu) fitting() []option {
	var all []option
	for _, o := range m.options {
		if strings.Contains(strings.ToLower(o.name), strings.ToLower(m.typed)) {
			all = append(all, o)
		}
	}
	return all
}

// press takes a key, and gives the name that is chosen by it.
func (m *menu) press(key ui.Key) string {
	fitting := m.fitting()
	switch {
	case key == ui.Up:
		m.at--
	case key == ui.Down:
		m.at++
	case key == ui.PageUp:
		m.at -= 10
	case key == ui.PageDown:
		m.at += 10
	case key == ui.Backspace && m.typed != "":
		r := []rune(m.typed)
		m.typed, m.at = string(r[:len(r)-1]), 0
	case key == ui.Enter && len(fitting) > 0:
		return fitting[m.at].name
	case key >= ' ' && key != ui.Backspace:
		m.typed, m.at = m.typed+string(rune(key)), 0
	}
	m.at = max(0, min(m.at, len(m.fitting())-1))
	return ""
}

func (m *menu) page(look Look) page {
	p := page{title: m.title}
	width := 0
	for _, o := range m.options {
		width = max(width, len([]rune(o.name))+2)
	}
	for i, o := range m.fitting() {
		mark, tone := "  ", ui.Plain
		if i == m.at {
			mark, tone = "> ", ui.Strong
			p.first = len(p.body)
		}
		p.body = append(p.body, look.hang(ui.Span{Tone: tone, Text: mark + pad(ui.OneLine(o.name), width)}, ui.Plain, o.what)...)
	}
	if len(p.body) == 0 {
		p.body = look.paragraph(ui.Doubtful, "Nothing has \""+m.typed+"\" in its name.")
	}
	p = p.with([]choice{{name: "Up/Down", what: "move"}, {name: "letters", what: "narrow down"}, {name: "Enter", what: "choose"}, {name: "Esc", what: "back"}})
	if m.typed != "" {
		p.input = []ui.Line{{{Text: "with \"" + m.typed + "\""}}}
	}
	p.first -= p.room(look) / 2 // the chosen one in the middle of a long menu
	return p
}

// showIntent shows what is about to happen, to its end, before it can be agreed to.
func (c *console) showIntent(ctx context.Context, intent hive.Intent) error {
	read := scroll{}
	for {
		var last bool
		key, err := c.key(ctx, func(look Look) page {
			p := intentPage(intent, look)
			p, last = read.apply(p, look, func(end bool) []choice {
				switch {
				case intent.Refused():
					return []choice{{name: "Esc", what: "back"}}
				case !end:
					return []choice{{name: "Enter", what: "the rest"}, {name: "Esc", what: "back, and nothing is changed"}}
				}
				return []choice{{name: "Enter", what: "go on"}, {name: "Esc", what: "back, and nothing is changed"}}
			})
			return p
		})
		switch {
		case err != nil:
			return err
		case key == ui.Escape, key == ui.Interrupt, key == 'q':
			return errBack
		case key == ui.Enter && last && !intent.Refused():
			return nil
		case key == ui.Enter:
			key = ui.PageDown
		}
		read.press(key)
	}
}

// tries are how often somebody may mistype before it is taken for a no.
const tries = 3

// consent asks for the serial of each disk that would lose its contents, or for a word where none would.
func (c *console) consent(ctx context.Context, intent hive.Intent) ([]string, error) {
	all := consents(intent)
	if len(all) == 0 {
		return nil, c.type3(ctx, func(typed, complaint string, look Look) page {
			p := page{title: "The last question"}
			p.body = look.paragraph(ui.Strong, fmt.Sprintf("No data is destroyed. Type yes to install %s.", ui.OneLine(intent.Host)))
			return p.asking(ui.Line{{Tone: ui.Strong, Text: "> " + typed + "_"}}, complaint, look)
		}, func(typed string) error {
			if !strings.EqualFold(strings.TrimSpace(typed), "yes") {
				return errors.New("that is not yes")
			}
			return nil
		})
	}
	var typed []string
	for _, one := range all {
		err := c.type3(ctx, func(typed, complaint string, look Look) page { return consentPage(one, typed, complaint, look) },
			func(typed string) error {
				if !one.given(typed) {
					return errors.New("that is not it")
				}
				return nil
			})
		if err != nil {
			return nil, err
		}
		typed = append(typed, one.serial)
	}
	return typed, nil
}

// type3 reads a line until take accepts it, three times at most.
func (c *console) type3(ctx context.Context, draw func(typed, complaint string, look Look) page, take func(typed string) error) error {
	complaint := ""
	for left := tries; left > 0; left-- {
		typed, err := c.line(ctx, func(typed string, look Look) page { return draw(typed, complaint, look) })
		if err != nil {
			return err
		}
		if err = take(typed); err == nil {
			return nil
		}
		complaint = fmt.Sprintf("%s; tries left: %d", err, left-1)
	}
	return errBack
}

// line reads a line of text. A bare Enter is none: it may have been pressed for the page before.
func (c *console) line(ctx context.Context, draw func(typed string, look Look) page) (string, error) {
	var typed []rune
	for {
		key, err := c.key(ctx, func(look Look) page { return draw(string(typed), look) })
		switch {
		case err != nil:
			return "", err
		case key == ui.Escape, key == ui.Interrupt:
			return "", errBack
		case key == ui.Enter && len(typed) > 0:
			return string(typed), nil
		case key == ui.Backspace && len(typed) > 0:
			typed = typed[:len(typed)-1]
		case key >= ' ' && key != ui.Backspace && len(typed) < 200:
			typed = append(typed, rune(key))
		}
	}
}

// unlock asks for the passphrase of the secrets. Nothing of it is shown.
func (c *console) unlock(ctx context.Context) error {
	err := c.type3(ctx, func(_, complaint string, look Look) page { return unlockPage(complaint, look) }, func(typed string) error {
		c.say("Unlock the secrets", "Unlocking...")
		return c.act.Unlock(ctx, typed)
	})
	c.state = c.act.State(ctx)
	return err
}

func unlockPage(complaint string, look Look) page {
	p := page{title: "Unlock the secrets"}
	p.body = look.paragraph(ui.Plain, "The SSH host keys and password hashes of the hosts are on this medium, sealed with the passphrase that was given when it "+
		"was made. Without them a host gets new keys, and one whose admin has a password cannot be installed.")
	p = p.asking(ui.Line{{Tone: ui.Strong, Text: "> "}, {Tone: ui.Faint, Text: "(what you type is not shown)"}}, complaint, look)
	return p.with([]choice{{name: "Enter", what: "done"}, {name: "Esc", what: "go on without"}})
}
