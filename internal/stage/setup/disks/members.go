package disks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
)

// Member is a device that is part of something with a name of its own, perhaps together with devices of other disks.
type Member struct {
	Kind   string   `json:"kind"` // "lvm_vg", "mdadm", "zpool" as hive.Pool has it; "btrfs"; "mapper" for an open mapping of the device mapper
	Name   string   `json:"name"` // empty where it has none
	ID     string   `json:"id"`   // the same for all members
	Device string   `json:"device"`
	Disks  []string `json:"disks"` // whole disks below it
}

// what is the group in words.
func (m Member) what() string {
	names := map[string]string{"lvm_vg": "LVM volume group", "mdadm": "RAID array", "zpool": "ZFS pool", "btrfs": "btrfs file system", "mapper": "mapped device"}
	if m.Name == "" {
		return names[m.Kind] + " " + m.ID
	}
	return fmt.Sprintf("%s %q", names[m.Kind], m.Name)
}

// Members finds the members of volume groups, arrays, pools and btrfs file systems among devices, and open mappings. LVM and md are asked, since
// lsblk tells no names of theirs.
func (s Site) Members(ctx context.Context, devices []hive.Device) ([]Member, error) {
	groups, err := s.volumeGroups(ctx)
	if err != nil {
		return nil, err
	}
	var found []Member
	var errs []error
	for _, disk := range devices {
		disk.Walk(func(d hive.Device) {
			m, ok, err := s.member(ctx, d, groups)
			errs = append(errs, err)
			if ok {
				m.Device, m.Disks = d.Path, []string{disk.Path}
				found = addMember(found, m)
			}
		})
	}
	return found, errors.Join(errs...)
}

// addMember joins the sightings of one device below several disks.
func addMember(found []Member, m Member) []Member {
	for i := range found {
		if found[i].Device == m.Device && found[i].Kind == m.Kind {
			if !slices.Contains(found[i].Disks, m.Disks[0]) {
				found[i].Disks = append(found[i].Disks, m.Disks...)
			}
			return found
		}
	}
	return append(found, m)
}

func (s Site) member(ctx context.Context, d hive.Device, groups map[string]Member) (Member, bool, error) {
	switch d.Content {
	case "LVM2_member":
		m, ok := groups[d.Path]
		return m, ok, nil
	case "linux_raid_member":
		m, err := s.array(ctx, d.Path)
		return m, err == nil && m.ID != "", err
	case "zfs_member":
		return Member{Kind: "zpool", Name: d.Label, ID: d.ContentID}, true, nil
	case "btrfs":
		return Member{Kind: "btrfs", Name: d.Label, ID: d.ContentID}, true, nil
	}
	if name := mapperName(d.Path); name != "" {
		return Member{Kind: "mapper", Name: name, ID: d.Number}, true, nil
	}
	return Member{}, false, nil
}

// volumeGroups asks LVM by device. Physical volumes that belong to none are left out.
func (s Site) volumeGroups(ctx context.Context) (map[string]Member, error) {
	out, err := s.ask(ctx, "pvs", "--reportformat", "json", "--options", "pv_name,vg_name,vg_uuid")
	if _, missing := errors.AsType[*run.MissingError](err); missing {
		return nil, nil // then nothing here can assemble any either
	}
	if err != nil {
		return nil, fmt.Errorf("ask for volume groups: %w", err)
	}
	var report struct {
		Report []struct {
			PV []struct {
				Path string `json:"pv_name"`
				Name string `json:"vg_name"`
				ID   string `json:"vg_uuid"`
			} `json:"pv"`
		} `json:"report"`
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return nil, fmt.Errorf("ask for volume groups: %w", err)
	}
	groups := map[string]Member{}
	for _, r := range report.Report {
		for _, pv := range r.PV {
			if pv.Name != "" {
				groups[canonical(pv.Path)] = Member{Kind: "lvm_vg", Name: pv.Name, ID: pv.ID}
			}
		}
	}
	return groups, nil
}

// array asks mdadm what array a device is a member of. Names are told without the host that made it, which is "any" for disko.
func (s Site) array(ctx context.Context, path string) (Member, error) {
	out, err := s.ask(ctx, "mdadm", "--examine", "--export", path)
	if _, missing := errors.AsType[*run.MissingError](err); missing {
		return Member{}, nil
	}
	if err != nil {
		return Member{}, fmt.Errorf("ask which array %s belongs to: %w", path, err)
	}
	m := Member{Kind: "mdadm"}
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "MD_UUID":
			m.ID = value
		case "MD_NAME":
			m.Name = value[strings.LastIndex(value, ":")+1:]
		}
	}
	return m, nil
}

// Spanning refuses what lies on disks that would be destroyed and on others that would not: half of it would be lost.
func Spanning(plan hive.Plan, targets []hive.Target, members []Member) []hive.Problem {
	lost := doomedPaths(targets)
	var problems []hive.Problem
	var told []string
	for _, m := range members {
		if m.ID == "" || m.Kind == "mapper" || slices.Contains(told, m.Kind+m.ID) { // what is mapped is told by what it is mapped from
			continue
		}
		var hit, spared []string
		for _, other := range members {
			if other.Kind != m.Kind || other.ID != m.ID {
				continue
			}
			for _, disk := range other.Disks {
				if slices.Contains(lost, disk) {
					hit = append(hit, disk)
				} else {
					spared = append(spared, disk)
				}
			}
		}
		if len(hit) == 0 || len(spared) == 0 {
			continue
		}
		told = append(told, m.Kind+m.ID)
		problems = append(problems, hive.Problem{
			Host: plan.Name, Severity: hive.Error, Rule: "disk-spans", Option: "disko.devices.disk",
			Message: fmt.Sprintf("the %s lies on %s, which would be destroyed, and on %s, which is not part of the plan: the rest of it would be useless",
				m.what(), strings.Join(unique(hit), ", "), strings.Join(unique(spared), ", ")),
			Way: fmt.Sprintf("unplug %s if it is not needed, or move the %s off %s first", strings.Join(unique(spared), ", "), m.what(), strings.Join(unique(hit), ", ")),
		})
	}
	return problems
}

func unique(texts []string) []string { return slices.Compact(slices.Sorted(slices.Values(texts))) }

func doomedPaths(targets []hive.Target) []string {
	var paths []string
	for _, t := range (Site{Targets: targets}).doomed() {
		paths = append(paths, t.Device.Path)
	}
	return paths
}

// Collisions finds the names that a plan uses on devices that are not the plan's: disko formats and mounts by label and name, and might take
// those instead.
func Collisions(plan hive.Plan, targets []hive.Target, machine hive.Machine, members []Member) []hive.Problem {
	c := collisions{plan: plan, targets: targets, lost: doomedPaths(targets)}
	for _, t := range targets {
		if t.Disk.Table != "gpt" {
			continue
		}
		for _, p := range t.Disk.Partitions {
			c.label(t, p, machine)
		}
	}
	for _, m := range members {
		c.member(m)
	}
	for _, f := range plan.Storage.FileSystems {
		if label, ok := strings.CutPrefix(f.Device, "/dev/disk/by-label/"); ok {
			c.fileSystem(f, label, machine)
		}
	}
	return c.problems
}

type collisions struct {
	plan     hive.Plan
	targets  []hive.Target
	lost     []string
	problems []hive.Problem
}

// elsewhere visits devices of disks that stay as they are and are not the ones named.
func (c *collisions) elsewhere(machine hive.Machine, own []string, visit func(disk, d hive.Device)) {
	for _, disk := range machine.Devices {
		if slices.Contains(own, disk.Path) || slices.Contains(c.lost, disk.Path) {
			continue
		}
		disk.Walk(func(d hive.Device) { visit(disk, d) })
	}
}

func (c *collisions) label(t hive.Target, p hive.Partition, machine hive.Machine) {
	c.elsewhere(machine, []string{t.Device.Path}, func(disk, d hive.Device) {
		if d.Kind == "part" && d.PartLabel == p.Label {
			c.add("disko.devices.disk."+t.Disk.Name, fmt.Sprintf("partition %s of another disk (%s) has the label %q, which the plan gives to partition %s of disk %s",
				d.Path, name(disk), p.Label, p.Name, t.Disk.Name),
				fmt.Sprintf("unplug %s, rename that partition (sgdisk --change-name=%d:other %s), or set another label for the planned one", disk.Path, d.PartNum, disk.Path))
		}
	})
}

// member looks at names of pools. Those on disks that the plan has them on are the plan's own.
func (c *collisions) member(m Member) {
	planned := slices.ContainsFunc(c.plan.Storage.Pools, func(p hive.Pool) bool { return p.Kind == m.Kind && p.Name == m.Name })
	if m.Kind == "mapper" {
		planned = slices.ContainsFunc(c.plan.Storage.LUKS, func(l hive.LUKS) bool { return l.Name == m.Name })
	}
	if !planned {
		return
	}
	for _, disk := range m.Disks {
		if slices.Contains(c.lost, disk) || c.has(disk, m) {
			continue
		}
		c.add("disko.devices", fmt.Sprintf("%s of another disk (%s) belongs to a %s, and the plan has one of the same name", m.Device, disk, m.what()),
			fmt.Sprintf("unplug %s, or give the one of the plan another name", disk))
	}
}

// has reports whether the plan expects a member on a disk. Encrypted partitions may be on any of its disks.
func (c *collisions) has(disk string, m Member) bool {
	return slices.ContainsFunc(c.targets, func(t hive.Target) bool {
		return t.Device.Path == disk && (m.Kind == "mapper" || slices.ContainsFunc(t.Disk.Partitions, func(p hive.Partition) bool { return p.Pool == m.Name }))
	})
}

func (c *collisions) fileSystem(f hive.FileSystem, label string, machine hive.Machine) {
	var own []string
	for _, t := range c.targets {
		own = append(own, t.Device.Path)
	}
	if len(own) == 0 {
		return // the label is all there is to know the file system by
	}
	c.elsewhere(machine, own, func(disk, d hive.Device) {
		if d.Label == decodeLink(label) {
			c.add(fmt.Sprintf("fileSystems.%q.device", f.MountPoint), fmt.Sprintf("%s of another disk (%s) has the file system label %q, by which the plan mounts %s",
				d.Path, name(disk), label, f.MountPoint), fmt.Sprintf("unplug %s, or mount %s by something that is unique", disk.Path, f.MountPoint))
		}
	})
}

func (c *collisions) add(option, message, way string) {
	c.problems = append(c.problems, hive.Problem{
		Host: c.plan.Name, Severity: hive.Error, Rule: "disk-collision", Option: option, Message: message, Way: way,
	})
}

// name is a disk for a person: path, model and serial.
func name(d hive.Device) string {
	return strings.Join(strings.Fields(d.Path+" "+d.Model+" "+d.Serial), " ")
}
