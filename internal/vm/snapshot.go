package vm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Snapshot is a state of a machine to which a start can go back.
type Snapshot struct {
	Tag   string
	Taken time.Time
	// Live tells that the machine was on: going back resumes it in the middle of what it did, in seconds, with its clock as it was. A
	// snapshot that is not live has the disks and the variables of the firmware only.
	Live bool
	// A live one fits only the same machine on the same QEMU.
	Machine     Machine
	QEMU        string
	Accelerator Accelerator
}

// Save takes a snapshot of the running machine, which stands still meanwhile and then goes on. One of the same tag is replaced. The
// medium is not part of it, but has to be in again when a start goes back to it. Errors: *UnsavableError for machines with
// NVMe disks.
func (r *Running) Save(ctx context.Context, tag string) error {
	if err := r.save(ctx, tag); err != nil {
		return fmt.Errorf("save %s as %s: %w", r.machine.Name, tag, err)
	}
	return nil
}

func (r *Running) save(ctx context.Context, tag string) error {
	if err := checkName("snapshot", tag); err != nil {
		return err
	}
	nodes := stateNodes(r.machine)
	if len(nodes) == 0 {
		return errors.New("it has no disk to save it on")
	}
	if err := r.lab.forget(r.machine.Name, tag); err != nil {
		return err
	}
	if err := r.job(ctx, "snapshot-delete", args{"tag": tag, "devices": nodes}); err != nil {
		return err
	}
	err := r.job(ctx, "snapshot-save", args{"tag": tag, "vmstate": nodes[0], "devices": nodes})
	if failed, ok := errors.AsType[*MonitorError](err); ok && strings.Contains(failed.Reason, "non-migratable") {
		return &UnsavableError{Machine: r.machine.Name, Reason: failed.Reason}
	}
	if err != nil {
		return err
	}
	return r.lab.record(Snapshot{
		Tag: tag, Taken: time.Now().UTC(), Live: true, Machine: r.machine, QEMU: r.lab.host.Version, Accelerator: r.lab.host.Accelerator,
	})
}

// load puts a machine that was just started, and does not run yet, into the state of a live snapshot.
func (r *Running) load(ctx context.Context, tag string) error {
	nodes := stateNodes(r.machine)
	return r.job(ctx, "snapshot-load", args{"tag": tag, "vmstate": nodes[0], "devices": nodes})
}

// stateNodes lists the images that change while a machine runs.
func stateNodes(m Machine) []string {
	var nodes []string
	for _, d := range m.Disks {
		nodes = append(nodes, diskNode(d.Name))
	}
	if m.Firmware == UEFI {
		nodes = append(nodes, nvramNode)
	}
	return nodes
}

// job runs a command that QEMU carries out as a job, and waits for it. It goes on when ctx ends.
func (r *Running) job(ctx context.Context, command string, arguments args) error {
	const id = "lab"
	arguments["job-id"] = id
	if err := r.call(ctx, command, arguments); err != nil {
		return err
	}
	for {
		var jobs []struct{ ID, Status, Error string }
		if err := r.ask(ctx, "query-jobs", nil, &jobs); err != nil {
			return err
		}
		for _, j := range jobs {
			if j.ID != id || j.Status != "concluded" {
				continue
			}
			if err := r.call(ctx, "job-dismiss", args{"id": id}); err != nil {
				return err
			}
			if j.Error != "" {
				return &MonitorError{Command: command, Class: "GenericError", Reason: j.Error}
			}
			return nil
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return fmt.Errorf("qemu %s: %w", command, context.Cause(ctx))
		}
	}
}

// SaveDisks takes a snapshot of the disks of a machine that is off, and of the variables of its firmware. It works for every machine and
// fits every QEMU. One of the same tag is replaced.
func (l *Lab) SaveDisks(ctx context.Context, m Machine, tag string) error {
	if err := l.saveDisks(ctx, m, tag); err != nil {
		return fmt.Errorf("save the disks of %s as %s: %w", m.Name, tag, err)
	}
	return nil
}

func (l *Lab) saveDisks(ctx context.Context, m Machine, tag string) error {
	leave, err := l.enter()
	if err != nil {
		return err
	}
	defer leave()
	if err := errors.Join(m.check(), checkName("snapshot", tag)); err != nil {
		return err
	}
	if err := l.occupy(m.Name, newRunning(l, m)); err != nil {
		return err
	}
	defer l.vacate(m.Name)
	if err := l.forget(m.Name, tag); err != nil {
		return err
	}
	for _, image := range l.stateImages(m) {
		// Whether there was one of that name is of no interest.
		_ = l.imageProgram(ctx, "snapshot", "-q", "-d", tag, image)
		if err := l.imageProgram(ctx, "snapshot", "-q", "-c", tag, image); err != nil {
			return err
		}
	}
	return l.record(Snapshot{Tag: tag, Taken: time.Now().UTC(), Machine: m, QEMU: l.host.Version, Accelerator: l.host.Accelerator})
}

func (l *Lab) stateImages(m Machine) []string {
	var images []string
	for _, d := range m.Disks {
		images = append(images, l.diskImage(m.Name, d.Name))
	}
	if m.Firmware == UEFI {
		images = append(images, l.nvramImage(m.Name))
	}
	return images
}

// Snapshots lists those of a machine, the oldest first.
func (l *Lab) Snapshots(machine string) ([]Snapshot, error) {
	if err := checkName("machine", machine); err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	files, _ := filepath.Glob(filepath.Join(escapeGlob(l.machineDir(machine)), "snapshot-*.json")) // the pattern is well-formed
	all := []Snapshot{}
	for _, f := range files {
		s, err := readSnapshot(f)
		if err != nil {
			return nil, fmt.Errorf("list snapshots: %w", err)
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Snapshot) int { return cmp.Or(a.Taken.Compare(b.Taken), strings.Compare(a.Tag, b.Tag)) })
	return all, nil
}

func readSnapshot(file string) (Snapshot, error) {
	var s Snapshot
	text, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("read %s: %w", file, err)
	}
	return s, nil
}

func (l *Lab) snapshotFile(machine, tag string) string {
	return filepath.Join(l.machineDir(machine), "snapshot-"+tag+".json")
}

// record notes a snapshot down once it is whole; forget does the opposite before it is replaced.
func (l *Lab) record(s Snapshot) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write it down: %w", err)
	}
	file := l.snapshotFile(s.Machine.Name, s.Tag)
	if err := os.WriteFile(file+unfinished, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(file+unfinished, file)
}

func (l *Lab) forget(machine, tag string) error {
	err := os.Remove(l.snapshotFile(machine, tag))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// goBack brings disks and variables to the state of a snapshot, or, for a live one, only checks that it fits: loading it does all.
func (l *Lab) goBack(ctx context.Context, m Machine, tag string) (live bool, err error) {
	if tag == "" {
		return false, nil
	}
	s, err := readSnapshot(l.snapshotFile(m.Name, tag))
	if errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("there is no snapshot %s", tag)
	}
	if err != nil {
		return false, err
	}
	if s.Live {
		return true, s.fits(m, l.host)
	}
	for _, image := range l.stateImages(m) {
		if err := l.imageProgram(ctx, "snapshot", "-q", "-a", tag, image); err != nil {
			return false, fmt.Errorf("go back to snapshot %s: %w", tag, err)
		}
	}
	return false, nil
}

// fits refuses what QEMU would take in and then crash on, or not take in at all.
func (s Snapshot) fits(m Machine, h Host) error {
	switch {
	case s.QEMU != h.Version || s.Accelerator != h.Accelerator:
		return fmt.Errorf("snapshot %s was taken on QEMU %s with %s, and this is %s with %s",
			s.Tag, s.QEMU, s.Accelerator, h.Version, h.Accelerator)
	case !reflect.DeepEqual(s.Machine, m):
		return fmt.Errorf("snapshot %s was taken of a machine that was described differently", s.Tag)
	}
	return nil
}
