package hosts

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/run"
)

// Host is a machine of a Lab. It is a run.Runner: commands run as root inside of it, past its sshd, with nothing of the test's own
// environment.
type Host struct {
	Name  string
	Addr  netip.Addr
	Suite Suite
	Link  *Link // nil for the controller

	lab     *Lab
	spec    Spec
	lower   string   // the suite's root
	disk    string   // the folder with the machine's own files
	network *os.File // its network namespace, which outlives a reboot
	share   []string
	key     string // public host key, as in known_hosts

	mu     sync.Mutex
	lives  []*life // the last one is the current one. All are kept until the end: somebody may be about to enter an old one
	closed bool
	made   bool // its own files are written
}

// life is the time from one boot to the end of all processes.
type life struct {
	pidfd int // of the first process
	ended chan struct{}
}

// HostKey is the public host key, "ssh-ed25519 AAAA...", the only one the host has.
func (h *Host) HostKey() string { return h.key }

// Run runs a command as root on the host, with HOME=/root, an ordinary PATH, and Env on top. Errors are those of run.Local.
func (h *Host) Run(ctx context.Context, c run.Command) error {
	wrapped := c
	wrapped.Name = "/usr/bin/env"
	wrapped.Args = append(append(append([]string{"-i"}, h.environment()...), c.Env...), append([]string{c.Name}, c.Args...)...)
	wrapped.Env = nil
	err := h.inside(nil, func() error {
		if !found(c.Name) {
			return &run.MissingError{Program: c.Name}
		}
		return run.Local{}.Run(ctx, wrapped)
	})
	if failed, ok := errors.AsType[*run.Error](err); ok {
		failed.Command = c
	}
	return err
}

func (h *Host) environment() []string {
	env := []string{"PATH=" + searchPath, "HOME=/root", "USER=root", "LC_ALL=C.UTF-8", "TERM=dumb"}
	if h == h.lab.Controller {
		env = append(env, "NIX_REMOTE=local")
	}
	return env
}

// found looks a program up as env will, on the thread that is in the host.
func found(name string) bool {
	if strings.Contains(name, "/") {
		_, err := exec.LookPath(name)
		return err == nil
	}
	for _, dir := range filepath.SplitList(searchPath) {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// Try runs a shell script (bash) as root on the host and gives its stdout without the last line break. A failure is a *run.Error with exit code
// and stderr.
func (h *Host) Try(t testing.TB, script string) (string, error) {
	t.Helper()
	ctx, cancel := patient(t)
	defer cancel()
	out, err := run.Output(ctx, h, run.Command{Name: "bash", Args: []string{"-c", script}})
	return strings.TrimSuffix(string(out), "\n"), err
}

// Sh is Try for what must succeed.
func (h *Host) Sh(t testing.TB, script string) string {
	t.Helper()
	out, err := h.Try(t, script)
	if err != nil {
		t.Errorf("on %s: %v\nscript: %s\nstdout: %s%s", h.Name, err, script, out, stderrOf(err))
	}
	return out
}

func stderrOf(err error) string {
	if failed, ok := errors.AsType[*run.Error](err); ok && len(failed.Stderr) > 0 {
		return "\nstderr: " + string(failed.Stderr)
	}
	return ""
}

// patient is for calls that should take no time: a host that hangs shall not hold a test for ever. It outlives the test's own context,
// because clean-ups look at hosts too.
func patient(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Minute)
}

// ReadFile gives a file of the host. Symlinks are the host's own.
func (h *Host) ReadFile(t testing.TB, path string) string {
	t.Helper()
	var text []byte
	if err := h.inside(nil, func() (err error) { text, err = os.ReadFile(path); return err }); err != nil {
		t.Errorf("on %s: %v", h.Name, err)
	}
	return string(text)
}

// WriteFile writes a file as root, with its folders.
func (h *Host) WriteFile(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := h.inside(nil, func() error { return writeFile(path, text, mode) }); err != nil {
		t.Errorf("on %s: %v", h.Name, err)
	}
}

// writeFile holds off forks meanwhile: a child that is between fork and exec holds all our files, and the kernel runs no script or
// program that somebody has open for writing ("text file busy").
func writeFile(path, text string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// Exists tells whether there is something at path, be it a symlink to nowhere.
func (h *Host) Exists(t testing.TB, path string) bool {
	t.Helper()
	there := false
	err := h.inside(nil, func() error {
		_, err := os.Lstat(path)
		there = err == nil
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Errorf("on %s: %v", h.Name, err)
	}
	return there
}

// Boots counts how often the host was started, at first 1.
func (h *Host) Boots() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.lives)
}

// Alive tells whether the host runs.
func (h *Host) Alive() bool {
	_, err := h.current()
	return err == nil
}

// Kill ends all processes at once, as when the power fails: nothing in memory is saved, the disk keeps what it has. The link stays
// as it is.
func (h *Host) Kill(t testing.TB) {
	t.Helper()
	if err := h.kill(); err != nil {
		t.Errorf("kill %s: %v", h.Name, err)
	}
}

// Boot starts a host that is off and waits until it is reachable from inside: what sshd and the nix-daemon need is there.
func (h *Host) Boot(t testing.TB) {
	t.Helper()
	if err := h.start(); err != nil {
		t.Errorf("%v", err)
		return
	}
	h.Await(t, h.Boots())
}

// Reboot is Kill and Boot. A host that reboots itself (`systemctl reboot`) comes up again by itself, see Await; `poweroff` leaves it off.
func (h *Host) Reboot(t testing.TB) {
	t.Helper()
	h.Kill(t)
	h.Boot(t)
}

// Await waits until the host has started for the n-th time at least and is ready.
func (h *Host) Await(t testing.TB, n int) {
	t.Helper()
	ctx, cancel := patient(t)
	defer cancel()
	for h.Boots() < n {
		if err := pause(ctx); err != nil {
			t.Errorf("%s did not start again: %v", h.Name, err)
			return
		}
	}
	if err := h.await(ctx); err != nil {
		t.Errorf("%v", err)
	}
}

// AwaitOff waits until a host that was told to power off has done so.
func (h *Host) AwaitOff(t testing.TB) {
	t.Helper()
	ctx, cancel := patient(t)
	defer cancel()
	for h.Alive() {
		if err := pause(ctx); err != nil {
			t.Errorf("%s stays on: %v", h.Name, err)
			return
		}
	}
}

// KillSSHD kills sshd and every session. What the sessions started lives on; sshd is started again by systemd or init within a second.
func (h *Host) KillSSHD(t testing.TB) {
	t.Helper()
	h.Sh(t, "pkill -KILL '^sshd'")
}

// RestartNix makes the nix-daemon read nix.conf again.
func (h *Host) RestartNix(t testing.TB) {
	t.Helper()
	h.Sh(t, "rm -f /nix/var/nix/daemon-socket/socket; pkill -KILL -o -x nix-daemon; "+awaitSocket)
}

const awaitSocket = "until [ -S /nix/var/nix/daemon-socket/socket ]; do sleep 0.05; done"

// await waits until the host's services are up.
func (h *Host) await(ctx context.Context) error {
	script := awaitSocket + "; until ss -Hltn 'sport = :22' | grep -q .; do sleep 0.05; done"
	if h.spec.Systemd {
		script += "; until systemctl is-system-running | grep -qE 'running|degraded'; do sleep 0.05; done"
	}
	if h == h.lab.Controller {
		script = "until [ -d /sys/class/net/br0 ]; do sleep 0.02; done"
	}
	for {
		err := h.Run(ctx, run.Command{Name: "bash", Args: []string{"-c", script}, Grace: time.Second})
		if err == nil {
			return nil
		}
		// The namespaces are there a moment before /proc is, and a host that boots itself again is off for a moment.
		if ctx.Err() != nil || pause(ctx) != nil {
			return fmt.Errorf("%s does not get ready: %w\n%s", h.Name, err, h.lastWords(context.WithoutCancel(ctx)))
		}
	}
}

// lastWords are the ends of the host's logs.
func (h *Host) lastWords(ctx context.Context) string {
	console, err := os.ReadFile(h.consoleFile())
	text := tail(string(console), 10)
	if err != nil {
		text = err.Error()
	}
	script := "tail -n 15 /var/log/nix-daemon.log /var/log/sshd.log"
	if h.spec.Systemd {
		script = "journalctl -n 40 --no-pager"
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	logs, err := run.Output(ctx, h, run.Command{Name: "bash", Args: []string{"-c", script}, Grace: time.Second})
	if err != nil {
		text += "\n" + err.Error()
	}
	return text + "\n" + string(logs)
}

// inside runs f on a thread that is in the host's namespaces, with the host's root and working folder. network may name another network
// namespace.
func (h *Host) inside(network *os.File, f func() error) error {
	l, err := h.current()
	if err != nil {
		return err
	}
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("leave the shared working folder: %w", err)
		}
		const all = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP
		if err := unix.Setns(l.pidfd, all); err != nil {
			return fmt.Errorf("enter %s: %w", h.Name, err)
		}
		if network != nil {
			if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter the network of %s: %w", network.Name(), err)
			}
		}
		return f()
	})
}

func (h *Host) current() (*life, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.lives) > 0 {
		last := h.lives[len(h.lives)-1]
		select {
		case <-last.ended:
		default:
			return last, nil
		}
	}
	return nil, fmt.Errorf("%s is off", h.Name)
}
