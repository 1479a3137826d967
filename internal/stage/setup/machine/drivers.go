package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// Drivers proves that the initrd of the mini system can drive the disks that the system starts from: each kernel module that the medium
// uses from the disk up to its bus is in the initrd or built into the kernel. Without the proof the machine would wait for its root for ever,
// with nothing left on its disks to go back to.
func Drivers(h hive.MediumHost, targets []hive.Target) []hive.Problem {
	needed := starting(h.Plan, targets)
	if len(needed) == 0 {
		return nil
	}
	inKernel, err := builtin(h.ModulesFolder)
	if err != nil {
		return []hive.Problem{{
			Host: h.Name, Option: "boot.kernelPackages", Severity: hive.Error, Rule: "initrd-unproven",
			Message: fmt.Sprintf("which drivers the kernel of the mini system has built in cannot be read: %v", err),
			Way:     "write the medium again: it is damaged",
		}}
	}
	var found []hive.Problem
	for _, t := range needed {
		if missing := lacking(t.Device.Drivers, h.InitrdModules, inKernel); len(missing) > 0 {
			found = append(found, lacksDrivers(h.Name, t, missing))
		}
	}
	return found
}

func lacksDrivers(host string, t hive.Target, missing []string) hive.Problem {
	quoted := make([]string, len(missing))
	for i, m := range missing {
		quoted[i] = text(m)
	}
	return hive.Problem{
		Host: host, Option: "boot.initrd.availableKernelModules", Severity: hive.Error, Rule: "initrd-drivers",
		Message: fmt.Sprintf("the initrd of the mini system lacks %s: it would not find %s (%s) and the machine would not start",
			list(missing), t.Disk.Name, describe([]hive.Device{t.Device})),
		Way: fmt.Sprintf("add boot.initrd.availableKernelModules = [ %s ]; and write the medium again", strings.Join(quoted, " ")),
	}
}

// starting are the targets that stage 1 of NixOS has to find: those with a file system that is needed for booting, or with a part of a pool or
// volume group, which may hold one. If that says nothing (the definition mounts by hand), all that are laid out.
func starting(p hive.Plan, targets []hive.Target) []hive.Target {
	var found []hive.Target
	for _, t := range targets {
		if slices.ContainsFunc(t.Disk.Partitions, func(part hive.Partition) bool { return part.Pool != "" || neededForBoot(p, part) }) {
			found = append(found, t)
		}
	}
	if len(found) > 0 {
		return found
	}
	return slices.DeleteFunc(slices.Clone(targets), func(t hive.Target) bool { return t.Disk.Additional })
}

func neededForBoot(p hive.Plan, part hive.Partition) bool {
	for _, point := range strings.Fields(part.MountPoint) {
		if point == "/" || slices.ContainsFunc(p.Storage.FileSystems, func(f hive.FileSystem) bool { return f.MountPoint == point && f.NeededForBoot }) {
			return true
		}
	}
	return false
}

// lacking are the modules that are neither in the initrd nor in the kernel.
func lacking(drivers, initrd, inKernel []string) []string {
	var missing []string
	for _, d := range drivers {
		same := func(name string) bool { return underscored(name) == underscored(d) }
		if !slices.ContainsFunc(initrd, same) && !slices.ContainsFunc(inKernel, same) && !slices.Contains(missing, d) {
			missing = append(missing, d)
		}
	}
	return missing
}

// underscored is a module's name as the kernel spells it; file names may have hyphens.
func underscored(name string) string { return strings.ReplaceAll(name, "-", "_") }

// builtin reads modules.builtin of the kernel whose lib/modules folder it is given: lines such as kernel/drivers/ata/ahci.ko (kmod and
// Documentation/kbuild/kbuild.rst).
func builtin(folder string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*", "modules.builtin"))
	if err != nil {
		return nil, fmt.Errorf("look for modules.builtin: %w", err)
	}
	if len(files) == 0 {
		return nil, errors.New(folder + " has no VERSION/modules.builtin")
	}
	var names []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(content)) {
			name, _, _ := strings.Cut(filepath.Base(strings.TrimSpace(line)), ".ko")
			names = append(names, name)
		}
	}
	return names, nil
}
