package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"nixos-staged-hive/internal/run"
)

// Butler lets programs that call ssh by its name and cannot type a password, such as Colmena and nix-copy-closure, become root on hosts
// where sudo asks: first on their PATH is this program under the name ssh (see Shim), which passes calls on to the real ssh and asks the
// Butler over a socket when sudo asks. The password is in no argument, no variable and no file; only the owner of the folder reaches the
// socket.
type Butler struct {
	dir      string // holds ssh, the link to this program
	listener *net.UnixListener
	access   *Access
	sudo     func(host string) Sudo
	stop     context.CancelFunc
	visitors sync.WaitGroup
}

// Butler starts one. program is the path of this program, sudo gives for the name of a target how to become root there.
func (a *Access) Butler(ctx context.Context, program string, sudo func(host string) Sudo) (*Butler, error) {
	dir, err := os.MkdirTemp(a.dir, "shim-") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("answer sudo: %w", err)
	}
	b := &Butler{dir: dir, access: a, sudo: sudo}
	if err := b.open(program); err != nil {
		return nil, errors.Join(fmt.Errorf("answer sudo: %w", err), os.RemoveAll(dir))
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx)) // until Close
	b.stop = stop
	b.visitors.Go(func() { b.serve(ctx) })
	return b, nil
}

func (b *Butler) open(program string) error {
	if err := os.Symlink(program, filepath.Join(b.dir, "ssh")); err != nil {
		return err
	}
	return nearSocket(b.socket(), func(name string) (err error) {
		if b.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"}); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		b.listener.SetUnlinkOnClose(false) // it goes with its folder
		return os.Chmod(b.socket(), 0o600)
	})
}

func (b *Butler) socket() string { return filepath.Join(b.dir, "socket") }

// nearSocket gives a short name for a socket, as long as do runs: of its path the kernel takes 107 bytes (unix(7)).
func nearSocket(path string, do func(name string) error) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // only a way to the socket
	return do(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
}

// Runner runs programs on this machine with the Butler at their service.
func (b *Butler) Runner(local run.Runner, path string) run.Runner {
	return withButler{local, []string{"PATH=" + b.dir + string(filepath.ListSeparator) + path, shimVariable + "=" + b.socket()}}
}

type withButler struct {
	run.Runner
	env []string
}

// Run runs c with the shim on its PATH. c itself is looked up without it.
func (w withButler) Run(ctx context.Context, c run.Command) error {
	c.Env = append(w.env[:len(w.env):len(w.env)], c.Env...)
	return w.Runner.Run(ctx, c)
}

// Close ends it. Shims that still wait for a password go away empty-handed.
func (b *Butler) Close() error {
	b.stop()
	err := b.listener.Close()
	b.visitors.Wait()
	return errors.Join(err, os.RemoveAll(b.dir))
}

func (b *Butler) serve(ctx context.Context) {
	for {
		conn, err := b.listener.AcceptUnix()
		if err != nil {
			return // closed
		}
		b.visitors.Go(func() {
			defer conn.Close() //nolint:errcheck // the visitor is gone
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			b.receive(ctx, conn)
		})
	}
}

// receive answers one shim: it says where it is, gets the password, and says what came of it. One that goes away without a word has not
// found out.
func (b *Butler) receive(ctx context.Context, conn *net.UnixConn) {
	if !own(conn) {
		return
	}
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	var asked message
	if in.Decode(&asked) != nil {
		return
	}
	name, ok := b.access.nameOf(asked.Destination, asked.Port)
	if !ok {
		_ = out.Encode(message{Error: fmt.Sprintf("sudo asks for a password on %s, which is no host of the hive", asked.Destination)})
		return
	}
	s := b.sudo(name)
	password, err := s.password(ctx)
	if err != nil {
		_ = out.Encode(message{Error: err.Error()})
		return
	}
	told := errors.New("sudo did not say")
	var answer message
	if out.Encode(message{Password: password}) == nil && in.Decode(&answer) == nil {
		switch {
		case answer.Taken:
			told = nil
		case answer.Reason != "":
			told = &SudoError{Host: name, User: b.access.targets[name].User, Reason: answer.Reason}
		}
	}
	if s.Told != nil {
		s.Told(told)
	}
}

// own tells that the other side is a process of ours, or root's, who can do anything anyway.
func own(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var who *syscall.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		who, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	return err == nil && failed == nil && (who.Uid == 0 || int(who.Uid) == os.Geteuid())
}

// nameOf finds the target that ssh is called for, by [user@]host and perhaps a port.
func (a *Access) nameOf(destination, port string) (string, bool) {
	host := destination
	if i := strings.LastIndex(destination, "@"); i >= 0 {
		host = destination[i+1:]
	}
	if t, ok := a.targets[host]; ok && !a.shared[t.called()] {
		return host, true
	}
	for name, t := range a.targets {
		if t.called() != host && name != host {
			continue
		}
		number := t.Port
		if number == 0 {
			number = 22
		}
		if !a.shared[host] || port == strconv.Itoa(number) || port == "" && number == 22 {
			return name, true
		}
	}
	return "", false
}
