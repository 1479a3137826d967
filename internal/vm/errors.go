package vm

import (
	"fmt"
	"slices"
	"strings"

	"nixos-staged-hive/internal/run"
)

// MissingError says everything this computer lacks for running virtual machines: the caller's exit code is 5.
type MissingError struct{ Missing []Missing }

// Missing is one thing that is not there, and how to get it.
type Missing struct{ What, Hint string }

func (e *MissingError) Error() string {
	var what []string
	for _, m := range e.Missing {
		what = append(what, m.What)
	}
	return "virtual machines need what is not here: " + strings.Join(what, "; ")
}

// Unwrap gives one *run.MissingError with all hints, so that whoever knows only that one says the right thing.
func (e *MissingError) Unwrap() error {
	var hints []string
	for _, m := range e.Missing {
		if !slices.Contains(hints, m.Hint) { // one package may bring several programs
			hints = append(hints, m.Hint)
		}
	}
	return &run.MissingError{Program: "QEMU", Hint: strings.Join(hints, "; ")}
}

// BusyError is a lab that another program, which is alive, has open.
type BusyError struct {
	Dir string
	PID int // of the owner; 0 if it has not said so yet
}

func (e *BusyError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("lab %s is in use by another program", e.Dir)
	}
	return fmt.Sprintf("lab %s is in use by process %d", e.Dir, e.PID)
}

// KeptError is a lab whose owner left its machines running on purpose. [Stop] ends them.
type KeptError struct {
	Dir      string
	Machines []string // what runs, machines and networks
}

func (e *KeptError) Error() string {
	return fmt.Sprintf("lab %s still has machines running that were kept: %s", e.Dir, strings.Join(e.Machines, ", "))
}

// EndedError is a call to a machine that does not run any more.
type EndedError struct {
	Machine string
	End     End
}

func (e *EndedError) Error() string {
	return fmt.Sprintf("virtual machine %s has ended: %s", e.Machine, e.End)
}

// UnsavableError is a machine with a device whose state QEMU cannot save while it runs, such as an NVMe disk. [Lab.SaveDisks] works for
// it once it is off.
type UnsavableError struct {
	Machine string
	Reason  string // QEMU's own words, with the device
}

func (e *UnsavableError) Error() string {
	return fmt.Sprintf("virtual machine %s cannot be saved while it runs: %s", e.Machine, e.Reason)
}

// MonitorError is a command that QEMU refused.
type MonitorError struct {
	Command string
	Class   string // GenericError, CommandNotFound, DeviceNotFound...
	Reason  string
}

func (e *MonitorError) Error() string { return fmt.Sprintf("qemu %s: %s", e.Command, e.Reason) }
