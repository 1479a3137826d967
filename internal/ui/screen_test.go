package ui

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

func plain(text string) Line { return Line{{Plain, text}} }

func TestKeysAreReadAsTerminalsSendThem(t *testing.T) {
	for _, tt := range []struct {
		name, typed string
		final       bool
		want        Key
		took        int
	}{
		{"letter", "ab", false, 'a', 1},
		{"beyond ASCII", "äb", false, 'ä', 2},
		{"half of it", "\xc3", false, NoKey, 0},
		{"never completed", "\xc3", true, NoKey, 1},
		{"no text", "\xff", false, NoKey, 1},
		{"enter", "\r", false, Enter, 1},
		{"enter of a serial line", "\r\nx", false, Enter, 2},
		{"line feed", "\nx", false, Enter, 1},
		{"delete", "\x7f", false, Backspace, 1},
		{"backspace", "\b", false, Backspace, 1},
		{"ctrl-c", "\x03", false, Interrupt, 1},
		{"ctrl-a", "\x01", false, Other, 1},
		{"perhaps escape", "\x1b", false, NoKey, 0},
		{"escape", "\x1b", true, Escape, 1},
		{"escape and a letter", "\x1bq", false, Escape, 1},
		{"up", "\x1b[A", false, Up, 3},
		{"up in application mode", "\x1bOA", false, Up, 3},
		{"down", "\x1b[Bx", false, Down, 3},
		{"page up", "\x1b[5~", false, PageUp, 4},
		{"page down", "\x1b[6~", false, PageDown, 4},
		{"half a sequence", "\x1b[5", false, NoKey, 0},
		{"half a sequence, and nothing more", "\x1b[5", true, Escape, 3},
		{"F1 of the console", "\x1b[[Ax", false, Other, 4},
		{"F5", "\x1b[15~", false, Other, 5},
		{"a broken sequence", "\x1b[1\r", false, Other, 3},
	} {
		if got, n := decode([]byte(tt.typed), tt.final); got != tt.want || n != tt.took {
			t.Errorf("%s: got %d, %d bytes; want %d, %d", tt.name, got, n, tt.want, tt.took)
		}
	}
}

func FuzzKeysComeToAnEnd(f *testing.F) {
	f.Add([]byte("a\x1b[A\x1bO\xc3"))
	f.Fuzz(func(t *testing.T, typed []byte) {
		for len(typed) > 0 {
			_, n := decode(typed, true)
			if n < 1 || n > len(typed) {
				t.Fatalf("took %d of %q", n, typed)
			}
			typed = typed[n:]
		}
	})
}

func TestAScreenIsRefusedWithoutATerminal(t *testing.T) {
	_, err := (&Streams{In: strings.NewReader(""), Err: io.Discard, InTerminal: true, ErrTerminal: true}).Screen()
	if _, ok := errors.AsType[*NotTerminalError](err); !ok {
		t.Errorf("got %v", err)
	}
}

func openScreen(t *testing.T, columns uint16, environ string) (*Screen, *terminal) {
	t.Helper()
	term := openTerminal(t, columns)
	s, err := term.streams(environ).Screen()
	if err != nil {
		t.Fatal(err)
	}
	return s, term
}

func TestOnlyLinesThatChangedAreSent(t *testing.T) {
	s, term := openScreen(t, 20, "TERM=linux")
	s.Show([]Line{plain("first"), {{Bad, "second"}, {Plain, " \x1b[2J\nhalf"}}, plain(strings.Repeat("long", 6))})
	term.waitFor(t, "longlonglonglonglon>")
	for _, want := range []string{"\x1b[1;1H\x1b[2Kfirst", "\x1b[31msecond\x1b[m", " half"} {
		if !strings.Contains(term.text(), want) {
			t.Errorf("%q is not in %q", want, term.text())
		}
	}
	before := len(term.text())
	s.Show([]Line{plain("first"), plain("other"), plain("last")})
	term.waitFor(t, "last")
	if sent := term.text()[before:]; sent != "\x1b[2;1H\x1b[2Kother\x1b[3;1H\x1b[2Klast" {
		t.Errorf("sent %q", sent)
	}
	term.typeIn(t, "\x0cx")
	if key, err := s.Key(t.Context(), time.Minute); key != 'x' || err != nil {
		t.Errorf("got %d, %v", key, err)
	}
	term.waitFor(t, "\x1b[J\x1b[1;1H\x1b[2Kfirst\x1b[2;1H\x1b[2Kother\x1b[3;1H\x1b[2Klast")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	term.waitFor(t, showCursor)
}

func TestAnotherSizeDrawsThePageAnew(t *testing.T) {
	s, term := openScreen(t, 20, "TERM=linux")
	defer s.Close()
	s.Show([]Line{plain("page")})
	term.waitFor(t, "page")
	if err := pty.Setsize(term.person, &pty.Winsize{Rows: 24, Cols: 60}); err != nil {
		t.Fatal(err)
	}
	before := len(term.text())
	s.Show([]Line{plain("page")})
	for range 300 {
		if strings.Contains(term.text()[before:], "page") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("sent %q", term.text()[before:])
}

func TestADumbTerminalGetsChangedPagesOnly(t *testing.T) {
	s, term := openScreen(t, 20, "TERM=dumb")
	for _, text := range []string{"one", "one", "two"} {
		s.Show([]Line{{{Bad, text}}})
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	term.waitFor(t, "two")
	if got := term.text(); got != "\r\none\r\n\r\ntwo\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestKeysComeOneByOneAndWaitingEnds(t *testing.T) {
	s, term := openScreen(t, 80, "TERM=linux")
	defer s.Close()
	if key, err := s.Key(t.Context(), time.Millisecond); key != NoKey || err != nil {
		t.Errorf("nothing was typed: got %d, %v", key, err)
	}
	term.typeIn(t, "a\x1b[A\x1b")
	for _, want := range []Key{'a', Up, Escape} {
		if key, err := s.Key(t.Context(), time.Minute); key != want || err != nil {
			t.Errorf("got %d, %v; want %d", key, err, want)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	cancel(reason)
	if _, err := s.Key(ctx, time.Minute); !errors.Is(err, reason) {
		t.Errorf("got %v", err)
	}
}

func TestAnotherProgramHasTheTerminalWhileWeAreAway(t *testing.T) {
	s, term := openScreen(t, 80, "TERM=linux")
	s.Show([]Line{plain("page")})
	term.typeIn(t, "x")
	if key, err := s.Key(t.Context(), time.Minute); key != 'x' || err != nil {
		t.Fatal(key, err)
	}
	var read []byte
	err := s.Away(func() error {
		term.typeIn(t, "ls\n") // a line, as the terminal's own editing gives it
		chunk := make([]byte, 10)
		n, err := term.program.Read(chunk)
		read = chunk[:n]
		return err
	})
	if err != nil || !bytes.Equal(read, []byte("ls\n")) {
		t.Errorf("read %q, %v", read, err)
	}
	term.waitFor(t, "ls\r\n") // echoed
	s.Show([]Line{plain("page")})
	term.typeIn(t, "y")
	if key, err := s.Key(t.Context(), time.Minute); key != 'y' || err != nil {
		t.Error(key, err)
	}
	term.waitFor(t, "ls\r\n"+hideCursor+"\x1b[m\x1b[H\x1b[J\x1b[1;1H\x1b[2Kpage")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
