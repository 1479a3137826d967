// Package run is the one seam to other programs: a command is plain data, and a Runner carries it out on this machine (Local), on a
// host (package remote), or only prints it (Printer). It knows no program by name; what a program's flags and exit codes mean is
// the business of the package that wraps it. Nothing else imports os/exec.
package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Command describes one program run. It is plain data: it can be printed, logged, compared, or sent to another machine.
type Command struct {
	Name   string
	Args   []string
	Dir    string    // working directory; empty is the runner's own
	Env    []string  // KEY=VALUE, added to the runner's own environment, the last of a key wins
	Stdin  io.Reader // nil is an empty input, never the terminal (see Interactive)
	Stdout io.Writer // live copy, as the program wrote it; nil drops it
	Stderr io.Writer // live copy, as the program wrote it; a tail is kept for Error in any case
	Secret []string  // values in Args, Env or on stderr that are masked wherever the command or its error is shown
	// Interactive shares our terminal with the program: streams left nil are our process's own, and the program stays in our
	// foreground process group. Any other program runs in a group of its own, where reading /dev/tty would stop it.
	Interactive bool
	Grace       time.Duration // how long it may take to end once asked to; 0 is ten seconds. Short for what changes nothing
}

// String is the command line as a POSIX shell would take it, with directory and added environment, secrets masked.
func (c Command) String() string {
	words := append([]string{c.Name}, c.Args...)
	if len(c.Env) > 0 {
		words = append(append([]string{"env"}, c.Env...), words...)
	}
	hide := newMask(c.Secret)
	for i, w := range words {
		words[i] = hide.text(w)
	}
	line := Quote(words...)
	if c.Dir != "" {
		line = "(cd " + Quote(hide.text(c.Dir)) + " && " + line + ")"
	}
	return line
}

// Runner carries out a command. It returns nil when the program exited with status 0, *MissingError when there is no such program,
// and *Error otherwise. When ctx ends first the error wraps the cause of that.
type Runner interface {
	Run(ctx context.Context, c Command) error
}

// Error is a program that could not be started or ended badly.
type Error struct {
	Command  Command
	ExitCode int    // -1 when it did not exit by itself: not started, or ended by a signal
	Stderr   []byte // the last 64 KiB, secrets masked; empty for an interactive program
	Err      error  // *exec.ExitError, an error of starting it, or the cause of the context's end
}

// Error names the program, how it ended, and the line of its stderr that most likely says why. The whole command line is in
// Command.String.
func (e *Error) Error() string {
	text := newMask(e.Command.Secret).text(fmt.Sprintf("%s: %v", e.Command.Name, e.Err))
	if why := tellingLine(e.Stderr); why != "" {
		text += ": " + why
	}
	return text
}

// Unwrap gives the reason, so that errors.Is(err, context.Canceled) works.
func (e *Error) Unwrap() error { return e.Err }

// MissingError is a program that is not installed: the caller's exit code is 5.
type MissingError struct {
	Program string
	Hint    string // how to get it; may be empty
}

func (e *MissingError) Error() string {
	if strings.Contains(e.Program, "/") {
		return fmt.Sprintf("program %s does not exist or is not executable", e.Program)
	}
	return fmt.Sprintf("program %s is not on PATH", e.Program)
}

// tellingLine is the last line that starts with "error:", or else the last line that is not blank. Nix (2.8 to 2.24) prints the
// place in the source after the message, so its last line is often only a caret.
func tellingLine(stderr []byte) string {
	last := ""
	lines := bytes.Split(stderr, []byte("\n"))
	for i := len(lines) - 1; i >= 0; i-- {
		line := strings.TrimSpace(strings.ToValidUTF8(string(lines[i]), "\uFFFD"))
		if last == "" {
			last = line
		}
		if rest, ok := strings.CutPrefix(line, "error:"); ok && rest != "" {
			return strings.TrimSpace(rest)
		}
	}
	return last
}

// Output runs c and returns all it wrote to stdout, also when it ended badly. c.Stdout still gets its live copy.
func Output(ctx context.Context, r Runner, c Command) ([]byte, error) {
	var out bytes.Buffer
	if c.Stdout != nil {
		c.Stdout = io.MultiWriter(&out, c.Stdout)
	} else {
		c.Stdout = &out
	}
	err := r.Run(ctx, c)
	return out.Bytes(), err
}

// JSON runs c and decodes the one JSON value it wrote to stdout. The exit status is looked at first: nix-instantiate --json prints
// half a document when evaluation fails. Numbers in values of type any arrive as json.Number, without loss. Invalid UTF-8 is refused
// because encoding/json would silently replace it.
func JSON[T any](ctx context.Context, r Runner, c Command) (T, error) {
	var v T
	out, err := Output(ctx, r, c)
	if err != nil {
		return v, err
	}
	if !utf8.Valid(out) {
		return v, fmt.Errorf("%s: read JSON: invalid UTF-8 at byte %d", c.Name, firstInvalid(out))
	}
	d := json.NewDecoder(bytes.NewReader(out))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("%s: read JSON: %w", c.Name, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v, fmt.Errorf("%s: read JSON: more than one value, the second at byte %d", c.Name, d.InputOffset())
	}
	return v, nil
}

func firstInvalid(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return -1
}

// Printer is a Runner that only prints each command line, as a shell takes it, secrets masked: a dry run.
type Printer struct{ W io.Writer }

// Run prints c. Nothing is run, so stdout stays empty.
func (p Printer) Run(_ context.Context, c Command) error {
	if _, err := fmt.Fprintln(p.W, c.String()); err != nil {
		return fmt.Errorf("print command: %w", err)
	}
	return nil
}
