package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/term"
	"github.com/muesli/cancelreader"
)

// Span is a piece of a line that means something.
type Span struct {
	Tone Tone
	Text string
}

// Line is one line of a page.
type Line []Span

// String is the line without its tones.
func (l Line) String() string {
	var b strings.Builder
	for _, s := range l {
		b.WriteString(s.Text)
	}
	return b.String()
}

// Screen is the whole of a terminal: pages are shown on it and keys read from it until Close. It sends nothing but cursor positions,
// "erase line" and colours, which the console of Linux and a serial terminal know as well, and asks the terminal nothing: an old console
// would print the question. Only lines that changed are sent, for slow lines' sake. A dumb terminal gets each changed page below the last.
//
// It is for one goroutine.
type Screen struct {
	s       *Streams
	in      *os.File
	before  *term.State // of the terminal
	reader  cancelreader.CancelReader
	chunks  chan []byte
	pending []byte
	page    []Line
	shown   []string // what is on the screen; nil: unknown
	columns int      // of the screen when it was shown
}

const (
	screenRows = 24 // where the terminal does not say
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	// escapeWait is how long the rest of a key may take on a slow line; after it an escape was the key Esc.
	escapeWait = 100 * time.Millisecond
)

// Screen takes the terminal over: keys come one by one and are not echoed, and Ctrl-C is a key. It is a *NotTerminalError where standard
// input or standard error is no terminal.
func (s *Streams) Screen() (*Screen, error) {
	in, ok := s.In.(*os.File)
	if !ok || !s.InTerminal || !s.ErrTerminal {
		return nil, &NotTerminalError{Question: "what to do"}
	}
	c := &Screen{s: s, in: in}
	return c, c.take()
}

func (c *Screen) take() error {
	before, err := term.MakeRaw(c.in.Fd())
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	if c.reader, err = cancelreader.NewReader(c.in); err != nil {
		return errors.Join(fmt.Errorf("read keys: %w", err), term.Restore(c.in.Fd(), before))
	}
	c.before, c.chunks, c.pending, c.shown = before, make(chan []byte), nil, nil
	go readChunks(c.reader, c.chunks)
	if !c.s.Dumb {
		c.s.say(hideCursor)
	}
	return nil
}

// readChunks ends with the reader. What nobody takes was typed for nobody.
func readChunks(r io.Reader, chunks chan<- []byte) {
	defer close(chunks)
	for {
		chunk := make([]byte, 256)
		n, err := r.Read(chunk)
		if n > 0 {
			chunks <- chunk[:n]
		}
		if err != nil {
			return
		}
	}
}

// release gives the terminal back as it was.
func (c *Screen) release() error {
	if c.reader.Cancel() {
		for range c.chunks { // to the reader's end: what is typed from then on is another program's
		}
	}
	if !c.s.Dumb {
		c.s.say("\x1b[m" + showCursor)
	}
	return errors.Join(c.reader.Close(), term.Restore(c.in.Fd(), c.before))
}

// Close clears the screen and gives the terminal back.
func (c *Screen) Close() error {
	c.clear()
	return c.release()
}

// Away gives the terminal to f, for example a shell, and takes it back after it.
func (c *Screen) Away(f func() error) error {
	c.clear()
	if err := c.release(); err != nil {
		return err
	}
	return errors.Join(f(), c.take())
}

func (c *Screen) clear() {
	c.shown = nil
	if !c.s.Dumb {
		c.s.say("\x1b[H\x1b[J")
	}
}

// Size is what fits: columns and rows.
func (c *Screen) Size() (columns, rows int) {
	rows = screenRows
	if f, ok := c.s.Err.(*os.File); ok {
		if _, height, err := term.GetSize(f.Fd()); err == nil && height > 0 {
			rows = height
		}
	}
	return c.s.columns(c.s.Err), rows
}

// Show puts a page on the screen; what does not fit is cut off.
func (c *Screen) Show(page []Line) {
	c.page = page
	columns, rows := c.Size()
	lines := make([]string, 0, rows)
	for _, line := range page[:min(len(page), rows)] {
		lines = append(lines, c.s.painted(line, columns))
	}
	if c.s.Dumb {
		if !slices.Equal(lines, c.shown) {
			c.s.say("\r\n" + strings.Join(lines, "\r\n") + "\r\n")
			c.shown = lines
		}
		return
	}
	for len(lines) < rows {
		lines = append(lines, "")
	}
	var b strings.Builder
	if len(c.shown) != rows || c.columns != columns { // a terminal that gets another size moves what is on it
		c.shown, c.columns = nil, columns
		b.WriteString("\x1b[m\x1b[H\x1b[J")
	}
	for i, line := range lines {
		if c.shown != nil && c.shown[i] == line || c.shown == nil && line == "" {
			continue
		}
		// Erased first: after a line that fills the row, "erase to the end" takes its last character on some terminals.
		b.WriteString("\x1b[" + strconv.Itoa(i+1) + ";1H\x1b[2K" + line)
	}
	c.shown = lines
	if b.Len() > 0 {
		c.s.say(b.String())
	}
}

// Redraw sends the whole page anew: messages of the kernel may have been printed over it.
func (c *Screen) Redraw() {
	c.shown = nil
	c.Show(c.page)
}

// painted is a line as the terminal gets it.
func (s *Streams) painted(line Line, columns int) string {
	var b strings.Builder
	for _, span := range line {
		b.WriteString(span.Tone.paint(strings.ReplaceAll(printable(span.Text), "\n", " "), s.Colour))
	}
	cut := "…"
	if s.Simple || s.ASCII || s.Dumb {
		cut = ">"
	}
	return ansi.Truncate(b.String(), columns, cut)
}

// Key is a key: a character, or one of the constants.
type Key rune

// Keys that are no characters.
const (
	NoKey     Key = 0
	Enter     Key = '\r'
	Escape    Key = 0x1b
	Backspace Key = 0x7f
	Interrupt Key = 0x03 // Ctrl-C
	Up        Key = -iota
	Down
	PageUp
	PageDown
	Other // any other: a function key, Ctrl with a letter
)

// Key waits for a key; NoKey is none within wait. The end of the input is io.ErrUnexpectedEOF, that of the context its cause. Ctrl-L draws
// the page anew by itself.
func (c *Screen) Key(ctx context.Context, wait time.Duration) (Key, error) {
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	var late <-chan time.Time
	final := false
	for {
		key, n := decode(c.pending, final)
		c.pending = c.pending[n:]
		switch {
		case n > 0 && key == ctrlL:
			c.Redraw()
			continue
		case n > 0 && key != NoKey:
			return key, nil
		case n > 0:
			continue
		case len(c.pending) > 0:
			late = time.After(escapeWait)
		}
		select {
		case chunk, ok := <-c.chunks:
			if !ok {
				return NoKey, io.ErrUnexpectedEOF
			}
			c.pending, final, late = append(c.pending, chunk...), false, nil
		case <-late:
			final = true
		case <-timeout.C:
			return NoKey, nil
		case <-ctx.Done():
			return NoKey, context.Cause(ctx)
		}
	}
}
