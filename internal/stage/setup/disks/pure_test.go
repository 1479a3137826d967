package disks

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/blockdev"
	"nixos-staged-hive/internal/hive"
)

func TestAreasAreJoinedAndStayOnTheDisk(t *testing.T) {
	const disk = 100 << 20
	got := merge(append(ends(0, disk), area{512, 10}, area{disk - 100, 1 << 20}, area{50<<20 + 1, 1}, area{-5, 3}), disk)
	want := []area{{0, frontBytes}, {50 << 20, pageBytes}, {disk - backBytes, backBytes}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := merge(ends(0, 3<<20), 3<<20); !slices.Equal(got, []area{{0, 3 << 20}}) {
		t.Errorf("a small disk: %v", got)
	}
}

func FuzzMergedAreasCoverAllAndNothingOutside(f *testing.F) {
	f.Add(int64(0), int64(10), int64(5000), int64(1), int64(1<<20))
	f.Fuzz(func(t *testing.T, a, al, b, bl, size int64) {
		const limit = 1 << 40
		if size < 0 || size > limit || min(a, al, b, bl) < 0 || max(a, al, b, bl) > limit {
			return
		}
		merged := merge([]area{{a, al}, {b, bl}}, size)
		for i, m := range merged {
			if m.Offset < 0 || m.end() > size || m.Length <= 0 || i > 0 && merged[i-1].end() >= m.Offset {
				t.Fatalf("%v of %d bytes", merged, size)
			}
		}
		for _, one := range []area{{a, al}, {b, bl}} {
			for _, at := range []int64{one.Offset, one.Offset + one.Length/2, one.end() - 1} {
				inside := slices.ContainsFunc(merged, func(m area) bool { return m.Offset <= at && at < m.end() })
				if one.Length > 0 && at < size && !inside {
					t.Fatalf("byte %d is not in %v", at, merged)
				}
			}
		}
	})
}

const mountinfo = `22 27 0:21 / /sys rw,nosuid shared:7 - sysfs sysfs rw
90 27 254:1 / /mnt rw,relatime shared:50 - ext4 /dev/vda1 rw
91 90 0:45 /root /mnt/with\040blank rw - btrfs /dev/vda2 rw,subvol=/root
`

func TestMountsAreRead(t *testing.T) {
	mounts, err := parseMounts(mountinfo)
	if err != nil || len(mounts) != 3 {
		t.Fatalf("%v %v", mounts, err)
	}
	if want := (mount{91, "0:45", "/root", "/mnt/with blank", "btrfs", "/dev/vda2"}); mounts[2] != want {
		t.Errorf("got %+v, want %+v", mounts[2], want)
	}
	if at := lastBelow(mounts, "/mnt"); at != 2 {
		t.Errorf("the last one below /mnt is %d", at)
	}
	if lastBelow(mounts, "/mn") != -1 {
		t.Error("/mnt is taken for a folder in /mn")
	}
	for _, bad := range []string{"1 2 3", "x 27 0:21 / /sys rw - sysfs sysfs rw", "22 27 0:21 / /sys rw shared:7 - sysfs"} {
		if _, err := parseMounts(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzMountsNeverPanic(f *testing.F) {
	f.Add(mountinfo)
	f.Add(`1 2 3 \0 \1 \ - \999 \`)
	f.Fuzz(func(_ *testing.T, text string) {
		_, _ = parseMounts(text)
		_ = decodeLink(text)
		_ = traced(text)
	})
}

func TestNamesOfUdevAreDecoded(t *testing.T) {
	for in, want := range map[string]string{`a\x20b`: "a b", `a\x2`: `a\x2`, `\xzz`: `\xzz`, "plain": "plain", `\x2f`: "/"} {
		if got := decodeLink(in); got != want {
			t.Errorf("decodeLink(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestGroupsAreTakenOutOfMapperNames(t *testing.T) {
	for in, want := range map[string]string{"pool-root": "pool", "my--pool-my--root": "my-pool", "a----b-c": "a--b", "alone": "alone"} {
		if got := groupOf(in); got != want {
			t.Errorf("groupOf(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestPoolsAreFoundByTheirDevices(t *testing.T) {
	const list = "tank\t9.5G\t1M\t9.5G\t-\t-\t0%\t0%\t1.00x\tONLINE\t-\n" +
		"\tmirror-0\t9.5G\t1M\t9.5G\t-\t-\t0%\t0.01%\t-\tONLINE\n\t/dev/vda3\t-\t-\t-\t-\t-\t-\t-\t-\tONLINE\n\t/dev/vdb3\t-\t-\n" +
		"other\t1G\n\t/dev/vdc1\t-\n"
	on := func(path string) bool { return strings.HasPrefix(path, "/dev/vdb") }
	if got := poolsOn(list, on); !slices.Equal(got, []string{"tank"}) {
		t.Errorf("got %v", got)
	}
}

func TestStepsOfAScriptAreToldWithoutSecrets(t *testing.T) {
	for in, want := range map[string]string{
		"+ mkfs.ext4 /dev/disk/by-partlabel/disk-main-root":                         "mkfs.ext4 /dev/disk/by-partlabel/disk-main-root",
		"++ sgdisk --align-end --new=1:0:+1M /dev/vda":                              "sgdisk",
		"+ cryptsetup -q luksFormat /dev/vda2 --key-file /dev/fd/63 --pbkdf secret": "cryptsetup /dev/vda2",
		"+ /nix/store/x/bin/mount '/dev/vda1' /mnt -t ext4":                         "mount /dev/vda1",
		"+ password=x":     "",
		"mkfs.ext4 /dev/x": "",
		"+ blkid /dev/vda": "",
		"+":                "",
	} {
		if got := traced(in); strings.TrimSpace(got) != want {
			t.Errorf("traced(%q) = %q, want %q", in, got, want)
		}
	}
	var told []string
	tr := &tracer{tell: func(s string) { told = append(told, s) }}
	for _, piece := range []string{"+ mkswap /d", "ev/vda2\n+ pvcr", "eate /dev/vda3\n+ half"} {
		if n, err := tr.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
	}
	if want := []string{"mkswap /dev/vda2", "pvcreate /dev/vda3"}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}

func TestATableIsAskedForAsDiskoMakesIt(t *testing.T) {
	disk := hive.Disk{Table: "gpt", Partitions: []hive.Partition{
		{Name: "root", Label: "disk-main-root", Type: "8300", Size: "100%"},
		{Name: "ESP", Label: "disk-main-ESP", Type: "EF00", Size: "512M"},
		{Name: "boot", Label: "disk-main-boot", Type: "EF02", Size: "1M"},
	}}
	want := "--clear --disk-guid=G --align-end --new=1:0:+1M --change-name=1:disk-main-boot --typecode=1:EF02 " +
		"--new=2:0:+512M --change-name=2:disk-main-ESP --typecode=2:EF00 --new=3:0:-0 --change-name=3:disk-main-root --typecode=3:8300"
	if got := strings.Join(tableArguments(disk, "G"), " "); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	told := hive.Disk{Table: "gpt", Partitions: []hive.Partition{
		{Label: "b", Type: "8300", Number: 2, Start: "34s", End: "+1M", Alignment: 1}, {Label: "a", Type: "8300", Number: 1, Start: "0", End: "-1G"},
	}}
	want = "--clear --align-end --new=1:0:-1G --change-name=1:a --typecode=1:8300 --set-alignment=1 --new=2:34s:+1M --change-name=2:b --typecode=2:8300 --set-alignment=2048"
	if got := strings.Join(tableArguments(told, ""), " "); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestWhatSgdiskSaysIsRead(t *testing.T) {
	const one = "Creating new GPT entries in memory.\nPartition GUID code: C12A7328-F81F-11D2-BA4B-00A0C93EC93B (EFI system partition)\n" +
		"Partition unique GUID: 3BF72085-D195-4847-AABE-DE6D137D5ADF\nFirst sector: 2048 (at 1024.0 KiB)\nLast sector: 4095 (at 2.0 MiB)\n" +
		"Partition size: 2048 sectors (1024.0 KiB)\nAttribute flags: 0000000000000000\nPartition name: 'it's'\n"
	parts := []hive.Partition{{Number: 3, Label: "it's"}}
	got, err := parseSlots(one, parts, 4096)
	if want := (slot{3, 2048 * 4096, 2048 * 4096, guidOf("EF00"), "it's"}); err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for what, bad := range map[string]string{"nothing": "", "two": one + one, "no partition": "First sector: 1 (", "no number": strings.Replace(one, "2048 (at", "x (at", 1), "another": strings.Replace(one, "it's", "its", 1)} {
		if _, err := parseSlots(bad, parts, 512); err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
}

func TestATableIsComparedToTheLastSector(t *testing.T) {
	slots := []slot{{1, 1 << 20, 1 << 20, guidOf("EF00"), "a"}}
	// sectors are told by package blockdev only when it reads a table, so places are compared in the guest
	table := blockdev.GPT{Protected: true, Partitions: []blockdev.Partition{{Number: 1, Type: guidOf("8300"), Name: "a"}, {Number: 7, Name: "more"}}}
	got := strings.Join(tableProblems("/dev/x", table, slots), "\n")
	for _, want := range []string{"partition 1 is", "partition 7 (more) is not planned"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not told: %s", want, got)
		}
	}
	table = blockdev.GPT{BackupError: fmt.Errorf("torn")}
	got = strings.Join(tableProblems("/dev/x", table, slots), "\n")
	for _, want := range []string{"second copy", "torn", "no protective entry", "partition 1 (a) is missing"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not told: %s", want, got)
		}
	}
}

// planned is a disk with an ESP, swap and an encrypted root, as facts tell it, and the device that fits.
func planned() (hive.Disk, hive.Device) {
	disk := hive.Disk{Name: "main", Table: "gpt", Partitions: []hive.Partition{
		{Name: "esp", Label: "disk-main-esp", Type: "EF00", Number: 1, Content: "filesystem", Format: "vfat", MountPoint: "/boot"},
		{Name: "swap", Label: "disk-main-swap", Type: "8200", Number: 2, Content: "swap"},
		{Name: "root", Label: "disk-main-root", Type: "8300", Number: 3, Content: "luks", Format: "ext4", MountPoint: "/"},
	}}
	device := hive.Device{Path: "/dev/sda", Kind: "disk", Table: "gpt", Model: "Disk", Serial: "S1", Bytes: 500e9, Children: []hive.Device{
		{Path: "/dev/sda1", Kind: "part", PartNum: 1, PartLabel: "disk-main-esp", PartType: guidOf("EF00"), Content: "vfat", Bytes: 512e6},
		{Path: "/dev/sda2", Kind: "part", PartNum: 2, PartLabel: "disk-main-swap", PartType: guidOf("8200"), Bytes: 8e9},
		{Path: "/dev/sda3", Kind: "part", PartNum: 3, PartLabel: "disk-main-root", PartType: guidOf("8300"), Content: "crypto_LUKS", Bytes: 490e9},
	}}
	return disk, device
}

func TestATableThatIsKeptHasToBeThePlans(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*hive.Device)
		mode   hive.Mode
		want   string // empty: a match
	}{
		"the same":             {func(*hive.Device) {}, hive.Add, ""},
		"another number, keep": {func(d *hive.Device) { d.Children[0].PartNum = 4 }, hive.Keep, ""},
		"another number, add":  {func(d *hive.Device) { d.Children[0].PartNum = 4 }, hive.Add, `partition "disk-main-esp" has number 4 instead of 1`},
		"one is missing":       {func(d *hive.Device) { d.Children = d.Children[:2] }, hive.Keep, `0 partitions instead of one have the label "disk-main-root"`},
		"a twin":               {func(d *hive.Device) { d.Children[1].PartLabel = "disk-main-root" }, hive.Keep, `2 partitions instead of one have the label`},
		"a foreign one": {func(d *hive.Device) {
			d.Children = append(d.Children, hive.Device{Kind: "part", PartNum: 4, Content: "ntfs", Bytes: 1e9})
		}, hive.Keep, `partition 4 "" (NTFS, 1.0 GB) is not planned`},
		"another type":           {func(d *hive.Device) { d.Children[0].PartType = guidOf("0700") }, hive.Keep, "has type " + guidOf("0700") + " instead of EF00"},
		"another content":        {func(d *hive.Device) { d.Children[2].Content = "ext4" }, hive.Keep, "has ext4 on it instead of crypto_LUKS"},
		"nothing in it":          {func(d *hive.Device) { d.Children[2].Content = "" }, hive.Keep, "has nothing on it instead of crypto_LUKS"},
		"a table of another day": {func(d *hive.Device) { d.Table = "dos" }, hive.Keep, "no GUID partition table but dos"},
		"blank":                  {func(d *hive.Device) { *d = hive.Device{} }, hive.Add, "no GUID partition table but nothing"},
	} {
		disk, device := planned()
		tt.change(&device)
		got := strings.Join(MatchTable(disk, device, tt.mode), "; ")
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	whole := hive.Disk{Table: "luks", Partitions: []hive.Partition{{Content: "luks", Size: "100%"}}}
	if got := MatchTable(whole, hive.Device{Content: "crypto_LUKS"}, hive.Keep); got != nil {
		t.Errorf("an encrypted disk: %v", got)
	}
	if got := MatchTable(whole, hive.Device{Table: "gpt"}, hive.Keep); len(got) != 1 {
		t.Errorf("a partitioned disk instead of an encrypted one: %v", got)
	}
}

func TestDisksThatCannotBeKeptAreRefused(t *testing.T) {
	disk, device := planned()
	torn := device
	torn.Children = nil
	kept := hive.Target{Disk: disk, Device: device, Fate: "mount"}
	other := hive.Target{Disk: hive.Disk{Name: "other"}, Device: hive.Device{Path: "/dev/sdb"}, Fate: "format"}
	pictures := hive.Target{Disk: hive.Disk{Name: "pictures", Additional: true, Table: "gpt"}, Device: hive.Device{Path: "/dev/sdc"}, Fate: "mount"}
	same := other
	same.Device = pictures.Device
	plain := kept
	plain.Disk.Partitions = slices.Clone(disk.Partitions)
	plain.Disk.Partitions[2].Content = "filesystem"
	plain.Device.Children = slices.Clone(device.Children)
	plain.Device.Children[2].Content = "ext4"
	for name, tt := range map[string]struct {
		mode    hive.Mode
		targets []hive.Target
		want    string
	}{
		"all is kept":                     {hive.Keep, []hive.Target{kept, pictures}, ""},
		"nothing to add":                  {hive.Add, []hive.Target{kept, pictures}, ""},
		"one is added":                    {hive.Add, []hive.Target{plain, pictures, other}, ""},
		"one is added beside encryption":  {hive.Add, []hive.Target{kept, pictures, other}, `disk main (/dev/sda Disk S1) cannot be kept as the plan describes it: partition "disk-main-root" holds luks`},
		"another table":                   {hive.Keep, []hive.Target{{Disk: disk, Device: torn, Fate: "mount"}}, "/dev/sda Disk S1"},
		"kept and laid out":               {hive.Fresh, []hive.Target{pictures, same}, "disk pictures (/dev/sdc) is only to be mounted, and another disk of the plan"},
		"what is laid out may be foreign": {hive.Fresh, []hive.Target{{Disk: disk, Device: torn, Fate: "destroy"}}, ""},
	} {
		got := MatchTables(hive.Plan{Name: "web"}, tt.mode, tt.targets)
		if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || got[0].Severity != hive.Error || !strings.Contains(got[0].Message, tt.want)) {
			t.Errorf("%s: got %v, want %q", name, got, tt.want)
		}
	}
}

func TestADiskWithBytesOfAnyKindIsNotBlank(t *testing.T) {
	folder := t.TempDir()
	disk := func(name string, at int64, content byte) hive.Device {
		path := filepath.Join(folder, name)
		f, err := os.Create(path)
		must(t, err)
		must(t, f.Truncate(20<<20))
		_, err = f.WriteAt([]byte{content}, at)
		must(t, err)
		must(t, f.Close())
		return hive.Device{Path: path, Kind: "disk", Bytes: 20 << 20}
	}
	erased := disk("erased", 0, 0)
	must(t, os.WriteFile(erased.Path, bytes.Repeat([]byte{0xff}, 20<<20), 0o600))
	part := disk("part", 0, 7)
	part.Kind = "part"
	known := disk("known", 0, 7)
	known.Content = "ext4"
	devices := []hive.Device{
		disk("blank", 5, 0), erased, disk("first byte", 0, 1), disk("front", 5<<20-1, 9), disk("middle", 10<<20, 9), disk("behind the front", 5<<20, 1), part, known,
		{Path: filepath.Join(folder, "gone"), Kind: "disk", Bytes: 1 << 20},
		{Path: "/dev/sr0", Kind: "disk"},
	}
	var got []string
	for _, d := range Unknown(devices) {
		got = append(got, d.Content)
	}
	if want := []string{"", "", unknown, unknown, "", "", "", "ext4", unknown, ""}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if devices[2].Content != "" {
		t.Error("the list itself was changed")
	}
}

func TestOnlyDisksWithThatFateAreDoomed(t *testing.T) {
	s := Site{Targets: []hive.Target{
		{Device: hive.Device{Path: "/dev/a"}, Fate: "destroy"},
		{Device: hive.Device{Path: "/dev/b"}, Fate: "mount"},
		{Device: hive.Device{Path: "/dev/c"}, Fate: "destroy", Disk: hive.Disk{Additional: true}},
		{Device: hive.Device{Path: "/dev/d"}, Fate: "format"},
		{Device: hive.Device{Path: "/dev/a"}, Fate: "destroy"},
		{Device: hive.Device{Path: "/dev/e"}},
	}}
	if got := doomedPaths(s.Targets); !slices.Equal(got, []string{"/dev/a", "/dev/d"}) {
		t.Errorf("got %v", got)
	}
}

func TestContentsAreToldInWords(t *testing.T) {
	d := hive.Device{Table: "gpt", Children: []hive.Device{
		{Kind: "part", PartNum: 1, PartType: guidOf("EF00"), Content: "vfat", Bytes: 104857600},
		{Kind: "part", PartNum: 2, PartType: guidOf("0C01"), Bytes: 16777216},
		{Kind: "part", PartNum: 3, Content: "ntfs", Label: "OS", Bytes: 119_500_000_000},
		{Path: "/dev/sda4", Kind: "part", PartNum: 4, Content: "crypto_LUKS", Bytes: 300e9, Children: []hive.Device{
			{Path: "/dev/dm-0", Kind: "crypt", Content: "ext4", Label: "photos", Bytes: 299e9, Mounts: []string{"/media/photos"}},
		}},
	}}
	want := []string{
		"partition 1: FAT, 105 MB", "partition 2: Microsoft reserved partition, 17 MB", `partition 3: NTFS "OS", 120 GB (Windows?)`,
		"partition 4: LUKS encryption, 300 GB", `ext4 "photos", 299 GB (somebody's files?), in use at /media/photos on /dev/sda4`,
	}
	if got := Contents(d); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got := Contents(hive.Device{}); len(got) != 0 {
		t.Errorf("a blank disk has %q", got)
	}
	if got := Contents(hive.Device{Table: "gpt"}); len(got) != 1 {
		t.Errorf("an empty table: %q", got)
	}
}

func TestCollisionsSpareWhatIsDestroyedAndWhatIsThePlans(t *testing.T) {
	disk, device := planned()
	twin := device
	twin.Path, twin.Serial = "/dev/sdb", "S2"
	twin.Children = []hive.Device{{Path: "/dev/sdb1", Kind: "part", PartNum: 1, PartLabel: "disk-main-root", Label: "root label"}}
	plan := hive.Plan{Name: "web", Storage: hive.Storage{
		LUKS: []hive.LUKS{{Name: "crypted"}}, Pools: []hive.Pool{{Name: "tank", Kind: "zpool"}},
		FileSystems: []hive.FileSystem{{MountPoint: "/", Device: `/dev/disk/by-label/root\x20label`}},
	}}
	m := hive.Machine{Devices: []hive.Device{device, twin}}
	members := []Member{
		{Kind: "zpool", Name: "tank", ID: "1", Device: "/dev/sdb2", Disks: []string{"/dev/sdb"}},
		{Kind: "zpool", Name: "other", ID: "2", Device: "/dev/sdb3", Disks: []string{"/dev/sdb"}},
		{Kind: "mapper", Name: "crypted", ID: "253:0", Device: "/dev/dm-0", Disks: []string{"/dev/sdb"}},
		{Kind: "mapper", Name: "crypted", ID: "253:1", Device: "/dev/dm-1", Disks: []string{"/dev/sda"}},
	}
	targets := []hive.Target{{Disk: disk, Device: device, Fate: "mount"}}
	got := Collisions(plan, targets, m, members)
	if len(got) != 4 {
		t.Errorf("%d problems instead of 4: %v", len(got), got)
	}
	for _, p := range got {
		if p.Severity != hive.Error || p.Way == "" || !strings.Contains(p.Message, "/dev/sdb") {
			t.Errorf("%+v", p)
		}
	}
	targets = append(targets, hive.Target{Disk: hive.Disk{Name: "second"}, Device: twin, Fate: "destroy"})
	if got := Collisions(plan, targets, m, members); len(got) != 0 {
		t.Errorf("what is destroyed is in nobody's way: %v", got)
	}
}

func TestSetsThatSpanDisksAreRefused(t *testing.T) {
	members := []Member{
		{Kind: "lvm_vg", Name: "data", ID: "x", Device: "/dev/sda2", Disks: []string{"/dev/sda"}},
		{Kind: "lvm_vg", Name: "data", ID: "x", Device: "/dev/sdb1", Disks: []string{"/dev/sdb"}},
		{Kind: "mdadm", Name: "both", ID: "y", Device: "/dev/sdb2", Disks: []string{"/dev/sdb"}},
		{Kind: "mdadm", Name: "both", ID: "y", Device: "/dev/sdc2", Disks: []string{"/dev/sdc"}},
	}
	target := func(path, fate string) hive.Target { return hive.Target{Device: hive.Device{Path: path}, Fate: fate} }
	got := Spanning(hive.Plan{Name: "web"}, []hive.Target{target("/dev/sda", "destroy")}, members)
	if len(got) != 1 || !strings.Contains(got[0].Message, `LVM volume group "data" lies on /dev/sda, which would be destroyed, and on /dev/sdb`) {
		t.Errorf("got %v", got)
	}
	for what, targets := range map[string][]hive.Target{
		"both are destroyed": {target("/dev/sda", "destroy"), target("/dev/sdb", "destroy"), target("/dev/sdc", "destroy")},
		"none is destroyed":  {target("/dev/sda", "mount")},
	} {
		if got := Spanning(hive.Plan{}, targets, members); len(got) != 0 {
			t.Errorf("%s: %v", what, got)
		}
	}
}

func TestTeardownBeginsAtTheTopAndTouchesNoOtherDisk(t *testing.T) {
	disk := func(d hive.Device) []hive.Device {
		return []hive.Device{{Path: "/dev/sda", Kind: "disk", Children: []hive.Device{d}}}
	}
	for name, tt := range map[string]struct {
		device hive.Device
		want   string // what is done, or held
	}{
		"nothing":        {hive.Device{Path: "/dev/sda1", Kind: "part"}, ""},
		"swap":           {hive.Device{Path: "/dev/sda1", Kind: "part", Mounts: []string{"[SWAP]"}}, "end swapping to /dev/sda1"},
		"below the root": {hive.Device{Path: "/dev/sda1", Kind: "part", Mounts: []string{"/mnt/boot"}}, "unmount /mnt/boot"},
		"of disko":       {hive.Device{Path: "/dev/sda1", Kind: "part", Mounts: []string{"/tmp/tmp.x"}}, "unmount /tmp/tmp.x"},
		"elsewhere":      {hive.Device{Path: "/dev/sda1", Kind: "part", Mounts: []string{"/media/photos"}}, "held: it is mounted at /media/photos"},
		"array on array": {hive.Device{Path: "/dev/md0", Kind: "raid1", Children: []hive.Device{{Path: "/dev/md1", Kind: "raid0"}}}, "stop the array /dev/md1"},
		"volumes": {hive.Device{Path: "/dev/sda1", Kind: "part", Children: []hive.Device{
			{Path: "/dev/dm-0", Kind: "lvm"}, {Path: "/dev/dm-1", Kind: "lvm", Mounts: []string{"[SWAP]"}},
		}}, "end swapping to /dev/dm-1"},
		"on one volume": {hive.Device{Path: "/dev/sda1", Kind: "part", Children: []hive.Device{
			{Path: "/dev/dm-0", Kind: "lvm"}, {Path: "/dev/dm-1", Kind: "lvm", Children: []hive.Device{{Path: "/dev/md7", Kind: "raid1"}}},
		}}, "stop the array /dev/md7"},
		"unknown":   {hive.Device{Path: "/dev/bcache0", Kind: "disk"}, "held: a disk device lies on the disk; stop it first"},
		"multipath": {hive.Device{Path: "/dev/dm-99999", Kind: "mpath"}, "held: a mpath device lies on the disk; stop it first"},
	} {
		st, err := nextStep(disk(tt.device), []string{"/dev/sda"}, "/mnt", nil)
		got := st.what
		if h, ok := err.(*HeldError); ok { //nolint:errorlint // not wrapped here
			got = "held: " + h.Holder
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
		if st, err := nextStep(disk(tt.device), []string{"/dev/sdb"}, "/mnt", nil); st.what != "" || err != nil {
			t.Errorf("%s: another disk is touched: %v %v", name, st, err)
		}
	}
}

func TestFileSystemsToInstallInto(t *testing.T) {
	s := Site{Plan: hive.Plan{Storage: hive.Storage{FileSystems: []hive.FileSystem{
		{MountPoint: "/home/kept", Device: "/dev/sdb1", Type: "ext4"},
		{MountPoint: "/boot", Device: "/dev/sda1", Type: "vfat"},
		{MountPoint: "/", Device: "none", Type: "tmpfs"},
		{MountPoint: "/nix", Device: "tank/nix", Type: "zfs"},
		{MountPoint: "/tmp", Device: "none", Type: "tmpfs"},
		{MountPoint: "/net", Device: "server:/share", Type: "nfs"},
		{MountPoint: "/win", Device: "/dev/sdb2", Type: "ntfs3", Options: []string{"nofail"}},
		{MountPoint: "/bound", Device: "/dev/shm", Type: "none", Options: []string{"bind"}},
		{MountPoint: "/later", Device: "/dev/sdb3", Type: "ext4", Options: []string{"noauto"}},
	}}}}
	var got []string
	for _, f := range s.wanted() {
		got = append(got, f.MountPoint)
	}
	if want := []string{"/", "/nix", "/boot", "/home/kept"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	got = nil
	for _, f := range s.checked() {
		got = append(got, f.MountPoint)
	}
	if want := []string{"/boot", "/home/kept", "/win"}; !slices.Equal(got, want) {
		t.Errorf("checked are %v, want %v", got, want)
	}
}
