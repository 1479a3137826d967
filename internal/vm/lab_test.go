package vm

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
)

// patience is for what a machine should do; emulated ones are slow, and several tests may run at once.
const patience = 2 * time.Minute

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// testHost is this computer, with software emulation: what works there works with KVM too.
func testHost(t *testing.T, w Wish) Host {
	t.Helper()
	need.Program(t, emulatorProgram)
	need.Program(t, imageProgram)
	w.Accelerator = TCG
	h, err := Probe(t.Context(), run.Local{}, w)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// openLab opens a lab that is closed with the test, and then has left nothing.
func openLab(t *testing.T, h Host) *Lab {
	t.Helper()
	l, err := Open(soon(t), filepath.Join(t.TempDir(), "lab"), h, run.Local{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		nothingLeft(t, l)
	})
	return l
}

// nothingLeft looks for what a lab needs only while it is open.
func nothingLeft(t *testing.T, l *Lab) {
	t.Helper()
	left, err := ownEmulators(l.path(pidsDir), nil)
	if err != nil || len(left) > 0 {
		t.Errorf("still running: %v, %v", left, err)
	}
	if _, err := os.Lstat(l.sockets); !os.IsNotExist(err) {
		t.Errorf("sockets are still there: %v", err)
	}
	files, err := filepath.Glob(l.path(pidsDir, "*"))
	if err != nil || len(files) > 0 {
		t.Errorf("pid files are still there: %v, %v", files, err)
	}
}

// sectorGuest writes the medium with the guest of testdata/guest.s.
func sectorGuest(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/guest.bin")
	if err != nil {
		t.Fatal(err)
	}
	medium := filepath.Join(t.TempDir(), "medium.img")
	if err := os.WriteFile(medium, append(text, make([]byte, 1<<20-len(text))...), 0o600); err != nil {
		t.Fatal(err)
	}
	return medium
}

// board is a machine for the guest of testdata/guest.s.
func board(t *testing.T, disks ...Disk) Machine {
	t.Helper()
	return Machine{Name: "board", Firmware: BIOS, CPUs: 1, MemoryMiB: 32, Disks: disks, Medium: sectorGuest(t)}
}

func startBoard(t *testing.T, l *Lab, m Machine, o StartOptions) *Running {
	t.Helper()
	ctx := soon(t)
	r, err := l.Start(ctx, m, o)
	if err != nil {
		t.Fatal(err)
	}
	if o.From == "" {
		expect(t, r, "ready\r\n")
	}
	return r
}

func expect(t *testing.T, r *Running, text string) {
	t.Helper()
	if err := r.AwaitConsole(soon(t), text); err != nil {
		log, _ := os.ReadFile(r.SerialLog())
		t.Fatalf("%v\nserial log:\n%s", err, log)
	}
}

func press(t *testing.T, r *Running, text string) {
	t.Helper()
	if err := r.Type(soon(t), text); err != nil {
		t.Fatal(err)
	}
}

func ends(t *testing.T, r *Running, how How) {
	t.Helper()
	end, err := r.Wait(soon(t))
	if err != nil || end.How != how {
		t.Fatalf("ended with %q, %v; want %q", end.How, err, how)
	}
	if r.emulator.alive() {
		t.Error("QEMU is still there")
	}
}
