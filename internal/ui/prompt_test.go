package ui

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// question is one of the prompts with its answer as text, so that a table can hold all three.
type question func(ctx context.Context, s *Streams) (string, error)

func confirm(preset bool) question {
	return func(ctx context.Context, s *Streams) (string, error) {
		yes, err := s.Confirm(ctx, "Go on?", preset)
		return map[bool]string{true: "yes", false: "no"}[yes], err
	}
}

func askName(ctx context.Context, s *Streams) (string, error) {
	return s.Ask(ctx, "Name?", "web1", func(name string) error {
		if strings.Contains(name, " ") {
			return errors.New("no blanks")
		}
		return nil
	})
}

func chooseSize(ctx context.Context, s *Streams) (string, error) {
	return s.Choose(ctx, "Size?", []string{"small", "large", "7"}, "large")
}

func TestQuestionsAreRefusedWhenNobodyCanAnswer(t *testing.T) {
	for name, s := range map[string]*Streams{
		"no terminal to read from": {ErrTerminal: true},
		"no terminal to write to":  {InTerminal: true},
	} {
		for _, q := range []question{confirm(true), askName, chooseSize} {
			var out bytes.Buffer
			s.In, s.Err = strings.NewReader("y\n"), &out
			_, err := q(t.Context(), s)
			if refused, ok := errors.AsType[*NotTerminalError](err); !ok || out.Len() > 0 || !strings.Contains(refused.Error(), refused.Question) {
				t.Errorf("%s: got %v, written %q", name, err, out.String())
			}
		}
	}
}

func TestDumbTerminalIsAskedInPlainLines(t *testing.T) {
	for _, tt := range []struct {
		name         string
		ask          question
		typed        string
		want, screen string
	}{
		{"yes", confirm(false), "Yes\n", "yes", "Go on? [y/N]: "},
		{"bare Enter takes the preset", confirm(true), "\n", "yes", "Go on? [Y/n]: "},
		{"asked again until it is clear", confirm(true), "perhaps\nn\n", "no", "Go on? [Y/n]: answer y or n\nGo on? [Y/n]: "},
		{"text", askName, "  nas \n", "nas", "Name? [web1]: "},
		{"text preset", askName, "\n", "web1", "Name? [web1]: "},
		{"text that is refused", askName, "a b\nc\n", "c", "Name? [web1]: no blanks\nName? [web1]: "},
		{"by number", chooseSize, "1\n", "small", "Size?\n  1) small\n  2) large\n  3) 7\nnumber [large]: "},
		{"by name", chooseSize, "small\n", "small", ""},
		{"choice preset", chooseSize, "\n", "large", ""},
		{"an option that is a number", chooseSize, "7\n", "7", ""},
		{"choice out of range", chooseSize, "4\n3\n", "7", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			s := &Streams{In: strings.NewReader(tt.typed), Err: &out, InTerminal: true, ErrTerminal: true, Dumb: true}
			got, err := tt.ask(t.Context(), s)
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v", got, err)
			}
			if tt.screen != "" && out.String() != tt.screen {
				t.Errorf("shown %q, want %q", out.String(), tt.screen)
			}
		})
	}
}

func TestEndOfInputIsNoAnswer(t *testing.T) {
	s := &Streams{In: strings.NewReader("y"), Err: io.Discard, InTerminal: true, ErrTerminal: true, Dumb: true}
	if yes, err := s.Confirm(t.Context(), "Erase?", true); yes || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, %v", yes, err)
	}
}

func TestTwoQuestionsShareOneInput(t *testing.T) {
	s := &Streams{In: strings.NewReader("y\nnas\n"), Err: io.Discard, InTerminal: true, ErrTerminal: true, Dumb: true}
	if yes, err := s.Confirm(t.Context(), "Go on?", false); !yes || err != nil {
		t.Errorf("got %v, %v", yes, err)
	}
	if name, err := s.Ask(t.Context(), "Name?", "", nil); name != "nas" || err != nil {
		t.Errorf("got %q, %v", name, err)
	}
}

func TestEndOfContextEndsAQuestion(t *testing.T) {
	for _, environ := range []string{"TERM=dumb", "TERM=xterm"} {
		t.Run(environ, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			reason := errors.New("enough")
			term := openTerminal(t, 80)
			go func() {
				term.waitFor(t, "Name?")
				cancel(reason)
			}()
			if _, err := askName(ctx, term.streams(environ)); !errors.Is(err, reason) {
				t.Errorf("got %v", err)
			}
			term.typeIn(t, "\n") // lets a reader that stayed behind go
		})
	}
}

func TestQuestionsOnARealTerminal(t *testing.T) {
	for _, tt := range []struct {
		name        string
		ask         question
		shown, keys string
		want        string
		wantErr     error
	}{
		{"yes by letter", confirm(false), "Go on?", "y", "yes", nil},
		{"bare Enter takes the preset", confirm(true), "Go on?", "\r", "yes", nil},
		{"text preset", askName, "Name?", "\r", "web1", nil},
		{"text added", askName, "Name?", "0\r", "web10", nil},
		{"choice preset", chooseSize, "Size?", "\r", "large", nil},
		{"arrow up", chooseSize, "Size?", "\x1b[A\r", "small", nil},
		{"interrupt", confirm(true), "Go on?", "\x03", "", context.Canceled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			term := openTerminal(t, 80)
			go func() {
				term.waitFor(t, tt.shown)
				term.typeIn(t, tt.keys)
			}()
			got, err := tt.ask(t.Context(), term.streams("TERM=xterm"))
			if !errors.Is(err, tt.wantErr) {
				t.Fatalf("got %v, want %v", err, tt.wantErr)
			}
			if err != nil {
				return
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			term.waitFor(t, "? "+tt.want+"\r\n")
			if hidden, back := strings.LastIndex(term.text(), "\x1b[?25l"), strings.LastIndex(term.text(), "\x1b[?25h"); back < hidden {
				t.Error("the cursor stays hidden")
			}
		})
	}
}
