package deploy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/deploy/guard"
)

// step is one part of a deployment.
type step struct {
	name string
	what string // in one line
	do   func(*session, context.Context) error
	// changes says that hosts are changed: a dry run ends before.
	changes bool
}

// steps are a whole deployment, in order. An error ends it.
func steps() []step {
	return []step{
		{name: "preflight", what: "log in everywhere, become root, settle what earlier runs left", do: (*session).preflight},
		{name: "push", what: "evaluate, build and push through Colmena; no host is changed", do: (*session).push},
		{name: "plan", what: "find out what would change on each host", do: (*session).plan},
		{name: "confirm", what: "show the plan and ask", do: (*session).confirm, changes: true},
		{name: "activate", what: "activate host by host in their order, each under its guard, and check its health", do: (*session).activate, changes: true},
	}
}

// Steps are the names of all steps with what they do, in order.
func Steps() [][2]string {
	var all [][2]string
	for _, s := range steps() {
		all = append(all, [2]string{s.name, s.what})
	}
	return all
}

// session is a run that goes on.
type session struct {
	Deployment
	journal *journal
	before  map[string][]string // which hosts come before which, of all that were asked for
	plans   Plan

	mu     sync.Mutex // guards the rest
	step   string
	report Report
	hosts  map[string]*member
	watch  sync.Mutex // keeps events apart
}

// member is a host within the run.
type member struct {
	hive.Host
	root  run.Runner
	state hive.HostState // as it was before
	plan  HostPlan
}

func (d Deployment) begin() (*session, error) {
	if len(d.Hosts) == 0 {
		return nil, ErrNothingChosen
	}
	if d.Guard == nil {
		d.Guard = func(name string, root run.Runner) Guard { return guard.Host{Name: name, Root: root} }
	}
	if d.Parallel <= 0 {
		d.Parallel = usualParallel
	}
	if d.OnFailure == "" {
		d.OnFailure = Stop
	}
	journal, err := d.Records.open()
	if err != nil {
		return nil, err
	}
	s := &session{Deployment: d, journal: journal, before: hive.Predecessors(d.Hosts), hosts: map[string]*member{}}
	s.report = Report{Schema: RecordSchema, ID: journal.id, By: d.By, Begun: d.Records.now().UTC(), Reboots: d.Reboots, Folder: journal.dir}
	for _, h := range d.Hosts {
		s.hosts[h.Name] = &member{Host: h}
		s.report.Hosts = append(s.report.Hosts, Result{Host: h.Name, Outcome: Pending, Log: journal.logFile(h.Name)})
	}
	return s, s.save()
}

// walk takes one step after the other.
func (s *session) walk(ctx context.Context) error {
	for _, step := range steps() {
		if step.changes && s.DryRun {
			s.each(func(r *Result) {
				if r.Outcome == Pending {
					r.Outcome = Planned
				}
			})
			return nil
		}
		s.mu.Lock()
		s.step = step.name
		s.mu.Unlock()
		s.tell("", Started, step.what, nil)
		err := step.do(s, ctx)
		if err == nil && ctx.Err() != nil {
			err = fmt.Errorf("%s: %w", step.name, context.Cause(ctx))
		}
		if err != nil {
			s.tell("", Failed, "", err)
			return err
		}
		s.tell("", Done, "", nil)
		if len(s.pending()) == 0 {
			return nil
		}
	}
	return nil
}

// end says of every host that was not begun why, and completes the record.
func (s *session) end(ctx context.Context, err error) (Report, error) {
	why := "the run ended before its turn"
	switch {
	case ctx.Err() != nil:
		why = "interrupted before its turn"
	case err != nil:
		why = "nothing was changed on any host"
	}
	s.each(func(r *Result) {
		if r.Outcome == Pending {
			r.Outcome, r.Reason = Skipped, why
		}
		if r.Outcome.failed() {
			r.Tail = tail(r.Log, 10)
		}
	})
	s.mu.Lock()
	s.report.Ended = s.Records.now().UTC()
	if err != nil {
		s.report.Error = err.Error()
	}
	report := s.report
	s.mu.Unlock()
	return report, errors.Join(err, s.save(), s.journal.close())
}

// pending are the names of the hosts that have neither ended nor begun, in the order of the hive.
func (s *session) pending() []string {
	var names []string
	s.each(func(r *Result) {
		if r.Outcome == Pending {
			names = append(names, r.Host)
		}
	})
	return names
}

// each gives the results to f, one after the other.
func (s *session) each(f func(*Result)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.report.Hosts {
		f(&s.report.Hosts[i])
	}
}

// change changes the result of one host and records that.
func (s *session) change(name string, f func(*Result)) error {
	s.each(func(r *Result) {
		if r.Host == name {
			f(r)
		}
	})
	return s.save()
}

func (s *session) outcome(name string) Outcome {
	var o Outcome
	s.each(func(r *Result) {
		if r.Host == name {
			o = r.Outcome
		}
	})
	return o
}

func (s *session) save() error {
	s.mu.Lock()
	report := s.report
	report.Hosts = append([]Result{}, s.report.Hosts...)
	s.mu.Unlock()
	return s.journal.save(report)
}

// finish ends a host with a reason, which its log gets too. Anything but well is told as failed.
func (s *session) finish(name string, o Outcome, reason string) error {
	err := s.change(name, func(r *Result) { r.Outcome, r.Reason = o, reason })
	text := string(o)
	if reason != "" {
		text += ": " + reason
	}
	s.journal.log(name, text)
	switch {
	case o.Well():
		s.tell(name, Done, string(o), nil)
	case o.failed():
		s.tell(name, Failed, string(o), errors.New(orElse(reason, string(o))))
	default:
		s.tell(name, Warned, string(o), errors.New(orElse(reason, string(o))))
	}
	return err
}

// warn keeps a remark about a host.
func (s *session) warn(name, text string) {
	s.each(func(r *Result) {
		if r.Host == name {
			r.Warnings = append(r.Warnings, text)
		}
	})
	s.journal.log(name, "warning: "+text)
	s.tell(name, Warned, text, nil)
}

// tell sends an event.
func (s *session) tell(name string, state State, text string, err error) {
	if s.Watch == nil {
		return
	}
	e := Event{Time: s.Records.now().UTC(), Run: s.journal.id, Host: name, State: state, Text: text}
	s.mu.Lock()
	e.Step = s.step
	s.mu.Unlock()
	if err != nil {
		e.Error = err.Error()
	}
	s.watch.Lock()
	defer s.watch.Unlock()
	s.Watch(e)
}

// together runs f for the named hosts, limit at once, and waits.
func together(names []string, limit int, f func(name string)) {
	var all sync.WaitGroup
	places := make(chan struct{}, limit)
	for _, name := range names {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			f(name)
		})
	}
	all.Wait()
}

func seconds(n, usual int) time.Duration {
	if n == 0 {
		n = usual
	}
	return time.Duration(n) * time.Second
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
