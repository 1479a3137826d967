package nix

import (
	"fmt"
	"strings"
)

// BuildError is a build that did not succeed as a whole.
type BuildError struct {
	Failures []Failure // in the order in which they happened; with KeepGoing all, else mostly one
	Missing  []string  // attributes that were not built; known with KeepGoing only
	Text     string    // the messages of Nix, for the case that none of them is about a derivation
	Err      error     // how the program ended
}

// Failure is one derivation that could not be built for a reason of its own. Those that only needed it are not listed.
type Failure struct {
	Derivation string   // store path
	Attrs      []string // attributes that need it
	Reason     string   // "builder failed with exit code 1"
	Log        []string // the last lines of its log, at most 25
}

// Error names the first failure, and how many there are.
func (e *BuildError) Error() string {
	if len(e.Failures) == 0 {
		return "build: " + parseError(e.Text, e.Err).Message
	}
	text := "build " + e.Failures[0].String()
	if more := len(e.Failures) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// Unwrap gives the end of the program.
func (e *BuildError) Unwrap() error { return e.Err }

// String is the derivation's name and the reason, in one line.
func (f Failure) String() string {
	return Name(f.Derivation) + ": " + strings.Join(strings.Fields(f.Reason), " ")
}
