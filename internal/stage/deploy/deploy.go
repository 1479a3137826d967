// Package deploy is stage 2: it brings hosts to the systems that their definitions describe, and leaves none behind that does not answer.
//
// Colmena evaluates, builds and pushes, once for all hosts, which changes nothing on any of them. Everything else is done here: whether
// the hosts can be deployed to is found out before anything is built, what would change is shown before it is agreed to, each host is
// activated under a guard of its own (package guard) that goes back unless a new connection and the health checks confirm, in an order
// that the definitions give, and what every host runs afterwards is read from the host itself.
//
// steps.go is the list of all that happens. A run leaves a record (record.go), from which an interrupted one goes on.
//
// The room talks to the world through three doors, which the caller opens: [Fleet] reaches hosts, [Engine] is Colmena, and Local is this
// machine's store. Nothing here knows a flag of ssh, sudo or colmena.
package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/deploy/guard"
)

// Fleet reaches hosts by their names. Every command is a new connection.
type Fleet interface {
	// User runs commands as who logs in.
	User(name string) run.Runner
	// Root runs commands as root. It finds out how the host lets us become root, and asks for a password where one is needed.
	Root(ctx context.Context, name string) (run.Runner, error)
}

// Engine is Colmena.
type Engine interface {
	// Push evaluates, builds and copies the systems of the named hosts, and changes nothing else on them. It gives the store paths of the
	// hosts that it did all of that for. An error is for all hosts; one that failed alone is in failed, with why. What Colmena says goes
	// to out.
	Push(ctx context.Context, names []string, out io.Writer) (paths map[string]string, failed map[string]string, err error)
	// UploadKeys uploads all keys of deployment.keys of the named hosts. failed says for which hosts it did not work, and why.
	UploadKeys(ctx context.Context, names []string, out io.Writer) (failed map[string]string, err error)
}

// Guard activates a system on one host. guard.Host is the real one.
type Guard interface {
	Activate(ctx context.Context, o guard.Order) (hive.ActivationState, error)
	Settle(ctx context.Context) (*hive.ActivationState, error)
}

// Reboots says which hosts are rebooted into their new system, under the guard.
type Reboots string

// The kinds of reboots.
const (
	NoReboot     Reboots = ""       // none; the plan says which ones need one
	WhereNeeded  Reboots = "needed" // where kernel, its modules or initrd of the new system are others than those that were booted
	AlwaysReboot Reboots = "always" // all, also those that have nothing else to do
)

// OnFailure says what a failed host means for the others.
type OnFailure string

// What can be done after a failure. Hosts that come after a failed one are left alone in either case.
const (
	Stop     OnFailure = "stop"     // begin with no further host; those that are being activated end as they do
	Continue OnFailure = "continue" // go on with all that do not come after it
)

// Options are what a person can say about a run.
type Options struct {
	Reboots         Reboots
	OnFailure       OnFailure // empty is Stop
	Parallel        int       // hosts in activation at once; 0 is 10
	SkipUnreachable bool      // leave hosts that do not answer alone, instead of refusing the run
	DryRun          bool      // end after the plan
}

// Deployment is one run over hosts.
type Deployment struct {
	Hosts  []hive.Host // to deploy, as far as generate.ReadHosts gives them
	Hive   []string    // names that hosts of the whole hive call themselves: nothing of those may answer in the place of another
	Local  run.Runner  // this machine
	Fleet  Fleet
	Engine Engine
	Guard  func(name string, root run.Runner) Guard // nil is guard.Host
	Show   func(Plan)                               // is shown the plan, once; nil is nobody
	// Confirm is asked to agree to the plan; an error is why not. It is not asked where nothing is to be done. Nil agrees.
	Confirm func(ctx context.Context, p Plan) error
	Watch   func(Event) // is told all that happens, one call at a time; nil is nobody
	Records Records
	By      string // user@computer
	// Generations are those that hosts go back to: what the engine gave for them is in their system profile already. It is looked at
	// when a host's turn comes, so that the engine may fill it. Hosts that are not in it get a new generation.
	Generations map[string]int
	Options
}

// Run deploys. The report says what became of each host, also where there is an error, which is then why the run as a whole ended:
// *PreflightError, *EngineError, the error of Confirm, or the end of the context. Hosts that failed one by one are no error.
func (d Deployment) Run(ctx context.Context) (Report, error) {
	if circle := hive.Circle(hive.Predecessors(d.Hosts)); circle != nil {
		return Report{}, &CircleError{Hosts: circle}
	}
	s, err := d.begin()
	if err != nil {
		return Report{}, err
	}
	err = s.walk(ctx)
	return s.end(ctx, err)
}

// CircleError is hosts that wait for each other.
type CircleError struct{ Hosts []string }

func (e *CircleError) Error() string {
	return fmt.Sprintf("order the hosts: they wait for each other: %s", joined(e.Hosts, " after "))
}

// Hint says the way out.
func (e *CircleError) Hint() string { return "take one of them out of hive.deployment.after" }

// PreflightError is hosts that cannot be deployed to. Nothing was built and no host was changed.
type PreflightError struct{ Problems []HostProblem }

// HostProblem is why one host cannot be deployed to.
type HostProblem struct {
	Host        string
	Unreachable bool
	Err         error
}

func (e *PreflightError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.Host + ": " + p.Err.Error()
	}
	return "look at the hosts before anything is built: " + joined(lines, "; ")
}

// Unwrap gives the errors of the hosts.
func (e *PreflightError) Unwrap() []error {
	var all []error
	for _, p := range e.Problems {
		all = append(all, p.Err)
	}
	return all
}

// Hint says the way out where a flag is one.
func (e *PreflightError) Hint() string {
	for _, p := range e.Problems {
		if !p.Unreachable {
			return ""
		}
	}
	return "--skip-unreachable deploys to the others"
}

// EngineError is Colmena that did not get the hosts' systems done. No host was changed.
type EngineError struct{ Err error }

func (e *EngineError) Error() string { return "build and push: " + e.Err.Error() }

// Unwrap gives what Colmena said.
func (e *EngineError) Unwrap() error { return e.Err }

// ErrNothingChosen is a run without hosts.
var ErrNothingChosen = errors.New("no host is to be deployed")

// Usual limits.
const (
	usualParallel = 10
	usualLook     = 16 // hosts that are only looked at, at once
	lookPatience  = 2 * time.Minute
)
