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

// errorLines keeps the first and the last lines of what was printed. A whole trace has tens of thousands; Nix 2.8 has the
// message at its head, newer ones at its end.
type errorLines struct{ head, tail []string }

const keptLines = 2000

func (e *errorLines) add(l string) {
	switch {
	case strings.HasPrefix(l, "trace: "): // not part of an error
	case len(e.head) < keptLines:
		e.head = append(e.head, l)
	case len(e.tail) < 2*keptLines:
		e.tail = append(e.tail, l)
	default: // the older half goes at once, so that a long trace is not moved line by line
		e.tail = append(e.tail[:0], e.tail[keptLines:]...)
		e.tail = append(e.tail, l)
	}
}

func (e *errorLines) text() string {
	return strings.Join(append(e.head[:len(e.head):len(e.head)], e.tail...), "\n")
}
