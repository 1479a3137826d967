package colmena

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"unicode"

	"nixos-staged-hive/internal/run"
)

// Job is one run of Colmena.
type Job struct {
	Call      Call
	Hive      string // absolute path of the generated hive.nix
	Nodes     []Node // the hosts of that hive; nil if they are not known, then --on is not checked beforehand
	SSHConfig string // path of a generated ssh_config, empty for the user's own; without blanks
	Out, Err  io.Writer
	// Terminal tells that Out and Err are this process's own stdout and stderr and both a terminal. Colmena then gets them directly,
	// spinners and all, wherever its exit code alone tells the truth.
	Terminal bool
	Color    bool                // colour where Colmena writes to us and not to a terminal
	Getenv   func(string) string // environment of the user; nil is an empty one
}

// Run carries out j. What Colmena itself answers is in the Outcome. The error is for a Colmena that could not be run at all.
func (t Tool) Run(ctx context.Context, r run.Runner, j Job) (Outcome, error) {
	selection, refused := j.preflight()
	if refused != nil {
		return *refused, nil
	}
	command, err := t.command(j)
	if err != nil {
		return Outcome{}, err
	}
	watch := newWatcher(j.Err)
	j.connect(&command, watch, t.direct(j, selection))
	err = r.Run(ctx, command)
	e, err := endingOf(ctx, err)
	if err != nil {
		return Outcome{}, fmt.Errorf("run colmena %s: %w", j.Call.Subcommand, err)
	}
	worked := -1
	if selection != nil {
		worked = len(selection.Nodes)
	}
	return judge(j.Call, e, watch.end(), worked), nil
}

// onHosts tells that c works on hosts that --on selects.
func (c Call) onHosts() bool {
	switch c.Subcommand {
	case "build", "apply", "upload-keys", "exec":
		return !c.Help
	}
	return false
}

// remote tells that c leaves out hosts without a targetHost.
func (c Call) remote() bool {
	return c.Subcommand != "build" && (c.Subcommand != "apply" || c.Goal != "build")
}

// preflight finds what Colmena would pass over in silence or panic at. The selection is nil if it is not known or nobody's business.
func (j Job) preflight() (*Selection, *Outcome) {
	c := j.Call
	if c.Help || c.Strange || j.Nodes == nil {
		return nil, nil
	}
	if c.Subcommand == "apply-local" {
		return nil, j.checkLocal()
	}
	if !c.onHosts() {
		return nil, nil
	}
	if !c.HasOn {
		s := selectAll(j.Nodes, c.remote())
		return &s, s.emptyHive()
	}
	f, err := ParseFilter(c.On)
	if err != nil {
		return nil, &Outcome{Code: codeUsage, Problem: err.Error()}
	}
	s := f.Select(j.Nodes, c.remote())
	return &s, s.check(c.On, j.Nodes)
}

func (j Job) checkLocal() *Outcome {
	if j.Call.Node == "" {
		return nil
	}
	for _, n := range j.Nodes {
		if n.Name == j.Call.Node {
			return nil
		}
	}
	return &Outcome{Code: codeUsage, Problem: fmt.Sprintf("--node %s is no host of the hive (%s)", j.Call.Node, known(j.Nodes))}
}

// check refuses a selection that is not what the user can have meant.
func (s Selection) check(on string, nodes []Node) *Outcome {
	problem := ""
	switch {
	case len(s.Unknown) > 0:
		problem = fmt.Sprintf("--on %s: no host is named %s (%s)", on, strings.Join(s.Unknown, ", "), known(nodes))
	case len(s.Nodes) > 0:
		return nil
	case len(s.Skipped) > 0:
		problem = fmt.Sprintf("--on %s selects only %s, and without deployment.targetHost a host can only be built", on, strings.Join(s.Skipped, ", "))
	default:
		problem = fmt.Sprintf("--on %q selects no host (%s)", on, known(nodes))
	}
	return &Outcome{Code: codeUsage, Problem: problem}
}

func (s Selection) emptyHive() *Outcome {
	switch {
	case len(s.Nodes) > 0:
		return nil
	case len(s.Skipped) > 0:
		return &Outcome{Code: codeFailed, Problem: "no host of the hive has a deployment.targetHost, so there is nothing to deploy to"}
	}
	return &Outcome{Code: codeFailed, Problem: "the hive has no hosts"}
}

// command puts the hive in front of the subcommand: behind it, words of the user could swallow it.
func (t Tool) command(j Job) (run.Command, error) {
	if !filepath.IsAbs(j.Hive) && j.Call.NeedsHive() {
		return run.Command{}, fmt.Errorf("run colmena: path of the hive %q is not absolute", j.Hive)
	}
	if strings.ContainsFunc(j.SSHConfig, unicode.IsSpace) {
		return run.Command{}, fmt.Errorf("run colmena: ssh_config %q has a blank in its path, and nix-copy-closure would split it there", j.SSHConfig)
	}
	c := run.Command{Name: t.Path, Env: j.env()}
	if j.Call.NeedsHive() {
		c.Args = append(c.Args, "-f", j.Hive)
	}
	c.Args = append(append(c.Args, j.Call.Subcommand), j.Call.Words...)
	return c, nil
}

func (j Job) env() []string {
	getenv := j.Getenv
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	var env []string
	if level := getenv("RUST_LOG"); !showsErrors(level) {
		env = append(env, "RUST_LOG=info")
	}
	if j.SSHConfig != "" {
		env = append(env, "SSH_CONFIG_FILE="+j.SSHConfig)
	}
	if j.Color && getenv("CLICOLOR_FORCE") == "" {
		env = append(env, "CLICOLOR_FORCE=1")
	}
	return env
}

// showsErrors tells that with this RUST_LOG both families log their failures: a plain level. Unset is not enough, because then 0.5 shows
// errors only and not what it selects; `off` and filters for single modules hide even those, and then 0.4 says nowhere that `exec`
// failed.
func showsErrors(level string) bool {
	switch strings.ToLower(level) {
	case "error", "warn", "info", "debug", "trace":
		return true
	}
	return false
}

// direct tells that Colmena gets the terminal. It does not where its output has to be read: with several hosts, because exit code 1
// does not say whether some or all failed, and for exec of 0.4, whose exit code is always 0.
func (t Tool) direct(j Job, s *Selection) bool {
	if !j.Terminal || !j.Call.onHosts() {
		return j.Terminal
	}
	one := s != nil && len(s.Nodes) == 1 && j.Call.HasOn
	return one && (t.Family != V04 || j.Call.Subcommand != "exec")
}

// connect wires the streams. A repl needs the terminal in any case, and apply-local may let sudo ask for a password.
func (j Job) connect(c *run.Command, watch *watcher, direct bool) {
	own := j.Call.Subcommand == "repl" || j.Call.Subcommand == "apply-local" && j.Terminal
	if direct || own {
		c.Interactive = true
		if !own && j.Call.Subcommand != "eval" {
			c.Stdin = strings.NewReader("")
		}
		return
	}
	c.Stdout, c.Stderr = hide(j.Out), watch
}

// hide wraps a file so that the program gets a pipe: with a terminal as stdout and a pipe as stderr, Colmena draws spinners that
// nobody sees.
func hide(w io.Writer) io.Writer {
	if w == nil {
		return nil
	}
	return struct{ io.Writer }{w}
}

// endingOf sorts what a Runner returns: an ending of Colmena, or the error of not having run it.
func endingOf(ctx context.Context, err error) (ending, error) {
	failed := (*run.Error)(nil)
	switch {
	case err == nil:
		return ending{}, nil
	case errors.Is(context.Cause(ctx), context.Canceled) || ctx.Err() == context.Canceled:
		return ending{exit: -1, interrupted: true}, nil
	case errors.As(err, &failed) && failed.ExitCode >= 0:
		return ending{exit: failed.ExitCode, interrupted: failed.ExitCode == codeInterrupted}, nil
	case bySignal(err, syscall.SIGINT):
		return ending{exit: -1, interrupted: true}, nil
	case bySignal(err, 0):
		return ending{exit: -1}, nil
	}
	return ending{}, err
}

// bySignal tells that a program was ended by s, or by any signal for 0. The error that knows is os/exec's.
func bySignal(err error, s syscall.Signal) bool {
	var state interface{ Sys() any }
	if !errors.As(err, &state) {
		return false
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && (s == 0 || status.Signal() == s)
}
