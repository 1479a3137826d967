package deploy

import (
	"time"

	"nixos-staged-hive/internal/hive"
)

// RecordSchema numbers the JSON form of Report, which is also that of run.json.
const RecordSchema = 1

// Report is a run and what became of its hosts. It is written to run.json whenever it changes.
type Report struct {
	Schema  int       `json:"schema"`
	ID      string    `json:"id"`
	By      string    `json:"by"` // user@computer
	Begun   time.Time `json:"begun"`
	Ended   time.Time `json:"ended"`            // zero while it goes on; a run that was killed has none
	Reboots Reboots   `json:"reboots"`          // as it was asked for
	Error   string    `json:"error,omitempty"`  // why the run as a whole ended early
	Folder  string    `json:"folder,omitempty"` // where run.json and the logs are
	Hosts   []Result  `json:"hosts"`            // in the order of the hive
}

// Result is what became of a host.
type Result struct {
	Host     string   `json:"host"`
	Outcome  Outcome  `json:"outcome"`
	Reason   string   `json:"reason,omitempty"` // why it failed or was skipped
	Warnings []string `json:"warnings,omitempty"`
	From     string   `json:"from,omitempty"` // what was current before
	To       string   `json:"to,omitempty"`   // what was pushed
	// Runs, Boots and Generation are what the host said after all: current system, what the profile leads to, and its number. Empty where it could
	// not be asked.
	Runs         string                `json:"runs,omitempty"`
	Boots        string                `json:"boots,omitempty"`
	Generation   int                   `json:"generation,omitempty"`
	RebootNeeded bool                  `json:"rebootNeeded,omitempty"`
	Activation   *hive.ActivationState `json:"activation,omitempty"` // the guard's record
	Seconds      float64               `json:"seconds,omitempty"`    // of the activation, checks included
	Log          string                `json:"log,omitempty"`        // path of the host's log
	Tail         []string              `json:"tail,omitempty"`       // its last lines, where it failed
}

// Finished tells that the run came to its end, however it ended.
func (r Report) Finished() bool { return !r.Ended.IsZero() }

// Left are the hosts that are not as they should be, for another run.
func (r Report) Left() []string {
	var names []string
	for _, h := range r.Hosts {
		if h.Outcome != Confirmed && h.Outcome != Nothing {
			names = append(names, h.Host)
		}
	}
	return names
}

// Count says how many hosts are well, failed themselves, and were left alone.
func (r Report) Count() (well, failed, left int) {
	for _, h := range r.Hosts {
		switch {
		case h.Outcome.Well():
			well++
		case h.Outcome.failed():
			failed++
		default:
			left++
		}
	}
	return well, failed, left
}

// Host gives the result of one host.
func (r Report) Host(name string) (Result, bool) {
	for _, h := range r.Hosts {
		if h.Host == name {
			return h, true
		}
	}
	return Result{}, false
}
