package matrix

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/stage/setup"
	"nixos-staged-hive/internal/testbed/nbd"
)

// layouts of systems.nix.
func layouts() []string { return []string{"plain", "btrfs", "luks", "lvm", "two"} }

func diskNames(layout string) []string {
	if layout == "two" {
		return []string{"main", "second"}
	}
	return []string{"main"}
}

// point is one installation that is cut off, and what follows. All of it comes from its seed.
type point struct {
	Seed   int64
	Layout string
	Mode   hive.Mode
	First  cut
	Live   bool // the first cut kills a machine that runs, instead of being taken from a tape; for one in ten
	Second cut  // in the run that goes on; for one in four
	Again  bool // a third run, in mode keep; for one in eight
	// Firmware starts the installed system: for one in three. For the others QEMU starts what the loader would, read from the same files.
	Firmware bool
}

// cut is where the power goes away.
type cut struct {
	Phase string   // of setup; "": never
	Part  float64  // 1: when it has ended; less: after this part of its writes
	Loss  nbd.Loss // what becomes of unflushed writes
}

func (p point) String() string {
	text := fmt.Sprintf("%d: %s, mode %s, %s", p.Seed, p.Layout, p.Mode, p.First)
	if p.Live {
		text += " (live)"
	}
	if p.Second.Phase != "" {
		text += "; then " + p.Second.String()
	}
	return text
}

func (c cut) String() string {
	where := fmt.Sprintf("at %.0f%% of the writes of %s", c.Part*100, c.Phase)
	if c.Part == 1 {
		where = "after " + c.Phase
	}
	return fmt.Sprintf("cut %s, %s unflushed is lost", where, c.Loss)
}

// round is how many points in a row have all ends of phases among them: they are the first of it, so that a matrix that runs out of time has them.
const round = 50

// pointOf makes a point of its seed.
func pointOf(seed int64) point {
	dice := rand.New(rand.NewPCG(uint64(seed), 4))
	p := point{Seed: seed, Mode: hive.Fresh, Layout: layouts()[dice.IntN(len(layouts()))]}
	switch dice.IntN(6) {
	case 0, 1:
		p.Mode = hive.Keep
	case 2:
		p.Mode, p.Layout = hive.Add, "two"
	}
	p.First = anywhere(dice)
	if phases := cuttable(); int(seed%round) < len(phases) {
		p.First.Phase, p.First.Part = phases[seed%round], 1
	}
	p.Mode, p.Layout = fitting(p.Mode, p.Layout, p.First.Phase)
	if dice.IntN(4) == 0 {
		p.Second = anywhere(dice)
	}
	p.Again = dice.IntN(8) == 0
	p.Live = dice.IntN(10) == 0
	p.Firmware = dice.IntN(3) == 0
	return p
}

// cuttable are the phases that come after the first word about a disk.
func cuttable() []string {
	var names []string
	for _, p := range setup.Phases()[1:] {
		names = append(names, p[0])
	}
	return names
}

func anywhere(dice *rand.Rand) cut {
	phases := cuttable()
	return cut{phases[dice.IntN(len(phases))], 0.02 + 0.96*dice.Float64(), nbd.Losses()[dice.IntN(3)]}
}

// fitting gives a mode that has the phase.
func fitting(mode hive.Mode, layout, phase string) (hive.Mode, string) {
	switch {
	case phase == "check" && mode == hive.Fresh:
		return hive.Keep, layout
	case mode == hive.Keep && slices.Contains([]string{"take-up", "undo-kit", "wipe", "format"}, phase):
		return hive.Fresh, layout
	}
	return mode, layout
}

// TestRound has the end of each phase among the first points of a round, wherever it begins, in a mode that has the phase; and all modes and layouts.
func TestRound(t *testing.T) {
	for _, first := range []int64{0, 50, 7350, 49950} {
		modes, seen := map[hive.Mode]bool{}, map[string]bool{}
		for i := range int64(round) {
			p := pointOf(first + i)
			modes[p.Mode], seen[p.Layout] = true, true
			if phases := cuttable(); int(i) < len(phases) && p.First != (cut{phases[i], 1, p.First.Loss}) {
				t.Errorf("point %s is not at the end of %s", p, phases[i])
			}
			if mode, layout := fitting(p.Mode, p.Layout, p.First.Phase); mode != p.Mode || layout != p.Layout {
				t.Errorf("point %s: mode %s does not have the phase", p, p.Mode)
			}
		}
		if len(modes) != 3 || len(seen) != len(layouts()) {
			t.Errorf("from %d on there are %d modes and %d layouts", first, len(modes), len(seen))
		}
	}
}
