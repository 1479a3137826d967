package setup

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEventsAreNumberedOverSeveralRunsAndFollowedFromAnyOfThem(t *testing.T) {
	in := Installer{Dir: t.TempDir()}
	for run := range 2 {
		rec, err := openRecorder(in.Dir, nil)
		must(t, err)
		rec.begin("copy", "copy it")
		rec.sink(progress.Event{Task: "copy", State: progress.Running, Done: 5, Total: 9})
		rec.end("", nil)
		rec.finish("installed", nil, run)
		must(t, rec.close())
	}
	var numbers []int
	var last hive.SetupEvent
	must(t, in.Follow(t.Context(), 4, func(e hive.SetupEvent) { numbers, last = append(numbers, e.Number), e }))
	if len(numbers) != 4 || numbers[0] != 5 || last.Number != 8 || last.State != finished || last.Code != 1 {
		t.Errorf("numbers %v, the last event %+v", numbers, last)
	}
	if last.Phase != "copy" || last.Time.IsZero() {
		t.Errorf("the last event %+v has no phase or time", last)
	}
}

func TestFollowWaitsForTheEndOfARunThatGoesOn(t *testing.T) {
	in := Installer{Dir: t.TempDir()}
	lock, err := in.lock()
	must(t, err)
	rec, err := openRecorder(in.Dir, nil)
	must(t, err)
	rec.begin("copy", "")
	seen := make(chan hive.SetupEvent, 10)
	done := make(chan error, 1)
	go func() { done <- in.Follow(t.Context(), 0, func(e hive.SetupEvent) { seen <- e }) }()
	if e := <-seen; e.Phase != "copy" {
		t.Errorf("first event %+v", e)
	}
	rec.finish("", errors.New("no space"), 1)
	must(t, errors.Join(rec.close(), lock.Close()))
	if e := <-seen; e.State != finished || e.Error != "no space" {
		t.Errorf("last event %+v", e)
	}
	must(t, <-done)
}

func TestFollowSaysThatARunWasKilled(t *testing.T) {
	in := Installer{Dir: t.TempDir()}
	rec, err := openRecorder(in.Dir, nil)
	must(t, err)
	rec.begin("copy", "")
	must(t, rec.close())
	if err := in.Follow(t.Context(), 0, func(hive.SetupEvent) {}); !errors.Is(err, ErrEnded) {
		t.Errorf("error %v, want ErrEnded", err)
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	in := Installer{Dir: t.TempDir()}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := in.Follow(ctx, 0, func(hive.SetupEvent) {}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestHalfALineIsNotRead(t *testing.T) {
	in := Installer{Dir: t.TempDir()}
	must(t, os.WriteFile(in.file(eventsFile), []byte(`{"number":1,"state":"finished"}`), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := in.Follow(ctx, 0, func(e hive.SetupEvent) { t.Errorf("read %+v", e) }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestALineThatIsWrittenInPartsIsReadOnceItIsWhole(t *testing.T) {
	name := Installer{Dir: t.TempDir()}.file(eventsFile)
	events := tail{name: name}
	defer events.close()
	var numbers []int
	look := func() []int {
		t.Helper()
		numbers = nil
		must(t, events.read(func(e hive.SetupEvent) error {
			numbers = append(numbers, e.Number)
			return nil
		}))
		return numbers
	}
	if got := look(); got != nil {
		t.Errorf("%v read of no file", got)
	}
	file, err := os.Create(name)
	must(t, err)
	defer file.Close()
	for _, write := range []struct {
		text string
		want []int
	}{
		{"{\"number\":1}\n{\"num", []int{1}},
		{"", nil},
		{"ber\":2}", nil},
		{"\n{\"number\":3}\n", []int{2, 3}},
	} {
		_, err := file.WriteString(write.text)
		must(t, err)
		if got := look(); !slices.Equal(got, write.want) {
			t.Errorf("after %q: %v, want %v", write.text, got, write.want)
		}
	}
}

func TestMovementsAreWrittenNowAndThenAndTheLastOneAlways(t *testing.T) {
	var seen []hive.SetupEvent
	rec, err := openRecorder(t.TempDir(), func(e hive.SetupEvent) { seen = append(seen, e) })
	must(t, err)
	for i := range int64(10_000) {
		rec.sink(progress.Event{Task: "copy", State: progress.Running, Done: i + 1, Total: 10_000})
	}
	must(t, rec.close())
	if n := len(seen); n < 2 || n > 2000 {
		t.Errorf("%d events written of 10000", n)
	}
	if last := seen[len(seen)-1]; last.Done != 10_000 {
		t.Errorf("the last one is %+v", last)
	}
}

func TestSecondInstallationIsRefused(t *testing.T) {
	in := Installer{Dir: t.TempDir()}
	lock, err := in.lock()
	must(t, err)
	if !in.Running() {
		t.Error("the first one does not count as running")
	}
	var busy *BusyError
	if _, err := in.Run(t.Context(), Order{}); !errors.As(err, &busy) {
		t.Errorf("error %v, want BusyError", err)
	}
	must(t, lock.Close())
	if in.Running() {
		t.Error("it still counts as running after its end")
	}
}
