package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"
)

// Lines follows the serial console: the lines since this start, without their ends, as they come. It ends with the machine, whose last
// line may be without an end, or with ctx.
func (r *Running) Lines(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var rest []byte
		for chunk, err := range r.output(ctx) {
			if err != nil {
				yield("", err)
				return
			}
			rest = append(rest, chunk...)
			for {
				line, after, found := bytes.Cut(rest, []byte("\n"))
				if !found {
					break
				}
				if !yield(strings.TrimRight(string(line), "\r"), nil) {
					return
				}
				rest = after
			}
		}
		if len(rest) > 0 {
			yield(strings.TrimRight(string(rest), "\r"), nil)
		}
	}
}

// AwaitConsole waits until the machine has written text to its serial console since this start. Text may be part of a line, such as a
// prompt. The error of a machine that ended before is an *EndedError.
func (r *Running) AwaitConsole(ctx context.Context, text string) error {
	var last []byte // of what was written, as much as may hold the beginning of text
	for chunk, err := range r.output(ctx) {
		if err != nil {
			return fmt.Errorf("wait for %q on the console of %s: %w", text, r.machine.Name, err)
		}
		last = append(last, chunk...)
		if bytes.Contains(last, []byte(text)) {
			return nil
		}
		last = last[max(0, len(last)-len(text)):]
	}
	return fmt.Errorf("wait for %q on the console: %w", text, &EndedError{r.machine.Name, r.end})
}

// output gives what the serial log gets, from this start on, until the machine has ended and all is read.
func (r *Running) output(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		f, err := os.Open(r.SerialLog())
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close() //nolint:errcheck // it is only read
		if _, err := f.Seek(r.console, io.SeekStart); err != nil {
			yield(nil, err)
			return
		}
		r.follow(ctx, f, yield)
	}
}

func (r *Running) follow(ctx context.Context, f *os.File, yield func([]byte, error) bool) {
	buffer := make([]byte, 32<<10)
	for {
		over := r.over() // looked at before reading: what was written until then is read
		n, err := f.Read(buffer)
		if n > 0 {
			if !yield(buffer[:n], nil) {
				return
			}
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			yield(nil, err)
			return
		}
		if over {
			return
		}
		select {
		case <-time.After(consoleEvery):
		case <-r.ended:
		case <-ctx.Done():
			yield(nil, context.Cause(ctx))
			return
		}
	}
}

// consoleEvery is how often the serial log is looked at.
const consoleEvery = 50 * time.Millisecond

func (r *Running) over() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}
