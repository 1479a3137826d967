package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"nixos-staged-hive/internal/run"
)

// gate stands before a command that sudo starts on a host. What goes to the command's stdin is held back until sudo has let it through;
// the password is sent only if sudo asks for it, and once. So it cannot reach the command, whether sudo asks or not, and nothing of the
// command's input can be taken for a password.
//
// It works by two words that nobody can guess, on stderr: sudo's prompt, and the mark that the shell which sudo starts prints first. That
// shell drops all that comes before a line with the mark, as a second wall, and then becomes the command.
type gate struct {
	sudo   Sudo
	stdin  io.Reader // the command's; nil is none
	stderr io.Writer // the command's; nil drops it
	early  io.Writer // gets what is on stderr before the command is; nil drops it

	prompt, mark []byte
	to           *os.File // the other end is the stdin of ssh
	from         *os.File
	timer        *time.Timer // ends a sudo that asks for something else
	answers      sync.WaitGroup
	copied       chan struct{} // closed when stdin has been passed on

	held []byte // may be the beginning of a prompt or a mark

	mu    sync.Mutex
	asked int    // how often sudo has asked
	seen  int    // marks
	said  []byte // what was on stderr before the first mark, without prompts
	err   error  // why there was no password
	told  bool
	quiet bool // stdin is to stay open and empty, so that the host notices the end of the connection
}

// sudoPatience is how long sudo may take to ask or to start the command. Name services that do not answer delay it by up to 30 s.
const sudoPatience = time.Minute

// saidLimit bounds what is kept of sudo's words, in bytes.
const saidLimit = 16 << 10

func newGate(s Sudo, stdin io.Reader, stderr io.Writer) (*gate, error) {
	from, to, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	return &gate{
		sudo: s, stdin: stdin, stderr: stderr, from: from, to: to, copied: make(chan struct{}),
		prompt: word(), mark: word(),
	}, nil
}

// word ends with what no other word begins with: whoever looks for one of these must not hold back the end of ours, since nothing may
// follow it until we have answered.
func word() []byte { return []byte(rand.Text() + rand.Text() + ".") }

// words are sudo's command line up to the command. more are options of sudo, such as -H.
func (g *gate) words(more ...string) []string {
	words := []string{"sudo", "-S", "-p", string(g.prompt)}
	if g.sudo.Mode == SudoFree {
		words = []string{"sudo", "-n"}
	}
	return append(append(words, more...), "--")
}

// run starts the command by start, which gets stdin and stderr for it, and waits for its end.
func (g *gate) run(ctx context.Context, start func(stdin *os.File, stderr io.Writer) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g.timer = time.AfterFunc(sudoPatience, func() { g.shut() })
	w := &gateWriter{g, ctx}
	err := start(g.from, w)
	g.timer.Stop()
	cancel()
	g.answers.Wait()
	g.shut()
	_ = g.from.Close()
	g.await()
	return errors.Join(err, g.flush())
}

// await waits for the copy of the input as os/exec does: not for a file, which may be a terminal that nobody types at.
func (g *gate) await() {
	_, file := g.stdin.(*os.File)
	if g.opened() && g.stdin != nil && !file {
		<-g.copied
	}
}

func (g *gate) opened() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen > 0
}

// shut ends what sudo or the command reads.
func (g *gate) shut() { _ = g.to.Close() }

type gateWriter struct {
	gate *gate
	ctx  context.Context //nolint:containedctx // that of one run
}

// Write looks for prompts and marks in the stream, and passes on what comes after the first mark.
func (w *gateWriter) Write(p []byte) (int, error) {
	g := w.gate
	b := append(g.held, p...)
	g.held = nil
	for {
		i, word := first(b, g.prompt, g.mark)
		if i < 0 {
			break
		}
		if err := g.pass(b[:i]); err != nil {
			return 0, err
		}
		g.event(w.ctx, bytes.Equal(word, g.mark))
		b = b[i+len(word):]
	}
	keep := max(beginning(b, g.prompt), beginning(b, g.mark))
	g.held = append(g.held, b[len(b)-keep:]...)
	if err := g.pass(b[:len(b)-keep]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// first finds the word that comes first.
func first(b []byte, words ...[]byte) (at int, word []byte) {
	at = -1
	for _, w := range words {
		if i := bytes.Index(b, w); i >= 0 && (at < 0 || i < at) {
			at, word = i, w
		}
	}
	return at, word
}

func (g *gate) pass(b []byte) error {
	g.mu.Lock()
	through := g.seen > 0
	if !through && len(g.said)+len(b) <= saidLimit {
		g.said = append(g.said, b...)
	}
	g.mu.Unlock()
	to := g.early
	if through {
		to = g.stderr
	}
	if to == nil || len(b) == 0 {
		return nil
	}
	if _, err := to.Write(b); err != nil {
		return fmt.Errorf("pass on stderr: %w", err)
	}
	return nil
}

func (g *gate) flush() error {
	rest := g.held
	g.held = nil
	return g.pass(rest)
}

// event is a prompt or a mark. After the first mark a prompt is only what a program says.
func (g *gate) event(ctx context.Context, mark bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case mark:
		g.seen++
		if g.seen == 1 {
			g.timer.Stop()
			g.tell(nil)
			go g.open()
		}
	case g.seen > 0:
	case g.asked == 0:
		g.asked = 1
		g.timer.Stop()
		g.answers.Go(func() { g.answer(ctx) })
	default: // it was wrong; the next line would be tried too
		g.asked++
		g.shut()
	}
}

// answer sends the password.
func (g *gate) answer(ctx context.Context) {
	password, err := g.sudo.password(ctx)
	if err != nil {
		g.mu.Lock()
		g.err = err
		g.mu.Unlock()
		g.shut()
		return
	}
	_, _ = g.to.WriteString(password + "\n") // if sudo is gone, it says why
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.seen == 0 {
		g.timer.Reset(sudoPatience)
	}
}

// open lets the command's input through.
func (g *gate) open() {
	defer close(g.copied)
	if _, err := g.to.WriteString(string(g.mark) + "\n"); err != nil {
		return
	}
	if g.stdin != nil {
		_, _ = io.Copy(g.to, g.stdin) // a command need not read all of it
	}
	if !g.quiet {
		g.shut()
	}
}

// verdict says why the command was not started, if it was not, and tells the owner of the password.
func (g *gate) verdict(ctx context.Context, host, user string, failed error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.seen > 0 {
		return nil
	}
	if g.err != nil {
		return g.err
	}
	lost, isLost := errors.AsType[*ConnectionError](failed)
	if ctx.Err() != nil || failed == nil || isLost {
		g.tell(errors.Join(ctx.Err(), failed, errors.New("sudo did not say")))
		if isLost {
			return lost
		}
		return nil
	}
	refused := &SudoError{Host: host, User: user, Err: failed, Reason: SudoMissing}
	if !missing(failed) {
		refused.Reason, refused.Text = g.reason()
	}
	if refused.Reason == SudoForbidden {
		g.tell(nil)
	} else {
		g.tell(refused)
	}
	return refused
}

// tell tells the owner of the password once what came of it.
func (g *gate) tell(err error) {
	if g.asked > 0 && g.err == nil && !g.told && g.sudo.Told != nil {
		g.told = true
		g.sudo.Told(err)
	}
}

// own is what of a kept end of stderr is the command's.
func (g *gate) own(kept []byte) []byte {
	if _, after, found := bytes.Cut(kept, g.mark); found {
		kept = after
	}
	return bytes.ReplaceAll(bytes.ReplaceAll(kept, g.mark, nil), g.prompt, nil)
}

func missing(err error) bool {
	m, ok := errors.AsType[*run.MissingError](err)
	return ok && m.Program == "sudo"
}

func (g *gate) reason() (SudoReason, string) {
	reason, text := sudoReason(string(g.said))
	if reason == SudoFailed && g.asked > 1 || reason == SudoAsks && g.asked > 0 {
		reason = SudoWrongPassword
	}
	return reason, text
}

// sudoReason reads what sudo says in the C locale (1.8.31 to 1.9.16).
func sudoReason(said string) (SudoReason, string) {
	text := strings.TrimSpace(strings.ToValidUTF8(said, "\uFFFD"))
	for _, r := range []struct {
		words  string
		reason SudoReason
	}{
		{"not in the sudoers file", SudoForbidden},
		{"is not allowed to execute", SudoForbidden},
		{"may not run sudo", SudoForbidden},
		{"must have a tty", SudoNeedsTerminal},
		{"account is locked", SudoLocked},
		{"account or password is expired", SudoLocked},
		{"incorrect password attempt", SudoWrongPassword},
		{"sorry, try again", SudoWrongPassword},
		{"a password is required", SudoAsks},
		{"no password was provided", SudoAsks},
	} {
		if line := lineWith(text, r.words); line != "" {
			return r.reason, line
		}
	}
	return SudoFailed, text
}

func lineWith(text, words string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(strings.ToLower(line), words) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
