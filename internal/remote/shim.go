package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"nixos-staged-hive/internal/run"
)

// shimVariable names the socket of a Butler. With it in the environment and called as ssh, this program is the shim.
const shimVariable = "NIXOS_STAGED_HIVE_SSH"

// A call of ssh as others make it: options and the destination, and the words that go to the host's shell.
type sshCall struct {
	before      []string // all up to the command, with a -- where there was one
	destination string
	port        string // of -p; empty without
	command     []string
}

// sshValueOptions are the options of ssh that take a value (OpenSSH 8.4 to 10).
const sshValueOptions = "BbcDEeFIiJLlmOoPpQRSWw"

// parseSSH reads a command line as ssh does, which takes options before and after the destination. It is false for what this package has
// no business with: no destination, or no command.
func parseSSH(args []string) (sshCall, bool) {
	var c sshCall
	for i := 0; i < len(args); i++ {
		switch word := args[i]; {
		case word == "--" && c.destination == "":
			if i++; i == len(args) {
				return c, false
			}
			c.destination = args[i]
		case word == "--":
			c.before, c.command = slices.Clone(args[:i+1]), args[i+1:]
			return c, len(c.command) > 0
		case len(word) > 1 && word[0] == '-':
			i += c.option(word[1:], args[i+1:])
		case c.destination == "":
			c.destination = word
		default:
			c.before, c.command = slices.Clone(args[:i]), args[i:]
			return c, true
		}
	}
	return c, false
}

// option reads a cluster of options and tells how many of the next words belong to it.
func (c *sshCall) option(cluster string, next []string) (taken int) {
	for i := range len(cluster) {
		if !strings.ContainsRune(sshValueOptions, rune(cluster[i])) {
			continue
		}
		value := cluster[i+1:]
		if value == "" && len(next) > 0 {
			value, taken = next[0], 1
		}
		if cluster[i] == 'p' {
			c.port = value
		}
		return taken
	}
	return 0
}

// throughGate becomes root for the command: it reads its input up to the line with the mark.
const throughGate = `t=$1; shift; unset LC_ALL
printf %s "$t" >&2
while IFS= read -r l && [ "$l" != "$t" ]; do :; done
[ "$l" = "$t" ] || exit 125
exec "$@"`

// copyGate receives a copy: as the user where the Nix daemon takes unsigned paths from that user, else as root. Nix (2.8 to 2.31) reads
// trusted-users from nix.conf; what only an included file says, is as if it were not said.
const copyGate = `t=$1 p=$2 gate=$3; set -f
user=$(id -un) groups=" $(id -nG) " store=$(command -v nix-store) trusted=
[ "$(id -u)" != 0 ] || trusted=1
for w in $(sed -n 's/^[[:space:]]*\(extra-\)\{0,1\}trusted-users[[:space:]]*=//p' /etc/nix/nix.conf 2>/dev/null); do
case $w in "*"|"$user") trusted=1;; @*) case $groups in *" ${w#@} "*) trusted=1;; esac;; esac
done
if [ "$trusted" ] || ! command -v sudo >/dev/null; then exec sh -c "$gate" sh "$t" nix-store --serve --write; fi
exec env LC_ALL=C sudo -S -p "$p" -H -- sh -c "$gate" sh "$t" "$store" --serve --write`

// elevate gives the command as it has to be sent so that g can answer sudo. It is false for commands that do not become root.
func (c sshCall) elevate(g *gate) ([]string, bool) {
	words := strings.Fields(strings.Join(c.command, " "))
	if len(words) >= 3 && slices.Equal(words[:3], []string{"nix-store", "--serve", "--write"}) {
		return []string{"exec " + quote("sh", "-c", copyGate, "sh", string(g.mark), string(g.prompt), throughGate)}, true
	}
	if filepath.Base(c.command[0]) != "sudo" {
		return nil, false
	}
	options, rest, ok := sudoOptions(c.command[1:])
	if !ok {
		return nil, false
	}
	sent := []string{"env", "LC_ALL=C", c.command[0], "-S", "-p", quoteWord(string(g.prompt))}
	sent = append(append(sent, options...), "--", "sh", "-c", quoteWord(throughGate), "sh", quoteWord(string(g.mark)))
	return append(sent, rest...), true
}

// sudoOptions splits what stands behind sudo. It is false where sudo shall not ask, or starts no command.
func sudoOptions(words []string) (options, command []string, ok bool) {
	for i := 0; i < len(words); i++ {
		switch word := words[i]; {
		case word == "--":
			return words[:i], words[i+1:], i+1 < len(words)
		case word == "-u", word == "-g", word == "--user", word == "--group":
			i++
		case word == "-H", word == "-E", word == "-k", word == "--set-home", word == "--preserve-env", strings.HasPrefix(word, "--user="),
			strings.HasPrefix(word, "--group="), strings.HasPrefix(word, "--preserve-env="):
		case strings.HasPrefix(word, "-"):
			return nil, nil, false
		default:
			return words[:i], words[i:], true
		}
	}
	return nil, nil, false
}

// IsShim tells whether this process was started as the shim of a Butler.
func IsShim(argv []string, getenv func(string) string) bool {
	return len(argv) > 0 && filepath.Base(argv[0]) == "ssh" && getenv(shimVariable) != ""
}

// Shim is the whole program that stands in for ssh where a Butler works, and gives its exit code. What does not become root on the host
// is the real ssh's: this process becomes it.
func Shim(argv, environ []string, getenv func(string) string) int {
	ssh, err := realSSH(getenv("PATH"))
	if err != nil {
		return shimFailed(err)
	}
	c, mine := parseSSH(argv[1:])
	g, err := newGate(Sudo{}, os.Stdin, os.Stderr)
	if err != nil {
		return shimFailed(err)
	}
	var words []string
	if mine {
		words, mine = c.elevate(g)
	}
	if !mine {
		return shimFailed(run.Become(ssh, append([]string{"ssh"}, argv[1:]...), environ))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	return c.carry(ctx, g, ssh, words, getenv(shimVariable))
}

func shimFailed(err error) int {
	fmt.Fprintln(os.Stderr, "nixos-staged-hive, called as ssh:", err)
	return 255
}

// realSSH is the next ssh on the PATH that is not this program.
func realSSH(path string) (string, error) {
	self, err := os.Stat("/proc/self/exe")
	if err != nil {
		return "", err
	}
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, "ssh")
		if st, err := os.Stat(file); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 && !os.SameFile(st, self) {
			return file, nil
		}
	}
	return "", &run.MissingError{Program: "ssh"}
}

// carry runs ssh, and answers sudo on the other side.
func (c sshCall) carry(ctx context.Context, g *gate, ssh string, words []string, socket string) int {
	visit := &visit{socket: socket, destination: c.destination, port: c.port}
	defer visit.close()
	g.sudo.Password, g.sudo.Told, g.early = visit.password, visit.told, os.Stderr
	err := g.run(ctx, func(stdin *os.File, stderr io.Writer) error {
		return run.Local{}.Run(ctx, run.Command{
			Name: ssh, Args: append(slices.Clone(c.before), words...), Stdin: stdin, Stdout: os.Stdout, Stderr: stderr, Grace: 2 * time.Second,
		})
	})
	if err == nil {
		return 0
	}
	code := 255
	if failed, ok := errors.AsType[*run.Error](err); ok && failed.ExitCode >= 0 {
		code = failed.ExitCode
	}
	if code == 255 && !g.opened() {
		g.mu.Lock()
		g.tell(errors.New("ssh ended")) // of itself: it has said why
		g.mu.Unlock()
		return code
	}
	host, _, _ := strings.Cut(c.destination, "@")
	if _, after, ok := strings.Cut(c.destination, "@"); ok {
		host = after
	}
	if refused := g.verdict(ctx, host, "", err); refused != nil {
		fmt.Fprintln(os.Stderr, refused)
	}
	return code
}

// message goes both ways between shim and Butler, one JSON value each.
type message struct {
	Destination string     `json:"destination,omitempty"`
	Port        string     `json:"port,omitempty"`
	Password    string     `json:"password,omitempty"`
	Error       string     `json:"error,omitempty"`
	Taken       bool       `json:"taken,omitempty"`
	Reason      SudoReason `json:"reason,omitempty"`
}

// visit is the shim's side: the connection is made when sudo asks, and ends with what came of it.
type visit struct {
	socket, destination, port string
	conn                      net.Conn
}

func (v *visit) password(ctx context.Context) (string, error) {
	var conn net.Conn
	err := nearSocket(v.socket, func(name string) (err error) {
		if conn, err = (&net.Dialer{}).DialContext(ctx, "unix", name); err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("ask for the password of sudo: %w", err)
	}
	v.conn = conn
	context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	if err := json.NewEncoder(conn).Encode(message{Destination: v.destination, Port: v.port}); err != nil {
		return "", fmt.Errorf("ask for the password of sudo: %w", err)
	}
	var answer message
	if err := json.NewDecoder(conn).Decode(&answer); err != nil {
		return "", fmt.Errorf("ask for the password of sudo: %w", err)
	}
	if answer.Error != "" {
		return "", errors.New(answer.Error)
	}
	return answer.Password, nil
}

func (v *visit) told(err error) {
	m := message{Taken: err == nil}
	if refused, ok := errors.AsType[*SudoError](err); ok {
		m.Reason = refused.Reason
	}
	_ = v.conn.SetDeadline(time.Time{})
	_ = json.NewEncoder(v.conn).Encode(m) // a Butler that is gone needs no answer
	v.close()
}

func (v *visit) close() {
	if v.conn != nil {
		_ = v.conn.Close()
	}
}
