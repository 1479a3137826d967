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
	"nixos-staged-hive/internal/stage/setup"
	"nixos-staged-hive/internal/testbed/nbd"
	"nixos-staged-hive/internal/testbed/need"
)

var (
	seed   = flag.Int64("matrix.seed", -1, "this point alone")
	base   = flag.Int64("matrix.base", -1, "the first point; points go on from it (default: chosen by the day)")
	points = flag.Int("matrix.points", 0, "how many points; 0 skips the matrix unless a seed is given")
	beside = flag.Int("matrix.beside", 2, "how many at the same time")
)

// layouts of systems.nix.
func layouts() []string { return []string{"plain", "btrfs", "luks", "lvm", "two"} }

// point is one installation that is cut off, and what follows. All of it comes from its seed.
type point struct {
	Seed   int64
	Layout string
	Mode   hive.Mode
	First  cut
	Second cut // in the run that goes on; for one in four
	Again  bool
}

func (p point) String() string {
	text := fmt.Sprintf("%d: %s, mode %s, %s", p.Seed, p.Layout, p.Mode, p.First)
	if p.Second.Phase != "" {
		text += "; then " + p.Second.String()
	}
	return text
}

// inside reports whether the cut is within a phase, whose writes have to be known.
func (c cut) inside() bool { return c.Part > 0 && c.Part < 1 }

func (c cut) String() string {
	where := fmt.Sprintf("at %.0f%% of the writes of %s", c.Part*100, c.Phase)
	switch c.Part {
	case 0:
		where = "before " + c.Phase
	case 1:
		where = "after " + c.Phase
	}
	return fmt.Sprintf("cut %s, %s unflushed is lost", where, c.Loss)
}

// pointOf makes a point of its seed. Of 50 that follow each other, the first are the ends of all phases; the others are anywhere.
func pointOf(seed int64) point {
	dice := rand.New(rand.NewPCG(uint64(seed), 4))
	p := point{Seed: seed, Mode: hive.Fresh, Layout: layouts()[dice.IntN(len(layouts()))]}
	phases := setup.Phases()[1:]
	switch dice.IntN(6) {
	case 0, 1:
		p.Mode = hive.Keep
	case 2:
		p.Mode, p.Layout = hive.Add, "two"
	}
	anywhere := func() cut {
		return cut{phases[dice.IntN(len(phases))][0], 0.02 + 0.96*dice.Float64(), nbd.Losses()[dice.IntN(3)]}
	}
	p.First = anywhere()
	if at := int(seed % 50); at < len(phases) {
		p.First.Phase, p.First.Part = phases[at][0], 1
	}
	p.Mode, p.Layout = fitting(p.Mode, p.Layout, p.First.Phase)
	if dice.IntN(4) == 0 {
		p.Second = anywhere()
	}
	p.Again = dice.IntN(5) == 0
	return p
}

// fitting gives a mode that has the phase.
func fitting(mode hive.Mode, layout, phase string) (hive.Mode, string) {
	switch {
	case phase == "check" && mode == hive.Fresh:
		return hive.Keep, layout
	case mode == hive.Keep && slices.Contains([]string{"take-up", "undo-kit", "wipe", "format"}, phase):
		return hive.Fresh, layout
	}
	return mode, layout
}

// reference is an installation of a layout that nothing interrupted, with data on it.
type reference struct {
	once   sync.Once
	err    error
	dir    string
	disks  []string
	data   string // digest
	writes map[string]int
}

// matrix is what all points share.
type matrix struct {
	medium     *medium
	references map[string]*reference
}

// TestCrash is the matrix. See README.md.
func TestCrash(t *testing.T) {
	var seeds []int64
	switch {
	case *seed >= 0:
		seeds = []int64{*seed}
	case *points > 0:
		first := *base
		if first < 0 {
			first = time.Now().Unix() / 86400 % 1000 * 50
		}
		for i := range *points {
			seeds = append(seeds, first+int64(i))
		}
		t.Logf("points %d to %d: -matrix.base=%d -matrix.points=%d", first, seeds[len(seeds)-1], first, *points)
	default:
		need.Skip(t, "the crash matrix runs with make matrix, or with -matrix.points=N")
	}
	x := &matrix{medium: makeMedium(t, t.TempDir()), references: map[string]*reference{}}
	for _, name := range layouts() {
		x.references[name] = &reference{dir: t.TempDir()}
	}
	room := make(chan struct{}, *beside)
	var all sync.WaitGroup
	for _, s := range seeds {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			began := time.Now()
			p := pointOf(s)
			story, err := x.prove(t.Context(), p)
			if err != nil {
				t.Errorf("point %s\n%s\nFAILED: %v\nagain: go test ./test/matrix -run TestCrash -matrix.seed=%d", p, strings.Join(story, "\n"), err, s)
				return
			}
			t.Logf("point %s: %s (%.0f s)", p, strings.Join(story, "; "), time.Since(began).Seconds())
		})
	}
	all.Wait()
}

func diskNames(layout string) []string {
	if layout == "two" {
		return []string{"main", "second"}
	}
	return []string{"main"}
}

// reference installs a layout once.
func (x *matrix) reference(ctx context.Context, layout string) (*reference, error) {
	r := x.references[layout]
	r.once.Do(func() { r.err = x.refer(ctx, layout, r) })
	return r, r.err
}

func (x *matrix) refer(ctx context.Context, layout string, r *reference) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, name := range diskNames(layout) {
		file := filepath.Join(r.dir, name+".disk")
		if err := blank(file); err != nil {
			return err
		}
		r.disks = append(r.disks, file)
	}
	ran, err := x.medium.install(ctx, r.dir, layout, hive.Fresh, r.disks, cut{}, nil, nil)
	if err != nil {
		return err
	}
	if ran.Code != 0 {
		return fmt.Errorf("install %s without a cut: %s", layout, ran.trouble())
	}
	r.writes = ran.Writes
	return x.furnish(ctx, layout, r)
}

// furnish puts data onto an installed disk.
func (x *matrix) furnish(ctx context.Context, layout string, r *reference) error {
	v, err := x.medium.resume(ctx, r.dir, r.disks)
	if err != nil {
		return err
	}
	defer v.release() // all is on the disks
	host, _ := x.medium.manifest.Host(layout)
	script := "printf 'the key of the matrix' > /run/disk.key; " + host.Scripts.Mount + " > /dev/ttyS0 2>&1; mkdir -p /mnt/home/data; " +
		"for i in 1 2 3 4 5 6; do head -c 1500000 /dev/urandom > /mnt/home/data/$i; done; sync; cat /mnt/home/data/* | sha256sum >&3; " +
		"umount -R /mnt && { vgchange -an; cryptsetup close crypted; sync; true; } > /dev/ttyS0 2>&1"
	code, err := v.order(script, func(line string) { r.data, _, _ = strings.Cut(line, " ") })
	if err == nil && (code != 0 || len(r.data) != 64) {
		err = fmt.Errorf("put data onto %s: code %d, digest %q", layout, code, r.data)
	}
	return err
}

// prove goes through a point and tells what happened.
func (x *matrix) prove(ctx context.Context, p point) (story []string, err error) {
	ref := &reference{} // not needed for a first installation that is cut at the ends of phases
	if p.Mode != hive.Fresh || p.First.inside() || p.Second.inside() {
		if ref, err = x.reference(ctx, p.Layout); err != nil {
			return nil, fmt.Errorf("the reference: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	dir, err := os.MkdirTemp("", fmt.Sprintf("crash-%d-", p.Seed))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err == nil {
			err = os.RemoveAll(dir)
		} else {
			err = fmt.Errorf("%w (disks and consoles are in %s)", err, dir)
		}
	}()
	disks, data, err := begin(p, ref, dir)
	if err != nil {
		return nil, err
	}
	dice := rand.New(rand.NewPCG(uint64(p.Seed), 5))
	last := cut{}
	for _, c := range []cut{p.First, p.Second, {}} {
		if c.Phase == "" && last.Phase == "" {
			continue
		}
		ran, err := x.medium.install(ctx, dir, p.Layout, p.Mode, disks, c, ref.writes, dice)
		if err != nil {
			return story, err
		}
		if last.Phase != "" {
			story = append(story, "take-up: "+ran.text("take-up"))
			if err := goesOn(p, last, ran); err != nil {
				return story, err
			}
		}
		if ran.Cut {
			story = append(story, fmt.Sprintf("cut, blocks lost: %d", ran.Lost))
			last = c
			continue
		}
		if ran.Code != 0 {
			return story, fmt.Errorf("the run after the cut: %s", ran.trouble())
		}
		if c.Phase == "" {
			break
		}
		last = cut{Phase: "none"} // the run has no such phase; the next one finds a finished installation
	}
	if err := sealed(p.Layout, disks); err != nil {
		return story, err
	}
	if p.Again {
		ran, err := x.medium.install(ctx, dir, p.Layout, hive.Keep, disks, cut{}, nil, dice)
		if err != nil || ran.Code != 0 {
			return story, fmt.Errorf("mode keep over it: %w %s", errors.Join(err), ran.trouble())
		}
		story = append(story, "keep finds all right")
	}
	return story, x.boots(ctx, p, dir, disks, data)
}

// begin lays the disks out: blank for fresh, the reference's for keep, and for add those of a machine whose first disk was replaced.
func begin(p point, ref *reference, dir string) (disks []string, data string, err error) {
	for i, name := range diskNames(p.Layout) {
		file := filepath.Join(dir, name+".disk")
		disks = append(disks, file)
		if p.Mode == hive.Fresh || p.Mode == hive.Add && i == 0 {
			err = blank(file)
		} else {
			err = copySparse(ref.disks[i], file)
		}
		if err != nil {
			return nil, "", err
		}
	}
	if p.Mode != hive.Fresh {
		data = ref.data
	}
	return disks, data, nil
}

// goesOn wants the run after a cut to know where it was, if the disk had to remember by then.
func goesOn(p point, last cut, ran travel) error {
	remembering := []string{"copy", "host-keys", "install", "boot-chain", "boot-entry", "post-scripts"}
	reached := slices.Contains(remembering, last.Phase) || last.Phase == "mount" && last.Part == 1
	if p.Mode != hive.Fresh || !reached || strings.Contains(ran.text("take-up"), "goes on from there") {
		return nil
	}
	return fmt.Errorf("cut in %s, and the next run says %q", last.Phase, ran.text("take-up"))
}

// sealed wants the tables to say that the installation is finished.
func sealed(layout string, disks []string) error {
	for _, file := range disks {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		table, err := blockdev.ReadGPT(f, diskBytes, 512)
		_ = f.Close()
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(filepath.Base(file), ".disk")
		if want := hive.DiskGUID(layout, name); table.DiskID != want || table.PrimaryError != nil || table.BackupError != nil {
			return fmt.Errorf("the table of %s is %s, not %s: %w", name, table.DiskID, want, errors.Join(table.PrimaryError, table.BackupError))
		}
	}
	return nil
}

// boots starts the machine without the medium and compares what it says with what has to be.
func (x *matrix) boots(ctx context.Context, p point, dir string, disks []string, data string) error {
	said, err := x.medium.start(ctx, dir, disks)
	if err != nil {
		return err
	}
	host, _ := x.medium.manifest.Host(p.Layout)
	want := map[string]string{"BOOTED": p.Layout, "profile": host.Toplevel, "done": "1", "key": digest(x.medium.keys[p.Layout])}
	if data != "" {
		want["data"] = data
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if said[key] != want[key] {
			return fmt.Errorf("the installed system says that its %s is %q, not %q", key, said[key], want[key])
		}
	}
	return nil
}
