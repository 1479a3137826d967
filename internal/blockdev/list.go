package blockdev

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
)

// survey tells what lsblk does not, see the file.
//
//go:embed survey.sh
var survey string

// List gives all block devices that have a size, as r sees them: whole disks with what lies on them. It runs lsblk and sh, here or on a
// host. A machine without lsblk gives a *run.MissingError. Where no udev runs it asks the devices themselves for what is on them ([Probe]),
// as far as the caller may.
func List(ctx context.Context, r run.Runner) ([]hive.Device, error) {
	// In the C locale lsblk writes every letter beyond ASCII as \xNN.
	env := []string{"LC_ALL=C.UTF-8"}
	listed, err := run.Output(ctx, r, run.Command{Name: "lsblk", Args: []string{"-J", "-b", "-O"}, Env: env})
	if err != nil {
		return nil, fmt.Errorf("list block devices: %w", err)
	}
	seen, err := run.Output(ctx, r, run.Command{Name: "sh", Args: []string{"-s"}, Stdin: strings.NewReader(survey)})
	if err != nil {
		return nil, fmt.Errorf("look at the links and drivers of block devices: %w", err)
	}
	devices, err := Parse(listed, seen)
	if err != nil {
		return nil, fmt.Errorf("list block devices: %w", err)
	}
	if strings.Contains(string(seen), "no udev\n") {
		if probed, err := Probe(ctx, r, devices); err == nil {
			devices = probed
		}
	}
	return devices, nil
}

// Find gives the device with this number (MAJOR:MINOR) and the whole disks that it lies on, itself if it is one.
func Find(devices []hive.Device, number string) (found hive.Device, disks []hive.Device, ok bool) {
	for _, disk := range devices {
		inside := false
		disk.Walk(func(d hive.Device) {
			if d.Number == number {
				found, ok, inside = d, true, true
			}
		})
		if inside {
			disks = append(disks, disk)
		}
	}
	return found, disks, ok
}
