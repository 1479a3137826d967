package define

import (
	"fmt"
	"testing"
)

func evaluationWith(b Budget, deep bool) *evaluation {
	return &evaluation{in: Input{Deep: deep}, budget: b.withDefaults()}
}

// TestEvaluatorsStayWithinTheBudget: as many heaps as run at once, with what the heap does not count, fit into the memory.
func TestEvaluatorsStayWithinTheBudget(t *testing.T) {
	for _, jobs := range []int{1, 2, 3, 8, 64} {
		for _, gib := range []int64{1, 2, 3, 4, 7, 64} {
			for _, deep := range []bool{false, true} {
				ev := evaluationWith(Budget{Jobs: jobs, Memory: gib << 30}, deep)
				first, last := ev.heap()
				if used := int64(ev.jobs()) * (last + outsideHeap); used > gib<<30 {
					t.Errorf("%d jobs, %d GiB: %d evaluators may take %d MiB", jobs, gib, ev.jobs(), used>>20)
				}
				if first > last || first <= 0 || ev.atOnce() < 1 || ev.jobs() < 1 || ev.jobs() > jobs {
					t.Errorf("%d jobs, %d GiB, deep %v: heap %d to %d, %d hosts at once, %d evaluators", jobs, gib, deep, first, last, ev.atOnce(), ev.jobs())
				}
			}
		}
	}
}

func TestLittleMemoryMeansOneEvaluatorThatCanWork(t *testing.T) {
	ev := evaluationWith(Budget{Jobs: 4, Memory: 1}, true)
	if first, last := ev.heap(); ev.jobs() != 1 || last < 512<<20 || first != last {
		t.Errorf("%d evaluators with heaps of %d to %d bytes", ev.jobs(), first, last)
	}
}

func TestEveryHostIsInOneBatchWithItsOwnPins(t *testing.T) {
	for _, hosts := range []int{1, 2, 7, 50, 400} {
		var sources []Source
		for i := range hosts {
			sources = append(sources, Source{Name: fmt.Sprint(i), Nixpkgs: fmt.Sprint("nixpkgs", i%3), Disko: "disko"})
		}
		ev := evaluationWith(Budget{Jobs: 2, Memory: 2 << 30}, true)
		seen := map[string]int{}
		for _, b := range ev.split(sources) {
			if len(b.sources) == 0 || len(b.sources) > ev.atOnce() {
				t.Errorf("%d hosts: a batch of %d, at most %d fit", hosts, len(b.sources), ev.atOnce())
			}
			for _, s := range b.sources {
				seen[s.Name]++
				if s.Nixpkgs != b.sources[0].Nixpkgs {
					t.Errorf("%d hosts: a batch mixes %s and %s", hosts, s.Nixpkgs, b.sources[0].Nixpkgs)
				}
			}
		}
		for _, s := range sources {
			if seen[s.Name] != 1 {
				t.Errorf("%d hosts: %s is in %d batches", hosts, s.Name, seen[s.Name])
			}
		}
	}
}

func TestWithoutABudgetHalfOfTheFreeMemoryIsUsed(t *testing.T) {
	b := Budget{}.withDefaults()
	if b.Jobs < 1 || b.Memory < 1<<28 {
		t.Errorf("default budget %+v", b)
	}
}
