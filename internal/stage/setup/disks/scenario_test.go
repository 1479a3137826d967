package disks

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/blockdev"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
)

// scenarios run in the guest, one after the other; each begins with blank disks.
func scenarios() map[string]func(*testing.T) {
	all := map[string]func(*testing.T){
		"undo":          undoScenario,
		"refusals":      refusalsScenario,
		"spanning":      spanningScenario,
		"shadows":       shadowsScenario,
		"stale-regions": staleRegionsScenario,
		"stale-array":   staleArrayScenario,
		"dirty":         dirtyScenario,
		"add":           addScenario,
	}
	for _, layout := range []string{"bios", "btrfs", "lvm", "raid"} { // plain and luks are in the others
		all["install-"+layout] = func(t *testing.T) { installScenario(t, layout) }
	}
	return all
}

type layout struct {
	Format  string       `json:"format"`
	Mount   string       `json:"mount"`
	Storage hive.Storage `json:"storage"`
	// paths of the scripts
	format, mount string
}

// esp is the label of the partition that is mounted at /boot.
func (l layout) esp() string {
	for _, d := range l.Storage.Disks {
		for _, p := range d.Partitions {
			if p.MountPoint == "/boot" {
				return p.Label
			}
		}
	}
	return ""
}

func readLayout(t *testing.T, name string) layout {
	t.Helper()
	text, err := os.ReadFile("/layouts.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]layout
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	l := all[name]
	l.format, l.mount = script(t, name+"-format", l.Format), script(t, name+"-mount", l.Mount)
	write(t, "/run/passphrase", "let me in")
	return l
}

func script(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte("#!/bin/bash\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

// blank gives a site on disks without anything on them.
func blank(t *testing.T, l layout) Site {
	t.Helper()
	var log bytes.Buffer
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log:\n%s", log.String())
		}
	})
	s := Site{
		Run: run.Local{}, Root: "/mnt", Log: &log,
		Plan: hive.Plan{Name: "web", Storage: l.Storage, Boot: hive.Boot{Firmware: "uefi"}},
	}
	for _, f := range l.Storage.FileSystems {
		if f.MountPoint == "/boot" {
			s.Plan.Boot.ESP = "/boot"
		}
	}
	eraser := s
	for _, d := range mustList(t) {
		if slices.Contains(serials(), d.Serial) {
			eraser.Targets = append(eraser.Targets, hive.Target{Device: d, Fate: "destroy"})
		}
	}
	disks := link("") + "{" + strings.Join(serials(), ",") + "}"
	must(t, eraser.Release(t.Context()))
	sh(t, "for d in "+disks+"; do blkdiscard --force --zeroout $d 2>/dev/null; done")
	must(t, eraser.Release(t.Context())) // udev assembles what is left of a set whose first disk is empty
	sh(t, "partprobe "+disks+"; udevadm settle")
	s.Targets = targets(t, l, "destroy")
	return s
}

// targets resolves the disks of a layout as package machine would.
func targets(t *testing.T, l layout, fate string) []hive.Target {
	t.Helper()
	var found []hive.Target
	for _, d := range l.Storage.Disks {
		found = append(found, hive.Target{Disk: d, Device: find(t, strings.TrimPrefix(d.Device, "/dev/disk/by-id/virtio-")), Fate: fate})
	}
	return found
}

// serials are those of the guest's disks.
func serials() []string { return []string{"main", "second", "third", "stick"} }

func find(t *testing.T, serial string) hive.Device {
	t.Helper()
	devices, err := blockdev.List(t.Context(), run.Local{})
	must(t, err)
	for _, d := range devices {
		if d.Serial == serial {
			return d
		}
	}
	t.Fatalf("no disk %s among %+v", serial, devices)
	return hive.Device{}
}

func link(serial string) string { return "/dev/disk/by-id/virtio-" + serial }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sh(t *testing.T, script string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "bash", "-euc", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(t, os.WriteFile(file, []byte(text), 0o600))
}

// sum gives a line for each part of a disk that is not empty, so that two of them tell where a disk changed.
func sum(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	var lines strings.Builder
	chunk := make([]byte, 1<<16)
	for at := 0; ; at++ {
		n, err := io.ReadFull(f, chunk)
		if n == 0 {
			return lines.String()
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			must(t, err)
		}
		if !isEmpty(chunk[:n]) {
			fmt.Fprintf(&lines, "%d KiB: %x\n", at*64, sha256.Sum256(chunk[:n]))
		}
	}
}

// isEmpty goes word by word: what is quick with vectors takes an emulated processor many times as long.
func isEmpty(p []byte) bool {
	for ; len(p) >= 8; p = p[8:] {
		if binary.NativeEndian.Uint64(p) != 0 {
			return false
		}
	}
	return len(bytes.Trim(p, "\x00")) == 0
}

// changed are the places at which two sums differ.
func changed(before, after string) string {
	var places []string
	one, other := slices.Collect(strings.Lines(before)), slices.Collect(strings.Lines(after))
	for _, line := range slices.Concat(one, other) {
		if slices.Contains(one, line) != slices.Contains(other, line) {
			place, _, _ := strings.Cut(line, ":")
			places = append(places, place)
		}
	}
	return strings.Join(unique(places), ", ")
}

// install is all phases of this package in mode fresh, up to the mounted and proven target.
func install(t *testing.T, s Site, l layout) {
	t.Helper()
	must(t, s.Release(t.Context()))
	must(t, s.SaveUndo(t.Context(), filepath.Join(t.TempDir(), "undo")))
	must(t, s.Wipe(t.Context()))
	must(t, s.Format(t.Context(), l.format))
	must(t, s.Mount(t.Context(), l.mount))
	verified(t, s)
}

func verified(t *testing.T, s Site) {
	t.Helper()
	problems, err := s.VerifyMounts(t.Context(), Room{Store: 1 << 20, Boot: 1 << 20})
	must(t, err)
	for _, p := range problems {
		t.Errorf("%s", p)
	}
	if t.Failed() {
		t.FailNow()
	}
}

// installScenario goes through every step in mode fresh, then keep, then fresh again over what is there.
func installScenario(t *testing.T, name string) {
	l := readLayout(t, name)
	s := blank(t, l)
	install(t, s, l)
	write(t, "/mnt/kept", "photos")
	must(t, s.Close(t.Context()))
	must(t, s.Close(t.Context())) // each step can be repeated
	for _, target := range s.Targets {
		if id := find(t, target.Device.Serial).TableID; id != hive.InstallingGUID("web", target.Disk.Name) {
			t.Errorf("before the end the table is %s", id)
		}
	}
	must(t, s.Seal(t.Context()))
	must(t, s.Seal(t.Context()))
	for _, target := range s.Targets {
		if id := find(t, target.Device.Serial).TableID; id != hive.DiskGUID("web", target.Disk.Name) {
			t.Errorf("after the end the table is %s", id)
		}
	}

	s.Targets = targets(t, l, "mount")
	for _, mode := range []hive.Mode{hive.Keep, hive.Add} {
		if problems := MatchTables(s.Plan, mode, s.Targets); len(problems) > 0 {
			t.Errorf("mode %s: %v", mode, problems)
		}
	}
	must(t, s.Release(t.Context()))
	dirty := s.Plan.Boot.ESP != ""
	if dirty { // the bit that says so of FAT16
		sh(t, "printf '\\x01' | dd of=/dev/disk/by-partlabel/"+l.esp()+" bs=1 seek=37 conv=notrunc,fsync status=none")
	}
	must(t, s.Check(t.Context(), l.mount))
	if bit := "\x00"; dirty && sh(t, "dd if=/dev/disk/by-partlabel/"+l.esp()+" bs=1 skip=37 count=1 status=none") != bit {
		t.Error("the boot file system is still dirty")
	}
	must(t, s.Mount(t.Context(), l.mount))
	verified(t, s)
	must(t, s.Mount(t.Context(), l.mount))
	verified(t, s)
	if text, err := os.ReadFile("/mnt/kept"); err != nil || string(text) != "photos" {
		t.Errorf("in mode keep the file reads %q, %v", text, err)
	}

	// fresh over a mounted system
	s.Targets = targets(t, l, "destroy")
	install(t, s, l)
	if _, err := os.Stat("/mnt/kept"); err == nil {
		t.Error("a file survived mode fresh")
	}
	must(t, s.Close(t.Context()))
}

// undoScenario: whatever was on the disk is there again, to the byte, when nothing was formatted.
func undoScenario(t *testing.T) {
	l := readLayout(t, "plain")
	s := blank(t, l)
	sh(t, `
d=$(readlink -f `+link("main")+`)
sgdisk -n 1:0:+40M -t 1:EF00 -n 2:0:+100M -n 3:0:+60M -n 4:0:+100M -t 4:8E00 -n 5:0:+50M $d >/dev/null; partprobe $d; udevadm settle
mkfs.vfat -n WINDOWS ${d}1 >/dev/null; mkfs.ext4 -q -L photos ${d}2
cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 ${d}3 /run/passphrase
pvcreate -q ${d}4; vgcreate -q old ${d}4; lvcreate -q -y -L 40M -n data old; mkfs.ext4 -q /dev/old/data
mdadm --create /dev/md/old --run --level=1 --force --raid-devices=1 --metadata=1.0 ${d}5; mkfs.ext4 -q /dev/md/old
mkdir -p /mnt/x; mount ${d}2 /mnt/x; cp /scenarios /mnt/x/photo; umount /mnt/x
udevadm settle`)
	s.Targets = targets(t, l, "destroy")
	if lines := strings.Join(Contents(s.Targets[0].Device), "\n"); !strings.Contains(lines, `FAT "WINDOWS"`) || !strings.Contains(lines, "LUKS") || !strings.Contains(lines, `"photos"`) {
		t.Errorf("contents: %s", lines)
	}
	must(t, s.Release(t.Context()))
	before := sum(t, link("main"))
	dir := filepath.Join(t.TempDir(), "undo")
	must(t, s.SaveUndo(t.Context(), dir))
	must(t, s.Wipe(t.Context()))
	if find(t, "main").TableID != hive.InstallingGUID("web", "main") {
		t.Fatal("nothing was wiped")
	}
	must(t, s.SaveUndo(t.Context(), dir)) // the kit of the wiped disk does not replace the first one
	must(t, s.Wipe(t.Context()))
	kits, err := Kits(dir)
	must(t, err)
	if len(kits) != 1 {
		t.Fatalf("%d kits", len(kits))
	}
	must(t, s.Restore(t.Context(), kits[0]))
	must(t, s.Release(t.Context())) // udev may have assembled the array
	if after := sum(t, link("main")); after != before {
		t.Errorf("the disk is not what it was at %s", changed(before, after))
	}
	sh(t, "mkdir -p /mnt/x; mount -o ro,noload "+link("main")+"-part2 /mnt/x; cmp /scenarios /mnt/x/photo; umount /mnt/x")

	// the script for people does the same
	must(t, s.Release(t.Context()))
	s.Targets = targets(t, l, "destroy")
	must(t, s.Wipe(t.Context()))
	sh(t, "echo yes | sh "+dir+"/restore.sh "+dir+"/disk-main "+link("main")+"; udevadm settle")
	if err := exec.CommandContext(t.Context(), "sh", "-c", "echo yes | sh "+dir+"/restore.sh "+dir+"/disk-main "+link("second")).Run(); err == nil || !find(t, "second").Blank() {
		t.Errorf("restore.sh writes to a disk that the kit is not of: %v", err)
	}
	must(t, s.Release(t.Context()))
	if after := sum(t, link("main")); after != before {
		t.Errorf("restore.sh does not bring the disk back at %s", changed(before, after))
	}

	// a damaged kit writes nothing
	wiped := s
	wiped.Targets = targets(t, l, "destroy")
	must(t, wiped.Wipe(t.Context()))
	empty := sum(t, link("main"))
	files, err := filepath.Glob(filepath.Join(dir, "disk-main", "*.gz"))
	must(t, err)
	must(t, os.Truncate(files[len(files)-1], 20))
	if err := s.Restore(t.Context(), kits[0]); err == nil || sum(t, link("main")) != empty {
		t.Errorf("a damaged kit: %v", err)
	}
}

// refusalsScenario: what is in use, changed, or the medium is left as it is.
func refusalsScenario(t *testing.T) {
	l := readLayout(t, "plain")
	s := blank(t, l)
	other := func(change func(*hive.Target)) Site {
		o := s
		o.Targets = targets(t, l, "destroy")
		change(&o.Targets[0])
		return o
	}
	before := sum(t, link("main"))
	for name, o := range map[string]Site{
		"another serial number": other(func(x *hive.Target) { x.Device.Serial = "other" }),
		"another size":          other(func(x *hive.Target) { x.Device.Bytes-- }),
		"another number":        other(func(x *hive.Target) { x.Device.Number = "1:1" }),
		"gone":                  other(func(x *hive.Target) { x.Device.Path = "/dev/vdz" }),
	} {
		for step, err := range map[string]error{"save": o.SaveUndo(t.Context(), t.TempDir()), "wipe": o.Wipe(t.Context()), "release": o.Release(t.Context())} {
			if _, ok := errors.AsType[*ChangedError](err); !ok {
				t.Errorf("%s: %s: %v", name, step, err)
			}
		}
	}
	medium := s
	medium.Medium = s.Targets[0].Device.Path
	held := func(what string, err error) {
		t.Helper()
		if _, ok := errors.AsType[*HeldError](err); !ok {
			t.Errorf("%s: %v", what, err)
		}
	}
	held("the medium", medium.Wipe(t.Context()))
	if sum(t, link("main")) != before {
		t.Fatal("something was written")
	}

	sh(t, "mkfs.ext4 -q -F "+link("main")+"; mkdir -p /media/x; mount "+link("main")+" /media/x; udevadm settle")
	held("mounted elsewhere, release", s.Release(t.Context()))
	held("mounted elsewhere, wipe", s.Wipe(t.Context()))
	sh(t, "grep -q ' /media/x ' /proc/mounts; umount /media/x")

	formatted := other(func(x *hive.Target) { x.Fate = "format" })
	if _, ok := errors.AsType[*ChangedError](formatted.Wipe(t.Context())); !ok {
		t.Error("a disk that was blank and is not any more is formatted")
	}
	additional := other(func(x *hive.Target) { x.Disk.Additional = true })
	before = sum(t, link("main"))
	must(t, additional.Wipe(t.Context()))
	if sum(t, link("main")) != before {
		t.Fatal("an additional disk was written")
	}

	sh(t, "mkdir -p /mnt/in; mount "+link("main")+" /mnt/in")
	hold, err := os.Open("/mnt/in")
	must(t, err)
	held("a file open below the root", s.Release(t.Context()))
	must(t, hold.Close())
	must(t, s.Release(t.Context()))

	sh(t, "losetup /dev/loop7 "+link("main"))
	held("a loop device, which the kernel takes for no claim", s.Wipe(t.Context()))
	sh(t, "losetup -d /dev/loop7")

	sh(t, "wipefs --quiet --all "+link("main")+"; udevadm settle")
	if devices := Unknown([]hive.Device{find(t, "main")}); devices[0].Blank() {
		t.Error("what remains of a file system without its signature counts as nothing")
	}
	before = sum(t, link("main"))
	if _, ok := errors.AsType[*ChangedError](other(func(x *hive.Target) { x.Fate = "format" }).Wipe(t.Context())); !ok {
		t.Error("a disk with something on it that has no name is formatted without a word")
	}
	if _, ok := errors.AsType[*UnprovenError](s.Format(t.Context(), l.format)); !ok || sum(t, link("main")) != before {
		t.Error("disko's script ran over a disk that was not laid out for it")
	}
}

// spanningScenario: sets that are only half on the disks to destroy, and names that other disks have.
func spanningScenario(t *testing.T) {
	l := readLayout(t, "lvm")
	s := blank(t, l)
	sh(t, `
a=`+link("main")+` b=`+link("second")+` c=`+link("third")+`
sgdisk -n 1:0:+200M -n 2:0:+100M -n 3:0:+150M $a >/dev/null; sgdisk -n 1:0:+200M -n 2:0:+100M -n 3:0:+150M -c 3:disk-main-esp $b >/dev/null; partprobe; udevadm settle
pvcreate -q $a-part1 $b-part1; vgcreate -q pool $a-part1 $b-part1; lvcreate -q -y -L 300M -n photos pool
mdadm --create /dev/md/half --run --level=1 --raid-devices=2 --metadata=1.2 $a-part2 $b-part2
mkfs.btrfs -q -f $a-part3 $b-part3
udevadm trigger --settle --subsystem-match=block`)
	s.Targets = targets(t, l, "destroy")
	devices, err := blockdev.List(t.Context(), s.Run)
	must(t, err)
	members, err := s.Members(t.Context(), devices)
	must(t, err)
	problems := fmt.Sprint(Spanning(s.Plan, s.Targets, members))
	for _, want := range []string{`LVM volume group "pool"`, `RAID array "half"`, "btrfs file system"} {
		if !strings.Contains(problems, want) {
			t.Errorf("%s is not told: %s", want, problems)
		}
	}
	problems = fmt.Sprint(Collisions(s.Plan, s.Targets, hive.Machine{Devices: devices}, members))
	for _, want := range []string{`the label "disk-main-esp"`, `LVM volume group "pool"`} {
		if !strings.Contains(problems, want) {
			t.Errorf("%s is not told: %s", want, problems)
		}
	}
	// without the other disk in the plan the volume group is in nobody's way when it is idle, and both disks are freed
	sh(t, "vgchange -q -a n pool; mdadm --stop /dev/md/half; vgchange -q -a y pool")
	must(t, s.Release(t.Context()))
	both := s
	both.Targets = append(both.Targets, hive.Target{Disk: hive.Disk{Name: "second"}, Device: find(t, "second"), Fate: "destroy"})
	if problems := Spanning(s.Plan, both.Targets, members); len(problems) > 0 {
		t.Errorf("all members are to be destroyed: %v", problems)
	}
	must(t, both.Release(t.Context()))
}

// shadowsScenario: the mounts that made the original project's systems not boot are seen.
func shadowsScenario(t *testing.T) {
	l := readLayout(t, "plain")
	s := blank(t, l)
	expect := func(what, want string) {
		t.Helper()
		problems, err := s.VerifyMounts(t.Context(), Room{})
		must(t, err)
		if got := fmt.Sprint(problems); !strings.Contains(got, want) {
			t.Errorf("%s: %q is not told: %s", what, want, got)
		}
	}
	expect("nothing was mounted at all", "nothing is mounted at /mnt")
	install(t, s, l)
	must(t, s.Release(t.Context()))

	sh(t, "mkdir -p /mnt/boot; mount /dev/disk/by-partlabel/disk-main-esp /mnt/boot; mount /dev/disk/by-partlabel/disk-main-root /mnt")
	expect("boot below root", "nothing is mounted at /mnt/boot")
	expect("boot below root", "/mnt/boot is hidden by another one")
	must(t, s.Mount(t.Context(), l.mount)) // starts anew
	verified(t, s)

	sh(t, "umount /mnt/boot; mkfs.vfat -n OTHER "+link("third")+" >/dev/null; mount "+link("third")+" /mnt/boot")
	expect("another disk at /boot", "is mounted instead of")
	sh(t, "umount /mnt/boot; mount -t tmpfs none /mnt/boot")
	expect("memory at /boot", "a tmpfs file system is mounted at /mnt/boot")
	sh(t, "umount /mnt/boot; mount /dev/disk/by-partlabel/disk-main-esp /mnt/boot; mkdir -p /mnt/srv; mount "+link("third")+" /mnt/srv")
	expect("something else at /srv", "not planned")
	sh(t, "umount /mnt/srv; sgdisk -t 1:8300 "+link("main")+" >/dev/null 2>&1")
	expect("the type of the ESP", "is no EFI system partition")
	sh(t, "sgdisk -t 1:EF00 "+link("main")+" >/dev/null 2>&1; mount -o remount,ro /mnt")
	expect("read-only", "/mnt is read-only")
	sh(t, "mount -o remount,rw /mnt; swapoff /dev/disk/by-partlabel/disk-main-swap")
	expect("swap", "is not swapped to")
	problems, err := s.VerifyMounts(t.Context(), Room{Store: 1 << 40, Boot: 1 << 40})
	must(t, err)
	if got := fmt.Sprint(problems); strings.Count(got, "has room for") != 2 {
		t.Errorf("room: %s", got)
	}
	must(t, s.Close(t.Context()))

	// a twin: another disk has the label, and udev's link leads there
	sh(t, `sgdisk -n 1:0:+300M -c 1:disk-main-root `+link("second")+` >/dev/null; partprobe; udevadm settle; mkfs.ext4 -q `+link("second")+`-part1; udevadm trigger --settle
ln -sfn $(readlink -f `+link("second")+`-part1) /dev/disk/by-partlabel/disk-main-root`)
	where := places{mustList(t), s.Targets}
	if _, err := where.find("/dev/disk/by-partlabel/disk-main-root"); err == nil || !strings.Contains(err.Error(), "not on a planned disk") {
		t.Errorf("a twin label: %v", err)
	}
}

func mustList(t *testing.T) []hive.Device {
	t.Helper()
	devices, err := blockdev.List(t.Context(), run.Local{})
	must(t, err)
	return devices
}

// staleRegionsScenario: two layouts ago there was something exactly where the new partitions will be, which no table shows any more.
func staleRegionsScenario(t *testing.T) {
	for _, name := range []string{"plain", "luks", "lvm", "btrfs"} {
		t.Run(name, func(t *testing.T) {
			l := readLayout(t, name)
			s := blank(t, l)
			slots, err := s.layout(t.Context(), s.Targets[0].Disk, s.Targets[0].Device)
			must(t, err)
			for i, slot := range slots {
				kinds := []string{
					`mkfs.ext4 -q -L stale $p; mkdir -p /mnt/x; mount $p /mnt/x; echo old >/mnt/x/old; umount /mnt/x`,
					`cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 $p /run/passphrase`,
					`pvcreate -q -y $p; vgcreate -q pool $p; vgchange -q -a n pool`,
					`mkfs.btrfs -q -f $p`,
				}
				stale := kinds[(i+1)%len(kinds)]
				if slot.bytes > 200<<20 { // where the root will be
					stale = map[string]string{"plain": kinds[0], "luks": kinds[1], "lvm": kinds[1], "btrfs": kinds[3]}[name]
				}
				sh(t, fmt.Sprintf(`d=`+link("main")+`; sgdisk --clear --set-alignment=1 -n 1:%d:%d $d >/dev/null; partprobe $d; udevadm settle; p=$d-part1; %s; udevadm settle`,
					slot.start/512, slot.end()/512-1, stale))
			}
			// the last table shows something else
			sh(t, "d="+link("main")+"; sgdisk --clear -n 1:400M:+100M $d >/dev/null; partprobe $d; udevadm settle")
			s.Targets = targets(t, l, "destroy")
			install(t, s, l)
			if _, err := os.Stat("/mnt/old"); err == nil {
				t.Error("an old file system was adopted")
			}
			if out := sh(t, "blkid"); strings.Contains(out, "stale") {
				t.Errorf("an old file system was adopted: %s", out)
			}
			must(t, s.Close(t.Context()))
		})
	}
}

// staleArrayScenario: a new array shows what an older one held at the same place. disko would adopt it.
func staleArrayScenario(t *testing.T) {
	l := readLayout(t, "raid")
	s := blank(t, l)
	install(t, s, l)
	write(t, "/mnt/old", "old")
	must(t, s.Close(t.Context()))
	for range 2 { // once with the last array's tables, once more with ours
		must(t, s.Release(t.Context()))
		s.Targets = targets(t, l, "destroy")
		install(t, s, l)
		if _, err := os.Stat("/mnt/old"); err == nil {
			t.Fatal("the old file system was adopted")
		}
		write(t, "/mnt/old", "old")
		must(t, s.Close(t.Context()))
	}
}

// dirtyScenario: what a power cut leaves is repaired in mode keep, and damage is told.
func dirtyScenario(t *testing.T) {
	l := readLayout(t, "bios")
	s := blank(t, l)
	install(t, s, l)
	write(t, "/mnt/kept", "photos")
	write(t, "/mnt/home/kept", "photos")
	must(t, s.Close(t.Context()))
	s.Targets = targets(t, l, "mount")
	// the disk as it is while it is mounted, which is what a power cut leaves
	sh(t, `p=/dev/disk/by-partlabel
mount $p/disk-main-root /mnt; mount $p/disk-main-home /mnt/home; echo more >/mnt/more; echo more >/mnt/home/more; sync
dd if=$p/disk-main-root of=`+link("second")+` bs=1M conv=fsync status=none; dd if=$p/disk-main-home of=`+link("third")+` bs=1M conv=fsync status=none
umount -R /mnt
dd if=`+link("second")+` of=$p/disk-main-root bs=1M count=$(($(blockdev --getsize64 $p/disk-main-root) / 1048576)) conv=fsync status=none
dd if=`+link("third")+` of=$p/disk-main-home bs=1M count=$(($(blockdev --getsize64 $p/disk-main-home) / 1048576)) conv=fsync status=none; udevadm settle`)
	must(t, s.Check(t.Context(), l.mount))
	if out := sh(t, "e2fsck -p /dev/disk/by-partlabel/disk-main-root"); strings.Contains(out, "recovering") {
		t.Errorf("the journal was not replayed: %s", out)
	}
	must(t, s.Mount(t.Context(), l.mount))
	verified(t, s)
	must(t, s.Close(t.Context()))

	sh(t, "dd if=/dev/urandom of=/dev/disk/by-partlabel/disk-main-root bs=4k seek=1 count=400 conv=notrunc status=none")
	err := s.Check(t.Context(), l.mount)
	if d, ok := errors.AsType[*DamagedError](err); !ok || d.MountPoint != "/" {
		t.Errorf("a damaged file system: %v", err)
	}
	sh(t, "wipefs -q -a /dev/disk/by-partlabel/disk-main-home; udevadm settle")
	s.Targets = targets(t, l, "mount")
	if problems := MatchTables(s.Plan, hive.Keep, s.Targets); len(problems) != 1 {
		t.Errorf("a file system is gone: %v", problems)
	}
}

// addScenario: a second disk is laid out, and the first stays as it is.
func addScenario(t *testing.T) {
	l := readLayout(t, "plain")
	s := blank(t, l)
	install(t, s, l)
	write(t, "/mnt/kept", "photos")
	must(t, s.Close(t.Context()))
	must(t, s.Seal(t.Context()))

	l = readLayout(t, "grown")
	s.Plan.Storage = l.Storage
	s.Targets = targets(t, l, "mount")
	s.Targets[1].Fate = "format"
	if problems := MatchTables(s.Plan, hive.Add, s.Targets); len(problems) > 0 {
		t.Fatal(problems)
	}
	must(t, s.Release(t.Context()))
	must(t, s.Wipe(t.Context()))
	guardedScenario(t, s, l)
	install(t, s, l)
	if text, err := os.ReadFile("/mnt/kept"); err != nil || string(text) != "photos" {
		t.Errorf("the file reads %q, %v", text, err)
	}
	must(t, s.Close(t.Context()))
	if main, second := find(t, "main").TableID, find(t, "second").TableID; main != hive.DiskGUID("web", "main") || second != hive.InstallingGUID("web", "second") {
		t.Errorf("before the end the tables are %s and %s", main, second)
	}
	s.Targets = targets(t, l, "mount") // cut off here: the second disk may be laid out once more
	s.Targets[1].Fate = "format"
	install(t, s, l)
	must(t, s.Close(t.Context()))
	must(t, s.Seal(t.Context()))
	if second := find(t, "second").TableID; second != hive.DiskGUID("web", "second") {
		t.Errorf("after the end the table is %s", second)
	}
}

// guardedScenario: disko's script does not begin when a name leads elsewhere, and can format nothing that is kept.
func guardedScenario(t *testing.T, s Site, l layout) {
	t.Helper()
	rename := func(label string) {
		t.Helper()
		// udev looks at what sgdisk has written, and the kernel reads no table of a disk that somebody has open
		sh(t, "sgdisk -c 3:"+label+" "+link("main")+" >/dev/null; n=0; until udevadm settle; blockdev --rereadpt "+link("main")+"; do "+
			"n=$((n + 1)); [ $n -lt 20 ]; sleep 1; done; udevadm settle")
	}
	rename("other")
	before := sum(t, link("second"))
	if _, ok := errors.AsType[*UnprovenError](s.Format(t.Context(), l.format)); !ok || sum(t, link("second")) != before {
		t.Error("disko's script ran with a disk in its way that is not the plan's")
	}
	rename("disk-main-root")
	release, err := s.prepareScript(t.Context())
	must(t, err)
	before = sum(t, link("main"))
	for _, format := range []string{
		"mkfs.ext4 -q -F disk-main-root", "mkfs.xfs -q -f disk-main-root", "mkfs.btrfs -q -f disk-main-root", "pvcreate -q -y disk-main-root",
		"mkfs.vfat disk-main-esp", "mkswap disk-main-swap", "cryptsetup luksFormat -q --pbkdf pbkdf2 disk-main-root /run/passphrase",
	} {
		script := strings.Replace(format, "disk-", "/dev/disk/by-partlabel/disk-", 1)
		if out, err := exec.CommandContext(t.Context(), "bash", "-c", script).CombinedOutput(); err == nil {
			t.Errorf("%s was not refused: %s", format, out)
		}
	}
	must(t, release())
	if after := sum(t, link("main")); after != before {
		t.Errorf("the kept disk changed at %s", changed(before, after))
	}
}
