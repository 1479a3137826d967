// Package progress is the vocabulary for saying how far long work has come. It is data only: who does the work sends events,
// who shows them (package ui) decides how. It knows nothing about terminals, logs or hosts' contents.
package progress

// State says where a task stands.
type State string

const (
	// Started announces a task; Done and Total may already be known.
	Started State = "started"
	// Running reports movement inside a task: a count, a line of text, or both.
	Running State = "running"
	// Done ends a task that did what it should.
	Done State = "done"
	// Failed ends a task that did not; Event.Err says why.
	Failed State = "failed"
	// Warned is a remark that does not end the task.
	Warned State = "warned"
)

// Ends reports whether no further event of the same task follows.
func (s State) Ends() bool { return s == Done || s == Failed }

// Event is one step of one task. Task and Host together identify the task: "evaluate" of two hosts are two tasks.
type Event struct {
	Task  string // what is being done, as a verb with its object: "evaluate", "fetch nixos"
	Host  string // the host it is done for; empty when it is for no single one
	State State
	Done  int64  // units finished; their kind (hosts, bytes) is the task's own affair
	Total int64  // units in all; 0 when unknown
	Text  string // one line for a person, without a newline
	Err   error  // why, for Failed and Warned
}

// Sink receives events. It may be called from several goroutines at once; an implementation guards itself.
type Sink func(Event)

// Send passes e on. A nil Sink swallows it, so that nobody has to check.
func (s Sink) Send(e Event) {
	if s != nil {
		s(e)
	}
}
