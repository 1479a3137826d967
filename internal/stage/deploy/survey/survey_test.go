package survey_test

import (
	"strings"
	"testing"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/stage/deploy/survey"
)

const a, b, c = "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-nixos-system", "/nix/store/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-nixos-system", "/nix/store/cccccccccccccccccccccccccccccccc-nixos-system"

// on is a host that runs, boots and has had one system.
func on(path string) hive.HostState {
	return hive.HostState{Current: path, Booted: path, Profile: path, Default: path, Generation: 1, Generations: []hive.Generation{{Number: 1, Path: path}}}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		declared string
		known    []string
		change   func(*hive.HostState)
		want     survey.Condition
	}{
		{"as it was built", a, nil, func(*hive.HostState) {}, survey.InSync},
		{"nothing was built", "", nil, func(*hive.HostState) {}, survey.Unknown},
		{"another was built", b, nil, func(*hive.HostState) {}, survey.Outdated},
		{"another kernel", a, nil, func(s *hive.HostState) { s.RebootNeeded = true }, survey.PendingReboot},
		{"another kernel, and nothing was built", "", nil, func(s *hive.HostState) { s.RebootNeeded = true }, survey.PendingReboot},
		{"outdated counts more", b, nil, func(s *hive.HostState) { s.RebootNeeded = true }, survey.Outdated},
		{"activated with test", b, nil, func(s *hive.HostState) { s.Current = b }, survey.Drifted},
		{"boots another", a, nil, func(s *hive.HostState) { s.Default = b }, survey.Drifted},
		{"boots what may not be known", a, nil, func(s *hive.HostState) { s.Default = "" }, survey.InSync},
		{"deployed by somebody else", b, []string{c}, func(*hive.HostState) {}, survey.Drifted},
		{"deployed from here before", b, []string{c, a}, func(*hive.HostState) {}, survey.Outdated},
		{"no NixOS", a, nil, func(s *hive.HostState) { s.Current = "" }, survey.Drifted},
		{"a deployment goes on", a, nil, func(s *hive.HostState) {
			s.Current, s.Unfinished = b, &hive.ActivationState{State: hive.Waiting, Remaining: 12}
		}, survey.Unfinished},
		{"a deployment has ended", a, nil, func(s *hive.HostState) { s.Unfinished = &hive.ActivationState{State: hive.RolledBack} }, survey.InSync},
	} {
		s := on(a)
		tt.change(&s)
		f := survey.Judge(survey.Subject{Name: "web1", Declared: tt.declared, Known: tt.known}, s)
		if f.Condition != tt.want || (f.Why == "") != (tt.want == survey.InSync) || (f.Hint == "") != (tt.want == survey.InSync) {
			t.Errorf("%s: %+v, want %s", tt.name, f, tt.want)
		}
	}
}

func TestRemarks(t *testing.T) {
	t.Parallel()
	s := on(a)
	s.Failed = []string{"nginx.service"}
	s.Spaces = []hive.Space{{Mount: "/", Free: 1e9, Size: 100e9}, {Mount: "/nix", Free: 9e9, Size: 100e9}, {Mount: "/boot", Free: 20e6, Size: 500e6}}
	f := survey.Judge(survey.Subject{Name: "web1"}, s)
	if got := strings.Join(f.Remarks, "; "); got != "failed: nginx.service; / has 1.0 GB left of 100 GB; /boot has 20 MB left of 500 MB" {
		t.Error(got)
	}
	_, rows := survey.Table([]survey.Finding{f, {Host: "off", Condition: survey.Unreachable, Why: "no answer"}})
	if got := strings.Join(rows[0], "|"); !strings.HasPrefix(got, "web1|unknown|-|1 (of 1)|0 min|9.0 GB|nothing was built for it here\nfailed: nginx.service") {
		t.Error(got)
	}
	if got := strings.Join(rows[1], "|"); got != "off|unreachable|||||no answer" {
		t.Error(got)
	}
	if got := survey.Days(26*time.Hour + 5*time.Minute); got != "1 d 2 h" {
		t.Error(got)
	}
}

// grown is a host with generations a, b, b, c, of which it runs the last one.
func grown() hive.HostState {
	s := on(c)
	s.Generation, s.Generations = 4, []hive.Generation{{Number: 1, Path: a}, {Number: 2, Path: b}, {Number: 3, Path: b}, {Number: 4, Path: c}}
	return s
}

func TestPrevious(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*hive.HostState)
		path   string
		number int
	}{
		{"the one before", func(*hive.HostState) {}, b, 3},
		{"another system, not only another number", func(s *hive.HostState) { s.Generation, s.Profile, s.Current = 3, b, b }, a, 1},
		{"there is none", func(s *hive.HostState) { s.Generation, s.Profile, s.Current = 1, a, a }, "", 0},
		{"what runs is no generation", func(s *hive.HostState) { s.Current = a + "-x" }, c, 4},
		{"what runs is an older one", func(s *hive.HostState) { s.Current = b }, a, 1},
	} {
		s := grown()
		tt.change(&s)
		got, err := survey.Previous(s)
		if got.Path != tt.path || got.Generation != tt.number || (err == nil) != (tt.path != "") {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
	}
}

func TestNamed(t *testing.T) {
	t.Parallel()
	s := grown()
	s.Booted, s.Default = b, ""
	for _, tt := range []struct {
		word string
		want survey.Choice
		bad  string
	}{
		{"current", survey.Choice{Path: c, Generation: 4}, ""},
		{"booted", survey.Choice{Path: b, Generation: 3}, ""},
		{"built", survey.Choice{Path: a, Generation: 1}, ""},
		{"2", survey.Choice{Path: b, Generation: 2}, ""},
		{a + "/", survey.Choice{Path: a, Generation: 1}, ""},
		{a + "-x", survey.Choice{Path: a + "-x"}, ""},
		{"7", survey.Choice{}, "no such generation"},
		{"default", survey.Choice{}, "does not say"},
		{"fast", survey.Choice{}, "neither"},
	} {
		got, err := survey.Named(tt.word, s, a)
		if got != tt.want || (tt.bad == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.bad) {
			t.Errorf("%s: %+v, %v", tt.word, got, err)
		}
	}
}

func TestOld(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	day := 24 * time.Hour
	for _, tt := range []struct {
		name   string
		rule   survey.Rule
		change func(*hive.HostState)
		want   []int
	}{
		{"all that can", survey.Rule{}, func(*hive.HostState) {}, []int{1, 2, 3}},
		{"some are kept", survey.Rule{Keep: 2}, func(*hive.HostState) {}, []int{1, 2}},
		{"more are kept than there are", survey.Rule{Keep: 20}, func(*hive.HostState) {}, nil},
		{"old ones", survey.Rule{OlderThan: 26 * day}, func(*hive.HostState) {}, []int{1}},
		{"by both", survey.Rule{OlderThan: 15 * day, Keep: 3}, func(*hive.HostState) {}, []int{1}},
		{"what runs", survey.Rule{}, func(s *hive.HostState) { s.Current = a }, []int{2, 3}},
		{"what was booted", survey.Rule{}, func(s *hive.HostState) { s.Booted = b }, []int{1}},
		{"what boots next", survey.Rule{}, func(s *hive.HostState) { s.Default = a }, []int{2, 3}},
		{"the profile", survey.Rule{}, func(s *hive.HostState) { s.Generation, s.Profile = 2, b }, []int{1, 3}},
		{"a deployment", survey.Rule{}, func(s *hive.HostState) { s.Unfinished = &hive.ActivationState{Old: a, OldGeneration: 2} }, []int{3}},
	} {
		s := grown()
		for i := range s.Generations {
			s.Generations[i].Made = now.Add(-time.Duration(30-5*i) * day)
		}
		tt.change(&s)
		got := survey.Old(s, tt.rule, now)
		var numbers []int
		for _, g := range got.Delete {
			numbers = append(numbers, g.Number)
		}
		if len(numbers) != len(tt.want) || len(got.Keep)+len(numbers) != len(s.Generations) {
			t.Errorf("%s: %v and %+v, want %v", tt.name, numbers, got.Keep, tt.want)
			continue
		}
		for i := range numbers {
			if numbers[i] != tt.want[i] {
				t.Errorf("%s: %v, want %v", tt.name, numbers, tt.want)
			}
		}
	}
}
