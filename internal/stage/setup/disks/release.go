package disks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
)

// scratch is where our own short mounts are. disko's are in folders of mktemp.
const scratch = "/run/nixos-staged-hive/mount"

// Release takes down what an earlier run, or an earlier system, has left in use: everything mounted below Root, swap, and on the disks of the
// plan mappings, volume groups, arrays and pools. Nothing is forced and nothing is unmounted lazily. What is in use by anything else is
// left alone and told (*HeldError). Afterwards every disk and partition of the plan is proven to be free.
func (s Site) Release(ctx context.Context) error {
	if err := s.unmountBelow(ctx, s.Root); err != nil {
		return err
	}
	if err := s.unmountBelow(ctx, scratch); err != nil {
		return err
	}
	devices, err := s.takeDown(ctx, s.paths())
	if err != nil {
		return err
	}
	return s.proveFree(ctx, devices)
}

// Close does what is needed before the machine restarts: everything is on the disks, unmounted and closed, pools are exported (one that is
// not is taken for in use by another system, which the new one is to ZFS). It is Release, with a word on the disks before.
func (s Site) Close(ctx context.Context) error {
	unix.Sync()
	if err := s.Release(ctx); err != nil {
		return err
	}
	unix.Sync()
	return nil
}

// paths are the devices of all targets.
func (s Site) paths() []string {
	var paths []string
	for _, t := range s.Targets {
		paths = append(paths, t.Device.Path)
	}
	return unique(paths)
}

// unmountBelow unmounts a folder and all below it, the last mount first, and ends swapping to files in it.
func (s Site) unmountBelow(ctx context.Context, folder string) error {
	for _, name := range swaps() {
		if below(name, folder) {
			if err := s.call(ctx, "swapoff", name); err != nil {
				return fmt.Errorf("end swapping to %s: %w", name, err)
			}
		}
	}
	for {
		mounts, err := readMounts()
		if err != nil {
			return err
		}
		at := lastBelow(mounts, folder)
		if at < 0 {
			return nil
		}
		if err := s.unmount(ctx, mounts[at].point); err != nil {
			return err
		}
	}
}

// lastBelow is the mount to take away first: nothing is mounted on it.
func lastBelow(mounts []mount, folder string) int {
	for i := len(mounts) - 1; i >= 0; i-- {
		if below(mounts[i].point, folder) {
			return i
		}
	}
	return -1
}

// unmount waits for those who pass by. The last mount at a point is the one that is seen there, so the path says which one is meant.
func (s Site) unmount(ctx context.Context, point string) error {
	if _, err := fmt.Fprintf(s.log(), "# umount %s\n", run.Quote(point)); err != nil {
		return fmt.Errorf("write the log: %w", err)
	}
	for deadline := time.Now().Add(patience); ; {
		err := unix.Unmount(point, unix.UMOUNT_NOFOLLOW)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("unmount %s: %w", point, err)
		}
		if time.Now().After(deadline) {
			return &HeldError{Device: point, Holder: users(point), Err: err}
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("unmount %s: %w", point, err)
		}
	}
}

// users are the programs that have something below a folder open, as far as /proc tells.
func users(folder string) string {
	var found []string
	links, _ := filepath.Glob("/proc/[0-9]*/cwd") // the pattern is well-formed
	for _, cwd := range links {
		dir := filepath.Dir(cwd)
		files, _ := filepath.Glob(dir + "/fd/*")
		for _, link := range append(files, cwd, dir+"/root", dir+"/exe") {
			if to, err := os.Readlink(link); err == nil && below(to, folder) {
				name, _ := os.ReadFile(dir + "/comm")
				found = append(found, fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), filepath.Base(dir)))
				break
			}
		}
	}
	if len(found) == 0 {
		return "no program has anything open there: a mount of another namespace, or a loop device, may hold it"
	}
	return strings.Join(found, ", ")
}

// takeDown frees disks from the top: it looks, takes away one thing that nothing lies on, and looks again, since each step changes what there is.
// It gives all devices as it saw them last.
func (s Site) takeDown(ctx context.Context, paths []string) ([]hive.Device, error) {
	tried := map[string]int{}
	for {
		devices, err := s.list(ctx)
		if err != nil {
			return nil, err
		}
		pools, err := s.pools(ctx, devices, paths)
		if err != nil {
			return nil, err
		}
		step, err := nextStep(devices, paths, s.Root, pools)
		if err != nil || step.what == "" {
			return devices, err
		}
		if tried[step.what]++; tried[step.what] > 3 { // something brings it back each time
			return nil, &HeldError{Device: step.device, Holder: "it is there again after: " + step.what}
		}
		s.Events.Send(progress.Event{Task: "release", Host: s.Plan.Name, State: progress.Running, Text: step.what})
		if err := s.do(ctx, step); err != nil {
			return nil, err
		}
	}
}

// takeDownOn frees one device from what lies on it.
func (s Site) takeDownOn(ctx context.Context, path string) error {
	for range 100 { // each turn takes one thing away
		devices, err := s.list(ctx)
		if err != nil {
			return err
		}
		d, _, ok := (places{devices: devices}).at(path)
		if !ok {
			return &ChangedError{Device: path, What: "it is gone"}
		}
		st, err := stepOn(layers([]hive.Device{d}), s.Root)
		if err != nil || st.what == "" {
			return err
		}
		if err := s.do(ctx, st); err != nil {
			return err
		}
	}
	return &HeldError{Device: path, Holder: "something is brought back each time it is taken down"}
}

// step is one thing to take down.
type step struct {
	what    string // for a person; empty is nothing
	device  string
	command []string // empty: unmount point
	point   string
}

func (s Site) do(ctx context.Context, st step) error {
	if len(st.command) == 0 {
		return s.unmount(ctx, st.point)
	}
	err := s.call(ctx, st.command[0], st.command[1:]...)
	if _, missing := errors.AsType[*run.MissingError](err); err == nil || missing {
		return err
	}
	return &HeldError{Device: st.device, Holder: "it could not be taken down (" + st.what + ")", Err: err}
}

// nextStep finds something on the disks that nothing lies on.
func nextStep(devices []hive.Device, paths []string, root string, pools []string) (step, error) {
	disks := slices.DeleteFunc(slices.Clone(devices), func(d hive.Device) bool { return !slices.Contains(paths, d.Path) })
	if st, err := stepOn(layers(disks), root); err != nil || st.what != "" {
		return st, err
	}
	if len(pools) > 0 {
		return step{what: "export the ZFS pool " + pools[0], device: pools[0], command: []string{"zpool", "export", pools[0]}}, nil
	}
	return step{}, nil
}

// layer is a device with how many others lie below it.
type layer struct {
	hive.Device
	depth int
}

// layers are some devices and all that lies on them, the uppermost first: a volume group can only be stopped when nothing uses any of its volumes.
func layers(devices []hive.Device) []layer {
	var all []layer
	var add func(d hive.Device, depth int)
	add = func(d hive.Device, depth int) {
		all = append(all, layer{d, depth})
		for _, c := range d.Children {
			add(c, depth+1)
		}
	}
	for _, d := range devices {
		add(d, 0)
	}
	slices.SortStableFunc(all, func(a, b layer) int { return b.depth - a.depth })
	return all
}

// stepOn ends the use of everything before it stops anything.
func stepOn(all []layer, root string) (step, error) {
	for _, d := range all {
		if st, err := useStep(d.Device, root); err != nil || st.what != "" {
			return st, err
		}
	}
	for _, d := range all {
		if d.depth > 0 && d.Kind != "part" {
			return stopStep(d.Device)
		}
	}
	return step{}, nil
}

func useStep(d hive.Device, root string) (step, error) {
	for _, m := range d.Mounts {
		switch {
		case m == "[SWAP]":
			return step{what: "end swapping to " + d.Path, device: d.Path, command: []string{"swapoff", d.Path}}, nil
		case below(m, root), below(m, scratch), below(m, os.TempDir()), below(m, "/tmp"):
			return step{what: "unmount " + m, device: d.Path, point: m}, nil
		default:
			return step{}, &HeldError{Device: d.Path, Holder: "it is mounted at " + m}
		}
	}
	return step{}, nil
}

// stopStep closes a device that is made of others.
func stopStep(d hive.Device) (step, error) {
	name := mapperName(d.Path)
	switch {
	case d.Kind == "crypt" && name != "":
		return step{what: "close " + name, device: d.Path, command: []string{"cryptsetup", "close", name}}, nil
	case d.Kind == "lvm" && name != "":
		group := groupOf(name)
		return step{what: "deactivate the volume group " + group, device: d.Path, command: []string{"vgchange", "--activate", "n", group}}, nil
	case strings.HasPrefix(filepath.Base(d.Path), "md"):
		return step{what: "stop the array " + d.Path, device: d.Path, command: []string{"mdadm", "--stop", d.Path}}, nil
	}
	return step{}, &HeldError{Device: d.Path, Holder: fmt.Sprintf("a %s device lies on the disk; stop it first", d.Kind)}
}

// groupOf takes the volume group out of a name of the device mapper, where a dash that belongs to a name is doubled.
func groupOf(mapper string) string {
	var group strings.Builder
	for i := 0; i < len(mapper); i++ {
		if mapper[i] == '-' {
			if i+1 >= len(mapper) || mapper[i+1] != '-' {
				break
			}
			i++
		}
		group.WriteByte(mapper[i])
	}
	return group.String()
}

// pools are the imported ZFS pools with a device on some disks. Without the kernel's module there is none.
func (s Site) pools(ctx context.Context, devices []hive.Device, paths []string) ([]string, error) {
	if _, err := os.Stat("/sys/module/zfs"); err != nil {
		return nil, nil
	}
	out, err := s.ask(ctx, "zpool", "list", "-v", "-H", "-P", "-L")
	if _, missing := errors.AsType[*run.MissingError](err); missing {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask for ZFS pools: %w", err)
	}
	where := places{devices: devices}
	return poolsOn(string(out), func(path string) bool {
		_, disks, _ := where.at(path)
		return slices.ContainsFunc(disks, func(d string) bool { return slices.Contains(paths, d) })
	}), nil
}

// poolsOn reads zpool list -vHPL: a line that begins with a name is a pool, one that begins with a tab belongs to it (OpenZFS 2.1 to 2.3).
func poolsOn(text string, on func(path string) bool) []string {
	var found []string
	pool := ""
	for line := range strings.Lines(text) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if !strings.HasPrefix(line, "\t") && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "/") {
			pool = word
			continue
		}
		if strings.HasPrefix(word, "/") && on(word) && !slices.Contains(found, pool) {
			found = append(found, pool)
		}
	}
	return found
}

// proveFree opens each disk of the plan and each partition for ourselves alone. Opened for reading only: udev reads a disk anew when one that
// was opened for writing is closed, and might assemble again what was just taken apart.
func (s Site) proveFree(ctx context.Context, all []hive.Device) error {
	devices, err := among(all, s.Targets)
	if err != nil {
		return err
	}
	for _, disk := range devices {
		if disk.Kind == "part" { // mounted only, and its disk may be somebody else's
			continue
		}
		for _, d := range append(slices.Clone(disk.Children), disk) {
			f, err := openExclusive(ctx, d.Path, os.O_RDONLY)
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENXIO) || extended(d) {
				continue
			}
			if err != nil {
				return err
			}
			if err := f.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

// extended partitions hold others and cannot be taken for oneself on all kernels.
func extended(d hive.Device) bool {
	n, err := strconv.ParseInt(strings.TrimPrefix(d.PartType, "0x"), 16, 16)
	return err == nil && strings.HasPrefix(d.PartType, "0x") && (n == 0x5 || n == 0xf || n == 0x85)
}
