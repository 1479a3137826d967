package matrix

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/testbed/nbd"
)

// reference is what a layout is when nothing interrupts it: installed, with data on it, and all that was written for that.
type reference struct {
	dir    string
	disks  []string // installed, with data
	data   string   // digest
	runs   map[hive.Mode]recording
	effort float64 // seconds of a processor
	err    error
}

// recording is a run of setup that was not interrupted.
type recording struct {
	tape *nbd.Tape
	travel
}

// moment is where on the tape a cut is.
func (r recording) moment(c cut) (int, error) {
	span, ok := r.Spans[c.Phase]
	if !ok {
		return 0, fmt.Errorf("a run in this mode has no phase %q", c.Phase)
	}
	return span.from + int(c.Part*float64(span.to-span.from)+0.5), nil
}

// refer makes the reference of a layout.
func (x *matrix) refer(ctx context.Context, layout string, r *reference) error {
	blanks, err := r.lay(layout, "fresh")
	if err != nil {
		return err
	}
	for _, file := range blanks {
		if err := blank(file); err != nil {
			return err
		}
	}
	v, err := x.medium.resume(ctx, r.dir, blanks)
	if err != nil {
		return err
	}
	err = x.furnished(v, layout, r, blanks)
	r.effort += v.effort()
	if err = errors.Join(err, v.release()); err != nil || layout != "two" {
		return err
	}
	return x.referAdd(ctx, layout, r)
}

// lay makes the names of the disks of a layout.
func (r *reference) lay(layout, what string) ([]string, error) {
	dir := filepath.Join(r.dir, what)
	var files []string
	for _, name := range diskNames(layout) {
		files = append(files, filepath.Join(dir, name+".disk"))
	}
	return files, os.MkdirAll(dir, 0o755)
}

// furnished installs, puts data onto the disks, keeps a copy of them, and installs over it in mode keep; all in one start of the medium, which
// has forgotten the first run before the second.
func (x *matrix) furnished(v *machine, layout string, r *reference, disks []string) error {
	if err := x.record(v, layout, hive.Fresh, r); err != nil {
		return err
	}
	if err := x.furnish(v, layout, r); err != nil {
		return err
	}
	var err error
	if r.disks, err = r.lay(layout, "installed"); err != nil {
		return err
	}
	for i, file := range disks {
		if err := copySparse(file, r.disks[i]); err != nil {
			return err
		}
	}
	if code, err := v.order("rm -rf /run/nixos-staged-hive/*", nil); err != nil || code != 0 {
		return fmt.Errorf("forget the first run: code %d: %w", code, err)
	}
	return x.record(v, layout, hive.Keep, r)
}

// referAdd is the same for mode add: one of two disks was replaced.
func (x *matrix) referAdd(ctx context.Context, layout string, r *reference) error {
	disks, err := r.lay(layout, "add")
	if err != nil {
		return err
	}
	if err := errors.Join(blank(disks[0]), copySparse(r.disks[1], disks[1])); err != nil {
		return err
	}
	v, err := x.medium.resume(ctx, r.dir, disks)
	if err != nil {
		return err
	}
	err = x.record(v, layout, hive.Add, r)
	r.effort += v.effort()
	return errors.Join(err, v.release())
}

func (x *matrix) record(v *machine, layout string, mode hive.Mode, r *reference) error {
	tape := v.power.Record()
	ran, err := x.medium.run(v, layout, mode, cut{}, nil)
	if err == nil && ran.Code != 0 {
		err = errors.New(ran.trouble())
	}
	r.runs[mode] = recording{tape, ran}
	if err != nil {
		return fmt.Errorf("mode %s: %w", mode, err)
	}
	return nil
}

// furnish puts data onto an installed disk.
func (x *matrix) furnish(v *machine, layout string, r *reference) error {
	host, _ := x.medium.manifest.Host(layout)
	script := "printf 'the key of the matrix' > /run/disk.key; " + host.Scripts.Mount + " > /dev/ttyS0 2>&1; mkdir -p /mnt/home/data; " +
		"for i in 1 2 3 4 5 6; do head -c 1500000 /dev/urandom > /mnt/home/data/$i; done; sync; cat /mnt/home/data/* | sha256sum >&3; " +
		"umount -R /mnt && { vgchange -an; cryptsetup close crypted; sync; true; } > /dev/ttyS0 2>&1"
	code, err := v.order(script, func(line string) { r.data, _, _ = strings.Cut(line, " ") })
	if err == nil && (code != 0 || len(r.data) != 64) {
		err = fmt.Errorf("put data onto it: code %d, digest %q", code, r.data)
	}
	return err
}

// before lays out the disks that a point begins with: blank for fresh, installed for keep, and for add those of a machine whose first disk was replaced.
func before(p point, ref *reference, dir string) (disks []string, err error) {
	for i, name := range diskNames(p.Layout) {
		file := filepath.Join(dir, name+".disk")
		disks = append(disks, file)
		if p.Mode == hive.Fresh || p.Mode == hive.Add && i == 0 {
			err = blank(file)
		} else {
			err = copySparse(ref.disks[i], file)
		}
		if err != nil {
			return nil, err
		}
	}
	return disks, nil
}

// replay makes of disks what a cut of the recorded run would have left, and tells how many blocks are lost.
func (r recording) replay(c cut, files []string, dice *rand.Rand) (lost int, err error) {
	position, err := r.moment(c)
	if err != nil {
		return 0, err
	}
	power := nbd.NewPower()
	disks := make([]*nbd.Disk, len(files))
	for i, file := range files {
		if disks[i], err = nbd.Open(file, power); err != nil {
			return 0, err
		}
		defer disks[i].Close() // written by then, or an error is told
	}
	if err := r.tape.Play(position, disks...); err != nil {
		return 0, err
	}
	for _, d := range disks {
		n, err := d.LosePower(c.Loss, dice)
		lost += n
		if err != nil {
			return lost, err
		}
	}
	return lost, nil
}
