package nbd

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"nixos-staged-hive/internal/testbed/need"
)

const size = 16 * blockBytes

// blank opens a disk of zeros.
func blank(t *testing.T, power *Power) (d *Disk, name string) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(name, power)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() }) // its file goes with it
	return d, name
}

// served has QEMU's own client carry commands out on a disk.
func served(t *testing.T, d *Disk, commands ...string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- d.Serve(l) }()
	args := []string{"-f", "raw", "-t", "writeback", "nbd+unix:///?socket=" + socket}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	args = append(args, "-c", "sigraise 9") // it would flush in the end
	out, err := exec.CommandContext(t.Context(), need.Program(t, "qemu-io"), args...).CombinedOutput()
	if killed, ok := errors.AsType[*exec.ExitError](err); !ok || killed.Exited() || bytes.Contains(out, []byte("failed")) {
		t.Errorf("qemu-io: %v\n%s", err, out)
	}
	_ = l.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// blocks gives the first byte of each block.
func blocks(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var first []byte
	for at := 0; at < len(content); at += blockBytes {
		for _, b := range content[at : at+blockBytes] {
			if b != content[at] {
				t.Fatalf("the block at %d is torn", at)
			}
		}
		first = append(first, content[at])
	}
	return first
}

func writing(value byte, block, n int) string {
	return fmt.Sprintf("write -P %d %d %d", value, block*blockBytes, n*blockBytes)
}

// TestLosePower writes through QEMU: what was flushed stays, whatever is lost of the rest.
func TestLosePower(t *testing.T) {
	for loss, want := range map[Loss][]byte{Nothing: {1, 3, 2, 0}, Everything: {1, 1, 0, 0}} {
		power := NewPower()
		d, name := blank(t, power)
		served(t, d, writing(1, 0, 2), "flush", writing(2, 1, 2), writing(3, 1, 1), "read -P 3 4096 4096")
		if power.Writes() != 3 {
			t.Errorf("%d writes were counted", power.Writes())
		}
		if _, err := d.LosePower(loss, rand.New(rand.NewPCG(1, 1))); err != nil {
			t.Fatal(err)
		}
		if got := blocks(t, name); !bytes.Equal(got[:4], want) {
			t.Errorf("%s was lost: %v, want %v", loss, got[:4], want)
		}
	}
}

// TestLoseSome sees each block in each of the states that it may have, and in no other.
func TestLoseSome(t *testing.T) {
	seen := map[[2]byte]bool{}
	dice := rand.New(rand.NewPCG(2, 2))
	for range 200 {
		d, name := blank(t, NewPower())
		for _, w := range []struct {
			value byte
			block int64
		}{{1, 0}, {1, 1}, {2, 0}} {
			if err := d.write(bytes.Repeat([]byte{w.value}, blockBytes), w.block*blockBytes); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.LosePower(Some, dice); err != nil {
			t.Fatal(err)
		}
		got := blocks(t, name)
		seen[[2]byte{got[0], got[1]}] = true
	}
	if len(seen) != 6 {
		t.Errorf("%d of 6 states were seen: %v", len(seen), seen)
	}
}

// TestCut answers nothing from the cut on.
func TestCut(t *testing.T) {
	power := NewPower()
	_, name := blank(t, power)
	power.CutIn(2)
	if !power.on(true) || power.on(true) || power.on(false) {
		t.Error("the second write and all after it are to be refused")
	}
	select {
	case <-power.Gone():
	default:
		t.Error("nobody is told")
	}
	if got := blocks(t, name); got[0] != 0 {
		t.Error("something was written")
	}
}

// TestTape makes, of what was recorded, the disk of every moment.
func TestTape(t *testing.T) {
	power := NewPower()
	recorded, _ := blank(t, power)
	tape := power.Record()
	served(t, recorded, writing(1, 0, 1), "flush", writing(2, 0, 1), writing(3, 1, 1))
	for position, want := range [][2]byte{{0, 0}, {0, 0}, {1, 0}, {1, 0}} { // the last two are not flushed
		d, name := blank(t, NewPower())
		if err := tape.Play(position, d); err != nil {
			t.Fatal(err)
		}
		if _, err := d.LosePower(Everything, nil); err != nil {
			t.Fatal(err)
		}
		if got := blocks(t, name); got[0] != want[0] || got[1] != want[1] {
			t.Errorf("after %d: %v, want %v", position, got[:2], want)
		}
	}
	d, name := blank(t, NewPower())
	if err := tape.Play(tape.Position(), d); err != nil {
		t.Fatal(err)
	}
	if got := blocks(t, name); got[0] != 2 || got[1] != 3 {
		t.Errorf("all of it: %v", got[:2])
	}
}
