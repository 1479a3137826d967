package nix

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
)

// Copy is the copying of store paths, with all they need, to the store of a host. What is there already is not copied again, so that an
// interrupted copy goes on with the path it was at.
type Copy struct {
	Paths       []string // store paths
	To          string   // [USER@]HOST as ssh takes it, or the name of a Host in its configuration
	Environment []string // KEY=VALUE; NIX_SSHOPTS in it says how ssh is called
	Substitute  bool     // lets the host fetch from its own binary caches what it can
	Compress    bool     // for slow networks: gzip costs more time than it saves on a fast one
	Settings    map[string]string

	// Progress counts bytes where Nix tells them (2.26 does), else paths (2.8).
	Progress progress.Sink
	Task     string                    // of the events; empty is "copy"
	Host     string                    // of the events
	Log      func(source, line string) // as in Build; the source is always empty
}

// CopyError is a copy that did not succeed.
type CopyError struct {
	To      string
	Message string // Nix' own, in one line; Hint may know what to do
	Text    string // all that Nix and ssh said
	Err     error  // how the program ended
}

func (e *CopyError) Error() string { return "copy to " + e.To + ": " + e.Message }

// Unwrap gives the end of the program.
func (e *CopyError) Unwrap() error { return e.Err }

// Copy carries out c with nix-copy-closure, which needs no experimental feature in any version. The user on the host must be trusted by
// its Nix, or the paths be signed by a key that it trusts.
//
// A copy that fails is a *CopyError. Nix tells little about a connection that cannot be made: who wants to know why makes one itself.
func (c Client) Copy(ctx context.Context, copying Copy) error {
	if strings.HasPrefix(copying.To, "-") || copying.To == "" {
		return fmt.Errorf("copy to %q: no host", copying.To)
	}
	if len(copying.Paths) == 0 {
		return nil
	}
	log := newCopyLog(copying)
	begun := log.last
	begun.State = progress.Started
	copying.Progress.Send(begun)
	err := c.copy(ctx, copying, log)
	log.end(err)
	return err
}

func (c Client) copy(ctx context.Context, copying Copy, log *copyLog) error {
	command := copying.command()
	stderr := &lineWriter{line: log.line}
	command.Stderr = stderr
	err := c.Run.Run(ctx, command)
	stderr.flush()
	if err == nil {
		return nil
	}
	if missing, ok := asMissing(err); ok {
		return missing
	}
	if ctx.Err() != nil {
		return fmt.Errorf("copy to %s: %w", copying.To, context.Cause(ctx))
	}
	text := log.messages.text()
	return &CopyError{To: copying.To, Message: firstLine(parseError(text, err).Message), Text: text, Err: err}
}

func (c Copy) command() run.Command {
	args := append([]string{"--log-format", "internal-json"}, settings(c.Settings)...)
	if c.Substitute {
		args = append(args, "--use-substitutes")
	}
	if c.Compress {
		args = append(args, "--gzip")
	}
	args = append(append(args, "--to", c.To), c.Paths...)
	return run.Command{Name: "nix-copy-closure", Args: args, Env: c.Environment}
}

// copyLog reads the log of a copy.
type copyLog struct {
	sink     progress.Sink
	last     progress.Event
	log      func(source, line string)
	messages errorLines
	paths    *meter // of single paths, in bytes
	expected int64  // paths
	copied   int64
}

func newCopyLog(c Copy) *copyLog {
	l := &copyLog{
		sink: c.Progress, last: progress.Event{Task: "copy", Host: c.Host, State: progress.Running}, log: c.Log,
		paths: newMeter(),
	}
	if c.Task != "" {
		l.last.Task = c.Task
	}
	if l.log == nil {
		l.log = func(string, string) {}
	}
	return l
}

func (l *copyLog) line(text string) {
	e, ok := parseEntry(text)
	switch {
	case !ok:
		l.messages.add(text)
		l.log("", text)
	case e.Action == "start":
		l.start(e)
	case e.Action == "stop":
		if l.paths.stop(e.ID) {
			l.copied++
			l.show(l.last.Text)
		}
	case e.Action == "result" && e.Type == resultProgress && l.paths.move(e.ID, moved{e.number(0), e.number(1)}):
		l.show(l.last.Text)
	case e.Action == "result" && e.Type == resultSetExpected && e.number(0) == activityCopyPath:
		l.paths.expected[e.ID] = e.number(1)
	case e.Action == "msg":
		l.message(e)
	}
}

var copyingPaths = regexp.MustCompile(`^copying (\d+) paths`)

func (l *copyLog) start(e entry) {
	switch e.Type {
	case activityCopyPaths:
		if m := copyingPaths.FindStringSubmatch(e.Text); m != nil {
			l.expected, _ = strconv.ParseInt(m[1], 10, 32) // digits; what does not fit is the largest that does
		}
		l.show("")
	case activityCopyPath:
		l.paths.start(e.ID)
		l.show(Name(e.word()))
	}
}

// show counts bytes as soon as Nix has said how many it expects.
func (l *copyLog) show(text string) {
	next := l.last
	next.Text = firstLine(text)
	if len(l.paths.expected) > 0 {
		sum := l.paths.sum()
		next.Done, next.Total = sum.done, sum.total
	} else {
		next.Done, next.Total = l.copied, max(l.expected, l.copied)
	}
	if next != l.last {
		l.last = next
		l.sink.Send(next)
	}
}

func (l *copyLog) message(e entry) {
	text := e.message()
	if e.Level > levelInfo || strings.TrimSpace(text) == "" {
		return
	}
	l.log("", text)
	if e.Level == levelError {
		text = "error: " + text
	}
	l.messages.add(text)
}

func (l *copyLog) end(err error) {
	last := l.last
	last.State, last.Text, last.Err = progress.Done, "", err
	if err != nil {
		last.State = progress.Failed
	}
	l.sink.Send(last)
}

// StorePath is a path in the store and its size there.
type StorePath struct {
	Path  string
	Bytes int64 // as an archive (NAR), which is what is copied, uncompressed; on disk it is somewhat more or, deduplicated, less
}

// Closure gives paths and all that they need at run time, each once and behind what it needs itself. All must be in the store.
func (c Client) Closure(ctx context.Context, paths ...string) ([]StorePath, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	names, err := c.query(ctx, "--requisites", paths)
	if err != nil {
		return nil, err
	}
	closure := make([]StorePath, 0, len(names))
	for some := range slices.Chunk(names, 1000) { // a command line has an end
		sizes, err := c.query(ctx, "--size", some)
		if err != nil {
			return nil, err
		}
		if len(sizes) != len(some) {
			return nil, fmt.Errorf("ask the store: %d sizes for %d paths", len(sizes), len(some))
		}
		for i, path := range some {
			bytes, err := strconv.ParseInt(sizes[i], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("ask the store: size of %s: %w", Name(path), err)
			}
			closure = append(closure, StorePath{path, bytes})
		}
	}
	return closure, nil
}

// query gives the lines of nix-store --query.
func (c Client) query(ctx context.Context, what string, paths []string) ([]string, error) {
	args := append([]string{"--query", what}, paths...)
	out, err := run.Output(ctx, c.Run, run.Command{Name: "nix-store", Args: args})
	if missing, ok := asMissing(err); ok {
		return nil, missing
	}
	if err != nil {
		return nil, fmt.Errorf("ask the store: %w", err)
	}
	return lines(out), nil
}
