package survey

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// Choice is a system of a host that somebody named. Generation is 0 where the path is no generation.
type Choice struct {
	Path       string `json:"path"`
	Generation int    `json:"generation"`
}

// ChoiceError is a word that names no system of a host.
type ChoiceError struct {
	Word  string
	Why   string
	Known []hive.Generation
}

func (e *ChoiceError) Error() string {
	return fmt.Sprintf("which system is %q: %s", e.Word, e.Why)
}

// Hint lists what there is.
func (e *ChoiceError) Hint() string {
	if len(e.Known) == 0 {
		return ""
	}
	var numbers []string
	for _, g := range e.Known {
		numbers = append(numbers, strconv.Itoa(g.Number))
	}
	return "its generations are " + strings.Join(numbers, ", ")
}

// Named finds the system that a word means on a host: current, booted, profile, default, built (what was built for it here), the
// number of a generation, or a store path.
func Named(word string, s hive.HostState, built string) (Choice, error) {
	places := map[string]string{"current": s.Current, "booted": s.Booted, "profile": s.Profile, "default": s.Default, "built": built}
	path, isPlace := places[word]
	switch number, err := strconv.Atoi(word); {
	case isPlace && path == "" && word == "built":
		return Choice{}, &ChoiceError{Word: word, Why: "nothing was built for the host here"}
	case isPlace && path == "":
		return Choice{}, &ChoiceError{Word: word, Why: "the host does not say"}
	case isPlace:
		return choice(path, s), nil
	case err == nil:
		for _, g := range s.Generations {
			if g.Number == number {
				return Choice{Path: g.Path, Generation: number}, nil
			}
		}
		return Choice{}, &ChoiceError{Word: word, Why: "there is no such generation", Known: s.Generations}
	case strings.HasPrefix(word, "/nix/store/"):
		return choice(strings.TrimRight(word, "/"), s), nil
	}
	return Choice{}, &ChoiceError{Word: word, Why: "neither a generation, a store path, nor one of current, booted, profile, default and built"}
}

// choice looks for the newest generation of a path; the profile's own comes before others.
func choice(path string, s hive.HostState) Choice {
	if path == s.Profile {
		return Choice{Path: path, Generation: s.Generation}
	}
	for _, g := range slices.Backward(s.Generations) {
		if g.Path == path {
			return Choice{Path: path, Generation: g.Number}
		}
	}
	return Choice{Path: path}
}

// Previous is the system that a host goes back to when nobody says which: the newest generation before the current one that is
// another system. A host that runs something that is no generation goes back to what its profile has.
func Previous(s hive.HostState) (Choice, error) {
	at := choice(s.Current, s).Generation
	if at == 0 && s.Profile != "" {
		return choice(s.Profile, s), nil
	}
	for _, g := range slices.Backward(s.Generations) {
		if g.Number < at && g.Path != s.Current {
			return Choice{Path: g.Path, Generation: g.Number}, nil
		}
	}
	return Choice{}, &ChoiceError{Word: "previous", Why: "there is no other system before generation " + strconv.Itoa(at), Known: s.Generations}
}
