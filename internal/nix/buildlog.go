package nix

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"nixos-staged-hive/internal/progress"
)

const (
	keptLog     = 25   // lines kept of each derivation's log
	keptLogLine = 1000 // bytes kept of such a line
)

// buildLog reads the log of a build: movement goes to the sink, lines of builders to log, and what failed is remembered.
type buildLog struct {
	sink progress.Sink
	last progress.Event // of the build; also gives task and host
	log  func(source, line string)

	building  map[uint64]string // derivation by activity
	phase     map[string]string // of the running ones
	tails     map[string][]string
	builds    map[uint64]bool // activities that count builds
	announced int64           // derivations Nix said it will build
	downloads *meter
	loading   progress.Event // of the download; its Task is empty before there is one

	failures []Failure
	messages errorLines
}

func newBuildLog(b Build) *buildLog {
	l := &buildLog{
		sink: b.Progress, last: progress.Event{Task: "build", Host: b.Host, State: progress.Running}, log: b.Log,
		building: map[uint64]string{}, phase: map[string]string{}, tails: map[string][]string{}, builds: map[uint64]bool{},
		downloads: newMeter(),
	}
	if b.Task != "" {
		l.last.Task = b.Task
	}
	if l.log == nil {
		l.log = func(string, string) {}
	}
	return l
}

// line takes one line of stderr.
func (l *buildLog) line(text string) {
	e, ok := parseEntry(text)
	if !ok {
		l.messages.add(text)
		l.log("", text)
		return
	}
	switch e.Action {
	case "start":
		l.start(e)
	case "stop":
		l.stop(e.ID)
	case "result":
		l.result(e)
	case "msg":
		l.message(e)
	}
}

func (l *buildLog) start(e entry) {
	switch e.Type {
	case activityBuilds:
		l.builds[e.ID] = true
	case activityFileTransfer:
		l.downloads.start(e.ID)
	case activityBuild:
		l.building[e.ID] = e.word()
		l.show(func(next *progress.Event) { next.Text = Name(e.word()) })
	case activityCopyPath:
		l.show(func(next *progress.Event) { next.Text = clean([]byte(e.Text)) })
	}
}

func (l *buildLog) stop(id uint64) {
	if drv, ok := l.building[id]; ok {
		delete(l.building, id)
		delete(l.phase, drv)
	}
	if l.downloads.stop(id) {
		l.download()
	}
}

func (l *buildLog) result(e entry) {
	drv, isBuild := l.building[e.ID]
	switch {
	case e.Type == resultBuildLogLine && isBuild:
		l.builderLine(drv, e.word())
	case e.Type == resultSetPhase && isBuild:
		l.show(func(next *progress.Event) { next.Text = Name(drv) + ", " + e.word() })
	case e.Type == resultProgress && l.builds[e.ID]:
		// done, expected, running, failed. "expected" grows as derivations are found, and in Nix 2.34 beyond what there is.
		l.show(func(next *progress.Event) {
			next.Done = max(next.Done, e.number(0)+e.number(3))
			if l.announced == 0 {
				next.Total = max(next.Total, e.number(1))
			}
			next.Total = max(next.Total, l.announced, next.Done)
		})
	case e.Type == resultProgress && l.downloads.move(e.ID, moved{e.number(0), e.number(1)}):
		l.download()
	case e.Type == resultSetExpected && e.number(0) == activityFileTransfer:
		l.downloads.expected[e.ID] = e.number(1)
		l.download()
	}
}

func (l *buildLog) builderLine(drv, text string) {
	l.log(Name(drv), text)
	if len(text) > keptLogLine {
		text = text[:keptLogLine] + "…"
	}
	kept := append(l.tails[drv], text)
	if over := len(kept) - keptLog; over > 0 {
		kept = append(kept[:0], kept[over:]...)
	}
	l.tails[drv] = kept
}

func (l *buildLog) message(e entry) {
	text := e.message()
	if e.Level > levelInfo || strings.TrimSpace(text) == "" {
		return
	}
	l.log("", text)
	switch e.Level {
	case levelError:
		l.failed(text)
	case levelWarning:
		l.sink.Send(progress.Event{Task: l.last.Task, Host: l.last.Host, State: progress.Warned, Text: firstLine(strings.TrimPrefix(text, "warning: "))})
	default:
		l.announced = max(l.announced, announcedBuilds(text))
	}
}

// show sends what change makes of the last event of the build, if that is anything new.
func (l *buildLog) show(change func(*progress.Event)) {
	next := l.last
	change(&next)
	next.Text = firstLine(next.Text)
	if next != l.last {
		l.last = next
		l.sink.Send(next)
	}
}

// download shows bytes once Nix has said that it expects any: the small questions to a binary cache are no download.
func (l *buildLog) download() {
	if len(l.downloads.expected) == 0 {
		return
	}
	sum := l.downloads.sum()
	if sum.total == 0 {
		return
	}
	next := l.loading
	if next.Task == "" {
		next = progress.Event{Task: "download", Host: l.last.Host, State: progress.Started}
		l.sink.Send(next)
		next.State = progress.Running
	}
	next.Done, next.Total = sum.done, sum.total
	if next != l.loading {
		l.loading = next
		l.sink.Send(next)
	}
}

// end closes the tasks that were shown.
func (l *buildLog) end(state progress.State, err error) {
	if state == progress.Done { // a daemon does not tell the last of it
		l.loading.Done = l.loading.Total
	}
	for _, e := range []progress.Event{l.loading, l.last} {
		if e.Task != "" {
			e.State, e.Err, e.Text = state, err, ""
			l.sink.Send(e)
		}
	}
}

var (
	quotedDrv      = regexp.MustCompile(`['"](/[^'"\s]*/[0-9a-z]{32}-[^'"\s]+\.drv)['"]`)
	reasonLine     = regexp.MustCompile(`(?m)^\s*Reason: (.*?)\.?$`)
	dependencyOnly = regexp.MustCompile(`\b(dependency|dependencies)\b.* failed`)
	logOfBuilder   = regexp.MustCompile(`(?m)^\s*(last \d+ log lines|Last \d+ log lines|For full logs, run|Output paths):?`)
)

// failed reads an error: of one derivation, of one whose dependency failed (which says nothing new), or of something else.
func (l *buildLog) failed(text string) {
	l.messages.add("error: " + text)
	m := quotedDrv.FindStringSubmatch(text)
	if m == nil || strings.HasPrefix(text, "build of ") || dependencyOnly.MatchString(text) {
		return
	}
	drv := m[1]
	for _, f := range l.failures {
		if f.Derivation == drv { // Nix 2.34 says some twice
			return
		}
	}
	l.failures = append(l.failures, Failure{Derivation: drv, Reason: reason(text, drv)})
}

// reason is what is left of the message without the derivation's name and what follows the message. Nix 2.8 to 2.26 say "builder for
// 'X' failed with exit code 1", later ones "Cannot build 'X'." with the reason on a line of its own.
func reason(text, drv string) string {
	if m := reasonLine.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	if cut := logOfBuilder.FindStringIndex(text); cut != nil {
		text = text[:cut[0]]
	}
	for _, quote := range []string{"'", `"`} {
		text = strings.ReplaceAll(text, " for "+quote+drv+quote, "")
		text = strings.ReplaceAll(text, quote+drv+quote, Name(drv))
	}
	return strings.TrimRight(strings.TrimSpace(text), ";")
}

var (
	willBuild = regexp.MustCompile(`(?m)^(?:these (\d+) derivations|this derivation) will be built:`)
	hashPart  = regexp.MustCompile(`^[0-9a-z]{32}-`)
)

func announcedBuilds(text string) int64 {
	m := willBuild.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	var n int64 = 1
	if m[1] != "" {
		_, _ = fmt.Sscan(m[1], &n) // digits; too many of them leave 1
	}
	return n
}

// Name is a store path as people say it: without folder, hash and the ".drv" of a derivation.
func Name(storePath string) string {
	name := path.Base(storePath)
	if storePath == "" {
		return ""
	}
	return strings.TrimSuffix(hashPart.ReplaceAllString(name, ""), ".drv")
}

func firstLine(s string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return first
}
