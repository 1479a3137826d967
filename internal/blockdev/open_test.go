package blockdev

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/testbed/disk"
	"nixos-staged-hive/internal/testbed/need"
)

func held(t testing.TB, d *disk.Disk) *Held {
	t.Helper()
	h, err := Hold(d.Path, listed(t, d.Path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() }) // closed by some tests already
	return h
}

func TestLookRefusesWhatIsNoBlockDevice(t *testing.T) {
	dir := t.TempDir()
	file, dangling, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink("nowhere", dangling), unix.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/dev/nvme9n9": "does not exist", dangling: "does not exist", file: "is no block device but a file", dir: "but a folder",
		"/dev/null": "but a character device", pipe: "but a pipe",
	} {
		_, err := Look(path)
		if refusal := (*RefusedError)(nil); !errors.As(err, &refusal) || !strings.Contains(err.Error(), want) || refusal.Overridable() {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func TestHoldKeepsOthersOff(t *testing.T) {
	d := disk.New(t, disk.Spec{Table: disk.GPT, Parts: []disk.Part{{Label: "root"}}})
	h := held(t, d)
	if h.Bytes != 64<<20 || h.Sector != 512 || h.Path != d.Path {
		t.Errorf("got %+v", h)
	}
	busy := (*BusyError)(nil)
	if _, err := Hold(d.Path, listed(t, d.Path)); !errors.As(err, &busy) {
		t.Errorf("held twice: %v", err)
	}
	if used, err := Used(d.Part(t, 1)); err != nil || !used {
		t.Errorf("the partition of a held disk: used %v, %v", used, err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if used, err := Used(d.Path); err != nil || used {
		t.Errorf("after it was given back: used %v, %v", used, err)
	}
}

func TestHoldRefusesWhatIsInUse(t *testing.T) {
	need.Program(t, "mke2fs")
	d := disk.New(t, disk.Spec{Table: disk.GPT, Parts: []disk.Part{{Label: "root"}}})
	part := d.Part(t, 1)
	if out, err := exec.Command("mke2fs", "-q", "-F", part).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	point := t.TempDir()
	if err := unix.Mount(part, point, "ext2", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH) }) // unmounted below if all is well
	devices := listed(t, d.Path)
	if got := kinds(Judge([]hive.Device{devices}, devices.Number, 1)); got != "loop?, mounted" {
		t.Errorf("judged as %q", got)
	}
	_, err := Hold(d.Path, devices)
	if busy := (*BusyError)(nil); !errors.As(err, &busy) || !errors.Is(err, unix.EBUSY) {
		t.Errorf("a disk with a mounted partition: %v", err)
	}
	// where the mount cannot be seen the kernel still says so
	if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	held(t, d)
}

func TestHoldRefusesAnotherDevice(t *testing.T) {
	a, b := disk.New(t, disk.Spec{}), disk.New(t, disk.Spec{Size: 32 << 20})
	wantA, wantB := listed(t, a.Path), listed(t, b.Path)
	grown := wantA
	grown.Bytes++
	for name, tt := range map[string]struct {
		path string
		want hive.Device
	}{"another number": {a.Path, wantB}, "another size": {a.Path, grown}} {
		_, err := Hold(tt.path, tt.want)
		if changed := (*ChangedError)(nil); !errors.As(err, &changed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	link := filepath.Join(t.TempDir(), "stick")
	if err := os.Symlink(a.Path, link); err != nil {
		t.Fatal(err)
	}
	h, err := Hold(link, wantA)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	other := wantA
	other.Serial = "another"
	if err := h.Same([]hive.Device{wantA}, wantA); err != nil {
		t.Error(err)
	}
	for name, list := range map[string][]hive.Device{"serial": {other}, "gone": {wantB}} {
		if changed := (*ChangedError)(nil); !errors.As(h.Same(list, wantA), &changed) {
			t.Errorf("%s: not noticed", name)
		}
	}
}

func TestHoldRefusesReadOnly(t *testing.T) {
	d := disk.New(t, disk.Spec{ReadOnly: true})
	_, err := Hold(d.Path, listed(t, d.Path))
	if refusal := (*RefusedError)(nil); !errors.As(err, &refusal) || refusal.Reasons[0].Kind != ReadOnly {
		t.Errorf("got %v", err)
	}
}

func TestHeldReadsAndWritesAtAnyAddress(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		d := disk.New(t, disk.Spec{Size: 8 << 20, Sector: sector})
		h := held(t, d)
		text := bytes.Repeat([]byte("0123456789abcdef"), sector/8)[3 : 3+sector] // not aligned in memory
		if n, err := h.WriteAt(text, int64(sector)); n != sector || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
		got := make([]byte, 100)
		if n, err := h.ReadAt(got, int64(sector)+7); n != len(got) || err != nil || !bytes.Equal(got, text[7:107]) {
			t.Errorf("read %d, %v: %q", n, err, got)
		}
		if n, err := h.ReadAt(got, h.Bytes-50); n != 50 || err == nil {
			t.Errorf("past the end: read %d, %v", n, err)
		}
	}
}

func TestReadGPTOfADeviceThatIsHeld(t *testing.T) {
	d := disk.New(t, disk.Spec{Sector: 4096, Table: disk.GPT, Parts: []disk.Part{{Label: "root"}}})
	h := held(t, d)
	g, err := ReadGPT(h, h.Bytes, h.Sector)
	if err != nil || len(g.Partitions) != 1 || g.Partitions[0].Name != "root" || g.PrimaryError != nil || g.BackupError != nil {
		t.Errorf("got %+v, %v", g, err)
	}
}

func TestAdoptTakesADescriptorOfTheDeviceAlone(t *testing.T) {
	a, b := disk.New(t, disk.Spec{}), disk.New(t, disk.Spec{})
	h := held(t, a)
	passed := func() *os.File {
		fd, err := unix.FcntlInt(h.File().Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return os.NewFile(uintptr(fd), a.Path)
	}
	if _, err := Adopt(passed(), listed(t, b.Path)); err == nil {
		t.Error("another device was taken")
	}
	got, err := Adopt(passed(), listed(t, a.Path))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(h.Close(), got.Close()); err != nil {
		t.Error(err)
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Adopt(file, listed(t, a.Path)); err == nil {
		t.Error("/dev/null was taken")
	}
}

func TestProbeTellsWhatIsOnADeviceNow(t *testing.T) {
	need.Program(t, "blkid")
	need.Program(t, "mke2fs")
	d := disk.New(t, disk.Spec{})
	blank := listed(t, d.Path)
	if out, err := exec.Command("mke2fs", "-q", "-F", "-L", "a 'b' \"Wü\"", "-U", "abe8ad5c-106d-44b6-a99f-4a3aae632b74", d.Path).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got, err := Probe(t.Context(), local(), []hive.Device{blank})
	if err != nil {
		t.Fatal(err)
	}
	if g := got[0]; g.Content != "ext2" || g.Label != "a 'b' \"Wü\"" || g.ContentID != "abe8ad5c-106d-44b6-a99f-4a3aae632b74" || g.Blank() {
		t.Errorf("got %+v", g)
	}
	if !blank.Blank() {
		t.Error("the list was changed")
	}
}

func TestProbeSeesTwoOwners(t *testing.T) {
	got := withContents([]hive.Device{{Path: "/dev/a"}}, parseProbe([]byte("DEVICE=/dev/a\nID_FS_AMBIVALENT=filesystem:ext4:1.0 other:zfs_member:5000\n")))
	if got[0].Content != "ext4" {
		t.Errorf("got %q", got[0].Content)
	}
}

func FuzzUnescape(f *testing.F) {
	f.Add(`a\x20b`)
	f.Add(`\x`)
	f.Add(`\xzz\x2`)
	f.Fuzz(func(t *testing.T, s string) {
		if got := unescape(s); len(got) > len(s) || !strings.Contains(s, `\x`) && got != s {
			t.Errorf("%q became %q", s, got)
		}
	})
}
