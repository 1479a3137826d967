package hive

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// namedHive has hosts with names and tags to select by.
func namedHive() Hive {
	host := func(name, hostName string, tags ...string) Host {
		return Host{Name: name, HostName: hostName, Domain: "home.arpa", Deployment: Deployment{Tags: tags}}
	}
	return Hive{Hosts: []Host{
		host("karl", "karl", "role:server", "cellar"),
		host("olaf", "web", "role:agent"),
		host("rolf", "twin", "role:agent", "cellar"),
		host("ulf", "twin"),
		host("web1", "karl2"),
	}}
}

func TestPatternsSelectHosts(t *testing.T) {
	for _, c := range []struct {
		patterns string // blanks between arguments
		want     string
	}{
		{"", "karl olaf rolf ulf web1"},
		{"ulf karl ulf", "karl ulf"},
		{"ulf,karl,", "karl ulf"},
		{"*l*f", "olaf rolf ulf"},
		{"[ku]*", "karl ulf"},
		{"[!ku]*", "olaf rolf web1"},
		{"web?", "web1"},
		{"@cellar", "karl rolf"},
		{"@role:*", "karl olaf rolf"},
		{"@cellar,olaf", "karl olaf rolf"},
		{"web", "olaf"},
		{"WEB.home.arpa", "olaf"},
		{"karl", "karl"},
		{"Karl", "karl"},
		{"*", "karl olaf rolf ulf web1"},
	} {
		got, err := Select(namedHive(), strings.Fields(c.patterns))
		if err != nil || strings.Join(names(got), " ") != c.want {
			t.Errorf("%q selects %v, %v; want %s", c.patterns, names(got), err, c.want)
		}
	}
}

func TestADefinitionsNameGoesBeforeAnothersHostName(t *testing.T) {
	h := namedHive()
	h.Hosts[1].HostName = "ulf"
	got, err := Select(h, []string{"ulf"})
	if err != nil || !slices.Equal(names(got), []string{"ulf"}) {
		t.Errorf("got %v, %v", names(got), err)
	}
}

func TestAllPatternsThatSelectNothingAreReported(t *testing.T) {
	for _, c := range []struct {
		pattern string
		want    []string
	}{
		{"kral", []string{`no host matches "kral" (did you mean "karl"?)`, "known hosts: karl, olaf, rolf, ulf and web1"}},
		{"@celar", []string{`did you mean "@cellar"?`}},
		{"@karl", []string{`no host matches "@karl";`}},
		{"zzzzzz", []string{`no host matches "zzzzzz";`}},
		{"x*", []string{`no host matches "x*"`}},
		{"twin", []string{`"twin" is the host name of rolf and ulf: use a definition's name`}},
		{"karl,nope1,nope2", []string{`"nope1"`, `"nope2"`}},
		{"", []string{`no host matches ""`}},
		{" , ", []string{`no host matches " , "`}},
		{"[", []string{`no host matches "["`}},
	} {
		got, err := Select(namedHive(), []string{c.pattern})
		var missed *SelectError
		if !errors.As(err, &missed) || got != nil {
			t.Errorf("%q: got %v, %v", c.pattern, names(got), err)
			continue
		}
		for _, part := range c.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %q lacks %q", c.pattern, err, part)
			}
		}
	}
}

func TestSelectingFromAnEmptyHiveSaysSo(t *testing.T) {
	if got, err := Select(Hive{}, nil); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := Select(Hive{}, []string{"a"}); err == nil || !strings.Contains(err.Error(), "the hive has no hosts") {
		t.Errorf("got %v", err)
	}
}

func TestManyKnownHostsAreNotAllListed(t *testing.T) {
	h := Hive{}
	for _, r := range "abcdefghijkl" {
		h.Hosts = append(h.Hosts, Host{Name: "host-" + string(r)})
	}
	_, err := Select(h, []string{"zzzzzzzzz"})
	if err == nil || !strings.HasSuffix(err.Error(), "host-h and 4 more") {
		t.Errorf("got %v", err)
	}
}

func TestDistanceIsTheLeastNumberOfTypingErrors(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"karl", "kral", 2}, {"ä", "a", 1}, {"same", "same", 0}} {
		if got, back := distance(c.a, c.b), distance(c.b, c.a); got != c.want || back != c.want {
			t.Errorf("%q and %q: %d and %d, want %d", c.a, c.b, got, back, c.want)
		}
	}
}

func FuzzSelectNeverPanicsAndNeverSelectsStrangers(f *testing.F) {
	for _, seed := range []string{"karl", "@", "@*", "[", "[!", ",,", "*", "\\", "twin", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		hosts, err := Select(namedHive(), []string{pattern})
		if err == nil && len(hosts) == 0 {
			t.Errorf("%q selects nothing without an error", pattern)
		}
	})
}

func TestTheNearestWordIsMeantUnlessTooMuchIsWrong(t *testing.T) {
	for _, tt := range []struct {
		written string
		words   []string
		want    string
	}{
		{"nixso", []string{"disko", "nixos"}, "nixos"},
		{"ks3", []string{"nixos", "k3s"}, "k3s"}, // two letters that changed places
		{"WEB1", []string{"web2", "web1"}, "web1"},
		{"web3", []string{"web1", "web2"}, "web1"},
		{"workstatoin-of-mia", []string{"workstation-of-mio"}, "workstation-of-mio"},
		{"größe", []string{"grosse", "große"}, "große"},
		{"", []string{"", "a"}, ""},
		{"a", []string{"b"}, ""},
		{"ab", []string{"cd", "ad"}, "ad"},
		{"abc", []string{"xyz", ""}, ""},
		{"abcdef", []string{"abcxyz"}, ""},
	} {
		if got := Nearest(tt.written, tt.words); got != tt.want {
			t.Errorf("%q of %q: got %q, want %q", tt.written, tt.words, got, tt.want)
		}
	}
}
