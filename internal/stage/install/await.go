package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/run"
)

// Expect says which host is waited for, and by what it is known.
type Expect struct {
	Login // User is the deployer's login; empty is that of the host

	Host     hive.Host
	HostKey  string // the public key that was installed: nobody else is the host
	Toplevel string // store path of the mini system; empty takes any
	// Addresses are further ones to try, such as that of the medium: with DHCP it often stays. NAME, ADDRESS or ADDRESS:PORT.
	Addresses []string
	MACs      []string // of the machine's cards: by these the neighbours of this computer tell addresses. Those of the definition are known
	BootID    string   // of the medium; empty compares none
	MediumKey string   // fingerprint of the key that the medium showed, if it was another than HostKey

	// Patience is how long to wait; 0 is 10 minutes. A machine with much memory takes some of them before it even starts its loader.
	Patience time.Duration
	Progress progress.Sink
}

// Arrived is a host that answers as its mini system.
type Arrived struct {
	Host     string   `json:"host"`
	HostName string   `json:"hostName"`
	Address  string   `json:"address"` // without port
	Port     int      `json:"port"`
	System   string   `json:"system"` // store path of what runs
	BootID   string   `json:"bootId"`
	State    string   `json:"state"`  // of systemd: "running", or "degraded" with the units that failed
	Failed   []string `json:"failed"` // units
	Next     []Step   `json:"next"`
}

// Step is something to type next.
type Step struct {
	Command string `json:"command"`
	Why     string `json:"why"`
}

const awaitTask = "wait for the mini system"

// Await waits until a host answers as its mini system: with its key, at a new start, running the system that was installed. The error is a
// *Diagnosis when that did not happen in time.
func Await(ctx context.Context, e Expect) (Arrived, error) {
	if e.HostKey == "" {
		return Arrived{}, fmt.Errorf("wait for %s: no host key is known of it, so it could not be told from another machine", e.Host.Name)
	}
	e.User = cmp.Or(e.User, e.Host.Deployer.Name)
	w := &watch{Expect: e, began: time.Now()}
	e.Progress.Send(progress.Event{Task: awaitTask, Host: e.Host.Name, State: progress.Started})
	arrived, err := w.wait(ctx)
	end := progress.Event{Task: awaitTask, Host: e.Host.Name, State: progress.Done, Text: "answers at " + arrived.Address, Err: err}
	if err != nil {
		end.State, end.Text = progress.Failed, ""
	}
	e.Progress.Send(end)
	return arrived, err
}

// watch is one wait.
type watch struct {
	Expect
	began      time.Time
	neighbours []Neighbour
	said       map[string]string // the last of each address
}

func (w *watch) wait(ctx context.Context) (Arrived, error) {
	for wait := firstPause; ; wait = min(2*wait, longestPause/2) {
		candidates, err := w.candidates(ctx)
		if err != nil {
			return Arrived{}, err
		}
		arrived, tried := w.round(ctx, candidates)
		if arrived != nil {
			return *arrived, nil
		}
		if ctx.Err() != nil {
			return Arrived{}, fmt.Errorf("wait for %s: %w", w.Host.Name, context.Cause(ctx))
		}
		w.tell(tried)
		if time.Since(w.began) >= cmp.Or(w.Patience, defaultPatience) {
			return Arrived{}, w.diagnose(ctx, candidates, tried)
		}
		if err := pause(ctx, wait); err != nil {
			return Arrived{}, fmt.Errorf("wait for %s: %w", w.Host.Name, err)
		}
	}
}

// tell passes on what addresses say when that changes.
func (w *watch) tell(tried []Observation) {
	if w.said == nil {
		w.said = map[string]string{}
	}
	for _, o := range tried {
		if w.said[o.Address] != o.Said {
			w.said[o.Address] = o.Said
			w.Progress.Send(progress.Event{Task: awaitTask, Host: w.Host.Name, State: progress.Running, Text: o.Address + ": " + o.Said})
		}
	}
}

// candidates are all addresses that the host may have now.
func (w *watch) candidates(ctx context.Context) (places, error) {
	port := portOf(w.Host)
	all := fixedPlaces(w.Host)
	for _, text := range w.Addresses {
		p, err := parsePlace(text, port, "where the medium was")
		if err != nil {
			return nil, fmt.Errorf("wait for %s: %w", w.Host.Name, err)
		}
		all.add(p.host, p.port, p.why)
	}
	if target := w.Host.Deployment.TargetHost; target != nil && *target != w.Host.Name {
		all.add(*target, port, "deployment.targetHost")
	}
	w.neighbours = neighboursOf(ctx, w.Local, w.macs())
	for _, n := range w.neighbours {
		all.add(n.Address, port, "a neighbour with the card "+n.MAC)
	}
	all.add(cmp.Or(w.Host.HostName, w.Host.Name)+".local", port, "its name on the network")
	return all, nil
}

func (w *watch) macs() []string {
	var all []string
	for _, i := range w.Host.Network.Interfaces {
		all = append(all, strings.ToLower(i.MAC))
	}
	for _, m := range w.MACs {
		all = append(all, strings.ToLower(m))
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(m string) bool { return m == "" })
}

// round tries all addresses at once, and is over with the first that is the host.
func (w *watch) round(ctx context.Context, candidates places) (*Arrived, []Observation) {
	type answer struct {
		index   int
		arrived *Arrived
		err     error
	}
	trying, enough := context.WithCancel(ctx)
	defer enough()
	answers := make(chan answer, len(candidates))
	for i, at := range candidates {
		go func() {
			arrived, err := w.visit(trying, at)
			answers <- answer{i, arrived, err}
		}()
	}
	var arrived *Arrived
	tried := make([]Observation, len(candidates))
	for range candidates {
		a := <-answers
		if a.err == nil && arrived == nil {
			arrived = a.arrived
			enough()
		}
		if a.err != nil {
			tried[a.index] = observe(candidates[a.index], a.err)
		}
	}
	return arrived, tried
}

// visit asks one address what it is.
func (w *watch) visit(ctx context.Context, at place) (*Arrived, error) {
	target := pinnedTo(w.target(w.Host.Name, at), w.HostKey)
	access, err := w.open(target)
	if err != nil {
		return nil, err
	}
	defer access.Close() //nolint:errcheck // a temporary folder that stays is swept by the next run
	who, err := askWho(ctx, access.Runner(target.Name))
	if e, ok := errors.AsType[*remote.ConnectionError](err); ok && e.Reason == remote.Denied {
		// The key is the host's, or ssh would have said so.
		return nil, passing("", "it is %s, or its medium, and does not let %s in (yet)", w.Host.Name, w.User)
	}
	if err != nil {
		return nil, err
	}
	if err := w.judge(who); err != nil {
		return nil, err
	}
	return &Arrived{
		Host: w.Host.Name, HostName: who.hostName, Address: at.host, Port: at.port, System: who.system, BootID: who.bootID,
		State: who.state, Failed: who.failed, Next: w.next(who),
	}, nil
}

// judge says why it is not yet the mini system that answers.
func (w *watch) judge(who answerer) error {
	switch {
	case who.medium:
		return passing("the firmware started the medium again, or the machine was not restarted: take the medium out, or choose the disk in the firmware's menu",
			"the medium still runs there, as %s", who.hostName)
	case w.BootID != "" && who.bootID == w.BootID:
		return passing("", "the machine was not restarted yet")
	case w.Toplevel != "" && who.system != w.Toplevel:
		return passing("the machine started another system: is the disk of an older installation before the new one in the firmware's order?",
			"it runs %s instead of %s", who.system, w.Toplevel)
	case who.state != "running" && who.state != "degraded":
		return passing("`systemctl list-jobs` there shows what it waits for", "its systemd is %q", who.state)
	}
	return nil
}

// answerer is what a machine says of itself.
type answerer struct {
	bootID, hostName, system, state string
	medium                          bool
	failed                          []string
}

// who prints a line for each question; systemctl's exit codes tell nothing more than its words (systemctl(1)).
const who = `cat ` + bootIDFile + `
cat /proc/sys/kernel/hostname
readlink -f /run/current-system || echo
s=$(systemctl is-system-running) || :; echo "$s"
if cat ` + hive.ManifestFile + ` >/dev/null 2>&1; then echo medium; else echo system; fi
systemctl list-units --failed --plain --no-legend --no-pager || :`

func askWho(ctx context.Context, r run.Runner) (answerer, error) {
	out, err := run.Output(ctx, r, run.Command{Name: "sh", Args: []string{"-c", who}, Grace: time.Second})
	if err != nil {
		return answerer{}, err
	}
	return parseWho(string(out))
}

func parseWho(text string) (answerer, error) {
	lines := strings.Split(strings.ToValidUTF8(text, "?"), "\n")
	if len(lines) < 5 {
		return answerer{}, passing("", "it answers %.80q", text)
	}
	a := answerer{bootID: lines[0], hostName: lines[1], system: lines[2], state: lines[3], medium: lines[4] == "medium"}
	for _, line := range lines[5:] {
		if words := strings.Fields(line); len(words) > 0 {
			a.failed = append(a.failed, words[0])
		}
	}
	return a, nil
}

// next is what to type now.
func (w *watch) next(who answerer) []Step {
	name := w.Host.Name
	steps := []Step{
		{"nixos-staged-hive deploy " + name, "bring the full configuration"},
		{"nixos-staged-hive hardware " + name, "keep what the machine is beside its definition"},
	}
	if len(who.failed) > 0 {
		look := Step{"ssh " + w.User + "@" + cmp.Or(who.hostName, name) + " systemctl status " + run.Quote(who.failed...), "see why these units failed"}
		steps = append([]Step{look}, steps...)
	}
	return steps
}
