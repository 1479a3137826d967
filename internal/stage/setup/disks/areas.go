package disks

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// area is a region of a disk, in bytes.
type area struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

func (a area) end() int64 { return a.Offset + a.Length }

// Where signatures are that libblkid (2.40) knows, from the beginning and from the end of whatever carries them. The farthest ones are the
// second header of LUKS2 (at most 4 MiB from the beginning) and the labels of ZFS (the last 768 KiB); md (1.0), GPT, DDF and NILFS2 are nearer
// to the end.
const (
	frontBytes = 5 << 20
	backBytes  = 1 << 20
	pageBytes  = 4096
)

// ends are both ends of a region.
func ends(start, length int64) []area {
	return []area{{start, min(length, frontBytes)}, {max(start, start+length-backBytes), min(length, backBytes)}}
}

// merge sorts areas, joins those that touch, and keeps them within a disk of this size. All bounds become multiples of a page.
func merge(areas []area, size int64) []area {
	var merged []area
	areas = slices.Clone(areas)
	slices.SortFunc(areas, func(a, b area) int { return int(min(1, max(-1, a.Offset-b.Offset))) })
	for _, a := range areas {
		from := max(0, a.Offset) / pageBytes * pageBytes
		to := min(size, (a.end()+pageBytes-1)/pageBytes*pageBytes)
		if from >= to {
			continue
		}
		if n := len(merged); n > 0 && merged[n-1].end() >= from {
			merged[n-1].Length = max(merged[n-1].end(), to) - merged[n-1].Offset
			continue
		}
		merged = append(merged, area{from, to - from})
	}
	return merged
}

// areas are what has to be emptied on a disk, and so what is saved before: both ends of the disk, of every partition that there is, by the
// kernel and by the table on the disk, and of every one that will be; and whatever else wipefs finds.
func (s Site) areas(ctx context.Context, disk hive.Disk, d hive.Device) ([]area, error) {
	all := ends(0, d.Bytes)
	for _, c := range d.Children {
		if c.Kind == "part" {
			all = append(all, ends(c.Start, c.Bytes)...)
			found, err := s.strays(ctx, c.Path, c.Start)
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
	}
	if table, err := readTable(d); err == nil {
		for _, p := range table.Partitions {
			all = append(all, ends(p.Start(), p.Bytes())...)
		}
	}
	found, err := s.strays(ctx, d.Path, 0)
	if err != nil {
		return nil, err
	}
	all = append(all, found...)
	slots, err := s.layout(ctx, disk, d)
	if err != nil {
		return nil, err
	}
	for _, p := range slots {
		all = append(all, ends(p.start, p.bytes)...)
	}
	return merge(all, d.Bytes), nil
}

// strays are the signatures that wipefs finds on a device which begins at start of its disk.
func (s Site) strays(ctx context.Context, path string, start int64) ([]area, error) {
	type signatures struct {
		Signatures []struct {
			Offset string `json:"offset"`
		} `json:"signatures"`
	}
	out, err := s.ask(ctx, "wipefs", "--no-act", "--json", path)
	if err != nil {
		return nil, fmt.Errorf("look for signatures on %s: %w", path, err)
	}
	if strings.TrimSpace(string(out)) == "" { // nothing found
		return nil, nil
	}
	var found signatures
	if err := json.Unmarshal(out, &found); err != nil {
		return nil, fmt.Errorf("look for signatures on %s: %w", path, err)
	}
	var areas []area
	for _, f := range found.Signatures {
		var offset int64
		if _, err := fmt.Sscanf(f.Offset, "0x%x", &offset); err != nil {
			return nil, fmt.Errorf("look for signatures on %s: offset %q: %w", path, f.Offset, err)
		}
		areas = append(areas, area{start + offset, pageBytes})
	}
	return areas, nil
}

// headBytes are where a disk says that it has a table, with blocks of up to 4096 bytes.
const headBytes = 8 << 10

// empty writes zeros, the head last: a disk of which power failed meanwhile is still known by its table, or is blank.
func empty(f *os.File, areas []area) error {
	var head, rest []area
	for _, a := range areas {
		if a.Offset == 0 {
			length := min(a.Length, headBytes)
			head = append(head, area{0, length})
			a = area{length, a.Length - length}
		}
		rest = append(rest, a)
	}
	if err := writeZeros(f, rest); err != nil {
		return err
	}
	return writeZeros(f, head)
}

// writeZeros has them on the disk when it returns.
func writeZeros(f *os.File, areas []area) error {
	zeros := make([]byte, 1<<20)
	for _, a := range areas {
		for at := a.Offset; at < a.end(); {
			n, err := f.WriteAt(zeros[:min(int64(len(zeros)), a.end()-at)], at)
			if err != nil {
				return err
			}
			at += int64(n)
		}
	}
	return f.Sync()
}
