package matrix

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nixos-staged-hive/internal/blockdev"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/testbed/need"
)

var (
	seed    = flag.Int64("matrix.seed", -1, "this point alone")
	base    = flag.Int64("matrix.base", -1, "the first point; points go on from it (default: chosen by the day)")
	points  = flag.Int("matrix.points", 0, "how many points; 0 skips the matrix unless a seed is given")
	beside  = flag.Int("matrix.beside", 2, "how many at the same time")
	minutes = flag.Int("matrix.minutes", 0, "begin no further point so many minutes after the medium is there; 0 begins all")
)

// enough is how many points have to be had where time is limited, if so many were asked for.
const enough = 20

// matrix is what all points share.
type matrix struct {
	medium     *medium
	references map[string]*reference
	room       chan struct{} // for machines
}

// TestCrash is the matrix. See README.md.
func TestCrash(t *testing.T) {
	seeds := chosen(t)
	x := &matrix{medium: makeMedium(t, t.TempDir()), references: map[string]*reference{}, room: make(chan struct{}, *beside)}
	began := time.Now()
	x.referAll(t, seeds)
	t.Logf("the references are there after %.0f s", time.Since(began).Seconds())
	sum := newTally(len(seeds))
	var all sync.WaitGroup
	for _, s := range seeds {
		x.room <- struct{}{}
		if *minutes > 0 && time.Since(began) > time.Duration(*minutes)*time.Minute {
			<-x.room
			break
		}
		all.Go(func() {
			defer func() { <-x.room }()
			x.one(t, pointOf(s), sum)
		})
	}
	all.Wait()
	t.Logf("the matrix after %.1f minutes\n%s", time.Since(began).Minutes(), sum)
	if sum.ran < min(enough, len(seeds)) {
		t.Errorf("time was out after %d points: %d are wanted at least", sum.ran, enough)
	}
}

func chosen(t *testing.T) []int64 {
	t.Helper()
	if *seed >= 0 {
		return []int64{*seed}
	}
	if *points <= 0 {
		need.Skip(t, "the crash matrix runs with make matrix, or with -matrix.points=N")
	}
	first := *base
	if first < 0 {
		first = time.Now().Unix() / 86400 % 1000 * round
	}
	var seeds []int64
	for i := range *points {
		seeds = append(seeds, first+int64(i))
	}
	t.Logf("points %d to %d: -matrix.base=%d -matrix.points=%d", first, seeds[len(seeds)-1], first, *points)
	return seeds
}

// referAll makes the references of all layouts that points have.
func (x *matrix) referAll(t *testing.T, seeds []int64) {
	t.Helper()
	var all sync.WaitGroup
	for _, layout := range layouts() {
		if !slices.ContainsFunc(seeds, func(s int64) bool { return pointOf(s).Layout == layout }) {
			continue
		}
		r := &reference{dir: t.TempDir(), runs: map[hive.Mode]recording{}}
		x.references[layout] = r
		x.room <- struct{}{}
		all.Go(func() {
			defer func() { <-x.room }()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := x.refer(ctx, layout, r); err != nil {
				r.err = fmt.Errorf("the installation of %s without a cut: %w", layout, err)
				t.Error(r.err)
				return
			}
			t.Logf("%s without a cut: %.0f s of a processor; fresh: %s; keep: %s", layout, r.effort, r.runs[hive.Fresh], r.runs[hive.Keep])
		})
	}
	all.Wait()
}

// one runs a point and tells of it.
func (x *matrix) one(t *testing.T, p point, sum *tally) {
	t.Helper()
	began := time.Now()
	tr := &trial{point: p, ref: x.references[p.Layout], dice: rand.New(rand.NewPCG(uint64(p.Seed), 5))}
	err := x.prove(t.Context(), tr)
	tr.err = err
	sum.add(p, tr.outcome)
	if err != nil {
		t.Errorf("point %s\n%s\nFAILED: %v\nagain: go test ./test/matrix -run TestCrash -matrix.seed=%d", p, strings.Join(tr.story, "\n"), err, p.Seed)
		return
	}
	t.Logf("point %s: %s (%.0f s, %.0f of a processor)", p, strings.Join(tr.story, "; "), time.Since(began).Seconds(), tr.effort)
}

// trial is a point on its way.
type trial struct {
	point
	outcome
	ref   *reference
	dice  *rand.Rand
	dir   string
	disks []string
	// remembers is whether the disks have to know of the installation by now.
	remembers bool
}

// prove goes through a point.
func (x *matrix) prove(ctx context.Context, t *trial) (err error) {
	if t.ref.err != nil {
		return t.ref.err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if t.dir, err = os.MkdirTemp("", fmt.Sprintf("crash-%d-", t.Seed)); err != nil {
		return err
	}
	defer func() {
		if err == nil {
			err = os.RemoveAll(t.dir)
		} else {
			err = fmt.Errorf("%w (disks and consoles are in %s)", err, t.dir)
		}
	}()
	for _, step := range []func(context.Context, *trial) error{x.firstCut, x.goOn, x.sealed, x.again, x.boots} {
		if err := step(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// install is a run of setup from a start of the medium.
func (x *matrix) install(ctx context.Context, t *trial, mode hive.Mode, c cut) (travel, error) {
	ran, err := x.medium.install(ctx, t.dir, t.Layout, mode, t.disks, c, t.ref.runs[mode].Writes, t.dice)
	t.effort += ran.Effort
	return ran, err
}

func (x *matrix) firstCut(ctx context.Context, t *trial) (err error) {
	if t.disks, err = before(t.point, t.ref, t.dir); err != nil {
		return err
	}
	lost := 0
	if t.Live {
		ran, err := x.install(ctx, t, t.Mode, t.First)
		if err == nil && !ran.Cut {
			err = errors.New("the cut did not come")
		}
		if err != nil {
			return fmt.Errorf("the run up to the cut: %w: %s", err, ran.trouble())
		}
		lost = ran.Lost
	} else if lost, err = t.ref.runs[t.Mode].replay(t.First, t.disks, t.dice); err != nil {
		return err
	}
	t.cutOff(t.First, lost)
	return nil
}

// cutOff notes a cut, and what the disks have to remember from now on.
func (t *trial) cutOff(c cut, lost int) {
	t.tell("cut, blocks lost: %d", lost)
	written := []string{"copy", "host-keys", "install", "boot-chain", "boot-entry", "post-scripts"}
	reached := slices.Contains(written, c.Phase) || c.Phase == "mount" && c.Part == 1
	t.remembers = t.remembers || reached && t.Mode == hive.Fresh
}

// goOn runs setup again, up to the second cut if there is one, and then up to the end.
func (x *matrix) goOn(ctx context.Context, t *trial) error {
	for _, c := range []cut{t.Second, {}} {
		if c.Phase == "" && c != (cut{}) {
			continue
		}
		if c == (cut{}) && t.Second.Phase != "" && !t.second {
			return nil // the run had no such phase, and ended
		}
		ran, err := x.install(ctx, t, t.Mode, c)
		if err != nil {
			return err
		}
		if err := t.tookUp(ran); err != nil {
			return err
		}
		if ran.Cut {
			t.second = true
			t.cutOff(c, ran.Lost)
			continue
		}
		if ran.Code != 0 {
			return fmt.Errorf("the run after the cut: %s", ran.trouble())
		}
		t.tell("%s", ran)
		return nil
	}
	return nil
}

// tookUp wants the run after a cut to know where it was, if the disks had to remember by then.
func (t *trial) tookUp(ran travel) error {
	said, ended := ran.text("take-up")
	if !ended {
		return nil // cut before, or none in mode keep
	}
	t.tell("take-up: %s", said)
	on := strings.Contains(said, "goes on from there")
	t.on = t.on || on
	if t.remembers && !on {
		return fmt.Errorf("the disks have to remember, and the next run says %q", said)
	}
	return nil
}

// sealed wants the tables to say that the installation is finished.
func (x *matrix) sealed(_ context.Context, t *trial) error {
	for _, file := range t.disks {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		table, err := blockdev.ReadGPT(f, diskBytes, 512)
		_ = f.Close() // it was only read
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(filepath.Base(file), ".disk")
		if want := hive.DiskGUID(t.Layout, name); table.DiskID != want || table.PrimaryError != nil || table.BackupError != nil {
			return fmt.Errorf("the table of %s is %s, not %s: %w", name, table.DiskID, want, errors.Join(table.PrimaryError, table.BackupError))
		}
	}
	return nil
}

// again has a third run, in mode keep, find everything right.
func (x *matrix) again(ctx context.Context, t *trial) error {
	if !t.Again {
		return nil
	}
	ran, err := x.install(ctx, t, hive.Keep, cut{})
	if err != nil || ran.Code != 0 {
		return fmt.Errorf("mode keep over it: %w %s", errors.Join(err), ran.trouble())
	}
	t.third = true
	t.tell("keep finds all right")
	return x.sealed(ctx, t)
}

// boots starts the machine without the medium and compares what it says with what has to be.
func (x *matrix) boots(ctx context.Context, t *trial) error {
	start, by := x.medium.startLoaded, "QEMU"
	if t.Firmware {
		start, by = x.medium.start, "the firmware"
	}
	said, effort, err := start(ctx, t.dir, t.disks)
	t.effort += effort
	t.tell("started by %s in %.0f s", by, effort)
	if err != nil {
		return err
	}
	host, _ := x.medium.manifest.Host(t.Layout)
	want := map[string]string{"BOOTED": t.Layout, "profile": host.Toplevel, "done": "1", "key": digest(x.medium.keys[t.Layout])}
	if t.Mode != hive.Fresh {
		want["data"] = t.ref.data
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if said[key] != want[key] {
			return fmt.Errorf("the installed system says that its %s is %q, not %q", key, said[key], want[key])
		}
	}
	return nil
}
