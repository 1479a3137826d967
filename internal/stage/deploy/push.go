package deploy

import (
	"context"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// push has Colmena evaluate, build and copy all systems in one go. Nothing on a host changes by that but its store.
func (s *session) push(ctx context.Context) error {
	names := s.pending()
	lines := &lineTeller{say: func(name, text string) { s.tell(name, Running, text, nil) }, hosts: names, line: hostLine()}
	paths, failed, err := s.Engine.Push(ctx, names, io.MultiWriter(s.journal.engine(), lines))
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("push: %w", context.Cause(ctx))
		}
		return &EngineError{Err: err}
	}
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		if err := s.finish(name, FailedHost, failed[name]); err != nil {
			return err
		}
	}
	for _, name := range s.pending() {
		to := paths[name]
		if to == "" {
			if err := s.finish(name, FailedHost, "colmena pushed nothing for it"); err != nil {
				return err
			}
			continue
		}
		from := s.hosts[name].state.Current
		if err := s.change(name, func(r *Result) { r.From, r.To = from, to }); err != nil {
			return err
		}
	}
	if err := s.leaveDependent(); err != nil {
		return err
	}
	return s.stopAfterPush()
}

// stopAfterPush ends the run before anything is changed where a host could not be built or pushed, unless the others shall go on.
func (s *session) stopAfterPush() error {
	if s.OnFailure == Continue {
		return nil
	}
	var failed []string
	s.each(func(r *Result) {
		if r.Outcome == FailedHost {
			failed = append(failed, r.Host)
		}
	})
	if len(failed) == 0 {
		return nil
	}
	why := fmt.Sprintf("%s failed before; --on-failure continue goes on with the others", joined(failed, ", "))
	for _, name := range s.pending() {
		if err := s.finish(name, Skipped, why); err != nil {
			return err
		}
	}
	return nil
}

// lineTeller takes the output of Colmena apart: lines that begin with a host's name are that host's.
type lineTeller struct {
	say   func(name, text string)
	hosts []string
	line  *regexp.Regexp

	mu   sync.Mutex
	held string
}

// hostLine is a line of Colmena's plain output: the name at the right of its column, a bar, what is said. Both families.
func hostLine() *regexp.Regexp { return regexp.MustCompile(`^\s*(\S+) \| (.*\S)\s*$`) }

func (l *lineTeller) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held += string(b)
	for {
		line, rest, whole := strings.Cut(l.held, "\n")
		if !whole {
			return len(b), nil
		}
		l.held = rest
		if m := l.line.FindStringSubmatch(line); m != nil && slices.Contains(l.hosts, m[1]) {
			l.say(m[1], m[2])
		}
	}
}

// uploadKeys gives hosts their secrets. What does not work is in failed.
func (s *session) uploadKeys(ctx context.Context, names []string) (map[string]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	failed, err := s.Engine.UploadKeys(ctx, names, s.journal.engine())
	if err != nil {
		return nil, fmt.Errorf("upload keys: %w", err)
	}
	for name, why := range failed {
		s.journal.log(name, "upload keys: "+why)
	}
	return failed, nil
}

// hasKeys tells whether a host has keys to be uploaded at a time, in Colmena's words: pre-activation or post-activation.
func (m *member) hasKeys(at string) bool {
	for _, k := range m.Deployment.Keys {
		if k.UploadAt == at {
			return true
		}
	}
	return false
}
