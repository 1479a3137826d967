package define

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"slices"
)

// What one evaluator of a real NixOS takes, measured with Nix 2.8 on NixOS 24.05. The first host brings nixpkgs and the
// module system with it; what a host leaves behind is collected, but never all of it. A heap that starts larger than
// firstHeap costs more in fresh pages than it saves in collections (25 hosts: 10.3 s of processor time with Nix' default,
// 8.9 s with 800 MB, 15.5 s with 3 GB).
const (
	perEvaluator = 1 << 30   // the least one can work in
	outsideHeap  = 256 << 20 // parsed files and the program itself, which the garbage collector does not count
	firstHeap    = 800 << 20
)

// footprint is what an evaluator needs for its first host, and for each further one.
type footprint struct{ first, further int64 }

func (ev *evaluation) footprint() footprint {
	if ev.in.Deep {
		return footprint{800 << 20, 130 << 20}
	}
	return footprint{600 << 20, 30 << 20}
}

// jobs is how many evaluators fit into the budget, at least one.
func (ev *evaluation) jobs() int {
	return max(1, min(ev.budget.Jobs, int(ev.budget.Memory/perEvaluator)))
}

// share is the memory of one evaluator, never less than it can work in.
func (ev *evaluation) share() int64 { return max(perEvaluator, ev.budget.Memory/int64(ev.jobs())) }

// heap is how large the garbage collector's heap starts, and where it ends: an evaluator that needs more than its share is
// out of memory, and its hosts are evaluated one by one.
func (ev *evaluation) heap() (first, last int64) {
	last = ev.share() - outsideHeap
	return min(firstHeap, last), last
}

// atOnce is how many hosts one evaluator gets before a new one with an empty heap goes on.
func (ev *evaluation) atOnce() int {
	f := ev.footprint()
	return 1 + int(max(0, ev.share()-f.first)/f.further)
}

// split deals the sources into batches: one for each evaluator and pinned source, more where they would outgrow their share.
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
		n := max(min(ev.jobs(), len(group)), (len(group)+ev.atOnce()-1)/ev.atOnce())
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
