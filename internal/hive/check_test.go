package hive

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// ruleCase changes a sound hive in one way. What Check then finds is compared as a whole, so each case also shows that
// one cause gives one problem.
type ruleCase struct {
	rule   string
	name   string
	change func(h []Host) // alpha, beta, gamma
	in     CheckInput
	want   []string // each "severity host option"; empty: no problem of any rule
	says   string   // part of the first message
	way    string   // part of the first way out
}

func (c ruleCase) run(t *testing.T) {
	h := soundHive()
	c.change(h.Hosts)
	problems := Check(h, c.in)
	var got []string
	for _, p := range problems {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s", p.Severity, p.Host, p.Option)))
	}
	if !slices.Equal(got, c.want) {
		t.Fatalf("problems:\n got %q\nwant %q\n%v", got, c.want, problems)
	}
	if len(problems) == 0 {
		return
	}
	first := problems[0]
	if first.Rule != c.rule || !strings.Contains(first.Message, c.says) || !strings.Contains(first.Way, c.way) {
		t.Errorf("first problem is %s\n  way: %s\nwant rule %s, message with %q, way with %q", first, first.Way, c.rule, c.says, c.way)
	}
	if c.says == "" || c.way == "" {
		t.Error("the case does not say what message and way it expects")
	}
}

func ruleCases() []ruleCase {
	return slices.Concat(nameCases(), networkCases(), hiveNetworkCases(), loginCases(), keyCases(), bootCases(),
		storageCases(), hiveStorageCases(), selectorCases(), matchCases(), deploymentCases(), uploadCases(), rolloutCases(), releaseCases())
}

func TestEachRuleFindsItsFaultAndNothingElse(t *testing.T) {
	for _, c := range ruleCases() {
		t.Run(c.rule+"/"+c.name, c.run)
	}
}

func TestEveryRuleHasAFailingAndAPassingCase(t *testing.T) {
	failing, passing := map[string]bool{}, map[string]bool{}
	for _, c := range ruleCases() {
		if len(c.want) > 0 {
			failing[c.rule] = true
		} else {
			passing[c.rule] = true
		}
	}
	ids := []string{"nixos-assertion"}
	for _, r := range hiveRules() {
		ids = append(ids, r.id)
	}
	for _, r := range hostRules() {
		ids = append(ids, r.id)
	}
	for _, id := range ids {
		if !failing[id] || !passing[id] {
			t.Errorf("rule %s: failing case %v, passing case %v", id, failing[id], passing[id])
		}
		delete(failing, id)
		delete(passing, id)
	}
	if len(failing)+len(passing) > 0 {
		t.Errorf("cases for rules that do not exist: %v %v", failing, passing)
	}
	if slices.Sort(ids); len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Errorf("two rules have one id: %v", ids)
	}
}

func TestEveryProblemSaysWhereItIsAndHowToGetOut(t *testing.T) {
	for _, c := range ruleCases() {
		h := soundHive()
		c.change(h.Hosts)
		for _, p := range Check(h, c.in) {
			switch {
			case p.Message == "" || p.Way == "" || p.Rule == "":
				t.Errorf("%s/%s: incomplete: %+v", c.rule, c.name, p)
			case strings.HasSuffix(p.Message, ".") || strings.ContainsAny(p.Message+p.Way, "\n"):
				t.Errorf("%s/%s: not one sentence on one line: %q %q", c.rule, c.name, p.Message, p.Way)
			case strings.Contains(p.Message+p.Way, "%!"):
				t.Errorf("%s/%s: broken formatting: %q %q", c.rule, c.name, p.Message, p.Way)
			case p.Host != "" && p.File == "":
				t.Errorf("%s/%s: no file: %+v", c.rule, c.name, p)
			}
		}
	}
}

func TestASoundHiveHasNoProblems(t *testing.T) {
	h := soundHive()
	h.Hosts = append(h.Hosts, biosHost("delta", 4))
	in := CheckInput{DiskoVersion: "v1.8.2", NixVersion: "2.18.1", NixMinimum: "2.3", ColmenaVersion: "0.4.0"}
	if problems := Check(h, in); len(problems) > 0 {
		t.Errorf("problems of a sound hive: %v", problems)
	}
	if err := Validate(h, in); err != nil {
		t.Errorf("Validate: %v", err)
	}
}

func TestAnEmptyHiveAndAHostWithoutFactsDoNotPanic(t *testing.T) {
	if problems := Check(Hive{}, CheckInput{}); len(problems) != 0 {
		t.Errorf("an empty hive has problems: %v", problems)
	}
	if problems := Check(Hive{Hosts: []Host{{}}}, CheckInput{}); Count(problems).Errors == 0 {
		t.Error("a host without any fact has no error")
	}
}

func TestCheckIsDeterministic(t *testing.T) {
	for _, c := range ruleCases() {
		h := soundHive()
		c.change(h.Hosts)
		first := Check(h, c.in)
		for range 5 {
			if again := Check(h, c.in); !slices.Equal(again, first) {
				t.Fatalf("%s/%s: two runs differ:\n%v\n%v", c.rule, c.name, first, again)
			}
		}
	}
}

func TestCheckLeavesTheHiveAlone(t *testing.T) {
	for _, c := range ruleCases() {
		h, same := soundHive(), soundHive()
		c.change(h.Hosts)
		c.change(same.Hosts)
		Check(h, c.in)
		if a, b := fmt.Sprintf("%+v", plain(t, h)), fmt.Sprintf("%+v", plain(t, same)); a != b {
			t.Errorf("%s/%s changed the hive:\n%s\n%s", c.rule, c.name, a, b)
		}
	}
}

// plain is the JSON form, which has no pointers to compare.
func plain(t *testing.T, h Hive) string {
	t.Helper()
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestProblemsAreSortedByHostThenSeverityThenRule(t *testing.T) {
	problems := []Problem{
		{Host: "b", Severity: Error, Rule: "a"},
		{Host: "a", Severity: Note, Rule: "a"},
		{Host: "a", Severity: Warning, Rule: "b"},
		{Host: "a", Severity: Warning, Rule: "a"},
		{Host: "a", Severity: Error, Rule: "z"},
		{Host: "", Severity: Note, Rule: "z"},
	}
	SortProblems(problems)
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprintf("%s/%s/%s", p.Host, p.Severity, p.Rule))
	}
	want := []string{"/note/z", "a/error/z", "a/warning/a", "a/warning/b", "a/note/a", "b/error/a"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAProblemReadsAsOneLine(t *testing.T) {
	p := Problem{Host: "alpha", Option: "networking.hostId", Severity: Error, Rule: "host-id-missing", Message: "is not set"}
	if got, want := p.String(), "error: alpha: networking.hostId: is not set [host-id-missing]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	p = Problem{Severity: Note, Rule: "shared-labels", Message: "same labels"}
	if got, want := p.String(), "note: hive: same labels [shared-labels]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCountsReadAsWords(t *testing.T) {
	for _, c := range []struct {
		counts Counts
		want   string
	}{
		{Counts{}, "no problems"},
		{Counts{Errors: 1}, "1 error"},
		{Counts{Errors: 2, Warnings: 1, Notes: 3}, "2 errors, 1 warning, 3 notes"},
	} {
		if got := c.counts.String(); got != c.want {
			t.Errorf("%+v reads %q, want %q", c.counts, got, c.want)
		}
	}
	problems := []Problem{{Severity: Error}, {Severity: Note}, {Severity: Error}, {Severity: Warning}}
	if got, want := Count(problems), (Counts{2, 1, 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestProblemsOfPicksOneHost(t *testing.T) {
	problems := []Problem{{Host: "a", Rule: "1"}, {Host: "", Rule: "2"}, {Host: "b", Rule: "3"}, {Host: "a", Rule: "4"}}
	for host, want := range map[string]string{"a": "14", "b": "3", "": "2", "c": ""} {
		var got string
		for _, p := range ProblemsOf(problems, host) {
			got += p.Rule
		}
		if got != want {
			t.Errorf("host %q: rules %q, want %q", host, got, want)
		}
	}
}

func TestValidateCarriesAllProblemsAndListsErrors(t *testing.T) {
	h := soundHive()
	h.Hosts[0].StateVersion = ""
	if err := Validate(h, CheckInput{}); err != nil {
		t.Fatalf("a warning alone is an error: %v", err)
	}
	h.Hosts[1].Boot.Loader = "none"
	h.Hosts[1].Boot.Firmware = "unknown"
	err := Validate(h, CheckInput{})
	var invalid *ValidationError
	if !errors.As(err, &invalid) {
		t.Fatalf("got %v, want a *ValidationError", err)
	}
	if len(invalid.Problems) != 2 {
		t.Errorf("got %d problems, want the error and the warning", len(invalid.Problems))
	}
	text := err.Error()
	if !strings.Contains(text, "1 error, 1 warning") || !strings.Contains(text, "beta: boot.loader") || strings.Contains(text, "stateVersion") {
		t.Errorf("unexpected text:\n%s", text)
	}
}

func TestProblemsHaveTheJSONFormOfTheContract(t *testing.T) {
	text, err := json.Marshal(Problem{Host: "a", Option: "o", File: "f", Severity: Error, Rule: "r", Message: "m", Way: "w"})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"host":"a","option":"o","file":"f","severity":"error","rule":"r","message":"m","way":"w"}`
	if string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
}
