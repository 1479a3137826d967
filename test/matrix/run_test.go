package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/testbed/nbd"
)

// diskBytes is the size of each disk.
const diskBytes = 1 << 30

// plug waits until the saved state is loaded, lets the machine go on, and gives it its disks.
func (m *medium) plug(v *machine, disks []string) error {
	for {
		var state struct{ Status string }
		if err := v.call("query-status", nil, &state); err != nil {
			return err
		}
		if state.Status != "inmigrate" {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	v.power = nbd.NewPower()
	names := make([]string, len(disks))
	for i, file := range disks {
		names[i] = strings.TrimSuffix(filepath.Base(file), ".disk")
		if err := v.open(names[i], file); err != nil {
			return err
		}
	}
	if err := v.call("cont", nil, nil); err != nil {
		return err
	}
	for i, name := range names {
		node := map[string]any{
			"node-name": name, "driver": "nbd", "server": map[string]any{"type": "unix", "path": filepath.Join(v.dir, name+".nbd")},
		}
		if err := v.call("blockdev-add", node, nil); err != nil {
			return err
		}
		device := map[string]any{
			"driver": "virtio-blk-pci", "drive": name, "serial": name, "id": "disk-" + name, "addr": fmt.Sprintf("0x%x", 6+i), "write-cache": "on",
			"discard": "off", "write-zeroes": "off",
		}
		if err := v.call("device_add", device, nil); err != nil {
			return err
		}
	}
	code, err := v.order("ready "+strings.Join(names, " "), nil)
	if err == nil && code != 0 {
		err = errors.New("the disks do not appear")
	}
	return err
}

// travel is what a run of setup told.
type travel struct {
	Cut    bool
	Code   int
	Events []hive.SetupEvent
	Lost   int // blocks
	Writes map[string]int
	Spans  map[string]span    // of each phase on the tape
	Took   map[string]float64 // seconds of a processor, by phase
	Effort float64            // of all of it, with the start of the machine
}

// span is a part of a tape.
type span struct{ from, to int }

// text is how a phase ended.
func (r travel) text(phase string) (text string, ended bool) {
	for _, e := range r.Events {
		if e.Phase == phase && e.State == "done" {
			return e.Text, true
		}
	}
	return "", false
}

func (r travel) trouble() string {
	for _, e := range slices.Backward(r.Events) {
		if e.Error != "" {
			return e.Phase + ": " + e.Error
		}
	}
	return "no event tells of an error"
}

// String tells how long the phases took.
func (r travel) String() string {
	var parts []string
	for _, e := range r.Events {
		if took := r.Took[e.Phase]; e.State == "done" && took >= 0.5 {
			parts = append(parts, fmt.Sprintf("%s %.1f", e.Phase, took))
		}
	}
	return strings.Join(parts, " ")
}

// run has setup run in a machine that has just started from the medium, up to its end or to the cut. writes says how many writes each phase has,
// roughly.
func (m *medium) run(v *machine, host string, mode hive.Mode, c cut, writes map[string]int) (travel, error) {
	r := travel{Writes: map[string]int{}, Spans: map[string]span{}, Took: map[string]float64{}}
	if code, err := v.order("echo "+m.bundles[host]+" | base64 -d | setup secrets --manifest /manifest.json", nil); err != nil || code != 0 {
		return r, fmt.Errorf("give the secrets: code %d: %w", code, err)
	}
	var err error
	var wrote int
	r.Code, err = v.order(fmt.Sprintf("install -n %s --mode %s --confirm main,second", host, mode), func(line string) {
		var e hive.SetupEvent
		if json.Unmarshal([]byte(line), &e) != nil {
			return
		}
		r.Events = append(r.Events, e)
		switch e.State {
		case "started":
			wrote = v.power.Writes()
			r.Spans[e.Phase] = span{from: v.power.Tape().Position()}
			r.Took[e.Phase] = v.effort()
			if e.Phase == c.Phase && c.Part < 1 {
				v.power.CutIn(max(1, int(c.Part*float64(writes[e.Phase]))))
			}
		case "done":
			if e.Phase == c.Phase {
				v.power.Cut()
			}
			r.Writes[e.Phase] = v.power.Writes() - wrote
			r.Spans[e.Phase] = span{r.Spans[e.Phase].from, v.power.Tape().Position()}
			r.Took[e.Phase] = v.effort() - r.Took[e.Phase]
		}
	})
	select {
	case <-v.power.Gone():
		r.Cut, err = true, nil
	default:
	}
	r.Effort = v.effort()
	return r, err
}

// install starts the medium and has setup run, up to its end or to the cut.
func (m *medium) install(ctx context.Context, dir, host string, mode hive.Mode, disks []string, c cut, writes map[string]int, dice *rand.Rand) (travel, error) {
	v, err := m.resume(ctx, dir, disks)
	if err != nil {
		return travel{}, err
	}
	defer v.release() // it has ended, or nothing is asked of it
	// QEMU is killed the moment that its disks lose power: nothing after it may happen
	go func() {
		select {
		case <-v.power.Gone():
			_ = v.cmd.Process.Kill()
		case <-ctx.Done():
		}
	}()
	r, err := m.run(v, host, mode, c, writes)
	if err != nil || !r.Cut {
		return r, err
	}
	_ = v.kill() // by now it has ended
	for _, d := range v.disks {
		lost, err := d.LosePower(c.Loss, dice)
		r.Lost += lost
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o600)
}

// Whence of lseek(2) on Linux.
const (
	seekData = 3
	seekHole = 4
)

// copySparse copies a disk, leaving out what was never written.
func copySparse(from, to string) error {
	if err := blank(to); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() // only read
	out, err := os.OpenFile(to, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(copyData(in, out), out.Close())
}

func copyData(in, out *os.File) error {
	for end := int64(0); ; {
		start, err := in.Seek(end, seekData)
		if errors.Is(err, syscall.ENXIO) {
			return nil // nothing but a hole up to the end
		}
		if err != nil {
			return err
		}
		if end, err = in.Seek(start, seekHole); err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(out, start), io.NewSectionReader(in, start, end-start)); err != nil {
			return err
		}
	}
}

// blank makes an empty disk.
func blank(name string) error {
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		return err
	}
	return os.Truncate(name, diskBytes)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
