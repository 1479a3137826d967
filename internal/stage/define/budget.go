package define

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"slices"
)

// What one evaluator of a real NixOS takes, measured with Nix 2.8 on NixOS 24.05: the first host brings nixpkgs and the
// module system with it, and what a host leaves behind is collected. A heap that starts larger than this costs more in
// fresh pages than it saves in collections (25 hosts: 10.3 s of processor time with the default heap, 8.9 s with 800 MB,
// 15.5 s with 3 GB).
const (
	perEvaluator = 1 << 30
	largestHeap  = 800 << 20
)

// jobs is how many evaluators fit into the budget, at least one.
func (ev *evaluation) jobs() int {
	return max(1, min(ev.budget.Jobs, int(ev.budget.Memory/perEvaluator)))
}

// heap is the initial heap of each evaluator: the more it starts with, the less often it collects garbage. Half of its
// share leaves room for what is live.
func (ev *evaluation) heap() int64 {
	return min(largestHeap, ev.budget.Memory/int64(ev.jobs())/2)
}

// split deals the sources into batches, one for each evaluator and pinned source.
func (ev *evaluation) split(sources []Source) []batch {
	type pin struct{ nixpkgs, disko string }
	var pins []pin
	byPin := map[pin][]Source{}
	for _, s := range sources {
		p := pin{s.Nixpkgs, s.Disko}
		if !slices.Contains(pins, p) {
			pins = append(pins, p)
		}
		byPin[p] = append(byPin[p], s)
	}
	var batches []batch
	for _, p := range pins {
		group := byPin[p]
		n := min(ev.jobs(), len(group))
		for i := range n {
			batches = append(batches, batch{sources: group[i*len(group)/n : (i+1)*len(group)/n]})
		}
	}
	return batches
}

// defaultMemory is half of what the kernel says is available (MemAvailable, proc(5)), or 2 GiB where it does not say.
func defaultMemory() int64 {
	const fallback = 2 << 30
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return fallback
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		var kib int64
		if _, err := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kib); err == nil {
			return kib << 10 / 2
		}
	}
	return fallback
}
