package survey

import (
	"context"
	"fmt"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/deploy/state"
)

// Comparison is the difference between two systems of a host.
type Comparison struct {
	Host       string           `json:"host"`
	From       Choice           `json:"from"`
	To         Choice           `json:"to"`
	Difference state.Difference `json:"difference"`
	Err        error            `json:"-"`
}

// Compare asks all hosts at once which systems the words from and to mean there (see Named), and compares these. What this machine's store
// does not have, is asked on the host. Comparison.Err says what did not work for one host.
func Compare(ctx context.Context, local run.Runner, subjects []Subject, from, to string) []Comparison {
	all := make([]Comparison, len(subjects))
	each(len(subjects), 0, func(i int) {
		all[i] = compare(ctx, local, subjects[i], from, to)
	})
	return all
}

func compare(ctx context.Context, local run.Runner, s Subject, from, to string) Comparison {
	c := Comparison{Host: s.Name}
	var found hive.HostState
	if found, c.Err = ask(ctx, s); c.Err != nil {
		return c
	}
	if c.From, c.Err = Named(from, found, s.Declared); c.Err != nil {
		return c
	}
	if c.To, c.Err = Named(to, found, s.Declared); c.Err != nil {
		return c
	}
	c.Difference, c.Err = state.Diff(ctx, c.From.Path, c.To.Path, local, s.User)
	return c
}

// Changes lays a difference out, a row for each package.
func Changes(d state.Difference) (header []string, rows [][]string) {
	for _, c := range d.Changes {
		rows = append(rows, []string{c.Name, versions(c.From), versions(c.To), Signed(c.Bytes)})
	}
	return []string{"PACKAGE", "FROM", "TO", "SIZE"}, rows
}

// versions joins versions. A package need not have one.
func versions(all []string) string {
	if len(all) == 0 {
		return "-"
	}
	words := make([]string, len(all))
	for i, v := range all {
		words[i] = v
		if v == "" {
			words[i] = "(no version)"
		}
	}
	return strings.Join(words, ", ")
}

// Summary says a difference in one line.
func Summary(d state.Difference) string {
	if d.Added+d.Removed == 0 {
		return "no difference"
	}
	return fmt.Sprintf("%s and %s rebuilt; size %s, new store paths %s", plural(len(d.Changes), "change"), plural(d.Rebuilt, "package"), Signed(d.Bytes), hive.Size(d.Transfer))
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// Signed writes by how many bytes something grows or shrinks.
func Signed(bytes int64) string {
	switch {
	case bytes > 0:
		return "+" + hive.Size(bytes)
	case bytes < 0:
		return "-" + hive.Size(-bytes)
	}
	return "0"
}
