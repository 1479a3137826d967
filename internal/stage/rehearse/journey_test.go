package rehearse

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

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

func TestPhasesOfSetupAreLinesOfTheTimeline(t *testing.T) {
	g := &guest{clock: newClock(), stage: Mini}
	lines := &phaseLines{guest: g}
	text := `{"number":1,"phase":"wipe","state":"started","text":"wipe it"}
{"number":2,"phase":"wipe","state":"running","done":1,"total":2}
{"number":3,"phase":"wipe","state":"warned","text":"no serial number"}
{"number":4,"phase":"wipe","state":"done","text":"two disks"}
{"number":5,"phase":"format","state":"failed","error":"no space"}
{"number":6,"phase":"format","state":"finished","error":"format: no space","code":1}
`
	// as pipes do: cut anywhere
	for len(text) > 0 {
		n := min(7, len(text))
		if _, err := lines.Write([]byte(text[:n])); err != nil {
			t.Fatal(err)
		}
		text = text[n:]
	}
	var got []string
	for _, s := range g.outcome.Steps {
		got = append(got, fmt.Sprintf("%s|%s|%v", s.Name, s.Text, s.Failed))
	}
	want := []string{"setup wipe|warning: no serial number|false", "setup wipe|two disks|false", "setup format|no space|true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if lines.last.Error != "format: no space" {
		t.Errorf("the last event is %+v", lines.last)
	}
	if _, err := lines.Write([]byte("no JSON\n")); err == nil {
		t.Error("what is no event was read")
	}
}

func TestSecondsAreWrittenForAPerson(t *testing.T) {
	for s, want := range map[Seconds]string{0.4: "0 s", 59.4: "59 s", 59.6: "1 min 00 s", 184: "3 min 04 s"} {
		if s.String() != want {
			t.Errorf("%v is written %q", float64(s), s)
		}
	}
}

func TestAfterCtrlCNothingIsBegun(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	g := &guest{clock: newClock(), patience: time.Minute}
	begun := false
	went := g.do(ctx, step{stage: Medium, name: "blank the disks", do: func(*guest, context.Context) (string, error) {
		begun = true
		return "", nil
	}})
	if went || begun || !errors.Is(g.outcome.Err(), context.Canceled) || len(g.outcome.Steps) != 0 {
		t.Errorf("went on: %v, begun: %v, error: %v", went, begun, g.outcome.Err())
	}
}

func TestAStepThatFailsEndsTheJourneyAndIsInTheTimeline(t *testing.T) {
	g := &guest{clock: newClock(), patience: time.Minute}
	broken := errors.New("the disk is on fire")
	if g.do(t.Context(), step{stage: Mini, name: "format", do: func(*guest, context.Context) (string, error) { return "", broken }}) {
		t.Error("the journey goes on")
	}
	steps := g.outcome.Steps
	if len(steps) != 1 || !steps[0].Failed || steps[0].Stage != Mini || !errors.Is(g.outcome.Err(), broken) || g.outcome.Error != "format: the disk is on fire" {
		t.Errorf("%+v, %v", steps, g.outcome)
	}
}

func TestAStepHasAnEnd(t *testing.T) {
	g := &guest{clock: newClock(), patience: time.Millisecond}
	went := g.do(t.Context(), step{name: "wait", do: func(_ *guest, ctx context.Context) (string, error) {
		<-ctx.Done()
		return "", context.Cause(ctx)
	}})
	if went || g.outcome.Error != "wait: it took longer than 1ms" {
		t.Errorf("%v, %q", went, g.outcome.Error)
	}
}
