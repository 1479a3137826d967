package install

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// OtherPlanError is a medium that was made from another state of the definitions than the workspace has now.
type OtherPlanError struct {
	Host string
	// Differences are lines such as `storage.disks[0].device: the medium has "/dev/sda", the workspace "/dev/sdb"`.
	Differences []string
}

func (e *OtherPlanError) Error() string {
	return fmt.Sprintf("the medium was made from another state of %s than the workspace has now:\n%s", e.Host, strings.Join(e.Differences, "\n"))
}

// Hint says what the user can do.
func (e *OtherPlanError) Hint() string {
	return "write the medium again (`nixos-staged-hive install -n " + e.Host + "`), or go back to the definitions that it was made from"
}

// compare refuses a medium that would install something else than the workspace says.
func compare(m hive.MediumHost, ours hive.Plan, toplevel string) error {
	hash, err := ours.Hash()
	if err != nil {
		return err
	}
	var differences []string
	if hash != m.PlanHash {
		if differences, err = planDifferences(m.Plan, ours); err != nil {
			return err
		}
		if len(differences) == 0 {
			differences = []string{"the plans differ in what this version of the program does not know"}
		}
	}
	if toplevel != "" && toplevel != m.Toplevel {
		differences = append(differences, difference("mini system", m.Toplevel, toplevel))
	}
	if len(differences) > 0 {
		return &OtherPlanError{Host: m.Name, Differences: differences}
	}
	return nil
}

// mostDifferences is how many are told: past a handful the medium is simply another.
const mostDifferences = 12

func planDifferences(theirs, ours hive.Plan) ([]string, error) {
	a, err := plain(theirs)
	if err != nil {
		return nil, err
	}
	b, err := plain(ours)
	if err != nil {
		return nil, err
	}
	all := differences("", a, b, nil)
	if more := len(all) - mostDifferences; more > 0 {
		all = append(all[:mostDifferences], fmt.Sprintf("and %d more", more))
	}
	return all, nil
}

// plain is a value as its JSON has it.
func plain(plan hive.Plan) (value any, err error) {
	text, err := json.Marshal(plan)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		err = d.Decode(&value)
	}
	if err != nil {
		return nil, fmt.Errorf("compare the plans of %s: %w", plan.Name, err)
	}
	return value, nil
}

// differences walks two JSON values and collects where they differ, in a fixed order.
func differences(at string, theirs, ours any, all []string) []string {
	switch a := theirs.(type) {
	case map[string]any:
		if b, ok := ours.(map[string]any); ok {
			keys := slices.Sorted(maps.Keys(a))
			for _, key := range keys {
				all = differences(strings.TrimPrefix(at+"."+key, "."), a[key], b[key], all)
			}
			return all
		}
	case []any:
		if b, ok := ours.([]any); ok && len(a) == len(b) {
			for i := range a {
				all = differences(fmt.Sprintf("%s[%d]", at, i), a[i], b[i], all)
			}
			return all
		}
	}
	if x, y := show(theirs), show(ours); x != y {
		all = append(all, fmt.Sprintf("%s: the medium has %s, the workspace %s", at, x, y))
	}
	return all
}

func difference(at, theirs, ours string) string {
	return fmt.Sprintf("%s: the medium has %s, the workspace %s", at, theirs, ours)
}

// longestShown is how much is shown of a value, in bytes.
const longestShown = 200

func show(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return "?"
	}
	if len(text) > longestShown {
		return strings.ToValidUTF8(string(text[:longestShown]), "") + "..."
	}
	return string(text)
}
