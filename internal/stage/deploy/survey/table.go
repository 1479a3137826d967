package survey

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"nixos-staged-hive/internal/hive"
)

// Table lays findings out, a row each.
func Table(findings []Finding) (header []string, rows [][]string) {
	for _, f := range findings {
		rows = append(rows, row(f))
	}
	return []string{"HOST", "STATE", "SYSTEM", "GENERATION", "UP", "FREE", "REMARKS"}, rows
}

func row(f Finding) []string {
	remarks := strings.Join(append(sentence(f.Why), f.Remarks...), "\n")
	if f.State == nil {
		return []string{f.Host, string(f.Condition), "", "", "", "", remarks}
	}
	s := f.State
	return []string{f.Host, string(f.Condition), cmp.Or(s.Version, "-"), generation(*s), Days(s.Uptime), free(s.Spaces), remarks}
}

func sentence(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// generation is the profile's number, and how many there are.
func generation(s hive.HostState) string {
	if s.Generation == 0 {
		return "-"
	}
	return fmt.Sprintf("%d (of %d)", s.Generation, len(s.Generations))
}

// free is what is left where Nix keeps its store, which is the first file system unless there is one for it.
func free(spaces []hive.Space) string {
	left := "-"
	for _, s := range spaces {
		if s.Mount == "/" || s.Mount == "/nix" {
			left = hive.Size(s.Free)
		}
	}
	return left
}

// Days writes a duration for a person, in the two largest units that fit.
func Days(d time.Duration) string {
	minutes := int(d.Minutes())
	switch {
	case minutes >= 24*60:
		return fmt.Sprintf("%d d %d h", minutes/(24*60), minutes/60%24)
	case minutes >= 60:
		return fmt.Sprintf("%d h %d min", minutes/60, minutes%60)
	}
	return fmt.Sprintf("%d min", minutes)
}
