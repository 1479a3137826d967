package hive

import (
	"crypto/sha1"
	"fmt"
	"time"
)

// Mode says what an installation does to the disks that disko lays out.
type Mode string

const (
	// Fresh destroys what is on them, lays them out anew, formats and mounts them.
	Fresh Mode = "fresh"
	// Keep checks and mounts what is there. Nothing is formatted; a new system is installed beside the data.
	Keep Mode = "keep"
	// Add lays out and formats blank disks, and mounts the others, whose tables have to be the plan's already.
	Add Mode = "add"
)

// Modes are all of them.
func Modes() []Mode { return []Mode{Fresh, Keep, Add} }

// DiskGUID is the GUID that setup gives the partition table of a disk once everything is installed and verified: a name-based UUID (RFC 9562,
// version 5) of host and disk. So an earlier installation is known to be of this host.
func DiskGUID(host, disk string) string { return nameUUID(fmt.Sprintf("%q %q", host, disk)) }

// InstallingGUID is the GUID that the table has while the installation goes on, from the moment the disk was wiped. There is nothing to lose
// on a disk that carries it: an installation that was interrupted may begin again.
func InstallingGUID(host, disk string) string {
	return nameUUID(fmt.Sprintf("installing %q %q", host, disk))
}

func nameUUID(name string) string {
	// the namespace is an arbitrary UUID of ours, and stays for ever
	space := []byte{0x3b, 0x1f, 0x0c, 0x52, 0x8e, 0x4d, 0x4a, 0x61, 0x9d, 0x27, 0x6f, 0x35, 0x70, 0xc1, 0x2a, 0xe4}
	// version 5 is defined with SHA-1; nothing rests on its strength
	sum := sha1.Sum(append(space, name...))
	u := sum[:16]
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// Target is a disk of a plan with the disk of the machine that it was resolved to.
type Target struct {
	Disk   Disk   `json:"disk"`
	Device Device `json:"device"`
	// State says what is on it: "blank", "interrupted" (InstallingGUID: nothing to lose), "own" (DiskGUID: an earlier installation of this
	// host, with whatever came since), "foreign".
	State string `json:"state"`
	// Fate says what will happen to it: "destroy" (fresh, not blank), "format" (blank), "mount".
	Fate string `json:"fate"`
	// Contents are lines for a person: what is lost, or kept.
	Contents []string `json:"contents"`
}

// Intent is what `setup` is about to do: shown before the one question, and compared by whoever confirms from afar.
type Intent struct {
	Schema   int      `json:"schema"` // ManifestSchema
	Host     string   `json:"host"`
	PlanHash string   `json:"planHash"`
	Toplevel string   `json:"toplevel"`
	Mode     Mode     `json:"mode"`
	Why      string   `json:"why"` // by what the host was recognised: "named", "mac", "serial", "uuid", "the only one on the medium", "chosen"
	Machine  Machine  `json:"machine"`
	Targets  []Target `json:"targets"`
	// Confirm are the serials (or, of disks without one, kernel names) that have to be given before anything is destroyed: those of all
	// targets with the fate "destroy".
	Confirm  []string  `json:"confirm"`
	Resume   *Journal  `json:"resume"` // an earlier run that was interrupted; nil without one
	Problems []Problem `json:"problems"`
	// Running says that an installation goes on at the moment; its host is in the journal.
	Running bool `json:"running"`
	// After is the number of the last event before the run that goes on, or else of the last one there is: who follows from here sees the run
	// that goes on or comes next, and none before.
	After int `json:"after"`
}

// Refused reports whether a problem forbids to go on.
func (i Intent) Refused() bool {
	for _, p := range i.Problems {
		if p.Severity == Error {
			return true
		}
	}
	return false
}

// Journal is how far an installation came. setup keeps it on the medium (in RAM) and, from the moment that there is one, on the root
// file system that it installs (JournalFile).
type Journal struct {
	Schema   int       `json:"schema"` // ManifestSchema
	Host     string    `json:"host"`
	PlanHash string    `json:"planHash"`
	Toplevel string    `json:"toplevel"`
	Mode     Mode      `json:"mode"`
	Began    time.Time `json:"began"`
	Runs     int       `json:"runs"`     // how often it was begun
	Finished []string  `json:"finished"` // names of the phases that are done and verified, in order
	Done     bool      `json:"done"`     // all of them
}

// JournalFile is where the journal is on the root file system of the installed machine; the log is beside it as setup.log.
const JournalFile = "/var/lib/nixos-staged-hive/setup/journal.json"

// SetupEvent is one line of what `setup --json` tells while it works, and of its log of events.
type SetupEvent struct {
	Number int       `json:"number"` // from 1, without gaps: who was cut off asks for what follows the last it saw
	Time   time.Time `json:"time"`
	Phase  string    `json:"phase"`
	State  string    `json:"state"` // progress.State, or "finished" for the last one
	Done   int64     `json:"done,omitempty"`
	Total  int64     `json:"total,omitempty"`
	Text   string    `json:"text,omitempty"`
	Error  string    `json:"error,omitempty"`
	Way    string    `json:"way,omitempty"` // what to do about the error
	Code   int       `json:"code"`          // exit code, with the state "finished"
}
