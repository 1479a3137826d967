package ui

import (
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// terminal is a real pseudo terminal: the program's end is what Streams get, the person's end is read and typed on by the test.
type terminal struct {
	person, program *os.File

	mu   sync.Mutex
	seen strings.Builder
}

func openTerminal(t *testing.T, columns uint16) *terminal {
	t.Helper()
	person, program, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(person, &pty.Winsize{Rows: 24, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	term := &terminal{person: person, program: program}
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = io.Copy(term, person) // ends with an error when the program's end is closed
	}()
	t.Cleanup(func() {
		_ = program.Close()
		<-over
		_ = person.Close()
	})
	return term
}

func (t *terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen.Write(p)
}

func (t *terminal) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen.String()
}

// waitFor blocks until the screen has shown want.
func (t *terminal) waitFor(test *testing.T, want string) {
	test.Helper()
	for range 300 {
		if strings.Contains(t.text(), want) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	test.Fatalf("never shown: %q in %q", want, t.text())
}

func (t *terminal) typeIn(test *testing.T, keys string) {
	test.Helper()
	if _, err := t.person.WriteString(keys); err != nil {
		test.Fatal(err)
	}
}

func (t *terminal) streams(environ ...string) *Streams {
	return New(t.program, t.program, t.program, environ)
}

// screen is what stays visible after everything was written: it knows newline, carriage return and "erase line".
func screen(written string) []string {
	var lines []string
	line := ""
	for len(written) > 0 {
		switch {
		case strings.HasPrefix(written, "\r\n"), written[0] == '\n':
			lines, line = append(lines, line), ""
			written = strings.TrimPrefix(strings.TrimPrefix(written, "\r"), "\n")
		case strings.HasPrefix(written, "\x1b[2K"):
			line = ""
			written = written[len("\x1b[2K"):]
		case written[0] == '\r':
			if !strings.HasPrefix(written, clearLine) {
				line += "<overwritten without erasing>"
			}
			written = written[1:]
		default:
			line += written[:1]
			written = written[1:]
		}
	}
	return append(lines, line)
}
