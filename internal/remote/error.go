package remote

import (
	"fmt"
	"regexp"
	"strings"

	"nixos-staged-hive/internal/run"
)

// Reason is why a host could not be reached.
type Reason string

// The reasons, as a person would say them.
const (
	Refused        Reason = "connection refused"    // the machine is up, nobody listens on the port
	Timeout        Reason = "no answer"             // or none in time
	Unreachable    Reason = "no route"              // this computer knows no way there, or the last router says that nobody is there
	Unresolved     Reason = "name not resolved"     // DNS, /etc/hosts
	Denied         Reason = "login denied"          // none of our keys is let in
	HostKeyChanged Reason = "another host key"      // than the known one
	HostKeyUnknown Reason = "unknown host key"      // and unknown ones are not to be taken
	Lost           Reason = "connection lost"       // it was there, before the login or after
	Unusable       Reason = "ssh cannot be used so" // options it does not know, no method in common
)

// ConnectionError is a host that ssh could not log in to, or lost. For every reason but Lost the command has not run. For Lost nobody
// knows how far it came; Started false then means only that its start was not heard of.
type ConnectionError struct {
	Target  Target
	Reason  Reason
	Started bool   // the login had succeeded and the command begun
	Text    string // what ssh said, its most telling line; may be empty
	Err     error  // *run.Error
}

func (e *ConnectionError) Error() string {
	text := fmt.Sprintf("%s (%s): %s", e.Target.Name, e.Target.address(), e.Reason)
	if e.Text != "" && !strings.EqualFold(e.Text, string(e.Reason)) {
		text += ": " + e.Text
	}
	return text
}

// Unwrap gives the end of ssh.
func (e *ConnectionError) Unwrap() error { return e.Err }

// Hint says what the user can do.
func (e *ConnectionError) Hint() string {
	switch e.Reason {
	case Refused:
		return "the machine answers, but not on this port: does it still start, does sshd run there, is the port right?"
	case Timeout, Unreachable:
		return "is the machine on, its cable in, its address still " + e.Target.address() + ", and no firewall in between?"
	case Unresolved:
		return "give the host an address (deployment.targetHost or hive.network.address), or make the name known in /etc/hosts"
	case Denied:
		return "is " + e.login() + " right, and one of your keys among the host's hive.admin.sshKeys? `ssh-add -l` lists those of your agent"
	case HostKeyChanged:
		return "either another machine has this address, or the host was installed anew: look at the fingerprint on its console before you trust it"
	case HostKeyUnknown:
		return "the host was not installed with a key from here: look at the fingerprint on its console, then record the key"
	case Lost:
		return "did it reboot, or its network change? What ran there may still run"
	default:
		return "ssh itself says what it does not take"
	}
}

func (e *ConnectionError) login() string {
	if e.Target.User == "" {
		return "the user"
	}
	return "the user " + e.Target.User
}

// said maps what ssh prints (OpenSSH 8.4 to 10) to reasons. The first one that matches counts.
func said() []struct {
	pattern *regexp.Regexp
	reason  Reason
} {
	type row = struct {
		pattern *regexp.Regexp
		reason  Reason
	}
	rows := []row{}
	for _, r := range []struct {
		pattern string
		reason  Reason
	}{
		{`REMOTE HOST IDENTIFICATION HAS CHANGED|REVOKED HOST KEY`, HostKeyChanged},
		{`Host key verification failed|No \S+ host key is known for|no host key of \S+ is known`, HostKeyUnknown},
		{`Permission denied \(|Too many authentication failures|: Permission denied\b`, Denied},
		{`Could not resolve hostname`, Unresolved},
		{`: Connection refused`, Refused},
		{`: (Connection|Operation) timed out|timed out during banner exchange`, Timeout},
		{`: No route to host|: Network is unreachable|: Host is down|: Network is down|: Cannot assign requested address`, Unreachable},
		{`Bad configuration option|terminating, \d+ bad configuration|no matching .* found|Bad owner or permissions|no such identity`, Unusable},
	} {
		rows = append(rows, row{regexp.MustCompile(r.pattern), r.reason})
	}
	return rows
}

// connectionError sorts an ssh that ended with its own 255. After the login everything is a loss: what is on stderr may be the command's.
func connectionError(t Target, ended *run.Error, started bool) *ConnectionError {
	e := &ConnectionError{Target: t, Reason: Lost, Started: started, Err: ended}
	lines := strings.Split(strings.ToValidUTF8(string(ended.Stderr), "\uFFFD"), "\n")
	if started {
		e.Text = lastOf(lines, lossLine)
		return e
	}
	for _, s := range said() {
		for _, l := range lines {
			if s.pattern.MatchString(l) {
				e.Reason, e.Text = s.reason, tidy(l)
				return e
			}
		}
	}
	e.Text = lastOf(lines, regexp.MustCompile(`\S`))
	return e
}

var lossLine = regexp.MustCompile(`^(Timeout, server .* not responding|Connection to .* closed|Connection (reset|closed) by|client_loop: |Read from remote host|Write failed)`)

func lastOf(lines []string, pattern *regexp.Regexp) string {
	for i := len(lines) - 1; i >= 0; i-- {
		if pattern.MatchString(lines[i]) {
			return tidy(lines[i])
		}
	}
	return ""
}

var decoration = regexp.MustCompile(`^(@\s+|ssh: )?(connect to host \S+ port \d+: )?|[\s@.]+$`)

// tidy takes away what the error says already.
func tidy(line string) string { return decoration.ReplaceAllString(strings.TrimSpace(line), "") }
