package remote

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/run"
)

// Runner gives the runner of a target. Its errors are those of run.Runner, and *ConnectionError where ssh could not log in or lost the
// connection; an exit code is always the remote program's own, 255 too.
//
// Arguments arrive as they are, empty ones included, whatever POSIX shell or fish the user logs in with. Dir and Env are the host's;
// Env is on the command line there, so a secret belongs into Stdin. An Interactive command gets a terminal of the host; of such a one
// exit code 255 cannot be told from a lost connection, and is passed on.
//
// When the connection ends, because the context does or because it is lost, a command without Stdin gets SIGHUP, with all of its process
// group, as if a terminal had been closed: at once when ssh ends, else when the host notices. One with Stdin sees its end only. What
// shall go on is to be detached by the command itself (setsid, systemd-run).
func (a *Access) Runner(name string) run.Runner { return runner{access: a, name: name} }

type runner struct {
	access  *Access
	name    string
	options []string // of ssh, in front of the others
}

// The program that runs every command on the host, in its POSIX shell. Its arguments are a token that nobody can guess, what to do about
// stdin, the folder, how many KEY=VALUE follow, these, and the command. The token on stderr tells that the login has succeeded, and
// again that an exit code which ssh or a shell uses too is meant as it is said here.
//
// Holding stdin open is what lets the host notice the end of the connection: without a terminal, sshd tells nobody about it.
const wrapper = wrapperHead + wrapperBody

// rootWrapper is wrapper behind sudo: it drops its input up to the line with the token.
const rootWrapper = wrapperHead + `unset LC_ALL
while IFS= read -r l && [ "$l" != "$t" ]; do :; done
[ "$l" = "$t" ] || exit 125
` + wrapperBody

const wrapperHead = `t=$1 in=$2 d=$3 n=$4; shift 4
printf %s "$t" >&2
`

const wrapperBody = `if [ -n "$d" ]; then cd -- "$d" || { printf %s "$t" >&2; exit 126; }; fi
while [ "$n" -gt 0 ]; do export "$1"; shift; n=$((n-1)); done
command -v -- "$1" >/dev/null 2>&1 || { printf %s "$t" >&2; exit 127; }
if [ "$in" = hold ]; then
exec 3<&0 </dev/null
{ read -r _; trap "" HUP; kill -HUP 0; } <&3 >/dev/null 2>&1 &
w=$!
"$@" 3<&-; r=$?
kill -KILL "$w" 2>/dev/null
else "$@"; r=$?; fi
[ "$r" != 255 ] || printf %s "$t" >&2
exit "$r"`

// plainWrapper is for a terminal, where nothing but the command may be seen.
const plainWrapper = `d=$3 n=$4; shift 4
if [ -n "$d" ]; then cd -- "$d" || exit 126; fi
while [ "$n" -gt 0 ]; do export "$1"; shift; n=$((n-1)); done
exec "$@"`

// Run runs c on the host.
func (r runner) Run(ctx context.Context, c run.Command) error {
	t, ok := r.access.targets[r.name]
	if !ok {
		return fmt.Errorf("%s: %w", r.name, ErrNoTarget)
	}
	if err := sendable(c); err != nil {
		return &run.Error{Command: c, ExitCode: -1, Err: err}
	}
	if t.unknown() {
		err := &run.Error{Command: c, ExitCode: -1, Err: errors.New("host key not known")}
		return &ConnectionError{Target: t, Reason: HostKeyUnknown, Text: "no host key is known beforehand", Err: err}
	}
	m := &marks{token: []byte(rand.Text() + rand.Text())}
	local, release, err := r.command(c, m)
	if err != nil {
		return &run.Error{Command: c, ExitCode: -1, Err: err}
	}
	defer release()
	err = r.access.local.Run(ctx, local)
	return r.verdict(ctx, t, c, m, errors.Join(err, m.flush()))
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// sendable refuses what the host's shell could not take.
func sendable(c run.Command) error {
	for _, e := range c.Env {
		if !variable.MatchString(e) {
			return errors.New("environment for a host: not of the form NAME=VALUE")
		}
	}
	for _, w := range append(append([]string{c.Name, c.Dir}, c.Args...), c.Env...) {
		if strings.Contains(w, "\x00") {
			return errors.New("argument for a host: NUL byte")
		}
	}
	return nil
}

// command is c as a call of ssh.
func (r runner) command(c run.Command, m *marks) (local run.Command, release func(), err error) {
	args := append([]string{"-F", r.access.ConfigFile()}, r.options...)
	local = c
	local.Name, local.Dir, local.Env = "ssh", "", nil
	script, in := wrapper, "pass"
	release = func() {}
	switch {
	case c.Interactive:
		// Somebody is there to answer, and does not want to read that the connection was closed.
		args, script = append(args, "-t", "-o", "BatchMode=no", "-o", "LogLevel=ERROR"), plainWrapper
	case c.Stdin == nil:
		in = "hold"
		if local.Stdin, release, err = heldOpen(); err != nil {
			return local, release, err
		}
	}
	if !c.Interactive {
		m.to = c.Stderr
		local.Stderr = m
	}
	words := []string{"sh", "-c", script, "sh", string(m.token), in, c.Dir, strconv.Itoa(len(c.Env))}
	words = append(append(append(words, c.Env...), c.Name), c.Args...)
	local.Args = append(args, r.access.destination(r.name), "--", "exec "+quote(words...))
	local.Secret = quotedSecrets(c.Secret)
	return local, release, nil
}

// destination is what ssh is called with: what the user's own ssh_config may know the host by, if that is one host.
func (a *Access) destination(name string) string {
	t := a.targets[name]
	if t.Address != "" || a.shared[t.called()] {
		return name
	}
	return t.called()
}

// heldOpen is an input that never has anything and ends when it is released, or with this process.
func heldOpen() (in *os.File, release func(), err error) {
	in, out, err := os.Pipe()
	if err != nil {
		return nil, func() {}, fmt.Errorf("make a pipe: %w", err)
	}
	return in, func() { _, _ = in.Close(), out.Close() }, nil
}

// quote joins words so that POSIX shells and fish split them back into exactly these. In fish a backslash is special inside of single
// quotes too, so it stands outside of them.
func quote(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quoteWord(w)
	}
	return strings.Join(quoted, " ")
}

func quoteWord(w string) string {
	if !strings.ContainsAny(w, `\`) {
		return run.Quote("x", w)[len("x "):]
	}
	return "'" + inner(w) + "'"
}

func inner(w string) string { return strings.NewReplacer(`'`, `'\''`, `\`, `'\\'`).Replace(w) }

// quotedSecrets adds to secrets the form they have on ssh's command line.
func quotedSecrets(secrets []string) []string {
	all := secrets[:len(secrets):len(secrets)]
	for _, s := range secrets {
		if q := inner(s); q != s {
			all = append(all, q)
		}
		if q := strings.ReplaceAll(s, `'`, `'\''`); q != s {
			all = append(all, q)
		}
	}
	return all
}

// verdict turns how ssh ended into how the command ended.
func (r runner) verdict(ctx context.Context, t Target, c run.Command, m *marks, err error) error {
	if err == nil {
		return nil
	}
	if missing, ok := errors.AsType[*run.MissingError](err); ok {
		return &run.MissingError{Program: missing.Program, Hint: cmp.Or(missing.Hint, "install OpenSSH: `apt-get install openssh-client`, or your distribution's package")}
	}
	failed, ok := errors.AsType[*run.Error](err)
	if !ok {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	ended := &run.Error{Command: c, ExitCode: failed.ExitCode, Stderr: m.own(failed.Stderr), Err: failed.Err}
	switch {
	case ctx.Err() != nil:
		ended.ExitCode = -1
		return ended
	case failed.ExitCode == 255 && m.seen < 2 && !c.Interactive:
		ended.ExitCode = -1
		return connectionError(t, ended, m.seen > 0)
	case failed.ExitCode == 127 && m.seen == 2:
		return &run.MissingError{Program: c.Name, Hint: "it is missing on the host " + r.name}
	case failed.ExitCode == 126 && m.seen == 2:
		ended.ExitCode, ended.Err = -1, fmt.Errorf("no folder %s on %s", c.Dir, r.name)
		return ended
	}
	ended.Err = onHost{failed.Err, r.name}
	return ended
}

// onHost says where a program ended as it did.
type onHost struct {
	error
	host string
}

func (e onHost) Error() string { return fmt.Sprintf("%v on %s", e.error, e.host) }
func (e onHost) Unwrap() error { return e.error }

// marks passes a stream on from the first token, without the tokens, and counts them. What comes before is ssh's: banners, warnings.
type marks struct {
	token []byte
	to    io.Writer // nil drops the stream
	seen  int
	held  []byte // may be the beginning of a token
}

func (m *marks) Write(p []byte) (int, error) {
	b := append(m.held, p...)
	m.held = nil
	for {
		i := bytes.Index(b, m.token)
		if i < 0 {
			break
		}
		if err := m.pass(b[:i]); err != nil {
			return 0, err
		}
		m.seen++
		b = b[i+len(m.token):]
	}
	keep := beginning(b, m.token)
	m.held = append(m.held, b[len(b)-keep:]...)
	if err := m.pass(b[:len(b)-keep]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// beginning is the length of the longest end of b that token begins with.
func beginning(b, token []byte) int {
	for n := min(len(b), len(token)-1); n > 0; n-- {
		if bytes.HasPrefix(token, b[len(b)-n:]) {
			return n
		}
	}
	return 0
}

func (m *marks) flush() error {
	rest := m.held
	m.held = nil
	return m.pass(rest)
}

func (m *marks) pass(b []byte) error {
	if m.to == nil || m.seen == 0 || len(b) == 0 {
		return nil
	}
	if _, err := m.to.Write(b); err != nil {
		return fmt.Errorf("pass on stderr: %w", err)
	}
	return nil
}

// own is what of a kept end of the stream is passed on; all of it if there was no login.
func (m *marks) own(kept []byte) []byte {
	if m.seen > 0 {
		if _, after, found := bytes.Cut(kept, m.token); found {
			kept = after
		}
	}
	return bytes.ReplaceAll(kept, m.token, nil)
}
