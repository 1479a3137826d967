package setup

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"nixos-staged-hive/internal/hive"
)

func TestJournalIsInEveryPlaceItIsKeptAndOnlyThere(t *testing.T) {
	dir := t.TempDir()
	medium, target := filepath.Join(dir, "medium.json"), filepath.Join(dir, "target/journal.json")
	host := hive.MediumHost{Name: "web", PlanHash: "p", Toplevel: "t"}
	j := newJournal(host, hive.Fresh, medium)
	must(t, j.finish("wipe"))
	must(t, j.keepAt(target))
	must(t, j.finish("mount"))
	j.leave(target)
	must(t, j.finish("close"))
	for place, want := range map[string][]string{medium: {"wipe", "mount", "close"}, target: {"wipe", "mount"}} {
		got, err := readJournal(place)
		must(t, err)
		if !of(got, host) || !slices.Equal(got.Finished, want) {
			t.Errorf("%s: %+v, want the phases %v", place, got, want)
		}
	}
	if of(nil, host) {
		t.Error("no journal is this installation's")
	}
	for _, other := range []hive.MediumHost{{Name: "db", PlanHash: "p", Toplevel: "t"}, {Name: "web", PlanHash: "x", Toplevel: "t"}, {Name: "web", PlanHash: "p", Toplevel: "x"}} {
		if of(&j.Journal, other) {
			t.Errorf("it is taken for the journal of %+v", other)
		}
	}
}

func TestJournalThatWasCutOffIsAsGoodAsNone(t *testing.T) {
	place := filepath.Join(t.TempDir(), "journal.json")
	for _, text := range []string{"", "{", `{"schema": 99, "host": "web"}`, "\x00\x00\x00\x00"} {
		must(t, os.WriteFile(place, []byte(text), 0o600))
		if j, err := readJournal(place); j != nil || err != nil {
			t.Errorf("%q is read as %+v, %v", text, j, err)
		}
	}
	if j, err := readJournal(place + "-not-there"); j != nil || err != nil {
		t.Errorf("none is read as %+v, %v", j, err)
	}
}
