package guard

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/run"
)

//go:embed guard.sh
var script string

const (
	callLimit     = 90 * time.Second // for one call over one connection; the script waits a minute for its lock at most
	shortPause    = 250 * time.Millisecond
	longPause     = 2 * time.Second
	usualPatience = 2 * time.Minute
	// margin is how long before the host goes back by itself the checks are given up, so that the host is told why.
	margin = 2 * time.Second
)

var (
	runName   = regexp.MustCompile(`^[A-Za-z0-9-]{1,40}$`)
	storePath = regexp.MustCompile(`^/nix/store/[0-9a-z]{32}-[0-9A-Za-z+._?=-]+$`)
)

// Activate makes o.New the host's system as the package's comment says. It returns when the record has ended, whichever way: State.State is
// Committed, RolledBack, Refused or Stuck, with the reason beside, and the error is nil. *LockedError is another operator's
// activation; *UnknownError a host that stays away. When ctx ends before the confirmation, the host goes back first.
func (h Host) Activate(ctx context.Context, o Order) (hive.ActivationState, error) {
	o, err := o.complete()
	if err != nil {
		return hive.ActivationState{}, fmt.Errorf("activate %s: %w", h.Name, err)
	}
	f := &following{host: h, order: o}
	a, err := f.begin(ctx)
	if err != nil {
		return a.ActivationState, err
	}
	return f.follow(ctx, a)
}

// complete fills in what is left open and refuses what the script could not take.
func (o Order) complete() (Order, error) {
	if !runName.MatchString(o.Run) {
		return o, fmt.Errorf("the run's name %q", o.Run)
	}
	if !storePath.MatchString(o.New) {
		return o, fmt.Errorf("%q is no store path", o.New)
	}
	if o.Generation < 0 {
		return o, fmt.Errorf("generation %d", o.Generation)
	}
	o.By = oneLine(o.By)
	o.Activation = cmp.Or(o.Activation, hive.UsualActivation*time.Second)
	o.Confirm = cmp.Or(o.Confirm, hive.UsualConfirm*time.Second)
	o.Reboot = cmp.Or(o.Reboot, hive.UsualReboot*time.Second)
	if o.Check == nil {
		o.Check = func(context.Context) error { return nil }
	}
	if o.Progress == nil {
		o.Progress = func(hive.ActivationState, string) {}
	}
	return o, nil
}

// oneLine is text that fits into a field of the record.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " ")
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text)
	const limit = 500
	if len(clean) > limit {
		clean = strings.ToValidUTF8(clean[:limit], "") + " ..."
	}
	return clean
}

// Settle brings an earlier run's unfinished record to an end: of a deployer that was killed, of a host that was restarted. Nil is none.
// *LockedError is a run that goes on and ends by itself.
func (h Host) Settle(ctx context.Context) (*hive.ActivationState, error) {
	a, err := h.send(ctx, "settle")
	if err != nil {
		return nil, fmt.Errorf("settle %s: %w", h.Name, err)
	}
	if !a.known || a.State.Ends() {
		return nil, nil //nolint:nilnil // none is not an error, and the caller is told so
	}
	if !a.settling {
		return nil, &LockedError{Host: h.Name, State: a.ActivationState}
	}
	o, err := Order{
		Run: a.Run, New: a.New, Activation: time.Duration(a.limits[0]) * time.Second,
		Confirm: time.Duration(a.limits[1]) * time.Second, Reboot: time.Duration(a.limits[2]) * time.Second,
	}.complete()
	if err != nil {
		return nil, fmt.Errorf("settle %s: %w", h.Name, err)
	}
	f := &following{host: h, order: o, settling: true}
	state, err := f.follow(ctx, a)
	return &state, err
}

// Last is the record of the last run, nil if there is none. It changes nothing.
func (h Host) Last(ctx context.Context) (*hive.ActivationState, error) {
	a, err := h.call(ctx, "poll", "", "0")
	if err != nil {
		return nil, fmt.Errorf("read the record of %s: %w", h.Name, err)
	}
	if !a.known {
		return nil, nil //nolint:nilnil // none is not an error
	}
	return &a.ActivationState, nil
}

// carrier runs the script that comes on stdin, if it came whole: a connection may end in the middle. Its text goes on in the environment.
const carrier = `PATH=$PATH:/run/current-system/sw/bin:/usr/bin:/bin
text=$(cat; printf .) && text=${text%.} && set -- "$(printf %s "$text" | sha256sum)" "$@" &&
[ "${1%% *}" = "$2" ] || { echo "the guard's script did not arrive whole" >&2; exit 65; }
shift 2; NIXOS_STAGED_HIVE_GUARD=$text; export NIXOS_STAGED_HIVE_GUARD
exec /bin/sh -c "$text" guard "$@"`

// caller runs the script that is on the host: of the run that goes on, or else of the last one.
const caller = `for g in /run/nixos-staged-hive-deploy/guard ` + ScriptFile + `; do [ ! -e "$g" ] || exec /bin/sh "$g" "$@"; done`

// send runs a verb of this program's own script.
func (h Host) send(ctx context.Context, verb ...string) (answer, error) {
	sum := sha256.Sum256([]byte(script))
	return h.ask(ctx, run.Command{
		Name: "sh", Args: append([]string{"-c", carrier, "guard", hex.EncodeToString(sum[:])}, verb...),
		Stdin: strings.NewReader(script), Grace: time.Second,
	})
}

// call runs a verb of the script that the host has.
func (h Host) call(ctx context.Context, verb ...string) (answer, error) {
	return h.ask(ctx, run.Command{Name: "sh", Args: append([]string{"-c", caller, "guard"}, verb...), Grace: time.Second})
}

func (h Host) ask(ctx context.Context, c run.Command) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	out, err := run.Output(ctx, h.Root, c)
	if err != nil {
		return answer{}, err
	}
	return parseAnswer(out)
}

func (h Host) patience() time.Duration { return cmp.Or(h.Patience, usualPatience) }

// wholeSeconds is a duration for the script.
func wholeSeconds(d time.Duration) string {
	return strconv.FormatInt(int64(max(1, (d+time.Second-1)/time.Second)), 10)
}

// pause waits, until ctx ends at most.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// lines gives the whole lines of a log that comes in pieces.
type lines struct{ rest []byte }

func (l *lines) add(piece []byte) []string {
	l.rest = append(l.rest, piece...)
	var whole []string
	for {
		line, after, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return whole
		}
		whole = append(whole, strings.ToValidUTF8(string(line), "\uFFFD"))
		l.rest = after
	}
}

// definite tells that a call has not reached the host's script and will not: trying again changes nothing.
func definite(err error) bool {
	if _, missing := errors.AsType[*run.MissingError](err); missing {
		return true
	}
	if _, notRoot := errors.AsType[*remote.SudoError](err); notRoot {
		return true
	}
	failed, ok := errors.AsType[*run.Error](err)
	const cutOff = 65 // the carrier's
	return ok && failed.ExitCode >= 0 && failed.ExitCode != cutOff
}
