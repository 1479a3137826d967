// Package nix wraps the nix programs as typed calls: evaluation of a file, building, copying to a host, the version. It knows their flags, their
// messages and how these differ between Nix 2.8 and today's; it knows nothing about hives.
package nix

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"nixos-staged-hive/internal/run"
)

// Client runs the nix programs through Run, on this machine or another.
type Client struct {
	Run run.Runner
}

// Evaluation is one run of nix-instantiate --eval on a file. The value itself is printed as JSON, in full.
type Evaluation struct {
	File       string            // absolute path of the Nix file
	Args       map[string]string // arguments of the file's function, always strings
	SearchPath map[string]string // what <name> means; the ambient NIX_PATH is never used
	// ReadWrite lets the evaluation build what it imports (import from derivation) and copy paths into the store. Without
	// it nothing is written.
	ReadWrite bool
	ShowTrace bool
	HeapBytes int64             // initial heap of the evaluator's garbage collector; 0 is its own default
	HeapLimit int64             // largest heap: beyond it evaluation fails as out of memory; 0 is none
	Line      func(line string) // called with each line of stderr, as it comes, without colour codes
	// Evaluated is called with the path of each Nix file that is evaluated, once for each; nil does not ask for them. They
	// are no lines. File itself is not among them.
	Evaluated func(file string)
}

// Install tells how to get the nix programs.
const Install = "install Nix: `apt-get install nix-bin`, your distribution's package, or see nixos.org/download"

// Evaluate runs e and returns the JSON it printed.
//
// A failed evaluation is an *EvalError. The document is looked at only after success: Nix prints half of one when it fails.
func (c Client) Evaluate(ctx context.Context, e Evaluation) ([]byte, error) {
	var lines errorLines
	stderr := &lineWriter{line: func(l string) {
		if file, ok := evaluated(l); ok && e.Evaluated != nil {
			e.Evaluated(file)
			return
		}
		lines.add(l)
		if e.Line != nil {
			e.Line(l)
		}
	}}
	out, err := run.Output(ctx, c.Run, e.command(stderr))
	stderr.flush()
	if err == nil {
		return out, nil
	}
	if missing, ok := asMissing(err); ok {
		return nil, missing
	}
	if ctx.Err() != nil {
		return nil, err
	}
	return nil, parseError(lines.text(), err)
}

// evaluated reads the line that Nix prints at verbosity 1 (2.8 to 2.34: evaluating file '/path').
func evaluated(line string) (file string, ok bool) {
	rest, ok := strings.CutPrefix(line, "evaluating file '")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, "'")
}

// grace is short because nothing is lost with an evaluation that writes nothing, and Nix (2.8) does not look for Ctrl-C while it
// computes a long value.
const grace = 300 * time.Millisecond

func (e Evaluation) command(stderr io.Writer) run.Command {
	args := []string{"--eval", "--strict", "--json", "--no-gc-warning"}
	if e.ReadWrite {
		args = append(args, "--read-write-mode")
	} else {
		args = append(args, "--readonly-mode")
	}
	if e.Evaluated != nil {
		args = append(args, "-v")
	}
	if e.ShowTrace {
		args = append(args, "--show-trace")
	}
	args = append(args, e.File)
	for _, k := range slices.Sorted(maps.Keys(e.Args)) {
		args = append(args, "--argstr", k, e.Args[k])
	}
	c := run.Command{Name: "nix-instantiate", Args: args, Env: e.environment(), Stderr: stderr}
	if !e.ReadWrite {
		c.Grace = grace
	}
	return c
}

func (e Evaluation) environment() []string {
	var path []string
	for _, k := range slices.Sorted(maps.Keys(e.SearchPath)) {
		path = append(path, k+"="+e.SearchPath[k])
	}
	env := []string{"NIX_PATH=" + strings.Join(path, ":")}
	if e.HeapBytes > 0 {
		env = append(env, "GC_INITIAL_HEAP_SIZE="+strconv.FormatInt(e.HeapBytes, 10))
	}
	if e.HeapLimit > 0 {
		env = append(env, "GC_MAXIMUM_HEAP_SIZE="+strconv.FormatInt(e.HeapLimit, 10))
	}
	return env
}

// version finds the number in `nix-instantiate (Nix) 2.8.0` and in `nix (Determinate Nix 3.6.2) 2.29.0`: the last word.
var version = regexp.MustCompile(`([0-9]+\.[0-9]+(?:\.[0-9]+)?)\S*\s*$`)

// Version is the number of the installed Nix, for example 2.8.0.
func (c Client) Version(ctx context.Context) (string, error) {
	out, err := run.Output(ctx, c.Run, run.Command{Name: "nix-instantiate", Args: []string{"--version"}})
	if err != nil {
		if missing, ok := asMissing(err); ok {
			return "", missing
		}
		return "", fmt.Errorf("ask Nix for its version: %w", err)
	}
	m := version.FindSubmatch(bytes.TrimSpace(out))
	if m == nil {
		return "", fmt.Errorf("ask Nix for its version: %q has no number", strings.TrimSpace(string(out)))
	}
	return string(m[1]), nil
}
