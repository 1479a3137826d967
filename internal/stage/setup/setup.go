// Package setup is stage 1 on the medium: it makes the machine that it runs on a host of the hive.
//
// The phases are the list in phases.go, in order; each either did and proved what it says, or the installation ends there and says what to do. No
// exit code of another program counts as proof. After a crash or a power failure in any of them the next run goes on: from the phase where
// the last one was, once there is a file system that remembers (see [hive.Journal]), and otherwise from an empty disk, which it knows by the GUID
// of its table (see [hive.InstallingGUID]).
//
// Nothing is destroyed that was not shown and named. What is about to happen is an [hive.Intent]; a person confirms it by typing the serial number
// of each disk that holds something, and an unattended run follows the one policy in unattended.go.
//
// The work is done in the folders below: machine (what is this machine, and which of its disks are meant), disks (take down, lay out, mount, and
// prove it), closure (copy the system), bootchain (read the boot loader back, firmware entries), console (the screens).
package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
)

// The places of a medium that runs.
const (
	DefaultRoot = "/mnt"
	DefaultDir  = "/run/nixos-staged-hive"
)

// Installer installs the machine that it runs on. It must be root.
type Installer struct {
	Manifest hive.Manifest
	Runner   run.Runner // on this machine
	Root     string     // where the target is mounted; disko's scripts say DefaultRoot
	Dir      string     // in RAM: DefaultDir
	// Watch gets every event, also of those that are only in the file. It may be nil.
	Watch func(hive.SetupEvent)
}

func (in Installer) file(names ...string) string {
	return filepath.Join(append([]string{in.Dir}, names...)...)
}

// Then says what happens to the machine when it is installed.
type Then string

const (
	// Boot starts the installed system, whatever the firmware's order is.
	Boot Then = "boot"
	// PowerOff switches the machine off: the medium can be taken out in peace.
	PowerOff Then = "poweroff"
	// Stay leaves the medium running.
	Stay Then = "stay"
)

// Order is what an installation is to do.
type Order struct {
	Host     string    // empty: the one that the machine is recognised as
	Mode     hive.Mode // empty: Fresh
	Confirm  []string  // serials of the disks that may be destroyed
	PlanHash string    // refuse if the medium's plan is another one; empty does not compare
	Then     Then      // empty: Boot
	// Unattended decides mode and disks by the policy of unattended.go, and confirms nothing else.
	Unattended bool
	// Until is the phase after which it ends, with everything left as it is; empty: all of them.
	Until string
	// Terminal lets disko's scripts ask for passphrases on our own terminal.
	Terminal bool
}

// RefusedError is an installation that was not begun, with everything that stands in its way.
type RefusedError struct{ Intent hive.Intent }

func (e *RefusedError) Error() string {
	lines := []string{fmt.Sprintf("%s cannot be installed on this machine; nothing was changed", e.Intent.Host)}
	for _, p := range e.Intent.Problems {
		if p.Severity == hive.Error {
			lines = append(lines, p.Message)
		}
	}
	return strings.Join(lines, "\n")
}

// ConsentError is a disk that holds something and was not confirmed.
type ConsentError struct{ Missing []string }

func (e *ConsentError) Error() string {
	return fmt.Sprintf("not confirmed, and nothing was changed: what is on the disk %s would be lost", strings.Join(e.Missing, " and on the disk "))
}

// OtherPlanError is a medium that was made from another state of the definition than the one that was confirmed.
type OtherPlanError struct{ Host string }

func (e *OtherPlanError) Error() string {
	return fmt.Sprintf("the medium has another plan for %s than the one that was confirmed", e.Host)
}

// BusyError is a second installation while one goes on.
type BusyError struct{}

func (*BusyError) Error() string { return "an installation goes on already: `setup follow` shows it" }

// lockFile is below Installer.Dir. Whoever installs holds it.
const lockFile = "lock"

func (in Installer) lock() (*os.File, error) {
	if err := os.MkdirAll(in.Dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(in.file(lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = &BusyError{}
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Running reports whether an installation goes on.
func (in Installer) Running() bool {
	f, err := in.lock()
	if err != nil {
		var busy *BusyError
		return errors.As(err, &busy)
	}
	return f.Close() != nil
}

// Journal is how far the last installation of this start of the medium came; nil if there was none.
func (in Installer) Journal() (*hive.Journal, error) { return readJournal(in.file("journal.json")) }

// State is what the medium does, in a word or two for other machines.
func (in Installer) State() string {
	j, err := in.Journal()
	switch {
	case err != nil || j == nil:
		return "waiting"
	case in.Running():
		return fmt.Sprintf("installing %s, phase %d of %d", j.Host, len(j.Finished)+1, len(phases()))
	case j.Done:
		return "installed " + j.Host
	}
	return "interrupted: " + j.Host
}

// Run installs. It returns what was, or was to be, done; a *RefusedError, *ConsentError, *NobodyThereError, *OtherPlanError or *BusyError says
// that nothing was touched.
func (in Installer) Run(ctx context.Context, o Order) (hive.Intent, error) {
	lock, err := in.lock()
	if err != nil {
		return hive.Intent{}, err
	}
	defer lock.Close() //nolint:errcheck // closing ends the lock in any case
	rec, err := openRecorder(in.Dir, in.Watch)
	if err != nil {
		return hive.Intent{}, err
	}
	defer rec.close() //nolint:errcheck // events are no part of the result
	rec.begin("identify", "which machine is this, and which disks are meant")
	s, err := in.begin(ctx, o, rec)
	rec.end(s.subject(), err)
	if err == nil {
		err = s.travel(ctx)
	}
	rec.finish(s.last(err), err, codeOf(err))
	if err == nil && o.Until == "" {
		err = s.leave(ctx, o.Then)
	}
	return s.intent, err
}

// begin finds out what is to be done, and refuses what must not be.
func (in Installer) begin(ctx context.Context, o Order, rec *recorder) (*session, error) {
	s := &session{in: in, order: o, rec: rec}
	intent, host, err := in.intend(ctx, o)
	s.intent, s.host = intent, host
	if err != nil {
		return s, err
	}
	for _, p := range intent.Problems {
		if p.Severity != hive.Error {
			rec.warn(p.Message)
		}
	}
	if err := allowed(intent, o); err != nil {
		return s, err
	}
	if s.bundle, _, err = in.bundle(host.Name); err != nil {
		return s, err
	}
	return s, s.open()
}

// Allowed gives the error that Run would refuse an order with, without doing anything.
func (in Installer) Allowed(ctx context.Context, o Order) error {
	if in.Running() {
		return &BusyError{}
	}
	intent, _, err := in.intend(ctx, o)
	if err != nil {
		return err
	}
	return allowed(intent, o)
}

// allowed is the one place that decides whether an installation begins.
func allowed(intent hive.Intent, o Order) error {
	if o.PlanHash != "" && o.PlanHash != intent.PlanHash {
		return &OtherPlanError{intent.Host}
	}
	if intent.Refused() {
		return &RefusedError{intent}
	}
	confirmed := o.Confirm
	if o.Unattended {
		d, err := decide(intent.Host, intent.Targets)
		if err != nil {
			return err
		}
		confirmed = d.confirm
	}
	var missing []string
	for _, serial := range intent.Confirm {
		if !slices.Contains(confirmed, serial) {
			missing = append(missing, serial)
		}
	}
	if len(missing) > 0 {
		return &ConsentError{missing}
	}
	return nil
}

// codeOf is the exit code of a run: 0 done, 1 failed, 4 refused, 130 interrupted.
func codeOf(err error) int {
	var refused *RefusedError
	var consent *ConsentError
	var nobody *NobodyThereError
	var plan *OtherPlanError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		return 130
	case errors.As(err, &refused), errors.As(err, &consent), errors.As(err, &nobody), errors.As(err, &plan):
		return 4
	}
	return 1
}

// wayOf is what to do about an error, as far as it knows itself.
func wayOf(err error) string {
	var refused *RefusedError
	if errors.As(err, &refused) {
		var ways []string
		for _, p := range refused.Intent.Problems {
			if p.Severity == hive.Error && p.Way != "" && !slices.Contains(ways, p.Way) {
				ways = append(ways, p.Way)
			}
		}
		return strings.Join(ways, "\n")
	}
	var way interface{ Hint() string }
	if errors.As(err, &way) {
		return way.Hint()
	}
	return ""
}

// logFile is below Installer.Dir: all that programs said.
const logFile = "setup.log"

// LogFile is where all that programs said is kept.
func (in Installer) LogFile() string { return in.file(logFile) }

func (in Installer) openLog() (io.WriteCloser, error) {
	return os.OpenFile(in.file(logFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}
