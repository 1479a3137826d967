package guard

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"nixos-staged-hive/internal/hive"
)

const whole = `run=2026-1
by=somebody@there
state=rolled back
new=/nix/store/a
old=/nix/store/b
oldProfile=/nix/store/c
oldGeneration=7
oldDefault=
bootId=x-y
begun=2026-11-24T03:00:00Z
exit=4
reason=it said a=b
activation=600
deadline=12
`

func TestParseRecord(t *testing.T) {
	got, err := ParseRecord([]byte(whole + "end\n"))
	want := hive.ActivationState{
		Run: "2026-1", By: "somebody@there", State: hive.RolledBack, New: "/nix/store/a", Old: "/nix/store/b", OldProfile: "/nix/store/c",
		OldGeneration: 7, BootID: "x-y", Begun: time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC), Exit: 4, Reason: "it said a=b",
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for name, text := range map[string]string{
		"cut off":             whole,
		"of nobody":           "end\n",
		"without a sign":      whole + "nonsense\nend\n",
		"with another state":  strings.Replace(whole, "rolled back", "happy", 1) + "end\n",
		"with no number":      strings.Replace(whole, "exit=4", "exit=four", 1) + "end\n",
		"with no time":        strings.Replace(whole, "begun=2026", "begun=once", 1) + "end\n",
		"that is not in UTF8": strings.Replace(whole, "somebody", "\xff", 1) + "end\n",
	} {
		if got, err := ParseRecord([]byte(text)); err == nil {
			t.Errorf("a record %s: %+v", name, got)
		}
	}
	if _, err := ParseRecord([]byte(whole)); !errors.Is(err, errHalf) {
		t.Errorf("a record cut off: %v", err)
	}
}

func TestParseAnswer(t *testing.T) {
	a, err := parseAnswer([]byte(whole + "remaining=3\nalive=1\n\nline\n\nlast"))
	if err != nil || string(a.log) != "line\n\nlast" || a.Remaining != 3 || !a.alive || a.limits[0] != 600 {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := parseAnswer([]byte("state=\n")); err != nil || a.known {
		t.Errorf("a host without a record: %+v, %v", a, err)
	}
}

func TestTextForTheRecordIsOneLine(t *testing.T) {
	if got := oneLine(" a\n\tb\x00c\xff "); got != "a bc\uFFFD" {
		t.Errorf("%q", got)
	}
	if got := oneLine(strings.Repeat("ä", 1000)); len(got) > 510 || !strings.HasSuffix(got, "ä ...") {
		t.Errorf("%q", got)
	}
}

// What a host says is never more than a state that we know, whatever it says.
func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte(whole + "remaining=3\n\nlog"))
	f.Add([]byte("state=\n"))
	f.Add([]byte("run=x\nstate=begun\nend\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := parseAnswer(text)
		if err == nil && a.known && !known(a.State) {
			t.Errorf("%+v", a)
		}
		if state, err := ParseRecord(text); err == nil && (state.Run == "" || !known(state.State)) {
			t.Errorf("%+v", state)
		}
	})
}
