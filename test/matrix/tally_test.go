package matrix

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// outcome is what a point came to.
type outcome struct {
	story  []string
	on     bool // the run after the first cut went on; otherwise it began anew, or in mode keep did what it always does
	second bool // the second cut happened
	third  bool // a third run found everything right
	effort float64
	err    error
}

func (o *outcome) tell(format string, args ...any) {
	o.story = append(o.story, fmt.Sprintf(format, args...))
}

// tally is the sum of a matrix.
type tally struct {
	mu                            sync.Mutex
	began                         time.Time
	wanted, ran, failed           int
	ends, inside                  map[string]int // cuts by phase
	modes, layouts                map[string]int
	on, anew, live, second, third int
	firmware                      int
	effort                        float64
	failures                      []int64
}

func newTally(wanted int) *tally {
	return &tally{began: time.Now(), wanted: wanted, ends: map[string]int{}, inside: map[string]int{}, modes: map[string]int{}, layouts: map[string]int{}}
}

func (t *tally) add(p point, o outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ran++
	if p.First.Part == 1 {
		t.ends[p.First.Phase]++
	} else {
		t.inside[p.First.Phase]++
	}
	t.modes[string(p.Mode)]++
	t.layouts[p.Layout]++
	t.effort += o.effort
	for _, c := range []struct {
		is    bool
		count *int
	}{{o.err != nil, &t.failed}, {o.on, &t.on}, {!o.on && p.Mode != "keep", &t.anew}, {p.Live, &t.live}, {p.Firmware, &t.firmware}, {o.second, &t.second}, {o.third, &t.third}} {
		if c.is {
			*c.count++
		}
	}
	if o.err != nil {
		t.failures = append(t.failures, p.Seed)
	}
}

// String is the table at the end.
func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-22s "+format+"\n", append([]any{name}, args...)...)
	}
	row("points", "%d of %d", t.ran, t.wanted)
	row("failures", "%d %v", t.failed, t.failures)
	row("modes", "%s", counts(t.modes))
	row("layouts", "%s", counts(t.layouts))
	row("after the first cut", "%d went on, %d began anew, %d in mode keep", t.on, t.anew, t.modes["keep"])
	row("cuts of a live machine", "%d first ones, %d second ones; the others are from a tape", t.live, t.second)
	row("third runs, mode keep", "%d", t.third)
	row("started", "%d by the firmware, %d as the loader would", t.firmware, t.ran-t.firmware)
	row("time", "%.1f min, %.1f min of a processor in the points' machines (%.0f s each)", time.Since(t.began).Minutes(), t.effort/60, t.effort/float64(max(1, t.ran)))
	row("cut in phase", "at its end, inside")
	for _, phase := range cuttable() {
		row("  "+phase, "%d %d", t.ends[phase], t.inside[phase])
	}
	return b.String()
}

func counts(m map[string]int) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		all = append(all, fmt.Sprintf("%s %d", key, m[key]))
	}
	return strings.Join(all, ", ")
}
