package ui

import (
	"fmt"
	"strings"
)

// tailLines is how much of a failed program's own words an error shows.
const tailLines = 20

// Failure is an error as a person reads it.
type Failure struct {
	Err    error
	Output []byte   // what a failed program wrote to its stderr; the last lines are shown
	Hints  []string // what to try next
	Log    string   // path of the whole log; empty when there is none
}

// Fail writes f to Err: the error, the last words of the program, the hints, the log's place.
func (s *Streams) Fail(f Failure) {
	var b strings.Builder
	b.WriteString(s.labelled("error", Bad, f.Err.Error()))
	b.WriteString(lastLines(string(f.Output)))
	for _, h := range f.Hints {
		b.WriteString(s.labelled("hint", Strong, h))
	}
	if f.Log != "" {
		b.WriteString(s.labelled("log", Faint, f.Log))
	}
	s.say(b.String())
}

// Warn writes a remark that does not stop the work to Err.
func (s *Streams) Warn(text string) { s.say(s.labelled("warning", Doubtful, text)) }

// Note writes one line for a person to Err.
func (s *Streams) Note(text string) { s.say(printable(text) + "\n") }

// say drops a write error: there is no better place left to report it.
func (s *Streams) say(text string) { _, _ = fmt.Fprint(s.Err, text) }

// labelled indents the second and further lines, so that each label stands alone at the margin.
func (s *Streams) labelled(label string, tone Tone, text string) string {
	text = strings.ReplaceAll(strings.TrimSpace(printable(text)), "\n", "\n  ")
	return tone.paint(label+":", s.ErrTerminal && s.Colour) + " " + text + "\n"
}

func lastLines(output string) string {
	output = strings.Trim(printable(output), "\n")
	if strings.TrimSpace(output) == "" {
		return ""
	}
	lines := strings.Split(output, "\n")
	if cut := len(lines) - tailLines; cut > 0 {
		lines = append([]string{fmt.Sprintf("... %d lines before", cut)}, lines[cut:]...)
	}
	return "  | " + strings.Join(lines, "\n  | ") + "\n"
}
