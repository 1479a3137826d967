package hive

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Select returns the hosts that patterns name, in the order of the hive and each once. Without any pattern that is all of
// them; an empty pattern selects nothing. A pattern is what Colmena's --on takes, and more: a definition's name, a glob over names (*, ?, [a-z], [!a-z]),
// @TAG, a glob over tags behind an @, several of these with commas between them, or a host's networking.hostName, with
// or without its domain and in any case, if only one host has it. A pattern that selects nothing is a [*SelectError], which lists all of
// them.
func Select(h Hive, patterns []string) ([]Host, error) {
	if len(patterns) == 0 {
		return slices.Clone(h.Hosts), nil
	}
	wanted := splitPatterns(patterns)
	if len(wanted) == 0 { // an unset shell variable must not mean every host
		return nil, &SelectError{Missed: []Missed{{Pattern: strings.Join(patterns, " ")}}, Known: names(h.Hosts)}
	}
	chosen := map[string]bool{}
	var missed []Missed
	for _, pattern := range wanted {
		hits, ambiguous := match(h, pattern)
		if len(hits) == 0 {
			missed = append(missed, Missed{Pattern: pattern, Ambiguous: ambiguous, Nearest: Nearest(pattern, vocabulary(h, pattern))})
		}
		for _, name := range hits {
			chosen[name] = true
		}
	}
	if len(missed) > 0 {
		return nil, &SelectError{Missed: missed, Known: names(h.Hosts)}
	}
	return slices.DeleteFunc(slices.Clone(h.Hosts), func(host Host) bool { return !chosen[host.Name] }), nil
}

// SelectError says which patterns select no host.
type SelectError struct {
	Missed []Missed
	Known  []string // names of all hosts
}

// Missed is a pattern that selects no host.
type Missed struct {
	Pattern   string
	Ambiguous []string // the hosts that share the name, if that is the reason
	Nearest   string   // the known name or @tag most like it; empty if nothing is
}

// Error says what is wrong with each pattern and ends with the known hosts.
func (e *SelectError) Error() string {
	parts := make([]string, len(e.Missed))
	for i, m := range e.Missed {
		parts[i] = m.String()
	}
	known := "the hive has no hosts"
	if len(e.Known) > 0 {
		known = "known hosts: " + list(e.Known)
	}
	return "select hosts: " + strings.Join(parts, "; ") + "; " + known
}

// String says why the pattern selects nothing, with the nearest known name.
func (m Missed) String() string {
	switch {
	case len(m.Ambiguous) > 0:
		return fmt.Sprintf("%q is the host name of %s: use a definition's name", m.Pattern, list(m.Ambiguous))
	case m.Nearest != "":
		return fmt.Sprintf("no host matches %q (did you mean %q?)", m.Pattern, m.Nearest)
	}
	return fmt.Sprintf("no host matches %q", m.Pattern)
}

// splitPatterns takes comma lists apart and drops what is empty.
func splitPatterns(patterns []string) []string {
	var found []string
	for _, p := range patterns {
		for part := range strings.SplitSeq(p, ",") {
			if part = strings.TrimSpace(part); part != "" {
				found = append(found, part)
			}
		}
	}
	return found
}

// match returns the names of the hosts a single pattern selects, or those that make it ambiguous. A definition's name
// goes before another host's host name.
func match(h Hive, pattern string) (hits, ambiguous []string) {
	if tag, ok := strings.CutPrefix(pattern, "@"); ok {
		return matching(h, func(host Host) bool {
			return slices.ContainsFunc(host.Deployment.Tags, func(t string) bool { return globs(tag, t) })
		}), nil
	}
	hits = matching(h, func(host Host) bool { return globs(pattern, host.Name) })
	if len(hits) > 0 {
		return hits, nil
	}
	called := matching(h, func(host Host) bool { return slices.Contains(hostNames(host), strings.ToLower(pattern)) })
	if len(called) > 1 {
		return nil, called
	}
	return called, nil
}

// matching returns the names of the hosts for which wanted holds.
func matching(h Hive, wanted func(Host) bool) []string {
	var found []string
	for _, host := range h.Hosts {
		if wanted(host) {
			found = append(found, host.Name)
		}
	}
	return found
}

// globs reports whether a glob in Colmena's spelling matches the whole word. A malformed one matches only itself.
func globs(pattern, word string) bool {
	ok, err := path.Match(strings.ReplaceAll(pattern, "[!", "[^"), word)
	return pattern == word || ok && err == nil
}

// vocabulary is what a pattern of this kind could have meant.
func vocabulary(h Hive, pattern string) []string {
	var words []string
	for _, host := range h.Hosts {
		if !strings.HasPrefix(pattern, "@") {
			words = append(words, host.Name, host.HostName)
			continue
		}
		for _, tag := range host.Deployment.Tags {
			words = append(words, "@"+tag)
		}
	}
	return words
}

// Nearest is the word with the fewest typing errors between it and what was written, whatever the case, of equals the first. It is
// empty if more than a third of what was written would have to change; two errors are always allowed, because two letters that
// changed places count as two, but never as many as there are letters.
func Nearest(written string, words []string) string {
	letters := len([]rune(written))
	best, fewest := "", min(max(2, (letters+2)/3)+1, letters)
	for _, w := range words {
		if d := distance(strings.ToLower(written), strings.ToLower(w)); w != "" && d < fewest {
			best, fewest = w, d
		}
	}
	return best
}

// distance is Levenshtein's: the least number of letters to insert, remove or replace. It keeps one row of the table.
func distance(a, b string) int {
	as, bs := []rune(a), []rune(b)
	row := make([]int, len(bs)+1)
	for j := range row {
		row[j] = j
	}
	for i, ra := range as {
		diagonal := row[0]
		row[0] = i + 1
		for j, rb := range bs {
			replaced := diagonal
			if ra != rb {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(bs)]
}
