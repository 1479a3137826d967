package disks

import (
	"fmt"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// MatchTables compares the disks of a plan that are kept with their plan: in mode keep and add what is there has to be what the plan would make.
// Where mode add lays out others, they may hold nothing that disko's script, which goes over all disks, could harm. Disks that are only mounted
// (hive.partitioning.additional) may have what they like, but not be laid out as another disk of the plan.
func MatchTables(plan hive.Plan, mode hive.Mode, targets []hive.Target) []hive.Problem {
	var problems []hive.Problem
	lost := doomedPaths(targets)
	for _, t := range targets {
		switch {
		case t.Disk.Additional && slices.Contains(lost, t.Device.Path):
			problems = append(problems, contradiction(plan, t))
			continue
		case t.Disk.Additional || t.Fate != "mount":
			continue
		}
		differences := MatchTable(t.Disk, t.Device, mode)
		if mode == hive.Add && len(lost) > 0 {
			differences = append(differences, nested(t.Disk)...)
		}
		if len(differences) > 0 {
			problems = append(problems, mismatch(plan, mode, t, differences))
		}
	}
	return problems
}

// contradiction is a disk that is to be kept under one name and laid out under another.
func contradiction(plan hive.Plan, t hive.Target) hive.Problem {
	return hive.Problem{
		Host: plan.Name, Severity: hive.Error, Rule: "disk-kept-and-lost", Option: "hive.partitioning.additional.disk." + t.Disk.Name,
		Message: fmt.Sprintf("disk %s (%s) is only to be mounted, and another disk of the plan, which is laid out anew, is the same one", t.Disk.Name, name(t.Device)),
		Way:     "say which disk each of them is, or remove one of the two from the definition",
	}
}

func mismatch(plan hive.Plan, mode hive.Mode, t hive.Target, differences []string) hive.Problem {
	way := "install in mode fresh, which destroys what is on the disk, or change the definition to what is there"
	if mode == hive.Add {
		way = "mode add lays out blank disks and leaves the others alone: install in mode keep, back the contents up and install in mode fresh, or change the definition to what is there"
	}
	return hive.Problem{
		Host: plan.Name, Severity: hive.Error, Rule: "disk-differs", Option: "disko.devices.disk." + t.Disk.Name,
		Message: fmt.Sprintf("disk %s (%s) cannot be kept as the plan describes it: %s", t.Disk.Name, name(t.Device), strings.Join(differences, "; ")),
		Way:     way,
	}
}

// MatchTable says how what is on a disk differs from its plan; nothing is a match. In mode add numbers count too, since disko lays out by
// number and would rename and retype a partition that has the number of another one; to mount, labels are enough.
func MatchTable(disk hive.Disk, d hive.Device, mode hive.Mode) []string {
	switch disk.Table {
	case "gpt":
		return matchGPT(disk, d, mode)
	case "table":
		return matchLegacy(disk, d)
	}
	if len(disk.Partitions) != 1 {
		return nil
	}
	want := signatureOf(disk.Partitions[0])
	if want == "" || d.Content == want {
		return nil
	}
	if d.Table != "" {
		return []string{fmt.Sprintf("it has a partition table (%s) instead of %s", d.Table, want)}
	}
	return []string{fmt.Sprintf("it has %s on it instead of %s", orNothing(d.Content), want)}
}

func matchGPT(disk hive.Disk, d hive.Device, mode hive.Mode) []string {
	if d.Table != "gpt" {
		return []string{fmt.Sprintf("it has no GUID partition table but %s", orNothing(d.Table+d.Content))}
	}
	var differences []string
	planned := map[string]int{}
	for _, p := range numbered(disk) {
		planned[p.Label]++
		differences = append(differences, matchPart(p, d, mode)...)
	}
	for _, c := range partitions(d) {
		if planned[c.PartLabel] == 0 {
			differences = append(differences, fmt.Sprintf("partition %d %q (%s, %s) is not planned", c.PartNum, c.PartLabel, contentName(c), hive.Size(c.Bytes)))
		}
	}
	return differences
}

func matchPart(p hive.Partition, d hive.Device, mode hive.Mode) []string {
	var same []hive.Device
	for _, c := range partitions(d) {
		if c.PartLabel == p.Label {
			same = append(same, c)
		}
	}
	if len(same) != 1 {
		return []string{fmt.Sprintf("%d partitions instead of one have the label %q", len(same), p.Label)}
	}
	c := same[0]
	var differences []string
	if mode == hive.Add && c.PartNum != p.Number {
		differences = append(differences, fmt.Sprintf("partition %q has number %d instead of %d", p.Label, c.PartNum, p.Number))
	}
	if kind := guidOf(p.Type); kind != "" && c.PartType != kind {
		differences = append(differences, fmt.Sprintf("partition %q has type %s instead of %s (%s)", p.Label, c.PartType, p.Type, kind))
	}
	want := signatureOf(p)
	blankSwap := want == "swap" && c.Content == ""
	if want != "" && c.Content != want && !blankSwap {
		differences = append(differences, fmt.Sprintf("partition %q has %s on it instead of %s", p.Label, orNothing(c.Content), want))
	}
	return differences
}

// matchLegacy compares by place, which is all that a table without labels has.
func matchLegacy(disk hive.Disk, d hive.Device) []string {
	parts := partitions(d)
	if d.Table == "" || len(parts) != len(disk.Partitions) {
		return []string{fmt.Sprintf("it has %d partitions instead of %d", len(parts), len(disk.Partitions))}
	}
	var differences []string
	for i, p := range disk.Partitions {
		if want := signatureOf(p); want != "" && parts[i].Content != want {
			differences = append(differences, fmt.Sprintf("partition %d has %s on it instead of %s", parts[i].PartNum, orNothing(parts[i].Content), want))
		}
	}
	return differences
}
