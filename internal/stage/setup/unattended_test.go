package setup

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
)

func target(name, state string, change ...func(*hive.Target)) hive.Target {
	t := hive.Target{Disk: hive.Disk{Name: name}, Device: hive.Device{Path: "/dev/" + name, Serial: "SERIAL-" + name}, State: state}
	for _, c := range change {
		c(&t)
	}
	return t
}

func named(t *hive.Target)      { t.Disk.Selector.Serial = t.Device.Serial }
func additional(t *hive.Target) { t.Disk.Additional = true }

func TestUnattendedPolicy(t *testing.T) {
	for name, c := range map[string]struct {
		targets []hive.Target
		mode    hive.Mode // empty: a person is wanted
		confirm []string
		why     string
	}{
		"blank disk":                        {targets: []hive.Target{target("a", "blank")}, mode: hive.Fresh},
		"interrupted installation":          {targets: []hive.Target{target("a", "interrupted")}, mode: hive.Fresh},
		"blank and interrupted":             {targets: []hive.Target{target("a", "blank"), target("b", "interrupted")}, mode: hive.Fresh},
		"its own earlier one: data stays":   {targets: []hive.Target{target("a", "own")}, mode: hive.Keep},
		"foreign":                           {targets: []hive.Target{target("a", "foreign")}, why: "hive.partitioning.disks.a.serial"},
		"foreign beside blank":              {targets: []hive.Target{target("a", "blank"), target("b", "foreign")}, why: "disk b"},
		"foreign, named by serial":          {targets: []hive.Target{target("a", "foreign", named)}, mode: hive.Fresh, confirm: []string{"SERIAL-a"}},
		"named, and a blank one":            {targets: []hive.Target{target("a", "foreign", named), target("b", "blank")}, mode: hive.Fresh, confirm: []string{"SERIAL-a"}},
		"named and foreign":                 {targets: []hive.Target{target("a", "foreign", named), target("b", "foreign")}, why: "disk b"},
		"own beside blank: a disk replaced": {targets: []hive.Target{target("a", "own"), target("b", "blank")}, why: "disk a holds an earlier installation and disk b does not"},
		"own beside named":                  {targets: []hive.Target{target("a", "own"), target("b", "foreign", named)}, why: "earlier installation"},
		"own, named by serial: data stays":  {targets: []hive.Target{target("a", "own", named)}, mode: hive.Keep},
		"additional disks are not asked":    {targets: []hive.Target{target("a", "blank"), target("b", "foreign", additional)}, mode: hive.Fresh},
		"another disk than the named one":   {targets: []hive.Target{target("a", "foreign", func(t *hive.Target) { t.Disk.Selector.Serial = "OTHER" })}, why: "not blank"},
		"named by size: no name":            {targets: []hive.Target{target("a", "foreign", func(t *hive.Target) { t.Disk.Selector.Size = "1T" })}, why: "not blank"},
		"neither is named, no serial known": {targets: []hive.Target{target("a", "foreign", func(t *hive.Target) { t.Device.Serial = "" })}, why: "not blank"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := decide("web", c.targets)
			var nobody *NobodyThereError
			switch {
			case c.mode == "" && !errors.As(err, &nobody):
				t.Fatalf("decided %+v (error %v), want a person", d, err)
			case c.mode == "" && !strings.Contains(err.Error(), c.why):
				t.Errorf("error %q does not say %q", err, c.why)
			case c.mode != "" && err != nil:
				t.Fatal(err)
			}
			if d.mode != c.mode || !slices.Equal(d.confirm, c.confirm) {
				t.Errorf("decided %+v, want %s %v", d, c.mode, c.confirm)
			}
		})
	}
}

// Whatever the states, nothing foreign is destroyed that is not named, and nothing of an earlier installation at all.
func TestUnattendedNeverDestroysWhatNobodyNamed(t *testing.T) {
	states := []string{"blank", "interrupted", "own", "foreign"}
	for _, first := range states {
		for _, second := range states {
			for _, names := range []int{0, 1, 2, 3} {
				targets := []hive.Target{target("a", first), target("b", second)}
				for i := range targets {
					if names>>i&1 == 1 {
						named(&targets[i])
					}
				}
				d, err := decide("web", targets)
				if err != nil || d.mode == hive.Keep {
					continue
				}
				for _, x := range targets {
					if x.State == "own" || x.State == "foreign" && x.Disk.Selector.Serial == "" {
						t.Errorf("%s/%s, named %b: mode %s destroys disk %s (%s)", first, second, names, d.mode, x.Disk.Name, x.State)
					}
				}
			}
		}
	}
}
