package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/stage/deploy/guard"
	"nixos-staged-hive/internal/stage/deploy/state"
)

// activate brings all hosts to their systems, as many at once as they and the options allow. It ends when the last one that was begun has ended:
// an interruption makes those go back, and begins with no other.
func (s *session) activate(ctx context.Context) error {
	ended := make(chan string)
	running := map[string]bool{}
	var problem error // the record cannot be written: begin with no other host, and let the others end
	for {
		if ctx.Err() == nil && problem == nil {
			problem = s.stopIfTold()
			batch := s.ready(running)
			for _, name := range batch {
				running[name] = true
				problem = errors.Join(problem, s.change(name, func(r *Result) { r.Outcome = Activating }))
			}
			if len(batch) > 0 {
				go s.activateBatch(ctx, batch, ended)
			}
		}
		if len(running) == 0 {
			return problem
		}
		delete(running, <-ended)
		problem = errors.Join(problem, s.leaveDependent())
	}
}

// stopIfTold leaves all further hosts alone after a failure.
func (s *session) stopIfTold() error {
	if s.OnFailure == Continue {
		return nil
	}
	failed := ""
	s.each(func(r *Result) {
		if r.Outcome.failed() && failed == "" {
			failed = fmt.Sprintf("the run stopped: %s is %s; --on-failure continue goes on", r.Host, r.Outcome)
		}
	})
	if failed == "" {
		return nil
	}
	for _, name := range s.pending() {
		if err := s.finish(name, Skipped, failed); err != nil {
			return err
		}
	}
	return nil
}

// ready are the hosts that can be begun now: all that come before them are well, their group has a place, and there are not too many.
func (s *session) ready(running map[string]bool) []string {
	places := hive.Places(s.Deployment.Hosts) //nolint:staticcheck // s.hosts are others
	for name := range running {
		places[s.hosts[name].Deployment.Rollout.Group]--
	}
	var batch []string
	for _, name := range s.pending() {
		group := s.hosts[name].Deployment.Rollout.Group
		if len(running)+len(batch) >= s.Parallel || group != "" && places[group] <= 0 || !s.comesNow(name) {
			continue
		}
		if group != "" {
			places[group]--
		}
		batch = append(batch, name)
	}
	return batch
}

func (s *session) comesNow(name string) bool {
	return !slices.ContainsFunc(s.before[name], func(other string) bool { return !s.outcome(other).Well() })
}

// activateBatch begins with hosts whose turn comes at the same time: one run of Colmena uploads the keys of all of them.
func (s *session) activateBatch(ctx context.Context, names []string, ended chan<- string) {
	var keyed []string
	for _, name := range names {
		s.tell(name, Started, "", nil)
		if s.hosts[name].hasKeys(beforeActivation) {
			keyed = append(keyed, name)
		}
	}
	failed, err := s.uploadKeys(ctx, keyed)
	for _, name := range names {
		why := failed[name]
		if err != nil && slices.Contains(keyed, name) {
			why = err.Error()
		}
		go func() {
			s.activateHost(ctx, name, why)
			ended <- name
		}()
	}
}

// When Colmena uploads a key by itself.
const (
	beforeActivation = "pre-activation"
	afterActivation  = "post-activation"
	keysPatience     = 3 * time.Minute // an upload evaluates the hive first
)

// activateHost takes one host from what it runs to its new system, or has it go back. noKeys is why its keys could not be uploaded.
func (s *session) activateHost(ctx context.Context, name, noKeys string) {
	m := s.hosts[name]
	began := time.Now()
	o, reason := s.attempt(ctx, m, noKeys)
	o, reason = s.verify(ctx, m, o, reason)
	_ = s.change(name, func(r *Result) { r.Seconds = time.Since(began).Round(100 * time.Millisecond).Seconds() })
	_ = s.finish(name, o, reason)
}

func (s *session) attempt(ctx context.Context, m *member, noKeys string) (Outcome, string) {
	if noKeys != "" && !m.keysMayWait() {
		return FailedHost, "its keys could not be uploaded, and nothing was changed: " + noKeys
	}
	now, err := state.Read(ctx, m.root)
	if err != nil {
		return FailedHost, fmt.Sprintf("nothing was changed: %v", err)
	}
	if now.Current != m.plan.From {
		return Refused, fmt.Sprintf("it runs another system than when the plan was made: %s", now.Current)
	}
	m.state = now
	check := s.check(m, noKeys != "")
	if m.onlyKeys() {
		if err := check(ctx); err != nil {
			return FailedHost, err.Error()
		}
		return Confirmed, ""
	}
	a, err := s.Guard(m.Name, m.root).Activate(ctx, s.order(m, check))
	if a.Run != "" {
		_ = s.change(m.Name, func(r *Result) { r.Activation = &a })
	}
	return conclude(a, err)
}

// keysMayWait tells that a key belongs to a user or group that the new system may be the first to have: then it is tried again once that runs.
func (m *member) keysMayWait() bool {
	return slices.ContainsFunc(m.Deployment.Keys, func(k hive.Key) bool { return k.User != "root" || k.Group != "root" })
}

// onlyKeys tells that nothing but its keys is to be brought to the host.
func (m *member) onlyKeys() bool {
	return m.plan.From == m.plan.To && m.state.Profile == m.plan.To && (m.state.Default == "" || m.state.Default == m.plan.To) && !m.plan.Reboot
}

func (s *session) order(m *member, check func(context.Context) error) guard.Order {
	r := m.Deployment.Rollout
	o := guard.Order{
		Run: s.journal.id, By: s.By, New: m.plan.To, Generation: s.Generations[m.Name], RebootAfter: m.plan.Reboot, Check: check,
		Activation: seconds(r.ActivationSeconds, hive.UsualActivation),
		Confirm:    seconds(r.ConfirmSeconds, hive.UsualConfirm),
		Reboot:     seconds(r.RebootSeconds, hive.UsualReboot),
	}
	if len(m.Deployment.Keys) > 0 {
		o.Confirm += keysPatience
	}
	o.Progress = func(a hive.ActivationState, line string) {
		if line == "" {
			line = string(a.State)
		}
		s.journal.log(m.Name, line)
		s.tell(m.Name, Running, line, nil)
	}
	return o
}

// conclude says what the guard's words mean for the host.
func conclude(a hive.ActivationState, err error) (Outcome, string) {
	if err != nil {
		if _, unknown := errors.AsType[*guard.UnknownError](err); unknown {
			return Unknown, err.Error()
		}
		if _, locked := errors.AsType[*guard.LockedError](err); locked {
			return Refused, err.Error()
		}
		return FailedHost, err.Error()
	}
	switch a.State {
	case hive.Committed:
		return Confirmed, ""
	case hive.RolledBack:
		return RolledBack, a.Reason
	case hive.Refused:
		return Refused, a.Reason
	case hive.Stuck:
		return Stuck, a.Reason
	}
	return Unknown, "the guard ended while the host was " + string(a.State)
}

// verify asks the host itself what it runs now, whatever was said before. Also after an interruption: that is when it matters.
func (s *session) verify(ctx context.Context, m *member, o Outcome, reason string) (Outcome, string) {
	if o == Unknown {
		return o, reason
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookPatience)
	defer cancel()
	now, err := state.Read(ctx, m.root)
	if err != nil {
		now, err = state.Read(ctx, m.root)
	}
	if err != nil {
		if o == Confirmed {
			return Unknown, fmt.Sprintf("it was confirmed, and does not answer any more: %v", err)
		}
		return o, reason
	}
	_ = s.change(m.Name, func(r *Result) {
		r.Runs, r.Boots, r.Generation, r.RebootNeeded = now.Current, now.Profile, now.Generation, now.RebootNeeded
	})
	if wrong := m.differs(now, o); wrong != "" {
		return FailedHost, fmt.Sprintf("it should be %s, but %s%s", o, wrong, after(reason))
	}
	return o, reason
}

func after(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

// differs says in what the host is not what the outcome promises.
func (m *member) differs(now hive.HostState, o Outcome) string {
	current, profile, next := m.state.Current, m.state.Profile, m.state.Default
	switch o {
	case Confirmed:
		current, profile, next = m.plan.To, m.plan.To, m.plan.To
	case RolledBack, Refused:
	default:
		return ""
	}
	switch {
	case o == Refused: // somebody else may be at work there
		return ""
	case now.Current != current:
		return "runs " + now.Current
	case now.Profile != profile:
		return "its system profile is " + now.Profile
	case now.Default != "" && next != "" && now.Default != next:
		return "its next boot takes " + now.Default
	case o == RolledBack && now.Generation != m.state.Generation:
		return fmt.Sprintf("its generation is %d", now.Generation)
	}
	return ""
}
