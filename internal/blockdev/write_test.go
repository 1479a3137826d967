package blockdev

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/testbed/disk"
	"nixos-staged-hive/internal/testbed/need"
)

// noise is bytes that nothing has written before.
func noise(n int) []byte {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = source.Read(b) // never fails
	return b
}

func imageOf(t testing.TB, b []byte, regions ...Region) *Image {
	t.Helper()
	image, err := NewImage(bytes.NewReader(b), int64(len(b)), regions...)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// backing is what is on the disk. Its device is held with O_DIRECT, so nothing is only in memory.
func backing(t testing.TB, d *disk.Disk) []byte {
	t.Helper()
	b, err := os.ReadFile(d.Backing)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWritePutsTheImageOnADevice(t *testing.T) {
	for _, tt := range []struct {
		name          string
		sector, bytes int
	}{
		{"some chunks", 512, 13<<20 + 512},
		{"one MiB", 512, 1 << 20},
		{"less than a MiB", 512, 5000},
		{"no whole sector", 512, 9<<20 + 17},
		{"large sectors", 4096, 6<<20 + 512},
		{"the whole disk", 512, 16 << 20},
		{"all but a sector", 4096, 16<<20 - 4096},
	} {
		for _, verify := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				d := disk.New(t, disk.Spec{Size: 16 << 20, Sector: tt.sector, Table: disk.GPT, Parts: []disk.Part{{Label: "old"}}})
				h := held(t, d)
				content := noise(tt.bytes)
				if err := h.Write(t.Context(), imageOf(t, content), WriteOptions{Verify: verify}); err != nil {
					t.Fatal(err)
				}
				got := backing(t, d)
				if !bytes.Equal(got[:len(content)], content) {
					t.Fatal("the image is not on the device")
				}
				if end := max(len(content), len(got)-rear); !allZero(got[end:]) {
					t.Error("the end of the device holds what was there before")
				}
			})
		}
	}
}

func TestWriteReplacesRegionsOnTheWay(t *testing.T) {
	d := disk.New(t, disk.Spec{Size: 16 << 20})
	content := noise(10 << 20)
	keys := Region{Offset: 4<<20 - 1000, Bytes: noise(2000)} // over the border of two chunks
	first := Region{Offset: 10, Bytes: []byte("first")}
	last := Region{Offset: int64(len(content)) - 4, Bytes: []byte("last")}
	if err := held(t, d).Write(t.Context(), imageOf(t, content, last, keys, first), WriteOptions{Verify: true}); err != nil {
		t.Fatal(err)
	}
	want := bytes.Clone(content)
	for _, r := range []Region{keys, first, last} {
		copy(want[r.Offset:], r.Bytes)
	}
	if !bytes.Equal(backing(t, d)[:len(want)], want) {
		t.Error("the image is not as it should be")
	}
}

func TestNewImageRefusesRegionsThatCannotBe(t *testing.T) {
	content := bytes.NewReader(make([]byte, 100))
	for name, regions := range map[string][]Region{
		"before": {{-1, []byte("a")}}, "behind": {{99, []byte("ab")}}, "overlap": {{10, []byte("abc")}, {12, []byte("d")}}, "far": {{1 << 62, []byte("a")}},
	} {
		if _, err := NewImage(content, 100, regions...); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := NewImage(content, 0); err == nil {
		t.Error("an image of nothing was taken")
	}
	if _, err := NewImage(content, 100, Region{98, []byte("ab")}, Region{0, []byte("ab")}, Region{2, nil}); err != nil {
		t.Error(err)
	}
}

func FuzzImage(f *testing.F) {
	f.Add(uint(10), []byte("abc"), uint(5), uint(20))
	f.Fuzz(func(t *testing.T, offset uint, replaced []byte, from, length uint) {
		content := noise(100)
		image, err := NewImage(bytes.NewReader(content), 100, Region{int64(offset % 1000), replaced})
		if err != nil {
			return
		}
		copy(content[offset%1000:], replaced)
		from, length = from%200, length%200
		got := make([]byte, length)
		n, err := image.ReadAt(got, int64(from))
		want := content[min(from, 100):min(from+length, 100)]
		if !bytes.Equal(got[:n], want) || (n < int(length)) != errors.Is(err, io.EOF) {
			t.Errorf("%d bytes at %d: %q, %v", length, from, got[:n], err)
		}
	})
}

// TestWriteThatEndsEarlyLeavesNothingThatStarts ends it at every piece in turn.
func TestWriteThatEndsEarlyLeavesNothingThatStarts(t *testing.T) {
	content := noise(14 << 20)
	for stop := range 10 {
		d := disk.New(t, disk.Spec{Size: 16 << 20, Table: disk.GPT, Parts: []disk.Part{{Label: "old"}}})
		ctx, cancel := context.WithCancel(t.Context())
		events := 0
		sink := func(progress.Event) {
			if events == stop {
				cancel()
			}
			events++
		}
		h := held(t, d)
		err := h.Write(ctx, imageOf(t, content), WriteOptions{Verify: true, Progress: sink})
		unfinished := (*UnfinishedError)(nil)
		if !errors.As(err, &unfinished) || !unfinished.Blank || !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped at event %d: %v", stop, err)
		}
		if !strings.Contains(err.Error(), "nothing starts from it") {
			t.Errorf("it does not say how the device is: %v", err)
		}
		got := backing(t, d)
		if !allZero(got[:front]) || !allZero(got[len(got)-rear:]) {
			t.Errorf("stopped at event %d: the device holds a beginning or an end", stop)
		}
		if _, err := ReadGPT(h, h.Bytes, h.Sector); !errors.Is(err, ErrNoGPT) {
			t.Errorf("stopped at event %d: a table is left: %v", stop, err)
		}
		cancel()
	}
}

func TestWriteStoppedBeforeItBeginsStillTellsTheTruth(t *testing.T) {
	d := disk.New(t, disk.Spec{Size: 4 << 20})
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the user has gone")
	cancel(why)
	if err := held(t, d).Write(ctx, imageOf(t, noise(2<<20)), WriteOptions{}); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

func TestWriteFindsWhatADeviceDoesNotGiveBack(t *testing.T) {
	const bad = 7<<20 + 123
	content := noise(14 << 20)
	d := disk.New(t, disk.Spec{Size: 16 << 20})
	damage := func(e progress.Event) {
		if e.Task != TaskVerify || e.State != progress.Started {
			return
		}
		file, err := os.OpenFile(d.Backing, os.O_WRONLY, 0)
		if err == nil {
			_, err = file.WriteAt([]byte{^content[bad]}, bad)
			err = errors.Join(err, file.Sync(), file.Close())
		}
		if err != nil {
			t.Error(err)
		}
	}
	err := held(t, d).Write(t.Context(), imageOf(t, content), WriteOptions{Verify: true, Progress: damage})
	differs := (*VerifyError)(nil)
	if !errors.As(err, &differs) || differs.Offset != bad {
		t.Errorf("got %v, want byte %d", err, bad)
	}
	if got := backing(t, d); !allZero(got[:front]) {
		t.Error("a medium that is broken starts")
	}
}

func TestWriteRefusesAnImageThatDoesNotFit(t *testing.T) {
	d := disk.New(t, disk.Spec{Size: 4 << 20, Table: disk.GPT})
	before := backing(t, d)
	err := held(t, d).Write(t.Context(), imageOf(t, noise(4<<20+1)), WriteOptions{})
	if refusal := (*RefusedError)(nil); !errors.As(err, &refusal) || refusal.Reasons[0].Kind != TooSmall {
		t.Errorf("got %v", err)
	}
	if !bytes.Equal(backing(t, d), before) {
		t.Error("the device was changed")
	}
}

func TestWriteWithAnImageThatBecameShorter(t *testing.T) {
	d := disk.New(t, disk.Spec{Size: 16 << 20})
	image, err := NewImage(bytes.NewReader(noise(6<<20)), 9<<20)
	if err != nil {
		t.Fatal(err)
	}
	err = held(t, d).Write(t.Context(), image, WriteOptions{})
	if unfinished := (*UnfinishedError)(nil); !errors.As(err, &unfinished) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

// record checks that progress is told as package progress wants it.
type record struct {
	mu     sync.Mutex
	events []progress.Event
}

func (r *record) sink(e progress.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *record) check(t *testing.T, total int64, ends map[string]progress.State) {
	t.Helper()
	last := map[string]progress.Event{}
	for _, e := range r.events {
		before, begun := last[e.Task]
		switch {
		case begun != (e.State != progress.Started), begun && before.State.Ends():
			t.Errorf("%+v after %+v", e, before)
		case e.State != progress.Failed && (e.Total != total || e.Done < before.Done || e.Done > total):
			t.Errorf("%+v after %+v: the count is wrong", e, before)
		}
		last[e.Task] = e
	}
	for task, state := range ends {
		if last[task].State != state || state == progress.Done && last[task].Done != total {
			t.Errorf("%s ends with %+v, want %s", task, last[task], state)
		}
	}
	if len(last) != len(ends) {
		t.Errorf("%d tasks, want %v", len(last), ends)
	}
}

func TestWriteTellsProgress(t *testing.T) {
	d := disk.New(t, disk.Spec{Size: 16 << 20})
	content := noise(14 << 20)
	h := held(t, d)
	for _, tt := range []struct {
		verify bool
		image  *Image
		ends   map[string]progress.State
	}{
		{true, imageOf(t, content), map[string]progress.State{TaskWrite: progress.Done, TaskVerify: progress.Done}},
		{false, imageOf(t, content), map[string]progress.State{TaskWrite: progress.Done}},
		{false, &Image{bytes: int64(len(content)), from: bytes.NewReader(content[:9<<20])}, map[string]progress.State{TaskWrite: progress.Failed}},
	} {
		var r record
		_ = h.Write(t.Context(), tt.image, WriteOptions{Verify: tt.verify, Progress: r.sink}) // some fail
		r.check(t, int64(len(content)), tt.ends)
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "medium.iso")
	content := noise(6<<20 + 5)
	image := imageOf(t, content, Region{Offset: 2 << 20, Bytes: []byte("secret")})
	var r record
	if err := WriteFile(t.Context(), path, false, image, WriteOptions{Verify: true, Progress: r.sink}); err != nil {
		t.Fatal(err)
	}
	r.check(t, int64(len(content)), map[string]progress.State{TaskWrite: progress.Done, TaskVerify: progress.Done})
	copy(content[2<<20:], "secret")
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("the file is not the image: %d bytes, %v", len(got), err)
	}
	stat, err := os.Stat(path)
	if err != nil || stat.Mode() != 0o600 {
		t.Errorf("mode %v, %v", stat.Mode(), err)
	}
	err = WriteFile(t.Context(), path, false, image, WriteOptions{})
	if exists := (*ExistsError)(nil); !errors.As(err, &exists) {
		t.Errorf("a second time: %v", err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("medium.iso", link); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(t.Context(), link, true, imageOf(t, []byte("new")), WriteOptions{}); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "new" {
		t.Errorf("through a link: %q, %v", got, err)
	}
	onlyThese(t, dir, "link", "medium.iso")
}

func onlyThese(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the folder holds %q, want %q", got, want)
	}
}

func TestWriteFileThatEndsEarlyLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	sink := func(e progress.Event) {
		if e.State == progress.Running {
			cancel()
		}
	}
	err := WriteFile(ctx, filepath.Join(dir, "a"), false, imageOf(t, noise(12<<20)), WriteOptions{Progress: sink})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	onlyThese(t, dir)
}

func TestWriteFileRefusesWhatIsNoPlaceForAFile(t *testing.T) {
	dir := t.TempDir()
	pipe, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "devices")
	if err := errors.Join(unix.Mkfifo(pipe, 0o600), os.Symlink("/dev", link)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/dev/sdz9": "files do not belong into /dev", filepath.Join(link, "sdz9"): "do not belong", "/dev/null": "do not belong",
		dir: "neither a file", pipe: "neither a file", filepath.Join(dir, "no", "file"): "no such file",
	} {
		err := WriteFile(t.Context(), path, true, imageOf(t, []byte("x")), WriteOptions{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if _, err := os.Lstat("/dev/sdz9"); err == nil {
		t.Error("a file in /dev")
	}
}

func TestAppearDoesNotOverwriteWhatCameMeanwhile(t *testing.T) {
	dir := t.TempDir()
	from, place := filepath.Join(dir, "from"), filepath.Join(dir, "place")
	if err := errors.Join(os.WriteFile(from, []byte("new"), 0o600), os.WriteFile(place, []byte("old"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if exists := (*ExistsError)(nil); !errors.As(appear(from, place, false), &exists) {
		t.Error("it was overwritten")
	}
	if err := appear(from, place, true); err != nil {
		t.Error(err)
	}
}

func TestOpenImage(t *testing.T) {
	dir := t.TempDir()
	full, empty := filepath.Join(dir, "full"), filepath.Join(dir, "empty")
	if err := errors.Join(os.WriteFile(full, []byte("abc"), 0o600), os.WriteFile(empty, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	file, n, err := OpenImage(full)
	if err != nil || n != 3 {
		t.Fatalf("%d bytes, %v", n, err)
	}
	defer file.Close()
	for _, path := range []string{empty, dir, filepath.Join(dir, "none"), "/dev/null"} {
		if _, _, err := OpenImage(path); err == nil {
			t.Errorf("%s was taken for an image", path)
		}
	}
}

// TestWriteToADeviceThatFails has the device's file on a file system that is too small for it: from some byte on the kernel answers EIO.
func TestWriteToADeviceThatFails(t *testing.T) {
	need.Root(t)
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(small, unix.MNT_DETACH); err != nil { // busy until the device's own clean-up is over
			t.Error(err)
		}
	})
	t.Setenv("TMPDIR", small)
	d := disk.New(t, disk.Spec{Size: 32 << 20})
	err := held(t, d).Write(t.Context(), imageOf(t, noise(20<<20)), WriteOptions{})
	unfinished := (*UnfinishedError)(nil)
	if !errors.As(err, &unfinished) || !unfinished.Blank || !errors.Is(err, unix.EIO) && !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if got := backing(t, d); !allZero(got[:front]) {
		t.Error("the device starts")
	}
}
