// Package survey looks at hosts that run, and keeps their generations in order: what each host runs compared with what was built for it,
// which generation it can go back to, and which ones may be deleted.
//
// What it concludes is pure and can be tested as such; hosts are asked by package state.
package survey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/deploy/state"
)

// Condition says in a word how a host stands to what was built for it.
type Condition string

// The conditions. Where several are true, the first one counts.
const (
	// Unreachable: it cannot be asked.
	Unreachable Condition = "unreachable"
	// Unfinished: a deployment has begun and not ended.
	Unfinished Condition = "unfinished"
	// Drifted: it runs something else than its next boot will, or a system that was not deployed from here.
	Drifted Condition = "drifted"
	// Outdated: another system was built for it.
	Outdated Condition = "outdated"
	// PendingReboot: it is up to date but for its kernel, which the next boot brings.
	PendingReboot Condition = "pending reboot"
	// InSync: it runs what was built for it, and boots it.
	InSync Condition = "in sync"
	// Unknown: nothing is wrong with it, but what was built for it is not known.
	Unknown Condition = "unknown"
)

// Alarms tells that somebody should look.
func (c Condition) Alarms() bool { return c == Unreachable || c == Unfinished || c == Drifted }

// Subject is a host to look at.
type Subject struct {
	Name string
	User run.Runner // as who logs in
	// Root runs commands as root without asking anybody, where that is possible: then the boot loader's choice is always known.
	Root     run.Runner
	Declared string   // the system that was built for it last; empty where none was
	Known    []string // systems that were deployed to it from here
}

// Finding is what is known about a host at a moment. It is the JSON of `hive status`.
type Finding struct {
	Host      string          `json:"host"`
	Condition Condition       `json:"condition"`
	Why       string          `json:"why"`      // a sentence, empty where there is nothing to say
	Hint      string          `json:"hint"`     // what to do about it
	Remarks   []string        `json:"remarks"`  // failed units, little room: not about which system runs
	Declared  string          `json:"declared"` // the system that was built for it last
	State     *hive.HostState `json:"state"`    // null where it cannot be asked
	Err       error           `json:"-"`
}

// Options limit a look. Zero is 20 hosts at once and 30 seconds for each.
type Options struct {
	Parallel int
	Timeout  time.Duration
}

// Look asks all hosts at the same time and gives a finding for each, in their order. A host that cannot be asked is a finding, no error.
func Look(ctx context.Context, subjects []Subject, o Options) []Finding {
	findings := make([]Finding, len(subjects))
	each(len(subjects), o.Parallel, func(i int) {
		findings[i] = look(ctx, subjects[i], o)
	})
	return findings
}

// each calls f with 0 to n-1, some of them at once; 0 is 20.
func each(n, parallel int, f func(i int)) {
	if parallel <= 0 {
		parallel = 20
	}
	var all sync.WaitGroup
	places := make(chan struct{}, parallel)
	for i := range n {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			f(i)
		})
	}
	all.Wait()
}

func look(ctx context.Context, s Subject, o Options) Finding {
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = 30 * time.Second
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", timeout))
	defer cancel()
	found, err := ask(ctx, s)
	if err != nil {
		return unreachable(s, err)
	}
	return Judge(s, found)
}

// ask goes through root where that works. Where it was expected to and does not, the user's own view is better than none.
func ask(ctx context.Context, s Subject) (hive.HostState, error) {
	if s.Root != nil {
		found, err := state.Read(ctx, s.Root)
		if _, away := errors.AsType[*remote.ConnectionError](err); err == nil || away || ctx.Err() != nil {
			return found, err
		}
	}
	return state.Read(ctx, s.User)
}

func unreachable(s Subject, err error) Finding {
	f := Finding{Host: s.Name, Condition: Unreachable, Why: err.Error(), Remarks: []string{}, Declared: s.Declared, Err: err}
	if e, ok := errors.AsType[*remote.ConnectionError](err); ok {
		f.Why = e.Error()
	}
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		f.Hint = hinted.Hint()
	}
	return f
}

// Judge draws the conclusion from a host's state.
func Judge(s Subject, found hive.HostState) Finding {
	f := Finding{Host: s.Name, Declared: s.Declared, State: &found, Remarks: remarks(found)}
	deploy := "`nixos-staged-hive hive deploy " + s.Name + "`"
	switch why := drift(s, found); {
	case found.Unfinished != nil && !found.Unfinished.State.Ends():
		u := found.Unfinished
		f.Condition = Unfinished
		f.Why = fmt.Sprintf("the deployment %s by %s is %s", u.Run, u.By, u.State)
		f.Hint = deploy + " brings it to an end once its own time is over"
		if u.Remaining > 0 {
			f.Hint = fmt.Sprintf("it goes back by itself in %d s", u.Remaining)
		}
	case why != "":
		f.Condition, f.Why = Drifted, why
		f.Hint = "`nixos-staged-hive hive diff " + s.Name + "` shows what differs, " + deploy + " puts it in order"
	case s.Declared == "" && found.RebootNeeded:
		f.Condition, f.Why, f.Hint = PendingReboot, rebootWhy, rebootHint
	case s.Declared == "":
		f.Condition, f.Why = Unknown, "nothing was built for it here"
		f.Hint = "`nixos-staged-hive hive build --on " + s.Name + "`, or --evaluate"
	case s.Declared != found.Current:
		f.Condition, f.Why, f.Hint = Outdated, "another system was built for it", deploy
	case found.RebootNeeded:
		f.Condition, f.Why, f.Hint = PendingReboot, rebootWhy, rebootHint
	default:
		f.Condition = InSync
	}
	return f
}

const (
	rebootWhy  = "its kernel, kernel modules or initrd are those of before"
	rebootHint = "they change with its next boot"
)

// drift says why a host is not as a deployment leaves it; empty if it is.
func drift(s Subject, found hive.HostState) string {
	known := append(slices.Clone(s.Known), s.Declared)
	switch {
	case found.Current == "":
		return "it runs no NixOS system"
	case found.Current != found.Profile:
		return "it runs another system than its profile has"
	case found.Default != "" && found.Default != found.Profile:
		return "its next boot takes another system than its profile has"
	case len(s.Known) > 0 && !slices.Contains(known, found.Current):
		return "it runs a system that was not deployed from here"
	}
	return ""
}

// lowSpace is when little room is left: a tenth, and not much in all. An ESP holds kernels and is small by nature.
func lowSpace(s hive.Space) bool {
	limit := int64(5e9)
	if s.Mount == "/boot" {
		limit = 80e6
	}
	return s.Size > 0 && s.Free < limit && s.Free < s.Size/10
}

func remarks(s hive.HostState) []string {
	all := []string{}
	for _, unit := range s.Failed {
		all = append(all, "failed: "+unit)
	}
	for _, space := range s.Spaces {
		if lowSpace(space) {
			all = append(all, fmt.Sprintf("%s has %s left of %s", space.Mount, hive.Size(space.Free), hive.Size(space.Size)))
		}
	}
	return all
}
