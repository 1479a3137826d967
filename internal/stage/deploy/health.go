package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/deploy/state"
)

// check gives what has to be true of a host before its activation is confirmed: it has its keys, hive.deployment.checks pass, and no unit
// failed that was fine before. The guard asks again after a reboot. owed says that keys could not be uploaded before.
func (s *session) check(m *member, owed bool) func(context.Context) error {
	calls := 0
	return func(ctx context.Context) error {
		calls++
		// a reboot empties /run, where keys are by default
		if owed || m.hasKeys(afterActivation) || calls > 1 && len(m.Deployment.Keys) > 0 {
			if err := s.giveKeys(ctx, m); err != nil {
				return err
			}
		}
		if err := s.userChecks(ctx, m); err != nil {
			return err
		}
		return s.units(ctx, m)
	}
}

func (s *session) giveKeys(ctx context.Context, m *member) error {
	s.tell(m.Name, Running, "upload keys", nil)
	failed, err := s.uploadKeys(ctx, []string{m.Name})
	if err == nil && failed[m.Name] != "" {
		err = errors.New(failed[m.Name])
	}
	if err != nil {
		return fmt.Errorf("its keys could not be uploaded: %w", err)
	}
	return nil
}

// userChecks tries all of hive.deployment.checks side by side.
func (s *session) userChecks(ctx context.Context, m *member) error {
	checks := m.Deployment.Rollout.Checks
	errs := make([]error, len(checks))
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() { errs[i] = s.attempts(ctx, m, c) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// attempts tries a check as often as it may be tried, a second apart.
func (s *session) attempts(ctx context.Context, m *member, c hive.HealthCheck) error {
	var err error
	for i := range cmp.Or(max(0, c.Attempts), 3) {
		if i > 0 && !wait(ctx, time.Second) {
			break
		}
		if err = s.try(ctx, m, c); err == nil {
			s.journal.log(m.Name, "check "+c.Name+": passed")
			return nil
		}
		s.journal.log(m.Name, fmt.Sprintf("check %s: %v", c.Name, err))
		s.tell(m.Name, Running, fmt.Sprintf("check %s: %v", c.Name, err), nil)
	}
	return fmt.Errorf("check %s: %w", c.Name, err)
}

// try makes one attempt.
func (s *session) try(ctx context.Context, m *member, c hive.HealthCheck) error {
	ctx, cancel := context.WithTimeoutCause(ctx, seconds(c.TimeoutSeconds, 10), fmt.Errorf("no end within %s", seconds(c.TimeoutSeconds, 10)))
	defer cancel()
	if c.URL != "" {
		return fetch(ctx, c)
	}
	if len(c.Command) == 0 {
		return errors.New("has neither a command nor a url")
	}
	runner := s.Fleet.User(m.Name)
	if c.Root {
		runner = m.root
	}
	said := &lastWords{}
	err := runner.Run(ctx, run.Command{Name: c.Command[0], Args: c.Command[1:], Grace: time.Second, Stdout: said})
	if line := said.line(); err != nil && line != "" {
		return fmt.Errorf("%w: %s", err, line)
	}
	return err
}

// lastWords keeps the end of what a check prints.
type lastWords struct{ end []byte }

func (l *lastWords) Write(b []byte) (int, error) {
	const enough = 1 << 10
	l.end = append(l.end, b[max(0, len(b)-enough):]...)
	l.end = l.end[max(0, len(l.end)-enough):]
	return len(b), nil
}

// line is the last one that is not blank.
func (l *lastWords) line() string {
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(l.end), "\uFFFD")), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// fetch looks at the first answer of a server, over a connection of its own: where it redirects to may be another one.
func fetch(ctx context.Context, c hive.HealthCheck) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, http.NoBody)
	if err != nil {
		return fmt.Errorf("fetch %s: %w", c.URL, err)
	}
	request.Close = true
	client := http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("fetch: %w", err) // says the address
	}
	if err := answer.Body.Close(); err != nil {
		return fmt.Errorf("fetch %s: %w", c.URL, err)
	}
	switch {
	case c.Status == 0 && answer.StatusCode >= 200 && answer.StatusCode < 400:
	case c.Status == answer.StatusCode:
	default:
		return fmt.Errorf("%s answers %s", c.URL, answer.Status)
	}
	return nil
}

// units looks for units that failed since. What was broken before is not this deployment's doing.
func (s *session) units(ctx context.Context, m *member) error {
	for {
		now, err := state.Read(ctx, m.root)
		if err != nil {
			return fmt.Errorf("look at its units: %w", err)
		}
		broken := slices.DeleteFunc(slices.Clone(now.Failed), func(u string) bool { return slices.Contains(m.state.Failed, u) })
		if len(broken) > 0 {
			s.excerpt(ctx, m, broken)
			return fmt.Errorf("failed, and fine before: %s", joined(broken, ", "))
		}
		if now.SystemState != "starting" && now.SystemState != "initializing" {
			return nil
		}
		if !wait(ctx, time.Second) {
			return errors.New("the system is still starting")
		}
	}
}

// excerpt puts the last words of failed units into the host's log.
func (s *session) excerpt(ctx context.Context, m *member, units []string) {
	for _, unit := range units[:min(len(units), 3)] {
		out, err := asRoot(ctx, m.root, `journalctl --no-pager --quiet --output cat --lines 5 --unit "$1" 2>/dev/null`, unit)
		if err != nil {
			continue // the log is not there on every system, and the name of the unit is told in any case
		}
		for line := range strings.Lines(string(out)) {
			s.journal.log(m.Name, unit+": "+strings.TrimRight(line, "\n"))
		}
	}
}

// wait is false when the context ends first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
