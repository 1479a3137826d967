// Package rehearse takes hosts through all stages in virtual machines on the user's computer: from blank disks, by the installation
// medium, to the deployed hive. What is rehearsed is the user's own tree, with one Nix module more in each system (nix/stages/rehearsal.nix); what
// else differs from the real machines is told, see [Guest.Differences].
//
// This is the one place that strings the stages together. The journey itself is the list in journey.go.
package rehearse

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/nix"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/vm"
)

// Stage is a point of the journey at which a host can be left, and taken up again.
type Stage string

// The stages, in their order.
const (
	Blank  Stage = ""       // nothing has happened yet
	Medium Stage = "medium" // the medium runs and lets us in
	Mini   Stage = "mini"   // the installed mini system runs
	Hive   Stage = "hive"   // the full system runs, also after a reboot
)

// Stages are those a rehearsal can stop at or start from.
func Stages() []Stage { return []Stage{Medium, Mini, Hive} }

// before reports whether s comes earlier in the journey than other.
func (s Stage) before(other Stage) bool {
	return slices.Index(Stages(), s) < slices.Index(Stages(), other)
}

// Rehearsal is one run.
type Rehearsal struct {
	Dir    string            // absolute folder for its state: disks, snapshots, console logs
	Tree   string            // absolute; the generated folder
	Hosts  []hive.Host       // those that are rehearsed
	States map[string]string // what the hosts were evaluated with, see define.Result
	Setup  string            // store path of the program for the media: one static executable for this computer's platform

	Runner   run.Runner
	Progress progress.Sink

	From, Until Stage         // Blank: from blank disks, and to the end
	Keep        bool          // leave the machines running
	Online      bool          // let them reach what this computer reaches
	Machines    int           // at once; 0 is as many as memory allows
	Fresh       bool          // evaluate and build again even if nothing changed
	Patience    time.Duration // how long one step may take; 0 is long enough for any machine
}

// Report is what became of a rehearsal.
type Report struct {
	QEMU        string    `json:"qemu"`
	Accelerator string    `json:"accelerator"` // "kvm" or "tcg"
	Hosts       []Outcome `json:"hosts"`
	Built       int       `json:"built"` // derivations that had to be built
	Began       time.Time `json:"began"`
	Total       Seconds   `json:"seconds"`
	Machines    Seconds   `json:"machineSeconds"` // while at least one machine ran
	Kept        bool      `json:"kept"`
}

// Seconds is a duration that JSON has as a number.
type Seconds float64

// String writes it for a person: 12 s, 3 min 04 s.
func (s Seconds) String() string {
	whole := int(math.Round(float64(s)))
	if whole < 60 {
		return fmt.Sprintf("%d s", whole)
	}
	return fmt.Sprintf("%d min %02d s", whole/60, whole%60)
}

// Outcome is the journey of one host.
type Outcome struct {
	Host        string   `json:"host"`
	Machine     string   `json:"machine"` // what it was rehearsed on, in one line
	Differences []string `json:"differences"`
	Reached     Stage    `json:"reached"`
	Steps       []Step   `json:"steps"`
	Login       string   `json:"login,omitempty"` // command line that logs in, of a machine that was kept
	Console     string   `json:"console"`         // file with all the serial console said
	Screen      string   `json:"screen,omitempty"`
	Error       string   `json:"error,omitempty"`

	err error
}

// Err is why the host did not get there; nil if it did.
func (o Outcome) Err() error { return o.err }

// Failed are the hosts that did not get where they should.
func (r Report) Failed() []Outcome {
	return slices.DeleteFunc(slices.Clone(r.Hosts), func(o Outcome) bool { return o.err == nil })
}

// Step is one line of the timeline.
type Step struct {
	Stage   Stage   `json:"stage"`
	Name    string  `json:"name"`
	StandIn bool    `json:"standIn"` // this step will be the product's own, and something simpler does it today
	Began   Seconds `json:"began"`   // since the rehearsal began
	Took    Seconds `json:"seconds"`
	Text    string  `json:"text"`
	Failed  bool    `json:"failed"`
}

// Stop ends the machines of a rehearsal that were kept, or that a killed run left. It is false when there never were any.
func Stop(ctx context.Context, dir string) (bool, error) {
	err := vm.Stop(ctx, filepath.Join(dir, "lab"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Run carries out a plan. Hosts that fail are in the report; the error is for what concerns all of them.
func (r Rehearsal) Run(ctx context.Context, plan Plan) (_ Report, err error) {
	clock := newClock()
	host, err := vm.Probe(ctx, r.Runner, vm.Wish{UEFI: plan.needsUEFI()})
	if err != nil {
		return Report{}, err
	}
	lab, err := vm.Open(ctx, filepath.Join(r.Dir, "lab"), host, r.Runner)
	if err != nil {
		return Report{}, refineOpen(err)
	}
	defer func() { err = errors.Join(err, lab.Close()) }() //nolint:contextcheck // machines end also when the context has
	if host.WhyNotKVM != "" {
		r.Progress.Send(progress.Event{
			Task: "virtual machines", State: progress.Warned, Err: fmt.Errorf("without KVM, some ten times slower: %s", host.WhyNotKVM),
		})
	}
	key, err := makeKey(ctx, r.Runner, r.Dir)
	if err != nil {
		return Report{}, err
	}
	guests := r.guests(plan, lab, clock, key, host)
	b := &builder{
		nix: nix.Client{Run: r.Runner}, tree: r.Tree, dir: r.Dir, fresh: r.Fresh, progress: r.Progress, states: r.States, setup: r.Setup,
	}
	if err := b.all(ctx, guests); err != nil {
		return Report{}, err
	}
	logins, err := r.connect(ctx, plan, lab, guests, key)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, logins.Close()) }()
	r.all(ctx, guests)
	report := Report{
		QEMU: host.Version, Accelerator: string(host.Accelerator), Built: int(b.made.Load()), Began: clock.began,
		Total: clock.now(), Machines: clock.machines(),
	}
	for _, g := range guests {
		report.Hosts = append(report.Hosts, g.outcome)
	}
	if ctx.Err() != nil {
		return report, fmt.Errorf("rehearse: %w", context.Cause(ctx))
	}
	if r.Keep {
		report.Kept = true
		for i, g := range guests {
			report.Hosts[i].Login = g.command(key)
		}
		return report, lab.Keep()
	}
	return report, nil
}

func (p Plan) needsUEFI() bool {
	return slices.ContainsFunc(p.Guests, func(g Guest) bool { return g.Machine.Firmware == vm.UEFI })
}

// refineOpen adds the way out of a lab that cannot be had.
func refineOpen(err error) error {
	var kept *vm.KeptError
	var busy *vm.BusyError
	switch {
	case errors.As(err, &kept):
		return &hinted{err, "`nixos-staged-hive rehearse --stop` ends them"}
	case errors.As(err, &busy):
		return &hinted{err, "wait for the other rehearsal of this workspace, or end it"}
	}
	return err
}

// How long one step may take by default: nothing on a machine with hardware virtualisation takes minutes but copying a large system.
const (
	patienceKVM = 10 * time.Minute
	patienceTCG = 40 * time.Minute
)

func (r Rehearsal) guests(plan Plan, lab *vm.Lab, clock *clock, key loginKey, host vm.Host) []*guest {
	patience := r.Patience
	if patience == 0 {
		patience = map[vm.Accelerator]time.Duration{vm.KVM: patienceKVM, vm.TCG: patienceTCG}[host.Accelerator]
	}
	var all []*guest
	for _, p := range plan.Guests {
		all = append(all, &guest{
			host: p.Host, machine: p.Machine, reach: p.reach, spec: spec{key.public, p.needs},
			lab: lab, clock: clock, local: r.Runner, dir: r.Dir, patience: patience, progress: r.Progress,
			outcome: Outcome{Host: p.Host.Name, Machine: p.describe(), Differences: p.Differences},
		})
	}
	return all
}

// connect brings the networks up, and says how the machines in them are reached.
func (r Rehearsal) connect(ctx context.Context, plan Plan, lab *vm.Lab, guests []*guest, key loginKey) (*remote.Access, error) {
	for _, n := range plan.Networks {
		segment, err := lab.StartNetwork(ctx, n)
		if err != nil {
			return nil, err
		}
		for _, g := range guests {
			if g.reach.network == n.Name {
				g.segment = segment
			}
		}
	}
	logins, err := access(r.Runner, guests, key)
	for _, g := range guests {
		g.access = logins
	}
	return logins, err
}

// all takes the guests on their journeys, as many at once as there is room for. Where all fit, they stay on until the last is through, and
// then have to reach each other.
func (r Rehearsal) all(ctx context.Context, guests []*guest) {
	room := r.room(guests)
	together := room >= len(guests)
	until := cmpOrHive(r.Until)
	var group sync.WaitGroup
	seats := make(chan struct{}, room)
	for _, g := range guests {
		group.Go(func() {
			seats <- struct{}{}
			defer func() { <-seats }()
			g.travel(ctx, r.From, until)
			if !together && !r.Keep && g.running != nil {
				g.running.Cut()
			}
		})
	}
	group.Wait()
	if !together || until != Hive || len(guests) < 2 {
		return
	}
	for _, g := range guests {
		if g.outcome.err == nil {
			g.do(ctx, step{stage: Hive, name: "reach the others", do: func(g *guest, ctx context.Context) (string, error) {
				return g.neighbours(ctx, guests)
			}})
		}
	}
}

// room is how many machines run at once: as many as there is memory for, and one in any case.
func (r Rehearsal) room(guests []*guest) int {
	if r.Machines > 0 {
		return r.Machines
	}
	const each = (memoryMiB + 256) << 20 // QEMU needs some itself
	return int(max(1, min(int64(len(guests)), availableMemory()/each)))
}
