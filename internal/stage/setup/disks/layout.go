package disks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/blockdev"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
)

// slot is a partition that a plan has on a disk.
type slot struct {
	number       int
	start, bytes int64
	kind         string // type GUID, lower case
	name         string
}

func (s slot) end() int64 { return s.start + s.bytes }

// layout asks sgdisk what the table of a disk will be. Nothing is written: --pretend keeps it in memory.
func (s Site) layout(ctx context.Context, disk hive.Disk, device hive.Device) ([]slot, error) {
	if disk.Table != "gpt" || len(disk.Partitions) == 0 {
		return nil, nil
	}
	args := append([]string{"--pretend"}, tableArguments(disk, "")...)
	parts := numbered(disk)
	for _, p := range parts {
		args = append(args, "--info="+strconv.Itoa(p.Number))
	}
	out, err := s.ask(ctx, "sgdisk", append(args, device.Path)...)
	const failed = 4 // of sgdisk(8): an operation could not be done
	if e, ok := errors.AsType[*run.Error](err); ok && e.ExitCode == failed {
		return nil, fmt.Errorf("plan the table of %s: the partitions of disk %s do not fit into its %d bytes: %w", device.Path, disk.Name, device.Bytes, err)
	}
	if err != nil {
		return nil, fmt.Errorf("plan the table of %s: %w", device.Path, err)
	}
	slots, err := parseSlots(string(out), parts, device.Sector)
	if err != nil {
		return nil, fmt.Errorf("plan the table of %s: %w", device.Path, err)
	}
	return slots, nil
}

// tableArguments are those of sgdisk for the whole table of a disk. They are what disko 1.8 gives, partition by partition.
func tableArguments(disk hive.Disk, guid string) []string {
	args := []string{"--clear"}
	if guid != "" {
		args = append(args, "--disk-guid="+guid)
	}
	args = append(args, "--align-end")
	const usual = 0 // alignment that sgdisk chooses itself
	for _, p := range numbered(disk) {
		if p.Alignment != usual {
			args = append(args, "--set-alignment="+strconv.Itoa(p.Alignment))
		}
		n := strconv.Itoa(p.Number)
		args = append(args, "--new="+n+":"+p.Start+":"+p.End, "--change-name="+n+":"+p.Label, "--typecode="+n+":"+p.Type)
		if p.Alignment != usual {
			args = append(args, "--set-alignment=2048") // sgdisk's own, for the others
		}
	}
	return args
}

// numbered are the partitions of a disk in the order of their numbers, all of them complete. Facts that do not tell numbers are numbered as
// disko does it by default: what takes the rest last, a BIOS boot partition first, else by name.
func numbered(disk hive.Disk) []hive.Partition {
	parts := slices.Clone(disk.Partitions)
	rank := func(p hive.Partition) int {
		switch {
		case p.Number > 0:
			return p.Number
		case p.Size == "100%":
			return 9001
		case p.Type == "EF02":
			return 100
		}
		return 1000
	}
	slices.SortStableFunc(parts, func(a, b hive.Partition) int { return rank(a) - rank(b) })
	for i := range parts {
		parts[i] = complete(parts[i], i+1)
	}
	return parts
}

func complete(p hive.Partition, number int) hive.Partition {
	if p.Number == 0 {
		p.Number = number
	}
	if p.Start == "" {
		p.Start = "0"
	}
	if p.End == "" {
		p.End = "+" + p.Size
		if p.Size == "100%" {
			p.End = "-0"
		}
	}
	return p
}

// parseSlots reads what sgdisk --info says of each partition. sgdisk 1.0 to 1.0.10 ends with 0 also where one does not fit, and then says
// nothing of it.
func parseSlots(text string, parts []hive.Partition, sector int64) ([]slot, error) {
	var slots []slot
	var first int64
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		word, _, _ := strings.Cut(value, " ")
		switch key {
		case "Partition GUID code":
			slots = append(slots, slot{kind: strings.ToLower(word)})
			continue
		case "First sector", "Last sector", "Partition name":
		default:
			continue
		}
		if len(slots) == 0 {
			return nil, errors.New("sgdisk tells a sector of no partition")
		}
		last := &slots[len(slots)-1]
		if key == "Partition name" {
			last.name = strings.TrimSuffix(strings.TrimPrefix(value, "'"), "'")
			continue
		}
		n, err := strconv.ParseInt(word, 10, 48)
		if err != nil {
			return nil, fmt.Errorf("read what sgdisk says: %w", err)
		}
		if key == "First sector" {
			first = n
			continue
		}
		last.start, last.bytes = first*sector, (n-first+1)*sector
	}
	if len(slots) != len(parts) {
		return nil, fmt.Errorf("sgdisk finds room for %d of %d partitions: the disk is too small", len(slots), len(parts))
	}
	for i, p := range parts {
		slots[i].number = p.Number
		if slots[i].bytes <= 0 || slots[i].name != p.Label {
			return nil, fmt.Errorf("sgdisk makes partition %d %q of %d bytes, wanted is %q", p.Number, slots[i].name, slots[i].bytes, p.Label)
		}
	}
	return slots, nil
}

// readTable reads the partition table of a device from the device itself.
func readTable(d hive.Device) (blockdev.GPT, error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return blockdev.GPT{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	return blockdev.ReadGPT(f, d.Bytes, d.Sector)
}

// tableProblems compares a table with what it should be, to the last sector.
func tableProblems(path string, table blockdev.GPT, slots []slot) []string {
	var problems []string
	wrong := func(format string, args ...any) { problems = append(problems, path+": "+fmt.Sprintf(format, args...)) }
	if table.PrimaryError != nil {
		wrong("the first copy of the table: %v", table.PrimaryError)
	}
	if table.BackupError != nil {
		wrong("the second copy of the table: %v", table.BackupError)
	}
	if !table.Protected {
		wrong("the table has no protective entry")
	}
	for _, p := range table.Partitions {
		if !slices.ContainsFunc(slots, func(s slot) bool { return s.number == p.Number }) {
			wrong("partition %d (%s) is not planned", p.Number, p.Name)
		}
	}
	for _, s := range slots {
		p, ok := table.Partition(s.number)
		switch {
		case !ok:
			wrong("partition %d (%s) is missing", s.number, s.name)
		case p.Name != s.name || p.Type != s.kind:
			wrong("partition %d is %q of type %s, planned is %q of type %s", s.number, p.Name, p.Type, s.name, s.kind)
		case p.Start() != s.start || p.Bytes() != s.bytes:
			wrong("partition %d begins at byte %d and has %d, planned is %d and %d", s.number, p.Start(), p.Bytes(), s.start, s.bytes)
		}
	}
	return problems
}
