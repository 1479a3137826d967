// Package ui is everything a person sees and types: tables and JSON on stdout; progress, log lines, questions and errors on stderr. It
// is the only package that knows about terminals. It decides how something looks, never what is said.
package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"unicode"

	"charm.land/lipgloss/v2"
	charmlog "charm.land/log/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/term"
)

// Streams are the three standard streams and what is known about the terminals behind them. The zero value of every field but the
// streams means "not a terminal", which is what tests and pipes want.
type Streams struct {
	In  io.Reader
	Out io.Writer // results only
	Err io.Writer // progress, log, questions, errors

	InTerminal, OutTerminal, ErrTerminal bool

	Width  int  // columns; 0 asks the terminal each time, and is 80 where there is none
	Colour bool // a terminal may be given colours (NO_COLOR is not set, TERM is not dumb)
	Dumb   bool // TERM=dumb or empty: the cursor cannot be moved
	Simple bool // TERM=linux: the console's font has line drawing, but no check marks and round corners
	ASCII  bool // TERM=vt102, vt220 and the like: a serial line, of which nothing but ASCII can be relied on
}

// New looks at the files and at the environment (KEY=VALUE): TERM, and NO_COLOR as https://no-color.org has it.
func New(in, out, err *os.File, environ []string) *Streams {
	var termName string
	noColour := false
	for _, kv := range environ {
		switch key, value, _ := strings.Cut(kv, "="); key {
		case "TERM":
			termName = value
		case "NO_COLOR":
			noColour = value != ""
		}
	}
	dumb := termName == "" || termName == "dumb"
	return &Streams{
		In: in, Out: out, Err: err,
		InTerminal:  term.IsTerminal(in.Fd()),
		OutTerminal: term.IsTerminal(out.Fd()),
		ErrTerminal: term.IsTerminal(err.Fd()),
		Colour:      !noColour && !dumb,
		Dumb:        dumb,
		Simple:      termName == "linux",
		ASCII:       strings.HasPrefix(termName, "vt"),
	}
}

// columns is the width of what is behind w right now: terminals get resized.
func (s *Streams) columns(w io.Writer) int {
	if s.Width > 0 {
		return s.Width
	}
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(f.Fd()); err == nil && width > 0 {
			return width
		}
	}
	return 80
}

// JSON writes v to Out, indented, with <, > and & left readable.
func (s *Streams) JSON(v any) error {
	e := json.NewEncoder(s.Out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// Logger writes log lines of at least this level to w, which is Err or a Progress that keeps its live line below them. asJSON writes
// one JSON object a line instead of text.
func (s *Streams) Logger(w io.Writer, level slog.Level, asJSON bool) *slog.Logger {
	if asJSON {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	}
	h := charmlog.NewWithOptions(w, charmlog.Options{Level: charmlog.Level(level)})
	if s.ErrTerminal && s.Colour {
		h.SetColorProfile(colorprofile.ANSI)
	} else {
		h.SetColorProfile(colorprofile.NoTTY)
	}
	return slog.New(h)
}

// Tone is what a piece of text means; the colour follows from it.
type Tone int

// The tones. Plain is the terminal's own colour.
const (
	Plain Tone = iota
	Good
	Doubtful
	Bad
	Strong
	Faint
	Scanned // white on black whatever the theme: a code that a camera reads
)

// style uses the terminal's own 16 colours, so that every theme and every terminal shows them as its user chose.
func (t Tone) style() lipgloss.Style {
	style := lipgloss.NewStyle()
	switch t {
	case Good:
		return style.Foreground(lipgloss.Green)
	case Doubtful:
		return style.Foreground(lipgloss.Yellow)
	case Bad:
		return style.Foreground(lipgloss.Red)
	case Strong:
		return style.Bold(true)
	case Faint:
		return style.Faint(true)
	case Scanned:
		return style.Foreground(lipgloss.BrightWhite).Background(lipgloss.Black)
	case Plain:
	}
	return style
}

func (t Tone) paint(text string, colour bool) string {
	if !colour || t == Plain || text == "" {
		return text
	}
	return t.style().Render(text)
}

// printable makes text from definitions and programs safe to show: no escape sequences, no control characters but the newline.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case r == '\r':
			return -1
		case unicode.IsControl(r), r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069: // the last two turn the direction of text
			return unicode.ReplacementChar
		}
		return r
	}, ansi.Strip(strings.ToValidUTF8(text, "\uFFFD")))
}

// oneLine is printable text without newlines.
func oneLine(text string) string {
	return strings.Join(strings.Fields(printable(text)), " ")
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return oneLine(line)
}

// OneLine makes text from outside safe to show in one line: no escape sequences, no control characters, no newlines.
func OneLine(text string) string { return oneLine(text) }
