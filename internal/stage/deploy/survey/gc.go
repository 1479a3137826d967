package survey

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/deploy/state"
)

// Rule says which generations are old. Where both parts are given, a generation has to be old by both.
type Rule struct {
	OlderThan time.Duration // 0: age does not matter
	Keep      int           // the newest ones, whatever their age; 0: none
}

// Cleaning is what would be deleted on a host.
type Cleaning struct {
	Delete []hive.Generation `json:"delete"`
	Keep   []Kept            `json:"keep"`
	Next   string            `json:"next"`  // what boots next, where that is known
	Bytes  int64             `json:"bytes"` // what becomes free at most: store paths that nothing else needs
	Paths  int               `json:"paths"`
}

// Kept is a generation that stays, and why.
type Kept struct {
	hive.Generation
	Why string `json:"why"`
}

// UnfinishedError is a host that is left alone because a deployment on it has not ended.
type UnfinishedError struct {
	Host  string
	State hive.ActivationState
}

func (e *UnfinishedError) Error() string {
	return fmt.Sprintf("%s: the deployment %s by %s is %s", e.Host, e.State.Run, e.State.By, e.State.State)
}

// Hint says the way out.
func (e *UnfinishedError) Hint() string {
	return "wait for its end, or let `nixos-staged-hive hive deploy " + e.Host + "` bring it there"
}

// Old chooses the generations to delete. What runs, what was booted, what boots next and what the profile has stays under any rule; so do
// the systems of a deployment that has not ended.
func Old(s hive.HostState, r Rule, now time.Time) Cleaning {
	c := Cleaning{Delete: []hive.Generation{}, Keep: []Kept{}, Next: s.Default}
	for i, g := range s.Generations {
		if why := needed(g, s); why != "" {
			c.Keep = append(c.Keep, Kept{g, why})
			continue
		}
		switch after := len(s.Generations) - 1 - i; {
		case after < r.Keep:
			c.Keep = append(c.Keep, Kept{g, fmt.Sprintf("among the newest %d", r.Keep)})
		case r.OlderThan > 0 && now.Sub(g.Made) < r.OlderThan:
			c.Keep = append(c.Keep, Kept{g, "young"})
		default:
			c.Delete = append(c.Delete, g)
		}
	}
	return c
}

func needed(g hive.Generation, s hive.HostState) string {
	switch {
	case g.Number == s.Generation:
		return "the profile's"
	case g.Path == s.Current:
		return "runs"
	case g.Path == s.Booted:
		return "was booted"
	case g.Path == s.Default:
		return "boots next"
	}
	if u := s.Unfinished; u != nil && (slices.Contains([]string{u.New, u.Old, u.OldProfile, u.OldDefault}, g.Path) || u.OldGeneration == g.Number) {
		return "of a deployment that has not ended"
	}
	return ""
}

//go:embed gc.sh
var gcScript string

const storeFolder = "/nix/store/"

// gcLimit bounds what runs on a host: finding out what nothing needs reads the whole store.
const gcLimit = 30 * time.Minute

// Estimate asks a host how much would become free, and changes nothing.
func Estimate(ctx context.Context, root run.Runner, c Cleaning) (Cleaning, error) {
	out, err := gc(ctx, root, "estimate", c)
	if err != nil {
		return c, fmt.Errorf("find out what would become free: %w", err)
	}
	for key, value := range lines(out) {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 {
			return c, fmt.Errorf("find out what would become free: %s %q is no number", key, value)
		}
		switch key {
		case "bytes":
			c.Bytes = n
		case "paths":
			c.Paths = int(n)
		}
	}
	return c, nil
}

// Cleaned is what was done on a host.
type Cleaned struct {
	Deleted []int  `json:"deleted"` // numbers of generations
	Paths   int    `json:"paths"`   // store paths that were deleted
	Freed   int64  `json:"freed"`   // bytes, as Nix says it: rounded
	Loader  bool   `json:"loader"`  // the boot loader's entries were written anew
	Note    string `json:"note"`    // why not, where not
}

// Clean deletes generations, lets the boot loader forget them, and collects garbage. The host refuses what has come into use meanwhile.
func Clean(ctx context.Context, root run.Runner, c Cleaning) (Cleaned, error) {
	done := Cleaned{Deleted: []int{}}
	out, err := gc(ctx, root, "clean", c)
	for key, value := range lines(out) {
		switch key {
		case "deleted":
			if n, err := strconv.Atoi(value); err == nil {
				done.Deleted = append(done.Deleted, n)
			}
		case "said":
			done.Paths, done.Freed = collected(value)
		case "loader":
			done.Loader = value == "yes"
		case "note":
			done.Note = value
		}
	}
	if err != nil {
		return done, fmt.Errorf("delete old generations: %w", err)
	}
	if len(done.Deleted) < len(c.Delete) && done.Note == "" {
		return done, errors.New("delete old generations: some are still there")
	}
	return done, nil
}

// Sweep is a host whose old generations are looked for and deleted.
type Sweep struct {
	Host string     `json:"host"`
	Root run.Runner `json:"-"` // runs commands as root
	Cleaning
	Done *Cleaned `json:"done"` // null: nothing was done
	Err  error    `json:"-"`    // what did not work
}

// Work tells that something can be deleted.
func (s *Sweep) Work() bool { return s.Err == nil && s.Paths+len(s.Delete) > 0 }

// FindOld looks on all hosts at once for what can be deleted, and changes nothing.
func FindOld(ctx context.Context, sweeps []*Sweep, r Rule, now time.Time, sink progress.Sink) {
	together(sweeps, sink, "look for old generations", func(s *Sweep) error {
		found, err := state.Read(ctx, s.Root)
		if err != nil {
			return err
		}
		if found.Unfinished != nil {
			return &UnfinishedError{Host: s.Host, State: *found.Unfinished}
		}
		s.Cleaning, err = Estimate(ctx, s.Root, Old(found, r, now))
		return err
	})
}

// DeleteOld deletes on all hosts at once what was found.
func DeleteOld(ctx context.Context, sweeps []*Sweep, sink progress.Sink) {
	together(sweeps, sink, "collect garbage", func(s *Sweep) error {
		done, err := Clean(ctx, s.Root, s.Cleaning)
		s.Done = &done
		return err
	})
}

// together does something for all hosts, tells how far it is, and keeps what did not work.
func together(sweeps []*Sweep, sink progress.Sink, task string, f func(*Sweep) error) {
	each(len(sweeps), 0, func(i int) {
		s := sweeps[i]
		e := progress.Event{Task: task, Host: s.Host, State: progress.Started}
		sink.Send(e)
		e.State = progress.Done
		if s.Err = f(s); s.Err != nil {
			e.State, e.Err = progress.Failed, s.Err
		}
		sink.Send(e)
	})
}

var collectedLine = regexp.MustCompile(`^([0-9]+) store paths deleted, ([0-9]+(?:\.[0-9]+)?) (?:(K|M|G|T)iB|B|bytes) freed`)

// collected reads "12 store paths deleted, 3.45 MiB freed" (Nix 2.8: always MiB; 2.34: the unit that fits).
func collected(line string) (paths int, bytes int64) {
	m := collectedLine.FindStringSubmatch(line)
	if m == nil {
		return 0, 0
	}
	paths, _ = strconv.Atoi(m[1])
	number, _ := strconv.ParseFloat(m[2], 64)
	unit := map[string]float64{"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}[m[3]]
	return paths, int64(number * unit)
}

func gc(ctx context.Context, root run.Runner, action string, c Cleaning) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, gcLimit, fmt.Errorf("no end within %s", gcLimit))
	defer cancel()
	args := []string{"-s", action, strings.TrimPrefix(c.Next, storeFolder)}
	for _, g := range c.Delete {
		args = append(args, strconv.Itoa(g.Number)+"="+strings.TrimPrefix(g.Path, storeFolder))
	}
	return run.Output(ctx, root, run.Command{Name: "sh", Args: args, Stdin: strings.NewReader(gcScript)})
}

// lines gives the answers of a script: a word, a blank, the value. Others are passed over.
func lines(out []byte) func(func(key, value string) bool) {
	return func(yield func(key, value string) bool) {
		scan := bufio.NewScanner(bytes.NewReader(out))
		for scan.Scan() {
			if key, value, found := strings.Cut(scan.Text(), " "); found && !yield(key, value) {
				return
			}
		}
	}
}
