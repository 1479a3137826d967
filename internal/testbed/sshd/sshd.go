// Package sshd gives tests a real OpenSSH server on a loopback port, which logs in the user who runs the tests, and a cable to it that
// can be stalled, slowed and cut.
//
// The port is listened on here, and one sshd (-i) is started for each connection. So no port can be lost between choosing and using it,
// every connection can be reached by itself, and sshd's penalties for clients that fail to log in (OpenSSH 9.8), which are kept by its
// own listener, do not hit tests. Everything else is what sshd does: key exchange, login, sessions.
package sshd

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nixos-staged-hive/internal/testbed/need"
)

// Options change what a server does. The zero value lets the user log in with Server.Identity.
type Options struct {
	// Config has lines of sshd_config that come first, so that they win: "ForceCommand /bin/false", "Banner /path".
	Config []string
	// Environment is added to that of each session. A value must not hold a quotation mark or line break.
	Environment map[string]string
}

// Server is one server. Its methods may be called from several goroutines.
type Server struct {
	Address  string // IPv4, without port
	Port     int
	User     string // who can log in
	Identity string // path of the private key that is let in
	HostKey  string // public, as in an authorized_keys line: type and base64

	t      testing.TB
	dir    string
	sshd   string
	mark   string // in the environment of all that runs for this server
	events *log

	mu       sync.Mutex
	listener *net.TCPListener // nil while stopped
	sessions map[*exec.Cmd]bool
	paused   bool
	resumed  *sync.Cond
	serving  sync.WaitGroup
}

// Start starts a server that ends with the test, along with everything its sessions have started.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "sshd-") // t.TempDir has the test's name in it, and sshd_config is split at blanks
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{
		Address: "127.0.0.1", User: me.Username, Identity: filepath.Join(dir, "id"),
		t: t, dir: dir, sshd: program(t), mark: "STAGED_HIVE_SSHD=" + filepath.Base(dir), events: &log{}, sessions: map[*exec.Cmd]bool{},
	}
	s.resumed = sync.NewCond(&s.mu)
	t.Cleanup(s.clean)
	key(t, s.Identity)
	s.must(os.Rename(s.Identity+".pub", s.file("authorized_keys")))
	s.ChangeHostKey()
	s.must(os.WriteFile(s.file("config"), []byte(s.config(o)), 0o600))
	s.test()
	s.Open()
	return s
}

// program finds sshd, which is not on everyone's PATH.
func program(t testing.TB) string {
	t.Helper()
	for _, path := range []string{"/usr/sbin/sshd", "/usr/local/sbin/sshd"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return need.Program(t, "sshd")
}

func key(t testing.TB, path string) {
	t.Helper()
	out, err := exec.Command(need.Program(t, "ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) config(o Options) string {
	lines := slices.Clone(o.Config)
	// A name of its own for each variable, or one line for all: a second SetEnv is ignored.
	set := []string{s.mark}
	for k, v := range o.Environment {
		set = append(set, k+"="+v)
	}
	slices.Sort(set)
	setEnv := "SetEnv"
	for _, e := range set {
		setEnv += ` "` + e + `"`
	}
	return strings.Join(append(lines,
		setEnv,
		"HostKey "+s.file("host"),
		"AuthorizedKeysFile "+s.file("authorized_keys"),
		"PidFile none",
		"StrictModes no", // the folder is in one that others can write
		"UsePAM no",      // as an ordinary user it could not
		"PermitRootLogin prohibit-password",
		"PasswordAuthentication no",
		"KbdInteractiveAuthentication no",
		"PrintMotd no",
		"PrintLastLog no",
		"UseDNS no",
		"LogLevel VERBOSE",
	), "\n") + "\n"
}

var missingFolder = regexp.MustCompile(`Missing privilege separation directory: (\S+)`)

// test lets sshd judge its configuration, and makes the empty folder it wants when root runs it: where no sshd was ever started, the
// system has not made it yet. It stays, because other servers need it too.
func (s *Server) test() {
	s.t.Helper()
	for range 2 {
		out, err := exec.Command(s.sshd, "-t", "-f", s.file("config")).CombinedOutput()
		if err == nil {
			return
		}
		m := missingFolder.FindSubmatch(out)
		if m == nil {
			s.t.Fatalf("sshd -t: %v: %s", err, out)
		}
		s.must(os.MkdirAll(string(m[1]), 0o755))
	}
	s.t.Fatal("sshd does not take its privilege separation directory")
}

// ChangeHostKey gives the server a new host key, as a machine has that was installed anew. Connections from now on see it.
func (s *Server) ChangeHostKey() {
	s.t.Helper()
	fresh := s.file("host-new")
	key(s.t, fresh)
	public, err := os.ReadFile(fresh + ".pub")
	s.must(err)
	s.must(os.Rename(fresh, s.file("host")))
	s.must(os.Remove(fresh + ".pub"))
	words := strings.Fields(string(public))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.HostKey = words[0] + " " + words[1]
}

// Authorize replaces the keys that are let in. Without any, nobody is.
func (s *Server) Authorize(keys ...string) {
	s.t.Helper()
	s.must(os.WriteFile(s.file("authorized_keys"), []byte(strings.Join(keys, "\n")+"\n"), 0o600))
}

// Open listens, on the same port as before. It is open already after Start.
func (s *Server) Open() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return
	}
	at := net.TCPAddr{IP: net.ParseIP(s.Address), Port: s.Port}
	l, err := net.ListenTCP("tcp4", &at)
	s.must(err)
	s.listener, s.Port = l, l.Addr().(*net.TCPAddr).Port
	s.serving.Go(func() { s.serve(l) })
}

// Close stops listening: connections are refused. Sessions go on.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		_ = s.listener.Close() // closing is all that can be done with it
		s.listener = nil
	}
}

// Pause stops the server as a machine that hangs: connections are taken by the kernel, and nobody answers.
func (s *Server) Pause() { s.pause(true, syscall.SIGSTOP) }

// Resume ends a pause.
func (s *Server) Resume() { s.pause(false, syscall.SIGCONT) }

func (s *Server) pause(on bool, signal syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = on
	s.signal(signal)
	s.resumed.Broadcast()
}

// Cut kills the sshd of every session. Their clients see the connection closed; what the sessions had started goes on, as it does
// when sshd dies.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signal(syscall.SIGKILL)
}

// signal reaches the sshd of each connection with its helper, which is in the same process group, and not what the session started.
func (s *Server) signal(signal syscall.Signal) {
	for cmd := range s.sessions {
		_ = syscall.Kill(-cmd.Process.Pid, signal) // gone is fine
	}
}

// Sessions is the number of connections sshd serves at the moment.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Log is what sshd has said so far.
func (s *Server) Log() string { return s.events.String() }

func (s *Server) serve(l *net.TCPListener) {
	for {
		conn, err := l.AcceptTCP()
		if err != nil {
			return // closed
		}
		s.serving.Go(func() { s.session(conn) })
	}
}

func (s *Server) session(conn *net.TCPConn) {
	// The thread that starts sshd must live as long as sshd: a dead one means a dead parent to Pdeathsig.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	socket, err := conn.File()
	_ = conn.Close() // File is a copy
	if err != nil {
		return
	}
	cmd := exec.Command(s.sshd, "-i", "-e", "-f", s.file("config"))
	cmd.Env = append(os.Environ(), s.mark)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = socket, socket, s.events
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second // of what still holds its stderr
	if err := s.begin(cmd); err != nil {
		fmt.Fprintf(s.events, "start sshd: %v\n", err)
	}
	_ = socket.Close() // sshd has its own
	if cmd.Process != nil {
		_ = cmd.Wait() // how sshd ends is the test's business, and in the log
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, cmd)
}

// begin starts sshd, not before a pause has ended.
func (s *Server) begin(cmd *exec.Cmd) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.paused {
		s.resumed.Wait()
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.sessions[cmd] = true
	return nil
}

// clean ends all that runs for the server and removes its folder.
func (s *Server) clean() {
	s.Close()
	s.Resume()
	// What a session started has a process group of its own, and any of it may start more while it is looked for.
	for range 100 {
		s.Cut()
		left := marked(s.mark)
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if len(left) == 0 && s.Sessions() == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.serving.Wait()
	if left := marked(s.mark); len(left) > 0 {
		s.t.Errorf("processes %v of sshd are still there", left)
	}
	if s.t.Failed() {
		s.t.Logf("sshd said:\n%s", s.Log())
	}
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Errorf("remove sshd's folder: %v", err)
	}
}

// marked lists the processes with mark in their environment.
func marked(mark string) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		environment, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err == nil && slices.ContainsFunc(bytes.Split(environment, []byte{0}), func(v []byte) bool { return string(v) == mark }) && !dead(e.Name()) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func dead(pid string) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	return errors.Is(err, os.ErrNotExist) || bytes.Contains(stat, []byte(") Z "))
}

// log collects what several sshd say.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
