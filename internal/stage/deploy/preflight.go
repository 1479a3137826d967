package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/deploy/state"
)

// leastRoom is how many bytes the store needs to be worth trying: a push that fills the disk takes down what runs there.
const leastRoom = 256 << 20

// preflight looks at all hosts at once, before minutes are spent on building for hosts that cannot be deployed to.
func (s *session) preflight(ctx context.Context) error {
	problems := make(chan HostProblem, len(s.hosts))
	together(s.pending(), usualLook, func(name string) {
		s.tell(name, Started, "", nil)
		if err := s.look(ctx, name); err != nil {
			s.tell(name, Failed, "", err)
			problems <- HostProblem{Host: name, Unreachable: isUnreachable(err), Err: err}
			return
		}
		s.tell(name, Done, "", nil)
	})
	close(problems)
	if ctx.Err() != nil {
		return fmt.Errorf("look at the hosts: %w", context.Cause(ctx))
	}
	return s.judge(problems)
}

// judge leaves hosts out that do not answer, where that was asked for, and refuses the run for all else.
func (s *session) judge(problems <-chan HostProblem) error {
	refused := &PreflightError{}
	var away []HostProblem
	for p := range problems {
		if p.Unreachable && s.SkipUnreachable {
			away = append(away, p)
			continue
		}
		refused.Problems = append(refused.Problems, p)
	}
	if len(refused.Problems) > 0 {
		slices.SortFunc(refused.Problems, func(a, b HostProblem) int { return strings.Compare(a.Host, b.Host) })
		for _, p := range refused.Problems {
			o := Refused
			if p.Unreachable {
				o = Unreachable
			}
			if err := s.change(p.Host, func(r *Result) { r.Outcome, r.Reason = o, p.Err.Error() }); err != nil {
				return err
			}
		}
		return refused
	}
	for _, p := range away {
		if err := s.finish(p.Host, Unreachable, p.Err.Error()); err != nil {
			return err
		}
	}
	return s.leaveDependent()
}

// isUnreachable tells a machine that is off or away from one that answers and does not let us in: the latter is never passed over.
func isUnreachable(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	e, ok := errors.AsType[*remote.ConnectionError](err)
	if !ok {
		return false
	}
	switch e.Reason {
	case remote.Refused, remote.Timeout, remote.Unreachable, remote.Unresolved, remote.Lost:
		return true
	}
	return false
}

// look finds out whether a host can be deployed to, and what it runs.
func (s *session) look(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	m := s.hosts[name]
	var err error
	if m.root, err = s.Fleet.Root(ctx, name); err != nil {
		return err
	}
	if m.state, err = state.Read(ctx, m.root); err != nil {
		return err
	}
	if err := s.settle(ctx, m); err != nil {
		return err
	}
	return s.sound(m)
}

// settle brings to its end what an earlier run left unfinished on the host.
func (s *session) settle(ctx context.Context, m *member) error {
	if m.state.Unfinished == nil {
		return nil
	}
	settled, err := s.Guard(m.Name, m.root).Settle(ctx)
	if err != nil {
		return err
	}
	if m.state, err = state.Read(ctx, m.root); err != nil {
		return err
	}
	if settled != nil {
		s.warn(m.Name, fmt.Sprintf("an earlier run (%s by %s) had not ended here; it is %s now, and the host runs %s", settled.Run, settled.By, settled.State, m.state.Current))
	}
	return nil
}

// sound judges what the host says of itself.
func (s *session) sound(m *member) error {
	switch {
	case m.state.Current == "":
		return errors.New("it runs no NixOS: there is no /run/current-system")
	case m.state.Profile == "":
		return &NotInstalledError{Host: m.Name}
	}
	if err := s.rightMachine(m); err != nil {
		return err
	}
	for _, space := range m.state.Spaces {
		if space.Mount != "/boot" && space.Free < leastRoom {
			return &RoomError{Mount: space.Mount, Free: space.Free, Least: leastRoom}
		}
	}
	return nil
}

// rightMachine refuses a host that calls itself as another one of the hive does: deploying would make two of one. Any other name may be
// what the deployment is to change.
func (s *session) rightMachine(m *member) error {
	own := m.HostName
	if own == "" || m.state.HostName == own || m.state.HostName == "" {
		return nil
	}
	if slices.Contains(s.Hive, m.state.HostName) {
		return &OtherMachineError{Host: m.Name, Calls: m.state.HostName}
	}
	s.warn(m.Name, fmt.Sprintf("calls itself %s, and would be %s afterwards", m.state.HostName, own))
	return nil
}

// leaveDependent leaves all hosts alone that come after one that is not well any more.
func (s *session) leaveDependent() error {
	for {
		left := false
		for _, name := range s.pending() {
			for _, other := range s.before[name] {
				o := s.outcome(other)
				if !o.ends() || o.Well() {
					continue
				}
				left = true
				if err := s.finish(name, Skipped, fmt.Sprintf("comes after %s, which is %s", other, o)); err != nil {
					return err
				}
				break
			}
		}
		if !left {
			return nil
		}
	}
}

// OtherMachineError is a machine that is another host of the hive.
type OtherMachineError struct{ Host, Calls string }

func (e *OtherMachineError) Error() string {
	return fmt.Sprintf("the machine that answers for %s is %s, another host of this hive", e.Host, e.Calls)
}

// Hint says the way out.
func (e *OtherMachineError) Hint() string {
	return "is the address of " + e.Host + " right (deployment.targetHost, hive.network.address)?"
}

// NotInstalledError is a machine without a system profile, such as one that was started from an installation medium.
type NotInstalledError struct{ Host string }

func (e *NotInstalledError) Error() string {
	return "no system is installed there: " + hive.SystemProfile + " does not exist"
}

// Hint says the way out.
func (e *NotInstalledError) Hint() string {
	return "was it started from its installation medium? `nixos-staged-hive install -n " + e.Host + " --remote ADDRESS` installs it"
}

// RoomError is a file system without room.
type RoomError struct {
	Mount       string
	Free, Least int64 // bytes
}

func (e *RoomError) Error() string {
	return fmt.Sprintf("%s has %s free, and needs %s", e.Mount, hive.Size(e.Free), hive.Size(e.Least))
}

// Hint says the way out.
func (e *RoomError) Hint() string { return "`nixos-staged-hive hive gc` removes old generations" }

// asRoot runs a shell script on a host and gives its stdout. It goes there on stdin: sudo writes command lines to the log.
func asRoot(ctx context.Context, root run.Runner, script string, args ...string) ([]byte, error) {
	return run.Output(ctx, root, run.Command{Name: "sh", Args: append([]string{"-s", "--"}, args...), Stdin: strings.NewReader(script)})
}
