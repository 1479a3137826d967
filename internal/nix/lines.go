package nix

import (
	"bytes"
	"errors"
	"regexp"
	"strings"

	"nixos-staged-hive/internal/run"
)

// asMissing completes the error of a missing nix program with how to get it.
func asMissing(err error) (*run.MissingError, bool) {
	var missing *run.MissingError
	if !errors.As(err, &missing) {
		return nil, false
	}
	return &run.MissingError{Program: missing.Program, Hint: Install}, true
}

// ansi matches colour codes: Nix writes them into traces even when nobody looks at a terminal.
var ansi = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

// lineWriter calls line for each whole line written to it.
type lineWriter struct {
	rest []byte
	line func(string)
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		w.line(clean(w.rest[:i]))
		w.rest = w.rest[i+1:]
	}
}

// flush passes on a last line without a newline.
func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.line(clean(w.rest))
		w.rest = nil
	}
}

func clean(b []byte) string {
	if bytes.IndexByte(b, 0x1b) >= 0 {
		b = ansi.ReplaceAll(b, nil)
	}
	return strings.TrimSuffix(string(b), "\r")
}

// tailLines keeps the last lines, enough for any message and its trace.
type tailLines struct{ lines []string }

const keptLines = 4000

func (t *tailLines) add(l string) {
	if strings.HasPrefix(l, "trace: ") {
		return // not part of an error
	}
	if len(t.lines) >= keptLines {
		t.lines = t.lines[1:]
	}
	t.lines = append(t.lines, l)
}

func (t *tailLines) text() string { return strings.Join(t.lines, "\n") }
