package hive

import (
	"slices"
	"strings"
	"testing"
)

func rolloutCases() []ruleCase {
	first := func(change func(*Rollout)) func([]Host) { return func(h []Host) { change(&h[0].Deployment.Rollout) } }
	check := func(c HealthCheck) func([]Host) {
		return first(func(r *Rollout) { r.Checks = []HealthCheck{c} })
	}
	group := func(sizes ...int) func([]Host) {
		return func(h []Host) {
			for i, n := range sizes {
				h[i].Deployment.Rollout.Group, h[i].Deployment.Rollout.MaxUnavailable = "web", n
			}
		}
	}
	return []ruleCase{
		{
			rule: "rollout-after", name: "a typing error", change: first(func(r *Rollout) { r.After = []string{"bata"} }),
			want: []string{"error alpha hive.deployment.after"}, says: "no host is called bata", way: `"beta"`,
		},
		{
			rule: "rollout-after", name: "a tag nobody has", change: first(func(r *Rollout) { r.After = []string{"@router"} }),
			want: []string{"error alpha hive.deployment.after"}, says: "no host has the tag router", way: "take it out",
		},
		{
			rule: "rollout-after", name: "itself", change: first(func(r *Rollout) { r.After = []string{"alpha"} }),
			want: []string{"error alpha hive.deployment.after"}, says: "after itself", way: "take",
		},
		{rule: "rollout-after", name: "a host", change: first(func(r *Rollout) { r.After = []string{"beta"} })},
		{
			rule: "rollout-circle", name: "three hosts", change: func(h []Host) {
				h[0].Deployment.Rollout.After = []string{"beta"}
				h[1].Deployment.Rollout.After = []string{"gamma"}
				h[2].Deployment.Rollout.After = []string{"alpha"}
			},
			want: []string{"error alpha hive.deployment.after"}, says: "alpha after beta after gamma after alpha", way: "take one",
		},
		{
			rule: "rollout-circle", name: "a canary after an ordinary host is none", change: first(func(r *Rollout) { r.Canary, r.After = true, []string{"beta"} }),
		},
		{
			rule: "rollout-group", name: "different numbers", change: group(1, 2, 1),
			want: []string{"warning beta hive.deployment.maxUnavailable"}, says: "smallest number of its hosts, 1", way: "maxUnavailable = 1;",
		},
		{
			rule: "rollout-group", name: "as many as there are", change: group(3, 3, 3),
			want: []string{"warning alpha hive.deployment.maxUnavailable"}, says: "no effect", way: "maxUnavailable = 2;",
		},
		{rule: "rollout-group", name: "a real limit", change: group(2, 2, 2)},
		{
			rule: "rollout-alone", name: "a number without a group", change: first(func(r *Rollout) { r.MaxUnavailable = 2 }),
			want: []string{"warning alpha hive.deployment.maxUnavailable"}, says: "no group", way: "hive.deployment.group",
		},
		{rule: "rollout-alone", name: "with one", change: group(2, 2, 2)},
		{rule: "health-patience", name: "the usual", change: check(HealthCheck{Name: "web", URL: "http://alpha"})},
		{
			rule: "health-check", name: "nothing", change: check(HealthCheck{Name: "web"}),
			want: []string{`error alpha hive.deployment.checks."web"`}, says: "checks nothing", way: "url",
		},
		{
			rule: "health-check", name: "both", change: check(HealthCheck{Name: "web", Command: []string{"true"}, URL: "http://alpha"}),
			want: []string{`error alpha hive.deployment.checks."web"`}, says: "a command and a url", way: "two checks",
		},
		{
			rule: "health-check", name: "no address", change: check(HealthCheck{Name: "web", URL: "alpha/health"}),
			want: []string{`error alpha hive.deployment.checks."web".url`}, says: "no address", way: "https://",
		},
		{
			rule: "health-check", name: "a status of a command", change: check(HealthCheck{Name: "web", Command: []string{"true"}, Status: 200}),
			want: []string{`error alpha hive.deployment.checks."web".status`}, says: "command", way: "take it out",
		},
		{
			rule: "health-check", name: "root for a url", change: check(HealthCheck{Name: "web", URL: "http://alpha", Root: true}),
			want: []string{`warning alpha hive.deployment.checks."web".root`}, says: "no effect", way: "take it out",
		},
		{rule: "health-check", name: "a url", change: check(HealthCheck{Name: "web", URL: "https://alpha.example.org/health", Status: 204})},
		{
			rule: "health-patience", name: "longer than the host waits", change: check(HealthCheck{Name: "web", URL: "http://alpha", TimeoutSeconds: 60, Attempts: 3}),
			want: []string{"warning alpha hive.deployment.timeouts.confirm"}, says: "may take 182", way: "confirm = 212;",
		},
	}
}

// ordered makes hosts of words such as "a", "b<a,c" (b after a and c), "*d" (a canary) and "e@db<@web" (with a tag, after a tag).
func ordered(words ...string) []Host {
	var hosts []Host
	for _, w := range words {
		w, canary := strings.CutPrefix(w, "*")
		w, after, _ := strings.Cut(w, "<")
		name, tag, _ := strings.Cut(w, "@")
		h := Host{Name: name}
		h.Deployment.Tags = []string{tag}
		h.Deployment.Rollout.Canary = canary
		if after != "" {
			h.Deployment.Rollout.After = strings.Split(after, ",")
		}
		hosts = append(hosts, h)
	}
	return hosts
}

func TestWavesKeepTheOrder(t *testing.T) {
	for _, c := range []struct {
		name  string
		hosts []string
		want  string
	}{
		{"no order", []string{"c", "a", "b"}, "a b c"},
		{"a chain", []string{"a<b", "b<c", "c"}, "c | b | a"},
		{"a canary first", []string{"a", "*b", "c<a"}, "b | a | c"},
		{"what a canary needs goes before it", []string{"*a<b", "b<c", "c", "d"}, "c | b | a | d"},
		{"tags", []string{"a@web<@db", "b@db", "c@db"}, "b c | a"},
		{"what is not deployed is not waited for", []string{"a<x"}, "a"},
		{"its own tag", []string{"a@web<@web"}, "a"},
		{"a circle is in no wave", []string{"a<b", "b<a", "c"}, "c"},
	} {
		var waves []string
		for _, w := range Waves(Predecessors(ordered(c.hosts...))) {
			waves = append(waves, strings.Join(w, " "))
		}
		if got := strings.Join(waves, " | "); got != c.want {
			t.Errorf("%s: %v gives %q, want %q", c.name, c.hosts, got, c.want)
		}
	}
}

func TestCirclesAreNamedWhole(t *testing.T) {
	if got := Circle(Predecessors(ordered("a<b", "b<c", "c<d", "d<b", "e<e"))); !slices.Equal(got, []string{"b", "c", "d", "b"}) && !slices.Equal(got, []string{"b", "d", "c", "b"}) {
		t.Errorf("circle: %v", got)
	}
	if got := Circle(Predecessors(ordered("a<b", "*b", "c<a,b"))); got != nil {
		t.Errorf("a circle where there is none: %v", got)
	}
}

func TestTheSmallestNumberOfAGroupCounts(t *testing.T) {
	hosts := ordered("a", "b", "c", "d")
	for i, n := range []int{3, 0, 2} {
		hosts[i].Deployment.Rollout.Group, hosts[i].Deployment.Rollout.MaxUnavailable = map[bool]string{true: "x", false: "y"}[i < 2], n
	}
	if got := Places(hosts); len(got) != 2 || got["x"] != 1 || got["y"] != 2 {
		t.Errorf("places: %v", got)
	}
}
