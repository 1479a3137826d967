package hive

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says what a [Problem] means for the person who reads it.
type Severity string

// The severities, worst first. An error stands in the way of a host that boots, is reachable and can be deployed to; a
// warning is very likely a mistake; a note is a limit worth knowing.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Note    Severity = "note"
)

// rank orders severities, worst first; an unknown one comes last.
func (s Severity) rank() int {
	order := []Severity{Error, Warning, Note}
	if i := slices.Index(order, s); i >= 0 {
		return i
	}
	return len(order)
}

// Problem is one thing that is wrong with a hive: where, what, and what to do about it.
type Problem struct {
	Host     string   `json:"host"`     // name of the definition; empty if it concerns the hive as a whole
	Option   string   `json:"option"`   // the option to change, as the user would write it
	File     string   `json:"file"`     // path of the definition relative to the workspace, or of another workspace file
	Severity Severity `json:"severity"` // error, warning or note
	Rule     string   `json:"rule"`     // stable id of the rule that found it, for example duplicate-address
	Message  string   `json:"message"`  // what is wrong and what it leads to
	Way      string   `json:"way"`      // what to do: one imperative sentence, ready to paste where that is possible
}

// String is the problem on one line, without its way out.
func (p Problem) String() string {
	where := p.Host
	if where == "" {
		where = "hive"
	}
	if p.Option != "" {
		where += ": " + p.Option
	}
	return fmt.Sprintf("%s: %s: %s [%s]", p.Severity, where, p.Message, p.Rule)
}

// SortProblems orders by host, then severity (worst first), then rule; what concerns the whole hive comes first.
func SortProblems(problems []Problem) {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.Host, b.Host),
			cmp.Compare(a.Severity.rank(), b.Severity.rank()),
			cmp.Compare(a.Rule, b.Rule),
			cmp.Compare(a.Option, b.Option),
			cmp.Compare(a.Message, b.Message),
		)
	})
}

// ProblemsOf returns the problems of one host; the empty name asks for those of the hive as a whole.
func ProblemsOf(problems []Problem, host string) []Problem {
	var own []Problem
	for _, p := range problems {
		if p.Host == host {
			own = append(own, p)
		}
	}
	return own
}

// Counts is how many problems there are of each severity.
type Counts struct {
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
	Notes    int `json:"notes"`
}

// Count counts problems by severity.
func Count(problems []Problem) Counts {
	var c Counts
	for _, p := range problems {
		switch p.Severity {
		case Error:
			c.Errors++
		case Warning:
			c.Warnings++
		case Note:
			c.Notes++
		}
	}
	return c
}

// String is for example "2 errors, 1 note", or "no problems".
func (c Counts) String() string {
	var parts []string
	for _, part := range []struct {
		n    int
		noun string
	}{{c.Errors, "error"}, {c.Warnings, "warning"}, {c.Notes, "note"}} {
		if part.n > 0 {
			parts = append(parts, count(part.n, part.noun))
		}
	}
	if len(parts) == 0 {
		return "no problems"
	}
	return strings.Join(parts, ", ")
}

// count is "1 error" or "2 errors": a number with its noun, plural by -s.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// ValidationError says that a hive has errors. It carries every problem found, warnings and notes too.
type ValidationError struct {
	Problems []Problem
}

// Error lists all errors, one a line; warnings and notes are only counted.
func (e *ValidationError) Error() string {
	lines := []string{"check the hive: " + Count(e.Problems).String()}
	for _, p := range e.Problems {
		if p.Severity == Error {
			lines = append(lines, p.String())
		}
	}
	return strings.Join(lines, "\n")
}

// Validate runs [Check] and returns a [*ValidationError] with all problems if one of them is an error.
func Validate(h Hive, in CheckInput) error {
	problems := Check(h, in)
	if Count(problems).Errors == 0 {
		return nil
	}
	return &ValidationError{Problems: problems}
}
