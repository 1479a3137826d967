package disks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
)

// Wipe empties the disks that are laid out anew and writes their tables, complete and with nothing in any partition. It may be repeated; what it
// cannot undo is saved by [Site.SaveUndo] before. The disks have to be released ([Site.Release]).
//
// All disks are emptied before the first gets its table: an array of which one member is left would be assembled again. A disk that is not
// partitioned by its plan stays without a table. From the moment that there is a table, its GUID is hive.InstallingGUID. Errors: *HeldError,
// *ChangedError, *UnprovenError.
func (s Site) Wipe(ctx context.Context) error {
	targets := s.doomed()
	all, release, err := s.claimAll(ctx, targets)
	if err != nil {
		return err
	}
	err = s.wipe(ctx, targets, all)
	// udev reads the disks when they are closed, and only now.
	if err = errors.Join(err, release()); err != nil {
		return err
	}
	return s.proveWiped(ctx, targets)
}

// claimAll takes all disks for ourselves. Whoever opened a disk for writing since it was released, as sgdisk does, made udev read it anew, and with
// that assemble what its members were of: it is taken down again then.
func (s Site) claimAll(ctx context.Context, targets []hive.Target) (all []*claim, release func() error, err error) {
	for try := 1; ; try++ {
		devices, err := s.destroyable(ctx, targets)
		if err != nil {
			return nil, nil, err
		}
		all, release, err := claims(ctx, devices)
		if _, held := errors.AsType[*HeldError](err); !held || try == 3 {
			return all, release, err
		}
		if _, err := s.takeDown(ctx, doomedPaths(targets)); err != nil {
			return nil, nil, err
		}
	}
}

func (s Site) wipe(ctx context.Context, targets []hive.Target, all []*claim) error {
	for i, c := range all {
		s.Events.Send(progress.Event{Task: "wipe", Host: s.Plan.Name, State: progress.Running, Text: "empty " + c.Name()})
		if err := s.emptyDisk(ctx, targets[i].Disk, c); err != nil {
			return fmt.Errorf("empty %s: %w", c.Name(), err)
		}
	}
	for i, c := range all {
		if targets[i].Disk.Table != "gpt" {
			continue
		}
		s.Events.Send(progress.Event{Task: "wipe", Host: s.Plan.Name, State: progress.Running, Text: "write the partition table of " + c.Name()})
		if err := s.writeTable(ctx, targets[i].Disk, c); err != nil {
			return fmt.Errorf("write the partition table of %s: %w", c.Name(), err)
		}
	}
	return nil
}

func (s Site) emptyDisk(ctx context.Context, disk hive.Disk, c *claim) error {
	areas, err := s.areas(ctx, disk, c.device)
	if err != nil {
		return err
	}
	if err := empty(c.File, areas); err != nil {
		return err
	}
	if err := c.forget(); err != nil {
		return err
	}
	if err := c.proveEmpty(areas); err != nil {
		return err
	}
	return c.reread(ctx)
}

// proveEmpty reads back what was written; the kernel was told to forget it before.
func (c *claim) proveEmpty(areas []area) error {
	buffer, zeros := make([]byte, 1<<20), make([]byte, 1<<20)
	for _, a := range areas {
		for at := a.Offset; at < a.end(); at += int64(len(buffer)) {
			part := buffer[:min(int64(len(buffer)), a.end()-at)]
			if _, err := c.ReadAt(part, at); err != nil {
				return err
			}
			if !bytes.Equal(part, zeros[:len(part)]) {
				return &UnprovenError{[]string{fmt.Sprintf("%s does not keep what is written to it at byte %d", c.Name(), at)}}
			}
		}
	}
	return nil
}

func (s Site) writeTable(ctx context.Context, disk hive.Disk, c *claim) error {
	args := tableArguments(disk, hive.InstallingGUID(s.Plan.Name, disk.Name))
	if err := s.call(ctx, "sgdisk", append(args, c.Name())...); err != nil {
		return err
	}
	if err := c.forget(); err != nil {
		return err
	}
	return c.reread(ctx)
}

// proveWiped reads every disk back as the kernel, udev and blkid see it now.
func (s Site) proveWiped(ctx context.Context, targets []hive.Target) error {
	devices, err := s.current(ctx, targets)
	if err != nil {
		return err
	}
	var problems []string
	for i, d := range devices {
		found, err := s.blankProblems(ctx, targets[i].Disk, d)
		if err != nil {
			return err
		}
		problems = append(problems, found...)
	}
	if len(problems) > 0 {
		return &UnprovenError{problems}
	}
	return nil
}

func (s Site) blankProblems(ctx context.Context, disk hive.Disk, d hive.Device) ([]string, error) {
	if disk.Table != "gpt" {
		content, err := s.content(ctx, d.Path)
		if err == nil && content != "" {
			return []string{fmt.Sprintf("%s still has %s on it", d.Path, content)}, nil
		}
		return nil, err
	}
	problems, err := s.tableOf(ctx, disk, d)
	if err != nil {
		return nil, err
	}
	for _, p := range numbered(disk) {
		path, ok := partition(d, p.Number)
		if !ok {
			problems = append(problems, fmt.Sprintf("%s: the kernel does not show partition %d", d.Path, p.Number))
			continue
		}
		content, err := s.content(ctx, path)
		if err != nil {
			return nil, err
		}
		if content != "" {
			problems = append(problems, fmt.Sprintf("%s still has %s on it", path, content))
		}
	}
	return problems, nil
}

// tableOf compares the table on a disk that is being installed with its plan.
func (s Site) tableOf(ctx context.Context, disk hive.Disk, d hive.Device) ([]string, error) {
	slots, err := s.layout(ctx, disk, d)
	if err != nil {
		return nil, err
	}
	// sgdisk opens a disk for writing even to pretend, and udev then makes all of its partitions, and their links, anew
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	table, err := readTable(d)
	if err != nil {
		return []string{fmt.Sprintf("%s: %v", d.Path, err)}, nil
	}
	problems := tableProblems(d.Path, table, slots)
	if want := hive.InstallingGUID(s.Plan.Name, disk.Name); table.DiskID != want {
		problems = append(problems, fmt.Sprintf("%s: the GUID of its table is %s, not %s", d.Path, table.DiskID, want))
	}
	return problems, nil
}

// partition is the path of a disk's partition with a number.
func partition(d hive.Device, number int) (string, bool) {
	for _, c := range d.Children {
		if c.Kind == "part" && c.PartNum == number {
			return c.Path, true
		}
	}
	return "", false
}

// Seal gives the tables their final GUID (hive.DiskGUID): from now on the disks hold an installation that is worth keeping. Call it when all is
// verified and closed ([Site.Close]).
func (s Site) Seal(ctx context.Context) error {
	targets := s.doomed()
	devices, err := s.current(ctx, targets)
	if err != nil {
		return err
	}
	for i, t := range targets {
		if t.Disk.Table != "gpt" {
			continue
		}
		if err := s.seal(ctx, t.Disk, devices[i]); err != nil {
			return fmt.Errorf("mark disk %s (%s) as installed: %w", t.Disk.Name, t.Device.Path, err)
		}
		// udev has read the disk anew and may have assembled an array or a volume group
		if _, err := s.takeDown(ctx, doomedPaths(targets)); err != nil {
			return err
		}
	}
	return nil
}

func (s Site) seal(ctx context.Context, disk hive.Disk, d hive.Device) error {
	before, err := readTable(d)
	if err != nil {
		return err
	}
	final := hive.DiskGUID(s.Plan.Name, disk.Name)
	switch before.DiskID {
	case final:
		return nil
	case hive.InstallingGUID(s.Plan.Name, disk.Name):
	default:
		return &ChangedError{disk.Name, d.Path, "the GUID of its table is " + strconv.Quote(before.DiskID)}
	}
	c, err := open(ctx, d)
	if err != nil {
		return err
	}
	err = s.call(ctx, "sgdisk", "--disk-guid="+final, d.Path)
	if err == nil {
		err = c.forget()
	}
	if err == nil {
		err = c.reread(ctx)
	}
	if err = errors.Join(err, c.Close()); err != nil {
		return err
	}
	after, err := readTable(d)
	if err != nil {
		return err
	}
	if after.DiskID != final || len(after.Partitions) != len(before.Partitions) {
		return &UnprovenError{[]string{fmt.Sprintf("its table has GUID %s and %d partitions, not %s and %d", after.DiskID, len(after.Partitions), final, len(before.Partitions))}}
	}
	return nil
}
