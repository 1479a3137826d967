package disks

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Mount mounts everything below Root, from a clean start: what was mounted there is unmounted first, since disko's script takes a mount that is
// hidden by another one for one that is there. Arrays are assembled (disko's script does not), then disko's script runs, then what the plan
// has besides disko is mounted. [Site.VerifyMounts] proves it.
func (s Site) Mount(ctx context.Context, script string) error {
	if err := s.unmountBelow(ctx, s.Root); err != nil {
		return err
	}
	if err := os.MkdirAll(s.Root, 0o755); err != nil {
		return err
	}
	if err := s.assemble(ctx); err != nil {
		return err
	}
	if script != "" {
		if err := s.script(ctx, "mount", script); err != nil {
			return err
		}
	}
	return s.mountRest(ctx)
}

// assemble starts the arrays of the plan from their partitions on the planned disks.
func (s Site) assemble(ctx context.Context) error {
	for _, p := range s.Plan.Storage.Pools {
		if p.Kind != "mdadm" {
			continue
		}
		path := "/dev/md/" + p.Name
		if _, err := os.Stat(path); err == nil {
			continue
		}
		members, err := s.arrayMembers(ctx, p.Name)
		if err != nil {
			return err
		}
		if len(members) == 0 {
			continue // disko's script says what is missing
		}
		if err := s.call(ctx, "mdadm", append([]string{"--assemble", path}, members...)...); err != nil {
			return fmt.Errorf("start the array %s: %w", p.Name, err)
		}
		if err := s.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

// arrayMembers are the partitions, or whole disks, that the plan has an array on.
func (s Site) arrayMembers(ctx context.Context, array string) ([]string, error) {
	devices, err := s.current(ctx, s.Targets)
	if err != nil {
		return nil, err
	}
	var found []string
	for i, t := range s.Targets {
		for _, p := range t.Disk.Partitions {
			if p.Content != "mdraid" || p.Pool != array {
				continue
			}
			if p.Label == "" {
				found = append(found, devices[i].Path)
				continue
			}
			for _, c := range partitions(devices[i]) {
				if c.PartLabel == p.Label {
					found = append(found, c.Path)
				}
			}
		}
	}
	return found, nil
}

// mountRest mounts what a definition mounts by itself: there disko has no part in it.
func (s Site) mountRest(ctx context.Context) error {
	for _, f := range s.wanted() {
		mounts, err := readMounts()
		if err != nil {
			return err
		}
		point := s.below(f.MountPoint)
		mounted := slices.ContainsFunc(mounts, func(m mount) bool { return m.point == point })
		if mounted || !onMachine(f) {
			continue
		}
		if err := os.MkdirAll(point, 0o755); err != nil {
			return err
		}
		args := []string{"-t", f.Type}
		if options := mountOptions(f.Options); options != "" {
			args = append(args, "-o", options)
		}
		if err := s.call(ctx, "mount", append(args, "--", f.Device, point)...); err != nil {
			return fmt.Errorf("mount %s: %w", f.MountPoint, err)
		}
	}
	return nil
}

// below is where a folder of the new system is now.
func (s Site) below(point string) string { return filepath.Join(s.Root, point) }

// mountOptions are those that mount knows; the others speak to systemd.
func mountOptions(options []string) string {
	var kept []string
	for _, o := range options {
		if !strings.HasPrefix(o, "x-systemd.") && !strings.HasPrefix(o, "x-initrd.") {
			kept = append(kept, o)
		}
	}
	return strings.Join(kept, ",")
}
