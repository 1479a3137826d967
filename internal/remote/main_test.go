package remote

import (
	"testing"
	"time"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
	"nixos-staged-hive/internal/testbed/sshd"
)

// target is how s is reached as "web1".
func target(s *sshd.Server) Target {
	return Target{
		Name: "web1", Address: s.Address, Port: s.Port, User: s.User,
		IdentityFiles: []string{s.Identity}, HostKeys: []string{s.HostKey},
	}
}

func open(t *testing.T, o Options, targets ...Target) *Access {
	t.Helper()
	need.Program(t, "ssh")
	a, err := Open(run.Local{}, targets, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// host is a server with access to it.
func host(t *testing.T) (*sshd.Server, *Access) {
	t.Helper()
	s := sshd.Start(t, sshd.Options{})
	return s, open(t, impatient(), target(s))
}

func impatient() Options { return Options{ConnectTimeout: 2 * time.Second, KeepAlive: time.Second} }

func sh(script string, args ...string) run.Command {
	return run.Command{Name: "sh", Args: append([]string{"-c", script, "sh"}, args...)}
}

// waitFor gives up after half a minute.
func waitFor(ok func() bool) bool {
	for range 1500 {
		if ok() {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}
