package colmena

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/run"
)

// onHosts is build, apply, upload-keys and exec.
func (p *program) onHosts(ctx context.Context) int {
	goal := p.goal()
	if p.words.subcommand == "apply" && !p.words.hasOn {
		var meta struct{ AllowApplyAll bool }
		if err := p.query(ctx, "meta", nil, &meta); err != nil {
			return p.fail(err)
		}
		if !meta.AllowApplyAll {
			p.log("ERROR", "No node filter is specified and meta.allowApplyAll is set to false.")
			p.log("ERROR", "Hint: Filter the nodes with --on.")
			return 1
		}
	}
	names, deployments, code := p.enumerate(ctx, goal != "build")
	if code != 0 {
		return code
	}
	if p.words.hasNodeLimit && p.words.nodeLimit == 0 && p.old() && len(names) > 0 {
		return p.panic("assertion failed: size != 0")
	}
	switch goal {
	case "exec":
		p.execAll(ctx, names, deployments)
	case "keys", "upload-keys":
		p.keysAll(names, deployments)
	default:
		p.deployAll(ctx, goal, names, deployments)
	}
	return p.finish(goal)
}

func (p *program) goal() string {
	switch {
	case p.words.subcommand != "apply":
		return p.words.subcommand
	case p.words.goal == "":
		return "switch"
	}
	return p.words.goal
}

// finish says how it went. exec of 0.4 thinks that all is done in any case.
func (p *program) finish(goal string) int {
	if p.failed == 0 || goal == "exec" {
		p.say("", "All done!")
	} else {
		p.say("", "Failed: Child process exited with error code: 1")
	}
	for _, line := range p.summary {
		p.log("ERROR", line)
	}
	switch {
	case p.failed == 0 || goal == "exec" && p.old():
		return 0
	case goal == "exec":
		return p.fail(said(fmt.Sprintf("Exec failed on %d hosts", p.failed)))
	}
	return p.fail(said("Child process exited with error code: 1"))
}

// say writes a line of progress.
func (p *program) say(name, text string) { fmt.Fprintf(p.errOut, "%9s | %s\n", name, text) }

// fails notes a failed step for the summary.
func (p *program) fails(verb, hosts, label string, err error) {
	p.failed++
	p.say(label, fmt.Sprintf("Failed: %v", err))
	p.summary = append(p.summary,
		fmt.Sprintf("Failed to %s %s - Last 3 lines of logs:", verb, hosts), " created)", "   state) Running", fmt.Sprintf(" failure) %v", err))
}

// deployAll evaluates chunk by chunk and takes every host as far as it goes.
func (p *program) deployAll(ctx context.Context, goal string, names []string, deployments map[string]deployment) {
	size := len(names)
	if p.words.nodeLimit > 0 {
		size = min(size, p.words.nodeLimit)
	}
	for len(names) > 0 {
		chunk := names[:min(size, len(names))]
		names = names[len(chunk):]
		hosts, label := enumeration(chunk), "(...)"
		if len(chunk) == 1 {
			label = chunk[0]
		}
		p.say(label, "Evaluating "+hosts)
		systems := map[string]string{}
		if err := p.query(ctx, "systems", chunk, &systems); err != nil {
			p.fails("evaluate", hosts, label, err)
			continue
		}
		p.say(label, "Evaluated "+hosts)
		for _, name := range chunk {
			p.deploy(ctx, goal, host{name: name, deployment: deployments[name]}, systems[name])
		}
	}
}

// enumeration counts the hosts that no longer fit on a line instead of naming them. How long a line may be is a guess.
func enumeration(names []string) string {
	last := len(names) - 1
	shown := 1
	for shown < len(names) && len(strings.Join(names[:shown+1], ", ")) < 20 {
		shown++
	}
	switch {
	case len(names) == 1:
		return names[0]
	case len(names) == 2:
		return names[0] + " and " + names[1]
	case shown < last:
		return strings.Join(names[:shown], ", ") + fmt.Sprintf(", and %d other nodes", len(names)-shown)
	}
	return strings.Join(names[:last], ", ") + ", and " + names[last]
}

type host struct {
	name string
	deployment
}

func (p *program) deploy(ctx context.Context, goal string, h host, drv string) {
	p.say(h.name, "Building "+h.name)
	system, err := run.Output(ctx, run.Local{}, run.Command{Name: "nix-store", Args: []string{"--no-gc-warning", "--realise", drv}, Stderr: p.lines(h.name)})
	if err != nil {
		p.fails("build", h.name, h.name, childFailure(err))
		return
	}
	path := strings.TrimSpace(string(system))
	p.say(h.name, fmt.Sprintf("Built %q", path))
	if err := p.keep(h.name, path); err != nil {
		p.fails("build", h.name, h.name, err)
		return
	}
	if goal == "build" {
		return
	}
	p.say(h.name, "Pushing system closure")
	copyTo := run.Command{
		Name: "nix-copy-closure", Args: []string{"--to", h.address(), path}, Stdout: p.lines(h.name), Stderr: p.lines(h.name),
		Env: []string{"NIX_SSHOPTS=" + strings.Join(h.sshOptions(), " ")},
	}
	if err := (run.Local{}).Run(ctx, copyTo); err != nil {
		p.fails("push system closure to", h.name, h.name, childFailure(err))
		return
	}
	p.say(h.name, "Pushed system closure")
	if goal != "push" {
		p.activate(ctx, goal, h, path)
	}
}

// keep leaves a link beside the hive, as soon as the system is built. That it keeps the garbage collector off is not played.
func (p *program) keep(name, path string) error {
	if !p.words.keepResult {
		return nil
	}
	dir := filepath.Join(filepath.Dir(p.words.config), ".gcroots")
	link := filepath.Join(dir, "node-"+name)
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return errors.Join(os.MkdirAll(dir, 0o755), os.Symlink(path, link))
}

func (p *program) activate(ctx context.Context, goal string, h host, path string) {
	p.say(h.name, "Activating system profile")
	if goal == "switch" || goal == "boot" {
		if err := p.ssh(ctx, h, "nix-env", "--profile", "/nix/var/nix/profiles/system", "--set", path); err != nil {
			p.fails("deploy to", h.name, h.name, err)
			return
		}
	}
	if err := p.ssh(ctx, h, path+"/bin/switch-to-configuration", goal); err != nil {
		p.fails("deploy to", h.name, h.name, err)
		return
	}
	p.say(h.name, "Activation successful")
}

func (p *program) execAll(ctx context.Context, names []string, deployments map[string]deployment) {
	for _, name := range names {
		if err := p.ssh(ctx, host{name: name, deployment: deployments[name]}, p.words.command...); err != nil {
			p.fails("complete job on", name, name, err)
			continue
		}
		p.say(name, "Succeeded")
	}
}

// keysAll can only do nothing.
func (p *program) keysAll(names []string, deployments map[string]deployment) {
	for _, name := range names {
		if len(deployments[name].Keys) > 0 {
			p.fails("upload keys to", name, name, errors.New("the stand-in uploads no keys"))
			continue
		}
		p.say(name, "Uploaded keys")
	}
}

func (h host) address() string {
	if h.TargetUser == nil {
		return *h.TargetHost
	}
	return *h.TargetUser + "@" + *h.TargetHost
}

func (h host) sshOptions() []string {
	options := append([]string{}, h.SSHOptions...)
	options = append(options, "-o", "StrictHostKeyChecking=accept-new", "-o", "BatchMode=yes", "-T")
	if h.TargetPort != nil {
		options = append(options, "-p", strconv.Itoa(int(*h.TargetPort)))
	}
	if file := os.Getenv("SSH_CONFIG_FILE"); file != "" {
		options = append(options, "-F", file)
	}
	return options
}

// ssh runs words on h with an empty stdin, as root.
func (p *program) ssh(ctx context.Context, h host, words ...string) error {
	args := append([]string{h.address()}, h.sshOptions()...)
	args = append(args, "--")
	if h.TargetUser == nil || *h.TargetUser != "root" {
		args = append(args, h.PrivilegeEscalationCommand...)
	}
	return childFailure(run.Local{}.Run(ctx, run.Command{
		Name: "ssh", Args: append(args, words...), Stdout: p.lines(h.name), Stderr: p.lines(h.name),
	}))
}

// lines prefixes what a host or a builder writes.
func (p *program) lines(name string) io.Writer { return &prefixer{p: p, name: name} }

type prefixer struct {
	p    *program
	name string
	rest string
}

func (w *prefixer) Write(b []byte) (int, error) {
	w.rest += string(b)
	for {
		line, rest, whole := strings.Cut(w.rest, "\n")
		if !whole {
			return len(b), nil
		}
		w.p.say(w.name, line)
		w.rest = rest
	}
}
