package workspace

import (
	"fmt"
	"maps"
	"slices"

	"nixos-staged-hive/internal/hive"
)

// didYouMean is " (did you mean X?)" when one of the names is close to what was written, else empty.
func didYouMean(written string, names []string) string {
	best := hive.Nearest(written, names)
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", best)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
