package bootchain

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/testbed/need"
)

// core is one that grub-install would write: a first sector that loads the rest, and something in that.
func core() []byte {
	b := bytes.Repeat([]byte{0}, 512)
	copy(b[0x100:], "loading\x00.\x00\r\n\x00Geom\x00Read\x00 Error")
	for i := range 40 * 512 {
		b = append(b, byte(i*7+i>>8))
	}
	return b
}

// biosDisk writes a disk with these partitions (arguments of sgdisk) and GRUB with its core at a sector.
func biosDisk(t *testing.T, at int64, partitions ...string) string {
	t.Helper()
	sgdisk := need.Program(t, "sgdisk")
	name := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(64 << 20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(sgdisk, append(partitions, name)...).CombinedOutput(); err != nil {
		t.Fatalf("sgdisk: %v\n%s", err, out)
	}
	embed(t, f, at, core())
	return name
}

func embed(t *testing.T, f *os.File, at int64, core []byte) {
	t.Helper()
	var boot [440]byte // the table of DOS follows
	copy(boot[0x180:], "GRUB \x00Geom\x00Hard Disk\x00Read\x00 Error\r\n")
	binary.LittleEndian.PutUint64(boot[0x5c:], uint64(at))
	first := bytes.Clone(core)
	binary.LittleEndian.PutUint64(first[500:], uint64(at+1))
	binary.LittleEndian.PutUint16(first[508:], uint16(len(core)/512-1))
	binary.LittleEndian.PutUint16(first[510:], 0x820)
	for where, what := range map[int64][]byte{0: boot[:], 510: {0x55, 0xaa}, at * 512: first} {
		if _, err := f.WriteAt(what, where); err != nil {
			t.Fatal(err)
		}
	}
}

func withBIOS(t *testing.T, disk string) *installed {
	i := withGrub(t)
	i.host.Plan.Boot = hive.Boot{Loader: "grub", Firmware: "bios", GrubDevices: []string{disk}}
	i.write("/boot/grub/i386-pc/core.img", string(core()))
	return i
}

func TestGrubOnADisk(t *testing.T) {
	const gpt, root = "--new=1:2048:4095", "--new=2:4096:0"
	for _, tt := range []struct {
		name   string
		disk   func(t *testing.T) string
		change func(i *installed, disk *os.File)
		says   string
	}{
		{"in its partition", func(t *testing.T) string { return biosDisk(t, 2048, gpt, "--typecode=1:EF02", root) }, nil, ""},
		{"in a partition of another type", func(t *testing.T) string { return biosDisk(t, 2048, gpt, "--typecode=1:8300", root) }, nil, "not within a partition for it"},
		{"past its partition", func(t *testing.T) string { return biosDisk(t, 4090, gpt, "--typecode=1:EF02", root) }, nil, "not within a partition for it"},
		{"no boot code", func(t *testing.T) string { return biosDisk(t, 2048, gpt, "--typecode=1:EF02") }, func(_ *installed, f *os.File) {
			_, _ = f.WriteAt(make([]byte, 440), 0)
		}, "the boot sector is not GRUB's"},
		{"no signature", func(t *testing.T) string { return biosDisk(t, 2048, gpt, "--typecode=1:EF02") }, func(_ *installed, f *os.File) {
			_, _ = f.WriteAt([]byte{0, 0}, 510)
		}, "the boot sector is not GRUB's"},
		{"an empty partition", func(t *testing.T) string { return biosDisk(t, 2048, gpt, "--typecode=1:EF02") }, func(_ *installed, f *os.File) {
			_, _ = f.WriteAt(make([]byte, 1<<20), 2048*512)
		}, "missing where the boot sector looks"},
		{"the rest is empty", func(t *testing.T) string { return biosDisk(t, 2048, gpt, "--typecode=1:EF02") }, func(_ *installed, f *os.File) {
			_, _ = f.WriteAt(make([]byte, 1<<19), 2049*512)
		}, "is empty"},
		{"of an earlier installation", func(t *testing.T) string { return biosDisk(t, 2048, gpt, "--typecode=1:EF02") }, func(i *installed, _ *os.File) {
			i.write("/boot/grub/i386-pc/core.img", strings.Repeat("new!", 512*41/4))
		}, "41 of 41 sectors differ"},
		{"with GRUB's own changes", func(t *testing.T) string { return biosDisk(t, 2048, gpt, "--typecode=1:EF02") }, func(_ *installed, f *os.File) {
			_, _ = f.WriteAt([]byte{1, 2, 3, 4}, 2049*512+14) // seen of GRUB 2.12: the first two sectors
		}, ""},
		{"nowhere", func(t *testing.T) string { return biosDisk(t, 2048, gpt, "--typecode=1:EF02") }, func(_ *installed, f *os.File) {
			_, _ = f.WriteAt([]byte{0, 0, 0, 0, 0, 0, 0, 0}, 0x5c)
		}, "leads to sector 0"},
		{"beyond the end", func(t *testing.T) string { return biosDisk(t, 2048, gpt, "--typecode=1:EF02") }, func(_ *installed, f *os.File) {
			_, _ = f.WriteAt([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, 0x5c)
		}, "where no core of GRUB can be"},
		{"no such disk", func(*testing.T) string { return "/nonexistent" }, nil, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := tt.disk(t)
			i := withBIOS(t, disk)
			if tt.change != nil {
				f, err := os.OpenFile(disk, os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				tt.change(i, f)
			}
			if tt.says == "" {
				i.expect()
				return
			}
			if p := i.expect("boot-sector"); len(p) == 1 && !strings.Contains(p[0].Message, tt.says) {
				t.Errorf("%q is not in %s", tt.says, p[0].Message)
			}
		})
	}
}

// TestGrubInTheGap is a disk with a table of DOS: the core lies before the first partition.
func TestGrubInTheGap(t *testing.T) {
	for at, says := range map[int64]string{1: "", 2047: "within a partition"} {
		name := filepath.Join(t.TempDir(), "disk")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.Truncate(8 << 20); err != nil {
			t.Fatal(err)
		}
		embed(t, f, at, core())
		slot := make([]byte, 16)
		slot[4] = 0x83
		binary.LittleEndian.PutUint32(slot[8:], 2048)
		binary.LittleEndian.PutUint32(slot[12:], 4096)
		if _, err := f.WriteAt(slot, 446); err != nil {
			t.Fatal(err)
		}
		i := withBIOS(t, name)
		if says == "" {
			i.expect()
		} else if p := i.expect("boot-sector"); len(p) == 1 && !strings.Contains(p[0].Message, says) {
			t.Errorf("got %s", p[0].Message)
		}
	}
}

func TestBIOSWithoutADisk(t *testing.T) {
	i := withBIOS(t, "x")
	i.host.Plan.Boot.GrubDevices = nil
	i.expect("boot-sector")
}

func FuzzCore(f *testing.F) {
	f.Add([]byte("GRUB "), uint64(1), core())
	f.Fuzz(func(t *testing.T, first []byte, at uint64, rest []byte) {
		disk := make([]byte, 512+len(rest))
		copy(disk, first)
		copy(disk[0x180:], "GRUB ")
		disk[510], disk[511] = 0x55, 0xaa
		binary.LittleEndian.PutUint64(disk[0x5c:], at)
		copy(disk[512:], rest)
		if got, err := readCore(bytes.NewReader(disk), int64(len(disk))); err == nil && len(got)%512 != 0 {
			t.Errorf("a core of %d bytes", len(got))
		}
	})
}
