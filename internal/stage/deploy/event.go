package deploy

import (
	"strings"
	"time"
)

// Event is something that happened, for a person who watches or a program that reads along.
type Event struct {
	Time  time.Time `json:"time"`
	Run   string    `json:"run"`
	Step  string    `json:"step"`            // name of the step, as in Steps
	Host  string    `json:"host,omitempty"`  // empty: it is about no single one
	State State     `json:"state"`           //
	Text  string    `json:"text,omitempty"`  // one line
	Error string    `json:"error,omitempty"` // why, with failed and warned
}

// State says where the step, or the host within the step, is.
type State string

// The states of an event. Done and Failed end what Started began.
const (
	Started State = "started"
	Running State = "running"
	Done    State = "done"
	Failed  State = "failed"
	Warned  State = "warned" // a remark
)

// Outcome is how it ended for a host.
type Outcome string

// The outcomes.
const (
	Pending     Outcome = "pending"       // not yet begun
	Planned     Outcome = "planned"       // a dry run
	Nothing     Outcome = "nothing to do" // it ran the system already, and boots it
	Activating  Outcome = "activating"    // was begun; in a record of a run that was killed, nobody wrote down how it ended
	Confirmed   Outcome = "confirmed"     // on the new system, checked and committed
	RolledBack  Outcome = "rolled back"   // on exactly what it had
	Refused     Outcome = "refused"       // nothing was changed
	Stuck       Outcome = "stuck"         // could not go back; see the reason
	Unknown     Outcome = "unknown"       // stays away; its guard goes back unless it was confirmed
	FailedHost  Outcome = "failed"        // before the activation (build, push), or the host is not what it should be after it
	Skipped     Outcome = "skipped"       // left alone because of others, or because the run ended before
	Unreachable Outcome = "unreachable"   // left alone because it does not answer
)

// Well tells that the host is as it should be.
func (o Outcome) Well() bool { return o == Confirmed || o == Nothing || o == Planned }

// failed tells that something went wrong with this host itself.
func (o Outcome) failed() bool {
	return o == RolledBack || o == Refused || o == Stuck || o == Unknown || o == FailedHost
}

// ends tells that the run has nothing more to do with the host.
func (o Outcome) ends() bool { return o != Pending && o != Activating }

func joined(words []string, between string) string { return strings.Join(words, between) }
