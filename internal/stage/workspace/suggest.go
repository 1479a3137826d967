package workspace

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// didYouMean is " (did you mean X?)" when one of the names is close to what was written, else empty.
func didYouMean(written string, names []string) string {
	best, least := "", min(max(2, len(written)/3)+1, len(written)) // two swapped letters are two edits
	for _, n := range names {
		if d := distance(strings.ToLower(written), strings.ToLower(n)); d < least {
			best, least = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", best)
}

// distance counts the single-character edits between a and b (Levenshtein).
func distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range from {
		diagonal := row[0]
		row[0] = i + 1
		for j, y := range to {
			change := diagonal
			if x != y {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(to)]
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
