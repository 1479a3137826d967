// Package guard activates a system on a host so that the host is never lost: whatever ends in between (the connection, sshd, the deployer,
// the activation, the guard itself, the power), the host is on the new system and confirmed, or exactly on what it had.
//
// The work is done on the host, by a POSIX sh script in transient services (guard.sh), because a connection may end at any moment and an activation
// that loses its output is killed by it. What is here starts it, looks at its record over connections that are new each time, asks the
// caller's health checks when the new system is current, confirms, and tells how it ended.
//
// Nothing that survives a reboot is changed before the confirmation: the new system is activated with "switch-to-configuration test", and
// profile and boot loader follow when it was confirmed. A host that crashes before comes up as it was; the next contact settles its record.
//
//	begun -> activating -> waiting -> confirmed -> committed
//	   |         |            |           |  ^
//	   |         v            v           v  |
//	refused   rolling back <--+------ rebooting      (with Order.RebootAfter)
//	             |
//	             v
//	     rolled back, or stuck
//
// On the host: /var/lib/nixos-staged-hive/deploy holds the script, the record of the last run (readable by all: it has no secrets) and its log;
// /run/nixos-staged-hive-deploy holds the record of a run that goes on, which counts more: memory is never full. Locks are the kernel's (flock)
// on folders, so that none is ever left. Services are named nixos-staged-hive-RUN-{activate,watch,switch} and end with the run.
package guard

import (
	"context"
	"fmt"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
)

// Paths on the host. The record's form is that of ParseRecord.
const (
	Folder        = "/var/lib/nixos-staged-hive/deploy"
	RecordFile    = Folder + "/record"
	RunningRecord = "/run/nixos-staged-hive-deploy/record" // counts while it is there
	ScriptFile    = Folder + "/guard"                      // `guard boot` is for the boot guard's unit
)

// Host is one host. Root runs commands as root, each over a new connection; a command's standard input reaches it.
type Host struct {
	Name string
	Root run.Runner
	// Patience is how long a host may not answer when it should, in addition to the limits of the order; 0 is two minutes.
	Patience time.Duration
}

// Order is an activation. Durations are whole seconds on the host; zero is hive's usual one.
type Order struct {
	Run string // the deployment run: at most 40 letters, digits and hyphens, unlike all others
	By  string // user@computer of the operator
	New string // store path of the system; it has to be in the host's store

	// Generation is the generation of the system profile that is New already and becomes the profile's: a rollback. 0 makes a new one.
	Generation int

	Activation time.Duration // limit of switch-to-configuration; going back has the same
	Confirm    time.Duration // from when the new system is current until it has to be confirmed, Check included
	Reboot     time.Duration // from the order to reboot until the host has to answer

	// RebootAfter boots the new system once, and makes it the default only when it is confirmed again after that.
	RebootAfter bool

	// Check is asked when the new system is current and the host was reached over a new connection, and again after the reboot. Its error
	// is why the host goes back. Its context ends a little before the host would go back by itself. Nil passes.
	Check func(ctx context.Context) error

	// Progress is told each new state with an empty line, and each line that the activation wrote. Nil drops them.
	Progress func(state hive.ActivationState, line string)
}

// LockedError is a host on which somebody else's activation goes on. It ends by itself.
type LockedError struct {
	Host  string
	State hive.ActivationState
}

func (e *LockedError) Error() string {
	text := fmt.Sprintf("%s: the deployment %s by %s is %s there", e.Host, e.State.Run, e.State.By, e.State.State)
	if e.State.Remaining > 0 {
		text += fmt.Sprintf(", for %d s at most", e.State.Remaining)
	}
	return text
}

// UnknownError is a host that stays away before its record has ended. Its guard goes on without us: unless it was confirmed, the host
// goes back by itself, or at its next boot.
type UnknownError struct {
	Host  string
	State hive.ActivationState // the last that was heard of
	Err   error                // why it cannot be asked
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("%s: does not answer since it was %s: %v", e.Host, e.State.State, e.Err)
}

// Unwrap gives why the host cannot be asked.
func (e *UnknownError) Unwrap() error { return e.Err }
