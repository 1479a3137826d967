package colmena

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// report is what Colmena's stderr says about how the run went. Only lines that no host can write count (see the package's doc).
type report struct {
	failures []failure
	selected int    // hosts that Colmena says it works on; -1 if it does not say
	nothing  bool   // "No hosts selected"
	needsOn  bool   // refused because of meta.allowApplyAll = false
	panicked string // message of a Rust panic
	reason   string // of "Operation failed with error"
	offHive  string // apply-local: why this machine is not deployed
}

// failure is one failed step. With several hosts it is their common evaluation.
type failure struct {
	step  string   // build, activate, ...
	hosts []string // as far as named
	more  int      // hosts that Colmena only counts
}

// watcher passes stderr on and reads along.
type watcher struct {
	to     io.Writer // nil drops it
	report report
	line   []byte
	panics bool // the next line is the message of a panic
	lines  lineKinds
}

// lineLimit is how much of a line is looked at, in bytes. Colmena's own lines are far shorter, except for one that prints all keys.
const lineLimit = 64 << 10

func newWatcher(to io.Writer) *watcher {
	return &watcher{to: to, report: report{selected: -1}, lines: newLineKinds()}
}

func (w *watcher) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		part, after, whole := bytes.Cut(rest, []byte("\n"))
		w.collect(part)
		if whole {
			w.endLine()
		}
		rest = after
	}
	if w.to == nil {
		return len(b), nil
	}
	n, err := w.to.Write(b)
	if err != nil {
		return n, fmt.Errorf("pass on what Colmena says: %w", err)
	}
	return n, nil
}

func (w *watcher) collect(part []byte) {
	if room := lineLimit - len(w.line); len(part) > room {
		part = part[:room]
	}
	w.line = append(w.line, part...)
}

func (w *watcher) endLine() {
	w.read(string(w.lines.colour.ReplaceAll(w.line, nil)))
	w.line = w.line[:0]
}

// end reads a last line without a newline and gives what was learned.
func (w *watcher) end() report {
	if len(w.line) > 0 {
		w.endLine()
	}
	return w.report
}

// lineKinds are the shapes of the lines we know, the same in both families apart from the brackets of 0.4 around the level.
type lineKinds struct {
	colour, logged, failed, selectedAll, selectedSome, panicked, others *regexp.Regexp
}

func newLineKinds() lineKinds {
	return lineKinds{
		colour:       regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]|\r`),
		logged:       regexp.MustCompile(`^(?:\[(ERROR|WARN |INFO )\]|(ERROR| WARN| INFO)) (.*)$`),
		failed:       regexp.MustCompile(`^Failed to (evaluate|build|push system closure to|upload keys to|deploy to|reboot|complete job on) (.+) - Last \d+ lines of logs:$`),
		selectedAll:  regexp.MustCompile(`^Selected all (\d+) nodes\.$`),
		selectedSome: regexp.MustCompile(`^Selected (\d+) out of \d+ hosts(?: \(\d+ skipped\))?\.$`),
		panicked:     regexp.MustCompile(`^thread '.*' (?:\(\d+\) )?panicked at `),
		others:       regexp.MustCompile(`,? and (\d+) other nodes$`),
	}
}

func (w *watcher) read(line string) {
	if w.panics {
		w.panics = false
		w.report.panicked = line
		return
	}
	if w.lines.panicked.MatchString(line) {
		w.panics = true
		return
	}
	if m := w.lines.logged.FindStringSubmatch(line); m != nil {
		w.readLogged(m[3])
	}
}

func (w *watcher) readLogged(text string) {
	r := &w.report
	if m := w.lines.failed.FindStringSubmatch(text); m != nil {
		r.failures = append(r.failures, w.failure(m[1], m[2]))
		return
	}
	for _, kind := range []*regexp.Regexp{w.lines.selectedAll, w.lines.selectedSome} {
		if m := kind.FindStringSubmatch(text); m != nil {
			r.selected, _ = strconv.Atoi(m[1])
		}
	}
	switch {
	case strings.HasPrefix(text, "No hosts selected"):
		r.nothing = true
	case strings.HasPrefix(text, "No node filter is specified and meta.allowApplyAll is set to false"):
		r.needsOn = true
	case strings.HasPrefix(text, "Operation failed with error: "):
		r.reason = strings.TrimPrefix(text, "Operation failed with error: ")
	case strings.HasSuffix(text, "is not present in the Hive configuration."), strings.HasPrefix(text, "Local deployment is not enabled"):
		r.offHive = strings.TrimSuffix(text, ".")
	}
}

// failure reads the hosts of "Failed to STEP HOSTS": a name, "a and b", "a, b, and c", or "a, b, c, and 4 other nodes".
func (w *watcher) failure(verb, hosts string) failure {
	f := failure{step: stepName(verb)}
	if m := w.lines.others.FindStringSubmatch(hosts); m != nil {
		f.more, _ = strconv.Atoi(m[1])
		hosts = strings.TrimSuffix(hosts, m[0])
	}
	hosts = strings.ReplaceAll(hosts, ", and ", ", ")
	hosts = strings.ReplaceAll(hosts, " and ", ", ")
	f.hosts = strings.Split(hosts, ", ")
	return f
}

// stepName says in our words what Colmena was at.
func stepName(verb string) string {
	switch verb {
	case "push system closure to":
		return "push"
	case "upload keys to":
		return "upload keys"
	case "deploy to":
		return "activate"
	case "complete job on":
		return "run the command"
	}
	return verb
}

// failed lists every failed host once, sorted, and counts those that have no name.
func (r report) failed() (names []string, unnamed int) {
	for _, f := range r.failures {
		names = append(names, f.hosts...)
		unnamed += f.more
	}
	slices.Sort(names)
	return slices.Compact(names), unnamed
}
