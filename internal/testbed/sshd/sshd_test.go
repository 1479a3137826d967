package sshd

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"nixos-staged-hive/internal/testbed/need"
)

// login is an ssh command that knows the server's key.
func login(t *testing.T, s *Server, port int, words ...string) *exec.Cmd {
	t.Helper()
	known := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(known, []byte("server "+s.HostKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{
		"-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "HostKeyAlias=server", "-o", "UserKnownHostsFile=" + known,
		"-o", "StrictHostKeyChecking=yes", "-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2", "-o", "ConnectTimeout=2",
		"-i", s.Identity, "-p", strconv.Itoa(port), s.User + "@" + s.Address, "--",
	}
	return exec.Command(need.Program(t, "ssh"), append(args, words...)...)
}

func TestALoginRunsACommandWithTheEnvironment(t *testing.T) {
	t.Parallel()
	s := Start(t, Options{Environment: map[string]string{"GREETING": "good day"}})
	out, err := login(t, s, s.Port, "echo $GREETING; exit 3").CombinedOutput()
	if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != 3 || string(out) != "good day\n" {
		t.Errorf("%q, %v\n%s", out, err, s.Log())
	}
	if !strings.Contains(s.Log(), "Accepted publickey for "+s.User) {
		t.Errorf("log %s", s.Log())
	}
}

func TestAClosedServerRefusesAndAnOpenedOneIsTheSame(t *testing.T) {
	t.Parallel()
	s := Start(t, Options{})
	s.Close()
	if out, err := login(t, s, s.Port, "true").CombinedOutput(); err == nil || !strings.Contains(string(out), "refused") {
		t.Errorf("closed: %s, %v", out, err)
	}
	s.Open()
	if out, err := login(t, s, s.Port, "true").CombinedOutput(); err != nil {
		t.Errorf("opened: %s, %v", out, err)
	}
}

func TestOtherKeysAreNotLetInAndAnotherHostKeyIsNoticed(t *testing.T) {
	t.Parallel()
	s := Start(t, Options{})
	s.Authorize()
	if out, err := login(t, s, s.Port, "true").CombinedOutput(); err == nil || !strings.Contains(string(out), "Permission denied") {
		t.Errorf("nobody is authorized: %s, %v", out, err)
	}
	cmd := login(t, s, s.Port, "true")
	s.ChangeHostKey()
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "HAS CHANGED") {
		t.Errorf("another host key: %s, %v", out, err)
	}
}

// session starts `cat` behind a connection and waits until it answers.
func session(t *testing.T, s *Server, port int) (in io.WriteCloser, answers func() bool, end func() error) {
	t.Helper()
	cmd := login(t, s, port, "cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	answers = func() bool {
		if _, err := in.Write([]byte("x")); err != nil {
			return false
		}
		n, _ := out.Read(make([]byte, 1))
		return n == 1
	}
	if !answers() {
		t.Fatalf("no session: %s", s.Log())
	}
	return in, answers, cmd.Wait
}

func TestCutEndsSessionsAndNotTheServer(t *testing.T) {
	t.Parallel()
	s := Start(t, Options{})
	_, _, end := session(t, s, s.Port)
	if s.Sessions() != 1 {
		t.Errorf("%d sessions", s.Sessions())
	}
	s.Cut()
	if err := end(); err == nil {
		t.Error("the client has not noticed")
	}
	if out, err := login(t, s, s.Port, "true").CombinedOutput(); err != nil {
		t.Errorf("%s, %v", out, err)
	}
}

func TestAPausedServerIsSilent(t *testing.T) {
	t.Parallel()
	s := Start(t, Options{})
	_, _, end := session(t, s, s.Port)
	s.Pause()
	if err := end(); err == nil {
		t.Error("keep-alives of the client were answered")
	}
	out, err := login(t, s, s.Port, "true").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "timed out") {
		t.Errorf("%s, %v", out, err)
	}
	s.Resume()
	if out, err := login(t, s, s.Port, "true").CombinedOutput(); err != nil {
		t.Errorf("resumed: %s, %v", out, err)
	}
}

func TestNothingOutlivesTheTest(t *testing.T) {
	t.Parallel()
	var dir, mark string
	pid := filepath.Join(t.TempDir(), "pid")
	t.Run("inner", func(t *testing.T) {
		s := Start(t, Options{})
		dir, mark = s.dir, s.mark
		out, err := login(t, s, s.Port, "setsid sleep 1000 >/dev/null 2>&1 </dev/null & echo $! >"+pid).CombinedOutput()
		if err != nil {
			t.Fatalf("%s, %v", out, err)
		}
		_, _, _ = session(t, s, s.Port)
		if len(marked(mark)) < 2 {
			t.Errorf("processes %v", marked(mark))
		}
	})
	if left := marked(mark); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("folder %s: %v", dir, err)
	}
}

func TestACableCarriesStallsAndDrops(t *testing.T) {
	t.Parallel()
	s := Start(t, Options{})
	c := NewCable(t, s.Address, s.Port)
	payload := bytes.Repeat([]byte("0123456789abcdef"), 1<<15)
	cmd := login(t, s, c.Port, "cat")
	cmd.Stdin = bytes.NewReader(payload)
	out, err := cmd.Output()
	if err != nil || !bytes.Equal(out, payload) || c.Carried() < int64(2*len(payload)) {
		t.Fatalf("%d bytes came back, %d carried, %v", len(out), c.Carried(), err)
	}

	_, answers, _ := session(t, s, c.Port)
	c.Stall()
	answered := make(chan bool, 1)
	go func() { answered <- answers() }()
	select {
	case <-answered:
		t.Error("an answer through a stalled cable")
	case <-time.After(200 * time.Millisecond):
	}
	c.Resume()
	if !<-answered {
		t.Error("no answer after the cable was mended")
	}

	_, _, end := session(t, s, c.Port)
	c.Drop()
	if err := end(); err == nil {
		t.Error("the client has not noticed the reset")
	}
}

func TestACableIsCutAfterSoManyBytes(t *testing.T) {
	t.Parallel()
	s := Start(t, Options{})
	c := NewCable(t, s.Address, s.Port)
	c.CutAfter(100_000)
	c.Limit(1_000_000)
	cmd := login(t, s, c.Port, "cat")
	cmd.Stdin = bytes.NewReader(make([]byte, 1<<20))
	if _, err := cmd.Output(); err == nil {
		t.Error("all of it went through")
	}
	if got := c.Carried(); got > 100_000 || got < 50_000 {
		t.Errorf("%d bytes went through", got)
	}
}
