package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"nixos-staged-hive/internal/run"
)

// How a login becomes root, as ProbeSudo says it and facts do (hive.Deployer.Sudo).
const (
	SudoRoot     = "root"     // it is root
	SudoFree     = "nopasswd" // sudo asks for nothing
	SudoPassword = "password" // sudo asks for the password
)

// Sudo says how commands become root on a host.
type Sudo struct {
	Mode string // SudoRoot, SudoFree or SudoPassword; empty is SudoPassword, which does where sudo asks for nothing, too
	// Password is asked for when sudo asks, not before. Nil is a password that nobody knows.
	Password func(ctx context.Context) (string, error)
	// Told is called after each successful Password: nil if sudo has taken it, a *SudoError if not, another error if nobody knows.
	Told func(err error)
}

// SudoReason is why a command was not run as root.
type SudoReason string

// The reasons.
const (
	SudoWrongPassword SudoReason = "wrong password"
	SudoForbidden     SudoReason = "not allowed to become root"
	SudoMissing       SudoReason = "there is no sudo"
	SudoNeedsTerminal SudoReason = "sudo wants a terminal"
	SudoAsks          SudoReason = "sudo asks for a password"
	SudoLocked        SudoReason = "the account is locked"
	SudoNotTried      SudoReason = "not tried with a password that was wrong elsewhere"
	SudoFailed        SudoReason = "sudo did not start the command"
)

// SudoError is a command that was not run, because its user did not become root.
type SudoError struct {
	Host, User string
	Reason     SudoReason
	Text       string // what sudo said; may be empty
	Err        error  // how sudo ended; may be nil
}

func (e *SudoError) Error() string {
	text := e.Host + ": become root"
	if e.User != "" {
		text = e.Host + ": become root as " + e.User
	}
	text += ": " + string(e.Reason)
	if e.Text != "" {
		text += ": " + strings.Join(strings.Fields(e.Text), " ")
	}
	return text
}

// Unwrap gives the end of sudo.
func (e *SudoError) Unwrap() error { return e.Err }

// Hint says what the user can do.
func (e *SudoError) Hint() string {
	switch e.Reason {
	case SudoWrongPassword:
		return "it was tried once and on no other host, so that nobody is locked out: run it again and type the password of " + e.login() + " on " + e.Host
	case SudoNotTried:
		return "run it again with the right password; where hosts have different ones, --sudo-password-command gets the host's name as its last argument"
	case SudoForbidden:
		return "the full system lets " + e.login() + " become root if it is in the group wheel (hive.admin is); until it is deployed, log in as root or change it on the host"
	case SudoMissing:
		return "security.sudo.enable, or let root log in with a key (deployment.targetUser = \"root\")"
	case SudoNeedsTerminal:
		return "take `Defaults requiretty` out of the sudoers file (security.sudo.extraConfig) for " + e.login()
	case SudoAsks:
		return "give the password at the terminal, or with --sudo-password-command or --sudo-password-file"
	case SudoLocked:
		return "unlock it on the host, as root: `faillock --user " + e.User + " --reset`"
	}
	return "log in and try `sudo -v` there"
}

func (e *SudoError) login() string {
	if e.User == "" {
		return "the user"
	}
	return e.User
}

// password asks for the password, and refuses what sudo could not read as one line.
func (s Sudo) password(ctx context.Context) (string, error) {
	if s.Password == nil {
		return "", errors.New("sudo asks for a password, and there is none")
	}
	word, err := s.Password(ctx)
	if err != nil {
		return "", err
	}
	if err := typable(word); err != nil {
		if s.Told != nil {
			s.Told(err)
		}
		return "", err
	}
	return word, nil
}

// typable refuses what would be more than one line, or longer than what sudo takes of one (255 bytes, SUDO_CONV_REPL_MAX before 1.9 ... 1023).
func typable(word string) error {
	switch {
	case word == "":
		return errors.New("the password for sudo is empty")
	case len(word) > 255:
		return errors.New("the password for sudo is longer than the 255 bytes that sudo reads")
	case strings.ContainsAny(word, "\n\r\x00"):
		return errors.New("the password for sudo has a line break or a NUL in it")
	}
	return nil
}

// Elevated gives a runner whose commands run as root, each over a new connection. It is like Runner, and its errors are too; a command
// that was not run because of sudo is a *SudoError. Nothing of a password is in arguments, environment, files or logs, on either side.
//
// An Interactive command has a terminal of the host, where sudo itself asks.
func (a *Access) Elevated(name string, s Sudo) run.Runner {
	if s.Mode == SudoRoot {
		return a.Runner(name)
	}
	return elevated{access: a, name: name, sudo: s}
}

type elevated struct {
	access *Access
	name   string
	sudo   Sudo
}

// Run runs c as root on the host.
func (e elevated) Run(ctx context.Context, c run.Command) error {
	if err := sendable(c); err != nil {
		return &run.Error{Command: c, ExitCode: -1, Err: err}
	}
	if c.Interactive {
		return e.interactive(ctx, c)
	}
	g, err := newGate(e.sudo, c.Stdin, c.Stderr)
	if err != nil {
		return &run.Error{Command: c, ExitCode: -1, Err: err}
	}
	g.quiet = c.Stdin == nil
	err = g.run(ctx, func(stdin *os.File, stderr io.Writer) error {
		asRoot := c
		asRoot.Stdin, asRoot.Stderr, asRoot.Dir = stdin, stderr, ""
		asRoot.Env = []string{"LC_ALL=C"} // sudo's words are read
		words := append(g.words("-H"), rootWords(c, string(g.mark))...)
		asRoot.Name, asRoot.Args = words[0], words[1:]
		return e.access.Runner(e.name).Run(ctx, asRoot)
	})
	return e.verdict(ctx, c, g, err)
}

// rootWords is c as root's shell gets it: with the words of wrapper in front.
func rootWords(c run.Command, mark string) []string {
	in := "pass"
	if c.Stdin == nil {
		in = "hold"
	}
	words := []string{"sh", "-c", rootWrapper, "sh", mark, in, c.Dir, strconv.Itoa(len(c.Env))}
	return append(append(append(words, c.Env...), c.Name), c.Args...)
}

func (e elevated) interactive(ctx context.Context, c run.Command) error {
	words := []string{"-H", "--", "sh", "-c", plainWrapper, "sh", "", "", c.Dir, strconv.Itoa(len(c.Env))}
	c.Args = append(append(append(words, c.Env...), c.Name), c.Args...)
	c.Name, c.Dir, c.Env = "sudo", "", nil
	return e.access.Runner(e.name).Run(ctx, c)
}

// verdict turns how sudo ended into how the command ended.
func (e elevated) verdict(ctx context.Context, c run.Command, g *gate, err error) error {
	if refused := g.verdict(ctx, e.name, e.access.targets[e.name].User, err); refused != nil {
		return refused
	}
	failed, ok := errors.AsType[*run.Error](err)
	if !ok {
		return err
	}
	ended := &run.Error{Command: c, ExitCode: failed.ExitCode, Err: failed.Err, Stderr: g.own(failed.Stderr)}
	switch {
	case ctx.Err() != nil || g.seen < 2:
	case failed.ExitCode == 127:
		return &run.MissingError{Program: c.Name, Hint: "it is missing on the host " + e.name}
	case failed.ExitCode == 126:
		ended.ExitCode, ended.Err = -1, fmt.Errorf("no folder %s on %s", c.Dir, e.name)
	}
	return ended
}

// OnePassword is one password for many hosts. It is asked for when the first host wants it, and that host has to take it before any
// other gets it: a wrong one is tried once, so that nobody is locked out everywhere.
type OnePassword struct {
	ask  func(ctx context.Context) (string, error)
	turn chan struct{} // held while a host tries what none has taken yet

	mu      sync.Mutex
	word    string
	known   bool            // word is there
	taken   bool            // a host has taken it
	wrong   string          // the host that has refused it before any took it
	refused map[string]bool // hosts that have refused what others take
}

// NewOnePassword takes how to ask for the password. It is called once at most, unless it fails.
func NewOnePassword(ask func(ctx context.Context) (string, error)) *OnePassword {
	return &OnePassword{ask: ask, turn: make(chan struct{}, 1), refused: map[string]bool{}}
}

// For is how commands become root on a host with this password. Several may run at the same time.
func (p *OnePassword) For(host string) Sudo {
	return Sudo{
		Mode:     SudoPassword,
		Password: func(ctx context.Context) (string, error) { return p.get(ctx, host) },
		Told:     func(err error) { p.told(host, err) },
	}
}

// get keeps the turn until told, as long as no host has taken the password.
func (p *OnePassword) get(ctx context.Context, host string) (string, error) {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	word, trial, err := p.current(ctx, host)
	if !trial {
		<-p.turn
	}
	return word, err
}

func (p *OnePassword) current(ctx context.Context, host string) (word string, trial bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.wrong != "":
		return "", false, &SudoError{Host: host, Reason: SudoNotTried, Text: "on " + p.wrong}
	case p.refused[host]:
		return "", false, &SudoError{Host: host, Reason: SudoNotTried, Text: "on " + host + " before"}
	case p.taken:
		return p.word, false, nil
	case !p.known:
		if p.word, err = p.ask(ctx); err != nil {
			return "", false, err
		}
		p.known = true
	}
	return p.word, true, nil
}

// told is called once after each get that gave a word.
func (p *OnePassword) told(host string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	refused, ok := errors.AsType[*SudoError](err)
	wrong := ok && (refused.Reason == SudoWrongPassword || refused.Reason == SudoLocked)
	switch {
	case p.taken:
		p.refused[host] = p.refused[host] || wrong
		return
	case err == nil:
		p.taken = true
	case wrong:
		p.wrong = host
	}
	<-p.turn
}

// ProbeSudo finds out how the login of name becomes root, without a password: SudoRoot, SudoFree or SudoPassword. What sudo remembers
// of an earlier password does not count. That somebody may not become root at all, sudo says only to who knows the password. The error is
// a *SudoError where there is no sudo or it wants a terminal, or that of the connection.
func (a *Access) ProbeSudo(ctx context.Context, name string) (mode string, err error) {
	const script = `if [ "$(id -u)" = 0 ]; then echo root; exit; fi
command -v sudo >/dev/null || { echo missing; exit; }
if said=$(LC_ALL=C sudo -k -n true 2>&1); then echo nopasswd; else printf 'password\n%s\n' "$said"; fi`
	out, err := run.Output(ctx, a.Runner(name), run.Command{Name: "sh", Args: []string{"-c", script}})
	if err != nil {
		return "", fmt.Errorf("ask %s how to become root: %w", name, err)
	}
	word, said, _ := strings.Cut(string(out), "\n")
	refused := &SudoError{Host: name, User: a.targets[name].User, Reason: SudoMissing}
	switch word {
	case SudoRoot, SudoFree:
		return word, nil
	case SudoPassword:
		if refused.Reason, refused.Text = sudoReason(said); refused.Reason == SudoAsks {
			return word, nil
		}
	}
	return "", refused
}
