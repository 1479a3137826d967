package remote

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/sshd"
)

// reason runs a command that must fail to connect.
func reason(t *testing.T, a *Access, name string) *ConnectionError {
	t.Helper()
	err := a.Login(t.Context(), name)
	e, ok := errors.AsType[*ConnectionError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	if e.Started || e.Hint() == "" || !strings.HasPrefix(err.Error(), name+" (") {
		t.Errorf("got %+v: %v", e, err)
	}
	if failed, ok := errors.AsType[*run.Error](err); !ok || failed.ExitCode != -1 {
		t.Errorf("the run.Error within: %v", failed)
	}
	return e
}

func TestWhyAHostCannotBeReached(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		want   Reason
		change func(*sshd.Server, *Target)
	}{
		{"nobody listens", Refused, func(s *sshd.Server, _ *Target) { s.Close() }},
		{"the machine hangs", Timeout, func(s *sshd.Server, _ *Target) { s.Pause() }},
		{"no such name", Unresolved, func(_ *sshd.Server, t *Target) { t.Address = "no-such-name.invalid" }},
		{"a key that is not let in", Denied, func(s *sshd.Server, _ *Target) { s.Authorize() }},
		{"no such user", Denied, func(_ *sshd.Server, t *Target) { t.User = "nobody-of-this-name" }},
		{"another host key", HostKeyChanged, func(s *sshd.Server, _ *Target) { s.ChangeHostKey() }},
		{"no host key known", HostKeyUnknown, func(_ *sshd.Server, t *Target) { t.HostKeys = nil }},
		{"closed before the login", Lost, func(_ *sshd.Server, t *Target) { t.Options = map[string]string{"ProxyCommand": "exit 1"} }},
		{"an option ssh does not know", Unusable, func(_ *sshd.Server, t *Target) { t.Options = map[string]string{"NoSuchOption": "yes"} }},
		{"no common cipher", Unusable, func(_ *sshd.Server, t *Target) { t.Options = map[string]string{"Ciphers": "3des-cbc"} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := sshd.Start(t, sshd.Options{})
			to := target(s)
			c.change(s, &to)
			if e := reason(t, open(t, impatient(), to), "web1"); e.Reason != c.want {
				t.Errorf("got %q: %v", e.Reason, e)
			}
		})
	}
}

func TestWordsOfSSHAreSorted(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		reason Reason
		text   string
	}{
		"ssh: connect to host 10.0.0.9 port 22: No route to host\r\n":                              {Unreachable, "No route to host"},
		"ssh: connect to host fd00::9 port 22: Network is unreachable\n":                           {Unreachable, "Network is unreachable"},
		"Connection timed out during banner exchange\nConnection to 1.2.3.4 port 22 timed out\n":   {Timeout, "Connection timed out during banner exchange"},
		"admin@1.2.3.4: Permission denied (publickey,keyboard-interactive).\n":                     {Denied, "admin@1.2.3.4: Permission denied (publickey,keyboard-interactive)"},
		"Received disconnect from 1.2.3.4 port 22:2: Too many authentication failures\n":           {Denied, "Received disconnect from 1.2.3.4 port 22:2: Too many authentication failures"},
		"kex_exchange_identification: read: Connection reset by peer\nConnection reset by 1.2.3.4": {Lost, "Connection reset by 1.2.3.4"},
		"@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.\n": {
			HostKeyChanged, "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!",
		},
		"Unable to negotiate with 1.2.3.4 port 22: no matching host key type found. Their offer: ssh-rsa\n": {
			Unusable, "Unable to negotiate with 1.2.3.4 port 22: no matching host key type found. Their offer: ssh-rsa",
		},
		"": {Lost, ""},
	} {
		e := connectionError(Target{Name: "web1"}, &run.Error{Stderr: []byte(text)}, false)
		if e.Reason != want.reason || e.Text != want.text {
			t.Errorf("%q is %q: %q", text, e.Reason, e.Text)
		}
	}
	e := connectionError(Target{Name: "web1"}, &run.Error{Stderr: []byte("Permission denied (publickey).\nTimeout, server 1.2.3.4 not responding.\n")}, true)
	if e.Reason != Lost || e.Text != "Timeout, server 1.2.3.4 not responding" {
		t.Errorf("after the login: %q: %q", e.Reason, e.Text)
	}
}

func TestTheFirstKeyIsRememberedAndAnotherRefused(t *testing.T) {
	t.Parallel()
	s := sshd.Start(t, sshd.Options{})
	to := target(s)
	to.HostKeys, to.FirstContact = nil, AcceptNew
	o := impatient()
	o.KnownHosts = filepath.Join(t.TempDir(), "known hosts, 100%")
	a := open(t, o, to)
	if keys, err := a.Learned("web1"); err != nil || keys != nil {
		t.Errorf("before: %q, %v", keys, err)
	}
	if err := a.Login(t.Context(), "web1"); err != nil {
		t.Fatal(err)
	}
	if keys, err := a.Learned("web1"); err != nil || !slices.Equal(keys, []string{s.HostKey}) {
		t.Errorf("learned %q, %v", keys, err)
	}
	s.ChangeHostKey()
	if e := reason(t, open(t, o, to), "web1"); e.Reason != HostKeyChanged {
		t.Errorf("another key: %v", e)
	}
}

func TestARehearsalTakesAnyKey(t *testing.T) {
	t.Parallel()
	s := sshd.Start(t, sshd.Options{})
	to := target(s)
	to.HostKeys, to.FirstContact = nil, Ignore
	a := open(t, impatient(), to)
	for range 2 {
		if err := a.Login(t.Context(), "web1"); err != nil {
			t.Error(err)
		}
		s.ChangeHostKey()
	}
	if keys, err := a.Learned("web1"); err != nil || keys != nil {
		t.Errorf("learned %q, %v", keys, err)
	}
}

// Colmena's command line says accept-new, and what stands there wins over the file.
func TestAPinnedKeyHoldsAgainstAcceptNewOnTheCommandLine(t *testing.T) {
	t.Parallel()
	s := sshd.Start(t, sshd.Options{})
	known, unknown := target(s), target(s)
	unknown.Name, unknown.HostKeys = "web2", nil
	s.ChangeHostKey()
	a := open(t, impatient(), known, unknown)
	for name, want := range map[string]string{"web1": "HAS CHANGED", "web2": "no host key of web2 is known"} {
		c := run.Command{Name: "ssh", Args: []string{"-F", a.ConfigFile(), "-o", "StrictHostKeyChecking=accept-new", name, "true"}}
		err := run.Local{}.Run(t.Context(), c)
		if e, ok := errors.AsType[*run.Error](err); !ok || !strings.Contains(string(e.Stderr), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAHostBehindAnother(t *testing.T) {
	t.Parallel()
	gate, inner := sshd.Start(t, sshd.Options{}), sshd.Start(t, sshd.Options{})
	first, second := target(gate), target(inner)
	first.Name, second.Jump = "gate", "gate"
	a := open(t, impatient(), first, second)
	if out, err := run.Output(t.Context(), a.Runner("web1"), sh("echo there")); err != nil || string(out) != "there\n" {
		t.Fatalf("got %q, %v", out, err)
	}
	if !strings.Contains(gate.Log(), "Accepted publickey") {
		t.Error("it did not go through the gate")
	}
	gate.Authorize()
	if e := reason(t, a, "web1"); e.Reason != Denied {
		t.Errorf("a closed gate: %v", e)
	}
}

func TestBannersAreNoOutputOfCommands(t *testing.T) {
	t.Parallel()
	banner := filepath.Join(t.TempDir(), "banner")
	if err := os.WriteFile(banner, []byte("error: authorized persons only\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := sshd.Start(t, sshd.Options{Config: []string{"Banner " + banner}})
	a := open(t, impatient(), target(s))
	err := a.Runner("web1").Run(t.Context(), sh("echo mine >&2; exit 1"))
	if e, ok := errors.AsType[*run.Error](err); !ok || string(e.Stderr) != "mine\n" {
		t.Errorf("got %v", err)
	}
}

// The nix programs reach a host by its name with the environment alone.
func TestTheEnvironmentIsAllThatNixNeeds(t *testing.T) {
	t.Parallel()
	_, a := host(t)
	script := `ssh $NIX_SSHOPTS web1 echo "through nix" && ssh -F "$SSH_CONFIG_FILE" web1 echo "through Colmena"`
	c := sh(script)
	c.Env = a.Environment()
	out, err := run.Output(t.Context(), run.Local{}, c)
	if err != nil || string(out) != "through nix\nthrough Colmena\n" {
		t.Errorf("got %q, %v", out, err)
	}
}
