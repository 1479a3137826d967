package hive

import (
	"slices"
	"strings"
)

// Predecessors says, for each of hosts, which of the others have to be deployed well before it, sorted: those that its
// hive.deployment.after names, and the canaries before all that are none. A host that a canary comes after waits for no canary.
// What is not among hosts is not waited for.
func Predecessors(hosts []Host) map[string][]string {
	before := map[string][]string{}
	for _, h := range hosts {
		before[h.Name] = afterOf(hosts, h)
	}
	early := ahead(hosts, before)
	for _, h := range hosts {
		if early[h.Name] {
			continue
		}
		for _, other := range hosts {
			if other.Deployment.Rollout.Canary {
				before[h.Name] = append(before[h.Name], other.Name)
			}
		}
		slices.Sort(before[h.Name])
		before[h.Name] = slices.Compact(before[h.Name])
	}
	return before
}

// afterOf are the hosts that h.After means, sorted, without h itself.
func afterOf(hosts []Host, h Host) []string {
	found := []string{}
	for _, other := range hosts {
		if other.Name != h.Name && slices.ContainsFunc(h.Deployment.Rollout.After, func(word string) bool { return isMeant(word, other) }) {
			found = append(found, other.Name)
		}
	}
	slices.Sort(found)
	return found
}

// isMeant tells whether a word of hive.deployment.after, a name or a @tag, means the host.
func isMeant(word string, h Host) bool {
	if tag, ok := strings.CutPrefix(word, "@"); ok {
		return slices.Contains(h.Deployment.Tags, tag)
	}
	return word == h.Name
}

// ahead are the canaries and all that they come after.
func ahead(hosts []Host, before map[string][]string) map[string]bool {
	found := map[string]bool{}
	var add func(string)
	add = func(name string) {
		if found[name] {
			return
		}
		found[name] = true
		for _, b := range before[name] {
			add(b)
		}
	}
	for _, h := range hosts {
		if h.Deployment.Rollout.Canary {
			add(h.Name)
		}
	}
	return found
}

// Waves deals names into waves: a host is in the first wave after all that come before it. What is in a circle comes in no wave.
func Waves(before map[string][]string) [][]string {
	var waves [][]string
	dealt := map[string]bool{}
	for {
		var wave []string
		for name, others := range before {
			if !dealt[name] && !slices.ContainsFunc(others, func(o string) bool { return !dealt[o] }) {
				wave = append(wave, name)
			}
		}
		if len(wave) == 0 {
			return waves
		}
		slices.Sort(wave)
		for _, name := range wave {
			dealt[name] = true
		}
		waves = append(waves, wave)
	}
}

// Circle is a shortest way from a host back to itself along what has to come before it, beginning and ending with the same name; nil if
// there is none.
func Circle(before map[string][]string) []string {
	var shortest []string
	for _, start := range sortedKeys(before) {
		if found := circleFrom(before, start); found != nil && (shortest == nil || len(found) < len(shortest)) {
			shortest = found
		}
	}
	return shortest
}

// circleFrom looks breadth first, so that the first way back is a shortest.
func circleFrom(before map[string][]string, start string) []string {
	came := map[string]string{}
	for queue := []string{start}; len(queue) > 0; queue = queue[1:] {
		for _, next := range before[queue[0]] {
			if next == start {
				return wayTo(came, start, queue[0])
			}
			if _, seen := came[next]; !seen {
				came[next] = queue[0]
				queue = append(queue, next)
			}
		}
	}
	return nil
}

// wayTo follows came back from the last host before start.
func wayTo(came map[string]string, start, last string) []string {
	way := []string{start}
	for at := last; at != start; at = came[at] {
		way = append(way, at)
	}
	way = append(way, start)
	slices.Reverse(way)
	return way
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Places says how many hosts of each group may be changed at once: the smallest number that one of its hosts gives, at least 1. The empty
// group has no limit and is not listed.
func Places(hosts []Host) map[string]int {
	places := map[string]int{}
	for _, h := range hosts {
		r := h.Deployment.Rollout
		if r.Group == "" {
			continue
		}
		n := max(1, r.MaxUnavailable)
		if known, ok := places[r.Group]; !ok || n < known {
			places[r.Group] = n
		}
	}
	return places
}
