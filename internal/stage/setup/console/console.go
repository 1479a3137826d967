// Package console is what a person sees and types at the machine: the screens of `setup console` on the medium. It shows what it is given
// (State, hive.Intent, hive.SetupEvent) and calls back for everything that is done (Actions); it touches no disk.
//
// All pages fit the console of Linux, 80 columns and 25 rows with the firmware's font, and a serial terminal of 24 rows, which gets ASCII
// alone. Narrower and lower ones lose the QR code first.
package console

import (
	"context"
	"errors"
	"slices"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/ui"
)

// State is what the main screen says. It is asked for about every two seconds, and should not take longer than a fraction of one.
type State struct {
	Program   string // product and version: "nixos-staged-hive 1.2"
	Name      string // host name of the medium: "web1-setup"
	Hosts     []Host // that it carries
	Host      string // as which the machine is recognised; empty: as none
	Why       string // by what, see hive.Intent
	Machine   hive.Machine
	SSHPort   int    // 0 is 22
	Finger    string // of the medium's SSH host key: "SHA256:..."
	Phases    []Phase
	Earlier   *hive.Journal // what is known of an earlier installation; nil: nothing
	Countdown *Countdown    // of an unattended installation; nil: none
	Running   bool          // an installation goes on, whoever began it
	Task      string        // which: "web1, fresh"
	After     int           // number of the last event before the run that goes on, or else of the last one there is
}

// Host is a host of the medium.
type Host struct {
	Name    string
	Release string // of NixOS: "24.05"
	Sealed  bool   // its secrets are on the medium, and want the passphrase
}

// Phase is a part of an installation.
type Phase struct{ Name, What string }

// Countdown is an unattended installation that will begin.
type Countdown struct {
	Host  string
	Begin time.Time
	What  []string // will happen, in lines for a person
}

// Actions are what can be done. What is nil is not offered; State, Intent, Start and Follow have to be there.
type Actions struct {
	State  func(context.Context) State
	Intent func(ctx context.Context, host string, mode hive.Mode) (hive.Intent, error)
	// Start begins what was shown and returns once it runs. confirmed are those of Intent.Confirm that the person typed: all.
	Start func(ctx context.Context, intent hive.Intent, confirmed []string) error
	// Follow calls each with the events after a number until a run is finished or the context ends. It calls from one goroutine.
	Follow func(ctx context.Context, after int, each func(hive.SetupEvent)) error
	Stop   func(context.Context) error // ends the countdown
	Unlock func(ctx context.Context, passphrase string) error

	Disks, Log, Undo        func(context.Context) (string, error) // texts to read
	Shell, Reboot, PowerOff func(context.Context) error           // Shell has the terminal until it returns
}

// Banner is the main screen as text without keys, for people who log in: a line each, none wider than the columns. It is without a QR code.
func Banner(s State, columns int) string {
	look := Look{Columns: columns, Plain: true}
	text := ""
	for _, line := range mainPage(s, look, nil).body {
		text += line.String() + "\n"
	}
	return text
}

// Run shows the screens until the context ends, which is no error, or the person leaves. It is a *ui.NotTerminalError without a terminal.
func Run(ctx context.Context, streams *ui.Streams, act Actions) error {
	screen, err := streams.Screen()
	if err != nil {
		return err
	}
	c := &console{screen: screen, act: act, ascii: streams.ASCII || streams.Dumb, simple: streams.Simple, colour: streams.Colour, now: time.Now}
	c.state = act.State(ctx)
	c.seen = c.state.After
	err = c.main(ctx)
	if errors.Is(err, errLeft) || ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, screen.Close())
}

// console is a person's way through the screens. Each screen is a method that returns when the person, or something that happened, leaves it.
type console struct {
	screen        *ui.Screen
	act           Actions
	state         State
	seen          int // number of the last event that was shown
	following     bool
	at            scroll // of the main screen
	ascii, simple bool
	colour        bool
	now           func() time.Time
}

var (
	errLeft     = errors.New("the person left")                    // the program
	errBack     = errors.New("the person went back")               // to the main screen
	errBegun    = errors.New("somebody else began to install")     // follow it
	errCounting = errors.New("the countdown of an unattended run") // show it
)

// main is the screen that all others come back to.
func (c *console) main(ctx context.Context) error {
	for {
		err := c.turn(ctx)
		switch {
		case err == nil, errors.Is(err, errBack), errors.Is(err, errCounting):
		case errors.Is(err, errBegun):
			if err := c.follow(ctx); err != nil && !errors.Is(err, errBack) {
				return err
			}
		default:
			return err
		}
	}
}

// turn shows the main screen until a key, and does what the key says.
func (c *console) turn(ctx context.Context) error {
	if c.begun() {
		return errBegun
	}
	if c.state.Countdown != nil {
		return c.countdown(ctx)
	}
	key, err := c.key(ctx, func(look Look) page {
		p := mainPage(c.state, look, c.keys())
		p, _ = c.at.apply(p, look, func(bool) []choice { return c.keys() })
		return p
	})
	if err != nil {
		return err
	}
	c.at.press(key)
	return press(ctx, c.keys(), key)
}

// press does what a key says, if it says anything.
func press(ctx context.Context, choices []choice, key ui.Key) error {
	if key == ui.NoKey {
		return nil
	}
	for _, k := range choices {
		if k.do != nil && (k.key == key || k.also == key) {
			return k.do(ctx)
		}
	}
	return nil
}

// choice is a key with what it does.
type choice struct {
	key, also ui.Key
	name      string // how it is written: "Enter"
	what      string
	do        func(context.Context) error
}

// keys are those of the main screen, each where its action is there.
func (c *console) keys() []choice {
	all := []choice{{key: ui.Enter, also: 'i', name: "Enter", what: "install", do: c.install}}
	if c.act.Unlock != nil && sealed(c.state) {
		all = append(all, choice{key: 'k', what: "unlock", do: c.unlock})
	}
	all = append(all, c.texts()...)
	return append(append(all, c.ends()...), choice{key: 'q', what: "quit", do: func(context.Context) error { return errLeft }})
}

func (c *console) texts() []choice {
	var all []choice
	for _, t := range []struct {
		key  ui.Key
		what string
		read func(context.Context) (string, error)
		end  bool // of the text is shown first
	}{{'d', "disks", c.act.Disks, false}, {'l', "log", c.act.Log, true}, {'u', "undo", c.act.Undo, false}} {
		if t.read != nil {
			all = append(all, choice{key: t.key, what: t.what, do: func(ctx context.Context) error { return c.read(ctx, t.what, t.read, t.end) }})
		}
	}
	if c.act.Shell != nil {
		all = append(all, choice{key: 's', what: "shell", do: c.shell})
	}
	return all
}

// over are the keys when an installation has ended.
func (c *console) over() []choice {
	return slices.Concat(c.texts(), c.ends(), []choice{{key: ui.Escape, name: "Esc", what: "main screen"}})
}

// ends are what ends the medium.
func (c *console) ends() []choice {
	var all []choice
	if c.act.Reboot != nil {
		all = append(all, choice{key: 'r', what: "reboot", do: func(ctx context.Context) error {
			return c.sure(ctx, "Reboot this machine?", c.act.Reboot)
		}})
	}
	if c.act.PowerOff != nil {
		all = append(all, choice{key: 'o', what: "off", do: func(ctx context.Context) error {
			return c.sure(ctx, "Power this machine off?", c.act.PowerOff)
		}})
	}
	return all
}

// How often the state is asked for, and a countdown drawn.
const (
	lookEvery  = 2 * time.Second
	countEvery = time.Second
)

// key draws a page and waits for a key. Without one it looks at the state anew, and leaves for what is more important than any screen.
func (c *console) key(ctx context.Context, draw func(Look) page) (ui.Key, error) {
	c.show(draw)
	wait := lookEvery
	if c.state.Countdown != nil {
		wait = countEvery
	}
	key, err := c.screen.Key(ctx, wait)
	if err != nil || key != ui.NoKey {
		return key, err
	}
	counting := c.state.Countdown != nil
	c.state = c.act.State(ctx)
	switch {
	case c.begun():
		return key, errBegun
	case !counting && c.state.Countdown != nil:
		return key, errCounting
	}
	return key, nil
}

func (c *console) begun() bool { return !c.following && (c.state.Running || c.state.After > c.seen) }

func (c *console) show(draw func(Look) page) {
	columns, rows := c.screen.Size()
	look := Look{Columns: columns, Rows: rows, Plain: c.ascii, Simple: c.simple, Colour: c.colour}
	c.screen.Show(draw(look).lines(look))
}

// say shows a page whose making takes a while.
func (c *console) say(title, text string) {
	c.show(func(look Look) page { return page{title: title, body: look.paragraph(ui.Plain, text)} })
}

// tell shows a message until a key.
func (c *console) tell(ctx context.Context, title string, tone ui.Tone, text string) error {
	for {
		key, err := c.key(ctx, func(look Look) page {
			return page{title: title, body: look.paragraph(tone, text)}.with([]choice{{name: "any key", what: "back"}})
		})
		if err != nil {
			return err
		}
		if key != ui.NoKey {
			return errBack
		}
	}
}

// sure asks before something that ends the medium.
func (c *console) sure(ctx context.Context, question string, do func(context.Context) error) error {
	for {
		key, err := c.key(ctx, func(look Look) page {
			return page{title: question}.with([]choice{{key: 'y', what: "yes"}, {name: "any other key", what: "no"}})
		})
		switch {
		case err != nil:
			return err
		case key == 'y', key == 'Y':
			if err := do(ctx); err != nil {
				return c.tell(ctx, question, ui.Bad, err.Error())
			}
			return c.tell(ctx, question, ui.Plain, "It will be a moment.")
		case key != ui.NoKey:
			return errBack
		}
	}
}

func (c *console) shell(ctx context.Context) error {
	var failed error
	err := c.screen.Away(func() error {
		failed = c.act.Shell(ctx)
		return nil
	})
	c.state = c.act.State(ctx)
	if err == nil && failed != nil {
		return c.tell(ctx, "Shell", ui.Bad, failed.Error())
	}
	return err
}

// countdown shows that an unattended installation will begin, and lets the person stop it.
func (c *console) countdown(ctx context.Context) error {
	for c.state.Countdown != nil && !c.begun() {
		key, err := c.key(ctx, func(look Look) page { return countPage(*c.state.Countdown, c.now(), look) })
		if err != nil {
			return err
		}
		if key == ui.NoKey || c.act.Stop == nil {
			continue
		}
		if err := c.act.Stop(ctx); err != nil {
			return c.tell(ctx, "It could not be stopped", ui.Bad, err.Error())
		}
		c.state = c.act.State(ctx)
		c.state.Countdown = nil
	}
	return nil
}
