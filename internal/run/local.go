package run

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	// tailLimit is how much of stderr an Error keeps, in bytes.
	tailLimit = 64 << 10
	// defaultGrace is how long a program may take to end after it was asked to.
	defaultGrace = 10 * time.Second
	// interactiveGrace is how long an interactive program has to act on the terminal's own Ctrl-C before it is asked by us.
	interactiveGrace = time.Second
)

// Local runs programs on this machine. The zero value works and logs nothing.
//
// When the context ends, the program's whole process group gets SIGINT, as from Ctrl-C, and SIGKILL ten seconds later
// (Command.Grace). An interactive program gets Ctrl-C from the terminal itself; after a second it is sent SIGTERM in case the end of the context came from elsewhere.
type Local struct {
	Log *slog.Logger // each command line at level debug; nil logs nothing

	grace time.Duration // zero is defaultGrace; tests are less patient
}

// Run starts c, waits for it, and returns nil for exit status 0. See Runner for the errors.
func (l Local) Run(ctx context.Context, c Command) error {
	log := l.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if cause := context.Cause(ctx); cause != nil {
		return &Error{Command: c, ExitCode: -1, Err: cause}
	}
	path, err := exec.LookPath(c.Name)
	if err != nil {
		return lookupError(c, err)
	}
	if err := enterable(c.Dir); err != nil {
		return &Error{Command: c, ExitCode: -1, Err: err}
	}
	kept := &tail{limit: tailLimit}
	cmd := exec.CommandContext(ctx, path, c.Args...)
	cmd.Args[0] = c.Name // busybox-like programs go by it
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), c.Env...)
	connect(cmd, c, kept)
	stop := l.cancelBy(cmd, c)
	defer stop()

	start := time.Now()
	log.DebugContext(ctx, "run", "command", c.String())
	err = cmd.Run()
	log.DebugContext(ctx, "ran", "program", c.Name, "seconds", time.Since(start).Seconds(), "exit", exitCode(cmd))
	return finish(ctx, log, c, cmd, kept, err)
}

// lookupError tells a program that is not there from one that may not be run by this name (exec.ErrDot).
func lookupError(c Command, err error) error {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return &MissingError{Program: c.Name}
	}
	return &Error{Command: c, ExitCode: -1, Err: err}
}

// enterable checks the working directory itself: os/exec (Go 1.26) blames the program's path when it is the directory that is missing.
func enterable(dir string) error {
	if dir == "" {
		return nil
	}
	f, err := os.Stat(dir)
	if err == nil && !f.IsDir() {
		err = &os.PathError{Op: "chdir", Path: dir, Err: syscall.ENOTDIR}
	}
	return err
}

// connect wires the streams. An interactive program gets our own files directly: through a pipe it would not see a terminal.
func connect(cmd *exec.Cmd, c Command, kept *tail) {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	if !c.Interactive {
		cmd.Stderr = kept
		if c.Stderr != nil {
			cmd.Stderr = io.MultiWriter(kept, c.Stderr)
		}
		return
	}
	if c.Stdin == nil {
		cmd.Stdin = os.Stdin
	}
	if c.Stdout == nil {
		cmd.Stdout = os.Stdout
	}
	if c.Stderr == nil {
		cmd.Stderr = os.Stderr
	}
}

// cancelBy sets how cmd is ended when its context ends. The returned function releases what that needs.
func (l Local) cancelBy(cmd *exec.Cmd, c Command) (stop func()) {
	cmd.WaitDelay = cmp.Or(c.Grace, l.grace, defaultGrace)
	ended := make(chan struct{})
	stop = func() { close(ended) }
	if c.Interactive {
		cmd.Cancel = func() error {
			go signalLater(cmd.Process, ended)
			return nil
		}
		return stop
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return signalGroup(cmd.Process.Pid, syscall.SIGINT) }
	return stop
}

func signalLater(p *os.Process, ended <-chan struct{}) {
	select {
	case <-ended:
	case <-time.After(interactiveGrace):
		_ = p.Signal(syscall.SIGTERM) // already gone is fine
	}
}

// signalGroup maps "no such group" to what os/exec expects of a program that is already gone.
func signalGroup(pid int, s syscall.Signal) error {
	err := syscall.Kill(-pid, s)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	if err != nil {
		return fmt.Errorf("signal %s: %w", s, err)
	}
	return nil
}

// finish turns what os/exec reports into the errors of Runner.
func finish(ctx context.Context, log *slog.Logger, c Command, cmd *exec.Cmd, kept *tail, err error) error {
	if err == nil {
		return nil
	}
	lingering := errors.Is(err, exec.ErrWaitDelay)
	if cause := context.Cause(ctx); cause != nil {
		if !c.Interactive && cmd.Process != nil {
			// The program itself is gone by now; this ends what it left behind in its group, such as builders.
			_ = signalGroup(cmd.Process.Pid, syscall.SIGKILL)
		}
		err = fmt.Errorf("stopped: %w", cause)
	} else if lingering {
		// The program ended well, but something it started in the background (ssh's ControlPersist does) still holds its output.
		log.WarnContext(ctx, "output still held open by a background program", "program", c.Name)
		return nil
	}
	return &Error{Command: c, ExitCode: exitCode(cmd), Stderr: kept.masked(c.Secret), Err: err}
}

func exitCode(cmd *exec.Cmd) int {
	if cmd.ProcessState == nil {
		return -1
	}
	return cmd.ProcessState.ExitCode()
}

// tail is a writer that remembers the end of what was written.
type tail struct {
	limit int
	buf   []byte
	cut   bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*t.limit { // moved now and then, not on every write
		t.trim()
	}
	return len(p), nil
}

func (t *tail) trim() {
	if over := len(t.buf) - t.limit; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
		t.cut = true
	}
}

// masked gives the end of the text without secrets. A first line that was cut may hold the rest of one, so it is dropped when there
// are any.
func (t *tail) masked(secrets []string) []byte {
	t.trim()
	hide := newMask(secrets)
	if t.cut && len(hide.values) > 0 {
		_, t.buf, _ = bytes.Cut(t.buf, []byte("\n"))
	}
	return []byte(hide.text(string(t.buf)))
}
