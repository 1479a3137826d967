package bench

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"nixos-staged-hive/internal/blockdev"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/disk"
	"nixos-staged-hive/internal/testbed/need"
)

// writing is an image file and a device for it.
type writing struct {
	image  string
	bytes  int64
	device *disk.Disk
}

func newWriting(t *testing.T) writing {
	t.Helper()
	w := writing{image: filepath.Join(t.TempDir(), "image"), bytes: int64(number("STAGED_HIVE_BENCH_MIB", 1024)) << 20}
	w.device = disk.New(t, disk.Spec{Size: w.bytes + 64<<20})
	file, err := os.Create(w.image)
	if err == nil {
		_, err = io.CopyN(file, rand.Reader, w.bytes)
		err = errors.Join(err, file.Sync(), file.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w writing) dd(t *testing.T) sample {
	t.Helper()
	dd := exec.Command("dd", "if="+w.image, "of="+w.device.Path, "bs=4M", "oflag=direct", "conv=fsync")
	s, err := measure(dd.Run)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w writing) ours(t *testing.T, verify bool) sample {
	t.Helper()
	devices, err := blockdev.List(t.Context(), run.Local{})
	if err != nil {
		t.Fatal(err)
	}
	node, err := blockdev.Look(w.device.Path)
	if err != nil {
		t.Fatal(err)
	}
	device, _, _ := blockdev.Find(devices, node.Number)
	s, err := measure(func() error {
		file, bytes, err := blockdev.OpenImage(w.image)
		if err != nil {
			return err
		}
		defer file.Close()
		image, err := blockdev.NewImage(file, bytes)
		if err != nil {
			return err
		}
		held, err := blockdev.Hold(w.device.Path, device)
		if err != nil {
			return err
		}
		return errors.Join(held.Write(t.Context(), image, blockdev.WriteOptions{Verify: verify}), held.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// same compares what is on the device with the image, so that no speed is gained by writing less.
func (w writing) same(t *testing.T) {
	t.Helper()
	cmp := exec.Command("cmp", "-n", fmt.Sprint(w.bytes), w.image, w.device.Path)
	if out, err := cmp.CombinedOutput(); err != nil {
		t.Fatalf("the device does not hold the image: %v %s", err, out)
	}
}

// TestWriteAgainstDd claims 0.95 of the speed of dd, that is at most 1/0.95 of its time.
func TestWriteAgainstDd(t *testing.T) {
	wanted(t, "write")
	need.Program(t, "dd")
	w := newWriting(t)
	w.ours(t, false) // gives the sparse file its blocks
	w.same(t)
	var ours, dd []sample
	var ratios []float64
	for i := range number("STAGED_HIVE_BENCH_PAIRS", 5) {
		var o, d sample
		if i%2 == 0 {
			d, o = w.dd(t), w.ours(t, false)
		} else {
			o, d = w.ours(t, false), w.dd(t)
		}
		ours, dd, ratios = append(ours, o), append(dd, d), append(ratios, d.wall.Seconds()/o.wall.Seconds())
		t.Logf("pair %d: dd %.2f s, ours %.2f s, speed %.2f of dd's", i+1, d.wall.Seconds(), o.wall.Seconds(), ratios[i])
	}
	verified := w.ours(t, true)
	slices.Sort(ratios)
	speed := func(s sample) float64 { return float64(w.bytes) / 1e6 / s.wall.Seconds() }
	report(t, fmt.Sprintf("| image of %d MiB to a loop device, speed | `dd bs=4M oflag=direct conv=fsync` %.0f MB/s | %.0f MB/s; written and read back %.0f MB/s | **%.2f** (%.2f to %.2f, %d pairs) |",
		w.bytes>>20, speed(median(dd)), speed(median(ours)), speed(verified), ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1], len(ratios)))
	if ratios[len(ratios)/2] < 0.95 {
		t.Errorf("writing has %.2f of the speed of dd", ratios[len(ratios)/2])
	}
}
