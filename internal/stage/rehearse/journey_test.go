package rehearse

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAJourneyGoesFromStageToStage(t *testing.T) {
	for _, c := range []struct {
		from, until Stage
		want        []Stage
	}{
		{Blank, Hive, []Stage{Medium, Mini, Hive}},
		{Blank, Medium, []Stage{Medium}},
		{Medium, Mini, []Stage{Mini}},
		{Mini, Hive, []Stage{Hive}},
		{Hive, Hive, nil},
	} {
		var got []Stage
		for _, s := range rest(c.from, c.until) {
			if len(got) == 0 || got[len(got)-1] != s.stage {
				got = append(got, s.stage)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("from %q until %q: %s", c.from, c.until, diff)
		}
	}
}

func TestStepsOfAStageStandTogether(t *testing.T) {
	last := Blank
	for _, s := range journey() {
		if s.stage.before(last) {
			t.Errorf("%s: stage %s comes after %s", s.name, s.stage, last)
		}
		last = s.stage
	}
}

func TestWhatIsMountedIsToldInOneLine(t *testing.T) {
	if got := mounted("/mnt ext4\n/mnt/boot vfat\n"); got != "/ ext4, /boot vfat" {
		t.Error(got)
	}
}

func TestSecondsAreWrittenForAPerson(t *testing.T) {
	for s, want := range map[Seconds]string{0.4: "0 s", 59.4: "59 s", 59.6: "1 min 00 s", 184: "3 min 04 s"} {
		if s.String() != want {
			t.Errorf("%v is written %q", float64(s), s)
		}
	}
}
