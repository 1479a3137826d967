package progress

import "testing"

func TestNilSinkSwallowsEvents(t *testing.T) {
	var s Sink
	s.Send(Event{Task: "evaluate"}) // must not panic
}

func TestSinkReceivesTheEventUnchanged(t *testing.T) {
	var got Event
	want := Event{Task: "fetch", Host: "web1", State: Running, Done: 3, Total: 7, Text: "half way"}
	Sink(func(e Event) { got = e }).Send(want)
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestOnlyDoneAndFailedEndATask(t *testing.T) {
	for state, want := range map[State]bool{Started: false, Running: false, Warned: false, Done: true, Failed: true} {
		if got := state.Ends(); got != want {
			t.Errorf("%s: ends = %v, want %v", state, got, want)
		}
	}
}
