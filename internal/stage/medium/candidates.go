package medium

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"nixos-staged-hive/internal/blockdev"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
)

// Candidate is a disk that an image could be written to, or could not.
type Candidate struct {
	Device   hive.Device
	Reasons  []blockdev.Reason // against it; none is a removable medium that nobody uses
	Contents []string          // what is on it, in lines for a person
	Word     string            // has to be typed to overwrite it
}

// Possible reports whether the image can be written, once Word is typed.
func (c Candidate) Possible() bool {
	return !slices.ContainsFunc(c.Reasons, func(r blockdev.Reason) bool { return !r.Override })
}

// Candidates gives the disks of this machine for an image of so many bytes (0: not known yet), those that are most likely meant first: media
// without a reason against them, then disks that have to be confirmed, then those that are refused, which are told so that nobody searches
// for a stick that is only mounted. Loop devices, optical drives and what is made of other devices are left out.
func Candidates(ctx context.Context, r run.Runner, bytes int64) ([]Candidate, error) {
	devices, err := blockdev.List(ctx, r)
	if err != nil {
		return nil, err
	}
	return judged(devices, bytes), nil
}

func judged(devices []hive.Device, bytes int64) []Candidate {
	var list []Candidate
	for _, d := range devices {
		reasons := blockdev.Judge(devices, d.Number, bytes)
		strange := slices.ContainsFunc(reasons, func(r blockdev.Reason) bool { return r.Kind == blockdev.Virtual })
		if d.Kind == "disk" && !strange {
			list = append(list, Candidate{d, reasons, Contents(d), blockdev.Word(d)})
		}
	}
	slices.SortStableFunc(list, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(a.unlikely(), b.unlikely()), cmp.Compare(a.Device.Bytes, b.Device.Bytes))
	})
	return list
}

// unlikely grows with what speaks against a disk.
func (c Candidate) unlikely() int {
	fixed := slices.ContainsFunc(c.Reasons, func(r blockdev.Reason) bool { return r.Kind == blockdev.Fixed })
	switch {
	case !c.Possible() && fixed:
		return 4
	case !c.Possible():
		return 3
	case fixed:
		return 2
	case len(c.Reasons) > 0:
		return 1
	}
	return 0
}

// Contents says what is on a device: a line for itself, and one for each partition or what else lies on it.
func Contents(d hive.Device) []string {
	var lines []string
	switch {
	case d.Content == "iso9660":
		return []string{strings.TrimSpace("an image " + quoted(d.Label))}
	case d.Content != "":
		lines = append(lines, described(d))
	case d.Table == "" && len(d.Children) == 0:
		lines = append(lines, "nothing that is known")
	case len(d.Children) == 0:
		lines = append(lines, "an empty partition table ("+d.Table+")")
	}
	for _, c := range d.Children {
		name := strings.TrimPrefix(c.Path, "/dev/")
		lines = append(lines, fmt.Sprintf("%s: %s, %s", name, hive.Size(c.Bytes), described(c)))
		for _, below := range c.Children {
			lines = append(lines, Contents(below)...)
		}
	}
	return lines
}

// described is the content of one device without what lies on it.
func described(d hive.Device) string {
	words := []string{cmp.Or(d.Content, "nothing that is known")}
	if label := cmp.Or(d.Label, d.PartLabel); label != "" {
		words = append(words, quoted(label))
	}
	if len(d.Mounts) > 0 {
		words = append(words, "mounted on "+strings.Join(d.Mounts, ", "))
	}
	return strings.Join(words, " ")
}

func quoted(s string) string {
	if s == "" {
		return ""
	}
	return `"` + s + `"`
}
