package nix

import (
	"encoding/json"
	"strings"
)

// Kinds of activities and results in Nix' internal-json log, and its levels (src/libutil/logging.hh; the same in 2.8, 2.26 and
// 2.34, where later versions only add to them).
const (
	activityCopyPath     = 100
	activityFileTransfer = 101
	activityCopyPaths    = 103
	activityBuilds       = 104
	activityBuild        = 105

	resultBuildLogLine = 101
	resultSetPhase     = 104
	resultProgress     = 105
	resultSetExpected  = 106

	levelError   = 0
	levelWarning = 1
	levelInfo    = 3
)

// entry is one line of the internal-json log.
type entry struct {
	Action string            `json:"action"` // start, stop, result, msg
	ID     uint64            `json:"id"`     // of the activity
	Type   int               `json:"type"`
	Level  int               `json:"level"`
	Text   string            `json:"text"`
	Msg    string            `json:"msg"`
	RawMsg string            `json:"raw_msg"` // an error's message without "error:" and trace
	Fields []json.RawMessage `json:"fields"`  // numbers and strings, by type of activity or result
}

// parseEntry reads a line of the log. What is no such line (ssh, a crash and the loader write plain text) is not ok.
func parseEntry(line string) (e entry, ok bool) {
	body, ok := strings.CutPrefix(line, "@nix ")
	if !ok || json.Unmarshal([]byte(body), &e) != nil {
		return entry{}, false
	}
	return e, true
}

// number is field i, 0 if there is no such number. Everything counted is far smaller than the limit, which lets sums not overflow.
func (e entry) number(i int) int64 {
	var n int64
	if i >= len(e.Fields) || json.Unmarshal(e.Fields[i], &n) != nil || n < 0 {
		return 0
	}
	return min(n, 1<<46)
}

// word is the first field, empty if that is no text.
func (e entry) word() string {
	var s string
	if len(e.Fields) == 0 || json.Unmarshal(e.Fields[0], &s) != nil {
		return ""
	}
	return clean([]byte(s))
}

// message is the text of a "msg" entry without colours.
func (e entry) message() string {
	if e.Level == levelError && e.RawMsg != "" {
		return clean([]byte(e.RawMsg))
	}
	return strings.TrimPrefix(clean([]byte(e.Msg)), "error: ")
}

// meter adds up the movement of all activities of one kind, as Nix' own progress bar does: an activity that ended counts with what it
// had done, and what Nix expects counts from the start.
type meter struct {
	running  map[uint64]moved
	expected map[uint64]int64 // by the activity that expects it
	ended    moved
}

type moved struct{ done, total int64 }

func newMeter() *meter { return &meter{running: map[uint64]moved{}, expected: map[uint64]int64{}} }

func (m *meter) start(id uint64) { m.running[id] = moved{} }

// move notes progress of an activity; it is not ok if that is of another kind.
func (m *meter) move(id uint64, to moved) (ok bool) {
	if _, ok = m.running[id]; ok {
		m.running[id] = to
	}
	return ok
}

func (m *meter) stop(id uint64) (ok bool) {
	last, ok := m.running[id]
	if ok {
		delete(m.running, id)
		m.ended.done += last.done
		m.ended.total += last.done
	}
	return ok
}

// sum never shows more done than there is in all.
func (m *meter) sum() moved {
	s := m.ended
	for _, a := range m.running {
		s.done += a.done
		s.total += max(a.done, a.total)
	}
	var expected int64
	for _, n := range m.expected {
		expected += n
	}
	s.total = max(s.total, expected)
	return s
}
