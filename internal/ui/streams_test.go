package ui

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"charm.land/lipgloss/v2"
)

func TestNewTellsTerminalsFromFilesAndReadsTheEnvironment(t *testing.T) {
	term := openTerminal(t, 100)
	for _, tt := range []struct {
		name                 string
		environ              []string
		colour, dumb, simple bool
	}{
		{"ordinary", []string{"TERM=xterm-256color"}, true, false, false},
		{"no colour wanted", []string{"TERM=xterm", "NO_COLOR=1"}, false, false, false},
		{"an empty NO_COLOR asks for nothing", []string{"TERM=xterm", "NO_COLOR="}, true, false, false},
		{"dumb", []string{"TERM=dumb"}, false, true, false},
		{"nothing known", nil, false, true, false},
		{"console", []string{"TERM=linux"}, true, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := term.streams(tt.environ...)
			if s.Colour != tt.colour || s.Dumb != tt.dumb || s.Simple != tt.simple {
				t.Errorf("colour %v, dumb %v, simple %v", s.Colour, s.Dumb, s.Simple)
			}
			if !s.InTerminal || !s.OutTerminal || !s.ErrTerminal || s.columns(s.Out) != 100 {
				t.Errorf("terminal not seen: %+v, %d columns", s, s.columns(s.Out))
			}
		})
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	s := New(null, null, null, []string{"TERM=xterm"})
	if s.InTerminal || s.OutTerminal || s.ErrTerminal || s.columns(s.Out) != 80 {
		t.Errorf("taken for a terminal: %+v", s)
	}
}

func TestJSONIsIndentedAndKeepsMarkupReadable(t *testing.T) {
	var out bytes.Buffer
	s := &Streams{Out: &out}
	if err := s.JSON(map[string]any{"a": "<x> & y", "b": []int{}}); err != nil {
		t.Fatal(err)
	}
	if want := "{\n  \"a\": \"<x> & y\",\n  \"b\": []\n}\n"; out.String() != want {
		t.Errorf("got %s", out.String())
	}
	if err := s.JSON(func() {}); err == nil {
		t.Error("a value without JSON form was accepted")
	}
}

func TestLoggerKeepsToItsLevelAndForm(t *testing.T) {
	var out bytes.Buffer
	s := &Streams{Err: &out}
	s.Logger(&out, slog.LevelInfo, false).Debug("hidden")
	s.Logger(&out, slog.LevelInfo, false).Warn("still open", "program", "ssh")
	if got := out.String(); got != "WARN  still open program=ssh\n" {
		t.Errorf("text: %q", got)
	}
	out.Reset()
	s.Logger(&out, slog.LevelDebug, true).Debug("shown", "n", 1)
	if got := out.String(); !strings.HasPrefix(got, "{") || !strings.Contains(got, `"msg":"shown","n":1}`) {
		t.Errorf("json: %q", got)
	}
}

func TestPrintableLeavesTextAndRemovesControl(t *testing.T) {
	for in, want := range map[string]string{
		"plain ä 日本":            "plain ä 日本",
		"a\x1b[31mred\x1b[0m b": "ared b",
		"a\x1b]0;title\x07b":    "ab",
		"a\tb\r\nc":             "a b\nc",
		"bell\x07":              "bell\uFFFD",
		"bad \xff":              "bad \uFFFD",
		"turn \u202e round":     "turn \uFFFD round",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
}

func exampleTable() Table {
	return Table{
		Header: []string{"HOST", "ADDRESS", "NOTE"},
		Rows: [][]string{
			{"web1", "192.168.1.10/24\nfd00::10/64", "ok"},
			{"日本", "dhcp"},
			{"näs", "10.0.0.2/8", "too\x1b[2J long"},
		},
		Tone: func(row, column int) Tone {
			if row == 2 && column == 2 {
				return Bad
			}
			return Plain
		},
	}
}

func TestTableElsewhereIsOneAlignedLinePerRow(t *testing.T) {
	var out bytes.Buffer
	if err := (&Streams{Out: &out, Colour: true}).Table(exampleTable()); err != nil {
		t.Fatal(err)
	}
	want := "HOST  ADDRESS                       NOTE\n" +
		"web1  192.168.1.10/24, fd00::10/64  ok\n" +
		"日本  dhcp\n" +
		"näs   10.0.0.2/8                    too long\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestTableOnATerminalIsFramedAndCoversEvenWidths(t *testing.T) {
	var out bytes.Buffer
	s := &Streams{Out: &out, OutTerminal: true, Width: 60}
	if err := s.Table(exampleTable()); err != nil {
		t.Fatal(err)
	}
	want := strings.TrimPrefix(`
╭──────┬─────────────────┬──────────╮
│ HOST │ ADDRESS         │ NOTE     │
├──────┼─────────────────┼──────────┤
│ web1 │ 192.168.1.10/24 │ ok       │
│      │ fd00::10/64     │          │
│ 日本 │ dhcp            │          │
│ näs  │ 10.0.0.2/8      │ too long │
╰──────┴─────────────────┴──────────╯
`, "\n")
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestTableFitsANarrowTerminalAndColoursByTone(t *testing.T) {
	var out bytes.Buffer
	s := &Streams{Out: &out, OutTerminal: true, Width: 28, Colour: true, Simple: true}
	if err := s.Table(exampleTable()); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if w := lipgloss.Width(strings.TrimSuffix(line, "\n")); w > 28 {
			t.Errorf("%d columns: %s", w, line)
		}
	}
	if !strings.Contains(out.String(), "\x1b[31m") || !strings.Contains(out.String(), "┌") {
		t.Errorf("no red cell or no plain corner:\n%s", out.String())
	}
}

func TestTableReportsAWriterThatFails(t *testing.T) {
	r, w := io.Pipe()
	r.CloseWithError(errors.New("disk full"))
	if err := (&Streams{Out: w}).Table(exampleTable()); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("got %v", err)
	}
}

func TestFailureShowsErrorLastWordsHintsAndLog(t *testing.T) {
	var out bytes.Buffer
	s := &Streams{Err: &out, Colour: true}
	s.Fail(Failure{
		Err:    errors.Join(errors.New("evaluate web1: boom"), errors.New("evaluate web2: \x1b[31mboom")),
		Output: []byte(strings.Repeat("noise\n", 25) + "last\n\n"),
		Hints:  []string{"try --show-trace"},
		Log:    "/tmp/x.log",
	})
	want := "error: evaluate web1: boom\n  evaluate web2: boom\n  | ... 6 lines before\n" +
		strings.Repeat("  | noise\n", 19) + "  | last\nhint: try --show-trace\nlog: /tmp/x.log\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestLabelsAreColouredOnATerminalOnly(t *testing.T) {
	var out bytes.Buffer
	s := &Streams{Err: &out, Colour: true, ErrTerminal: true}
	s.Warn("careful")
	s.Note("by the way")
	if got := out.String(); got != "\x1b[33mwarning:\x1b[m careful\nby the way\n" {
		t.Errorf("got %q", got)
	}
}
