package disks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"nixos-staged-hive/internal/blockdev"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
)

// Site is the machine whose disks are worked on: this one, since block devices are also opened directly.
type Site struct {
	Run     run.Runner
	Plan    hive.Plan
	Targets []hive.Target // of the plan's disks, as they were confirmed

	Root   string        // where the new system is put together, without a slash at its end: /mnt
	Medium string        // whole disk of the running system (hive.Machine.Medium); nothing is ever written to it
	Log    io.Writer     // all that programs say; nil drops it
	Events progress.Sink // one task a step
	// Input answers disko's scripts, which ask for passphrases of LUKS (twice to format, once to open) on stdin. Screen gets a copy of
	// what they say on stdout, which are those questions. With Terminal they get our own terminal instead.
	Input    io.Reader
	Screen   io.Writer
	Terminal bool
}

// HeldError is a device or folder that something uses, which therefore is left alone.
type HeldError struct {
	Device string // path of the device, or of the mount point
	Holder string // what uses it, for a person
	Err    error  // what the kernel said, if it was asked
}

func (e *HeldError) Error() string {
	text := fmt.Sprintf("%s is in use: %s", e.Device, e.Holder)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives what the kernel said.
func (e *HeldError) Unwrap() error { return e.Err }

// ChangedError is a disk that is not any more what it was when it was chosen and confirmed.
type ChangedError struct {
	Disk   string // its name in the plan
	Device string
	What   string
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("disk %s (%s) is not the one that was chosen: %s", e.Disk, e.Device, e.What)
}

// UnprovenError is a result that is not as planned, though nothing failed.
type UnprovenError struct{ Problems []string }

func (e *UnprovenError) Error() string { return strings.Join(e.Problems, "; ") }

// log is where programs speak to, on stdout and stderr at the same time.
func (s Site) log() io.Writer {
	if s.Log == nil {
		return io.Discard
	}
	return &guarded{w: s.Log}
}

// guarded lets two streams write to one place.
type guarded struct {
	mu sync.Mutex
	w  io.Writer
}

func (g *guarded) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.w.Write(p) //nolint:wrapcheck // as a writer does
}

// call runs a program that changes something.
func (s Site) call(ctx context.Context, name string, args ...string) error {
	log := s.log()
	c := run.Command{Name: name, Args: args, Env: []string{"LC_ALL=C"}, Stdout: log, Stderr: log}
	if _, err := fmt.Fprintf(log, "# %s\n", c); err != nil {
		return fmt.Errorf("write the log: %w", err)
	}
	return s.Run.Run(ctx, c)
}

// ask runs a program that only looks.
func (s Site) ask(ctx context.Context, name string, args ...string) ([]byte, error) {
	return run.Output(ctx, s.Run, run.Command{Name: name, Args: args, Env: []string{"LC_ALL=C"}})
}

// settle waits until udev has seen everything.
func (s Site) settle(ctx context.Context) error {
	return s.call(ctx, "udevadm", "settle", "--timeout=120")
}

// list gives the machine's devices once udev has seen them.
func (s Site) list(ctx context.Context) ([]hive.Device, error) {
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	return blockdev.List(ctx, s.Run)
}

// doomed are the targets that are laid out anew, one for each device. A disk that is only to be mounted is never among them.
func (s Site) doomed() []hive.Target {
	var found []hive.Target
	for _, t := range s.Targets {
		known := slices.ContainsFunc(found, func(f hive.Target) bool { return f.Device.Path == t.Device.Path })
		if !t.Disk.Additional && (t.Fate == "destroy" || t.Fate == "format") && !known {
			found = append(found, t)
		}
	}
	return found
}

// current finds the disks of targets among what is there now, and refuses those that are others than they were. The result is in the order of
// the targets.
func (s Site) current(ctx context.Context, targets []hive.Target) ([]hive.Device, error) {
	devices, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	return among(devices, targets)
}

// among is current for devices that were just listed.
func among(devices []hive.Device, targets []hive.Target) ([]hive.Device, error) {
	found := make([]hive.Device, len(targets))
	for i, t := range targets {
		at := slices.IndexFunc(devices, func(d hive.Device) bool { return d.Path == t.Device.Path })
		if at < 0 {
			return nil, &ChangedError{t.Disk.Name, t.Device.Path, "it is gone"}
		}
		if what := difference(t.Device, devices[at]); what != "" {
			return nil, &ChangedError{t.Disk.Name, t.Device.Path, what}
		}
		found[i] = devices[at]
	}
	return found, nil
}

// difference says by what two looks at a disk are not at the same disk.
func difference(was, is hive.Device) string {
	for _, f := range []struct{ what, was, is string }{
		{"device number", was.Number, is.Number},
		{"serial number", was.Serial, is.Serial},
		{"WWN", was.WWN, is.WWN},
		{"model", was.Model, is.Model},
		{"size", fmt.Sprint(was.Bytes, " bytes"), fmt.Sprint(is.Bytes, " bytes")},
		{"sector size", fmt.Sprint(was.Sector, " bytes"), fmt.Sprint(is.Sector, " bytes")},
	} {
		if f.was != f.is {
			return fmt.Sprintf("its %s was %q and is %q", f.what, f.was, f.is)
		}
	}
	return ""
}

// destroyable is current for disks that are about to be written to.
func (s Site) destroyable(ctx context.Context, targets []hive.Target) ([]hive.Device, error) {
	devices, err := s.current(ctx, targets)
	if err != nil {
		return nil, err
	}
	for i, d := range devices {
		switch {
		case d.Path == s.Medium:
			return nil, &HeldError{Device: d.Path, Holder: "it is the medium that the running system comes from"}
		case d.Kind == "part" || d.Kind == "rom":
			return nil, &ChangedError{targets[i].Disk.Name, d.Path, "it is no whole disk but a " + d.Kind}
		case d.ReadOnly:
			return nil, &HeldError{Device: d.Path, Holder: "it is read-only"}
		}
		if loop := loopOn(d); loop != "" {
			return nil, &HeldError{Device: d.Path, Holder: "the loop device " + loop + " lies on it"}
		}
		if err := s.stillBlank(targets[i], d); err != nil {
			return nil, err
		}
	}
	return devices, nil
}

// stillBlank looks whether a disk that nobody was asked about, since there was nothing on it, is without anything still.
func (s Site) stillBlank(t hive.Target, d hive.Device) error {
	if t.Fate != "format" || s.interrupted(t) {
		return nil
	}
	if !emptied(d) {
		return &ChangedError{t.Disk.Name, d.Path, "it was blank and is not any more: " + strings.Join(Contents(d), ", ")}
	}
	bare, err := bareFront(d)
	if err != nil {
		return fmt.Errorf("look whether %s is blank: %w", d.Path, err)
	}
	if !bare {
		return &ChangedError{t.Disk.Name, d.Path, "it is not blank: " + contentName(hive.Device{Content: unknown})}
	}
	return nil
}

// loopOn is a loop device on a disk or on one of its partitions. The kernel does not take that for a claim.
func loopOn(d hive.Device) string {
	files, _ := filepath.Glob("/sys/class/block/loop*/loop/backing_file") // the pattern is well-formed
	for _, file := range files {
		path, err := os.ReadFile(file)
		on := strings.TrimSpace(string(path))
		if err == nil && (on == d.Path || slices.ContainsFunc(d.Children, func(c hive.Device) bool { return c.Path == on })) {
			return "/dev/" + filepath.Base(filepath.Dir(filepath.Dir(file)))
		}
	}
	return ""
}

// emptied reports that nothing is on a disk.
func emptied(d hive.Device) bool { return d.Table == "" && d.Content == "" && len(d.Children) == 0 }

// interrupted reports that a disk has the table of an installation that goes on; it is read from the disk itself.
func (s Site) interrupted(t hive.Target) bool {
	table, err := readTable(t.Device)
	return err == nil && table.DiskID == hive.InstallingGUID(s.Plan.Name, t.Disk.Name)
}

// signature asks blkid what is on a device by looking at the device itself instead of udev's memory; empty is nothing. Contents that blkid cannot
// decide between are told as "ambivalent".
func (s Site) signature(ctx context.Context, path string) (map[string]string, error) {
	out, err := s.ask(ctx, "blkid", "--probe", "--output", "export", path)
	const nothing, ambivalent = 2, 8 // of blkid(8)
	if e, ok := errors.AsType[*run.Error](err); ok {
		switch e.ExitCode {
		case nothing:
			return map[string]string{}, exists(path)
		case ambivalent:
			return map[string]string{"TYPE": "ambivalent"}, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("look what is on %s: %w", path, err)
	}
	found := map[string]string{}
	for line := range bytes.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), "=")
		found[key] = value
	}
	return found, nil
}

// exists is needed since blkid also says "nothing" of a device that is not there.
func exists(path string) error {
	_, err := os.Stat(path)
	return err
}

// content is the type of what is on a device: a file system, a member of something, or else the kind of its table.
func (s Site) content(ctx context.Context, path string) (string, error) {
	found, err := s.signature(ctx, path)
	if found["TYPE"] != "" {
		return found["TYPE"], err
	}
	return found["PTTYPE"], err
}
