package disks

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/hive"
)

// Room is what has to fit, in bytes.
type Room struct {
	Store int64 // still to be copied to /nix/store; a tenth is added
	Boot  int64 // still to be copied to the boot loader's file system
}

// VerifyMounts proves that what is below Root is what the plan says, by the mounts that the paths really lead to: each planned file system on
// the device that it was planned on, none hidden by another, none besides, nothing of the running system in their place, and room for what
// is to come. The error is one of looking; what is wrong is in the problems.
func (s Site) VerifyMounts(ctx context.Context, room Room) ([]hive.Problem, error) {
	devices, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	mounts, err := readMounts()
	if err != nil {
		return nil, err
	}
	v := verifier{site: s, where: places{devices, s.Targets}, mounts: mounts}
	for _, f := range s.wanted() {
		v.fileSystem(f)
	}
	v.strangers()
	v.esp()
	v.space("/nix/store", room.Store+room.Store/10)
	if boot := s.Plan.Boot.ESP; boot != "" {
		v.space(boot, room.Boot)
	} else {
		v.space("/boot", room.Boot)
	}
	v.swap(ctx)
	return v.problems, nil
}

type verifier struct {
	site     Site
	where    places
	mounts   []mount
	problems []hive.Problem
}

func (v *verifier) add(severity hive.Severity, point, format string, args ...any) {
	v.problems = append(v.problems, hive.Problem{
		Host: v.site.Plan.Name, Severity: severity, Rule: "mount-unproven", Option: fmt.Sprintf("fileSystems.%q", point),
		Message: fmt.Sprintf(format, args...), Way: "run setup again; if it stays, look at the end of its log",
	})
}

func (v *verifier) wrong(point, format string, args ...any) {
	v.add(hive.Error, point, format, args...)
}

func (v *verifier) fileSystem(f hive.FileSystem) {
	path := v.site.below(f.MountPoint)
	m, err := mountOf(path, v.mounts)
	switch {
	case err != nil:
		v.wrong(f.MountPoint, "%v", err)
	case m.point != path:
		v.wrong(f.MountPoint, "nothing is mounted at %s: it is a folder of %s (%s)", path, m.source, m.point)
	case !sameType(f.Type, m.kind):
		v.wrong(f.MountPoint, "a %s file system is mounted at %s instead of %s", m.kind, path, f.Type)
	default:
		v.device(f, m)
		v.writable(f, path)
	}
}

// sameType compares a type of the plan with the kernel's.
func sameType(planned, is string) bool {
	return planned == "auto" || fileSystemType(planned) == fileSystemType(is) || fileSystemType(planned) == "ntfs" && is == "fuseblk"
}

// device compares what is mounted with what was planned. Those that bring device numbers of their own are known by what they say instead.
func (v *verifier) device(f hive.FileSystem, m mount) {
	if !onMachine(f) {
		return
	}
	if f.Type == "zfs" {
		if m.source != f.Device {
			v.wrong(f.MountPoint, "the data set %s is mounted instead of %s", m.source, f.Device)
		}
		return
	}
	planned, err := v.where.find(f.Device)
	if err != nil {
		v.wrong(f.MountPoint, "%v", err)
		return
	}
	if f.Type == "btrfs" {
		v.btrfs(f, m, planned)
		return
	}
	if m.number != planned.Number {
		v.wrong(f.MountPoint, "the device %s (%s) is mounted instead of %s (%s)", m.source, m.number, planned.Path, planned.Number)
	}
	if m.root != "/" {
		v.wrong(f.MountPoint, "only the folder %s of %s is mounted", m.root, planned.Path)
	}
}

// btrfs may be mounted by any of its devices; its UUID tells which it is.
func (v *verifier) btrfs(f hive.FileSystem, m mount, planned hive.Device) {
	source, _, ok := v.where.at(canonical(m.source))
	if !ok || source.Path != planned.Path && (source.ContentID == "" || source.ContentID != planned.ContentID) {
		v.wrong(f.MountPoint, "the device %s is mounted instead of %s", m.source, planned.Path)
	}
	for _, o := range f.Options {
		name, ok := strings.CutPrefix(o, "subvol=")
		if want := "/" + strings.Trim(name, "/"); ok && m.root != want {
			v.wrong(f.MountPoint, "the subvolume %s is mounted instead of %s", m.root, want)
		}
	}
}

// writable speaks of a file system that the kernel mounted read-only, as it does with some that are damaged.
func (v *verifier) writable(f hive.FileSystem, path string) {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		v.wrong(f.MountPoint, "look at %s: %v", path, err)
		return
	}
	if stat.Flags&unix.ST_RDONLY != 0 && !slices.Contains(f.Options, "ro") {
		v.wrong(f.MountPoint, "%s is read-only", path)
	}
}

// strangers finds what is mounted below Root and should not be, or cannot be seen.
func (v *verifier) strangers() {
	for _, m := range v.mounts {
		if !below(m.point, v.site.Root) {
			continue
		}
		point := "/" + strings.Trim(strings.TrimPrefix(m.point, v.site.Root), "/")
		if seen, err := mountOf(m.point, v.mounts); err != nil || seen.id != m.id {
			v.wrong(point, "the mount of %s at %s is hidden by another one", m.source, m.point)
			continue
		}
		if !v.planned(point, m) {
			v.wrong(point, "%s (%s) is mounted at %s, which is not planned", m.source, m.kind, m.point)
		}
	}
}

// planned reports whether a mount may be there: it is one of the plan's, or lies on a disk of the plan.
func (v *verifier) planned(point string, m mount) bool {
	if slices.ContainsFunc(v.site.Plan.Storage.FileSystems, func(f hive.FileSystem) bool { return filepath.Clean(f.MountPoint) == point }) {
		return true // which device it is was looked at where that is needed
	}
	_, disks, ok := v.where.at(canonical(m.source))
	return ok && v.where.onTargets(disks)
}

// esp proves that the firmware will find the boot loader's file system.
func (v *verifier) esp() {
	point := v.site.Plan.Boot.ESP
	if point == "" || v.site.Plan.Boot.Firmware != "uefi" && v.site.Plan.Boot.Firmware != "both" {
		return
	}
	m, err := mountOf(v.site.below(point), v.mounts)
	if err != nil {
		v.wrong(point, "%v", err)
		return
	}
	if m.kind != "vfat" {
		v.wrong(point, "the EFI system partition has to be FAT, but %s is %s", point, m.kind)
		return
	}
	for _, disk := range v.where.devices {
		disk.Walk(func(d hive.Device) {
			if d.Number == m.number {
				v.espType(point, disk, d)
			}
		})
	}
}

func (v *verifier) espType(point string, disk, d hive.Device) {
	table, err := readTable(disk)
	if err != nil {
		if disk.Table != "dos" { // there firmware goes by the type EF, or by nothing
			v.wrong(point, "read the partition table of %s: %v", disk.Path, err)
		}
		return
	}
	p, ok := table.Partition(d.PartNum)
	if !ok || p.Type != guidOf("EF00") {
		v.wrong(point, "%s is no EFI system partition by its type (%s): the firmware will not look at it", d.Path, p.Type)
	}
}

// space looks at the file system that a folder is on, or will be on.
func (v *verifier) space(folder string, bytes int64) {
	path := v.site.below(folder)
	for {
		if _, err := os.Stat(path); err == nil || path == v.site.Root || path == "/" {
			break
		}
		path = filepath.Dir(path)
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		v.wrong(folder, "ask %s for its room: %v", path, err)
		return
	}
	if free := int64(stat.Bfree) * stat.Bsize; free < bytes {
		v.wrong(folder, "%s has room for %s, needed are %s", path, hive.Size(free), hive.Size(bytes))
	}
}

// swap is not needed to install, but on a small machine it is.
func (v *verifier) swap(ctx context.Context) {
	used := swaps()
	for _, sw := range v.site.Plan.Storage.Swap {
		path := canonical(sw.Device)
		if !strings.HasPrefix(sw.Device, "/dev/") {
			path = v.site.below(sw.Device)
		}
		content, err := v.site.content(ctx, path)
		if err != nil || content != "swap" { // not there yet, or encrypted anew at each start
			continue
		}
		if !slices.Contains(used, path) {
			v.add(hive.Warning, sw.Device, "%s is not swapped to", sw.Device)
		}
	}
}
