package vm

import (
	"context"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMachineRunsUntilItsGuestShutsDown(t *testing.T) {
	l := openLab(t, testHost(t, Wish{}))
	r := startBoard(t, l, board(t), StartOptions{})
	press(t, r, "Hi, You_0:")
	expect(t, r, "Hi, You_0:")
	press(t, r, "s")
	ends(t, r, GuestShutdown)

	// What is asked of it now fails with the reason, and it can be switched on again.
	ended, ok := errors.AsType[*EndedError](r.Reset(t.Context()))
	if !ok || ended.End.How != GuestShutdown {
		t.Errorf("reset: %v", ended)
	}
	again := startBoard(t, l, board(t), StartOptions{})
	press(t, again, "xs")
	ends(t, again, GuestShutdown)
	log, err := os.ReadFile(again.SerialLog())
	if err != nil || strings.Count(string(log), "=== board switched on at ") != 2 || strings.Count(string(log), "ready\r\n") != 2 {
		t.Errorf("serial log %q, %v", log, err)
	}
	var lines []string
	for line, err := range again.Lines(soon(t)) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if strings.Join(lines, "|") != "ready|x" {
		t.Errorf("lines of the second start: %q", lines)
	}
	if err := again.AwaitConsole(soon(t), "never"); !errors.As(err, &ended) {
		t.Errorf("waiting for what never came: %v", err)
	}
}

func TestOneMachineOfAName(t *testing.T) {
	l := openLab(t, testHost(t, Wish{}))
	startBoard(t, l, board(t), StartOptions{})
	if _, err := l.Start(soon(t), board(t), StartOptions{}); err == nil || !strings.Contains(err.Error(), "on already") {
		t.Errorf("second start: %v", err)
	}
	if err := l.Erase("board"); err == nil || !strings.Contains(err.Error(), "on already") {
		t.Errorf("erase: %v", err)
	}
}

func TestRebootGoesOnUnlessItIsToEnd(t *testing.T) {
	l := openLab(t, testHost(t, Wish{}))
	r := startBoard(t, l, board(t), StartOptions{})
	press(t, r, "r")
	if err := r.AwaitResets(soon(t), 1); err != nil {
		t.Fatal(err)
	}
	expect(t, r, "ready\r\nready\r\n")
	if err := r.Reset(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := r.AwaitResets(soon(t), 2); err != nil {
		t.Fatal(err)
	}
	expect(t, r, "ready\r\nready\r\nready\r\n")
	r.Cut()
	ends(t, r, PowerCut)

	r = startBoard(t, l, board(t), StartOptions{EndOnReset: true})
	press(t, r, "r")
	ends(t, r, GuestReset)
}

func TestPowerButton(t *testing.T) {
	l := openLab(t, testHost(t, Wish{}))
	r := startBoard(t, l, board(t), StartOptions{})
	end, err := r.PowerDown(soon(t), patience)
	if err != nil || end.How != GuestShutdown {
		t.Errorf("ended with %q, %v", end.How, err)
	}
	// Firmware that finds nothing to boot does not care for the button.
	deaf := board(t)
	deaf.Medium = ""
	r, err = l.Start(soon(t), deaf, StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if end, err = r.PowerDown(soon(t), time.Second); err != nil || end.How != PowerCut {
		t.Errorf("ended with %q, %v", end.How, err)
	}
	if end, err = r.PowerDown(soon(t), time.Second); err != nil || end.How != PowerCut {
		t.Errorf("once more: %q, %v", end.How, err)
	}
}

func TestMachineKilledByOthersIsToldApart(t *testing.T) {
	l := openLab(t, testHost(t, Wish{}))
	r := startBoard(t, l, board(t), StartOptions{})
	if err := syscall.Kill(r.emulator.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ends(t, r, Killed)
}

func TestPowerCutKeepsWhatReachedTheDisk(t *testing.T) {
	l := openLab(t, testHost(t, Wish{}))
	m := board(t, Disk{Name: "sda", SizeBytes: 8 << 20, Bus: SATA})
	r := startBoard(t, l, m, StartOptions{})
	press(t, r, "nn")
	expect(t, r, "12")
	press(t, r, "w")
	expect(t, r, "122")
	// The guest flushes nothing; QEMU holds the place of the new sector back for a while, and the guest's shutdown is a flush.
	press(t, r, "s")
	ends(t, r, GuestShutdown)

	r = startBoard(t, l, m, StartOptions{})
	press(t, r, "nnn")
	expect(t, r, "123")
	press(t, r, "w")
	expect(t, r, "1233")
	r.Cut()
	ends(t, r, PowerCut)

	r = startBoard(t, l, m, StartOptions{})
	press(t, r, "d")
	expect(t, r, "ready\r\n3") // its place was there already
}

func TestPulledDiskFailsUntilItIsBack(t *testing.T) {
	l := openLab(t, testHost(t, Wish{}))
	for _, bus := range []Bus{Virtio, SATA, SCSI, NVMe, USB, MMC} {
		t.Run(string(bus), func(t *testing.T) {
			m := board(t, Disk{Name: "d", SizeBytes: 8 << 20, Bus: bus})
			m.Name = string(bus)
			r := startBoard(t, l, m, StartOptions{})
			press(t, r, "nw")
			expect(t, r, "ready\r\n11")
			for range 2 {
				if err := r.RemoveDisk(soon(t), "d"); err != nil {
					t.Fatal(err)
				}
			}
			press(t, r, "d")
			expect(t, r, "ready\r\n11!")
			if err := r.ReturnDisk(soon(t), "d"); err != nil {
				t.Fatal(err)
			}
			shown := "ready\r\n11!"
			if bus == MMC { // a card is made ready when it comes in, which this BIOS does at its start only
				press(t, r, "r")
				shown += "ready\r\n"
				expect(t, r, shown)
			}
			press(t, r, "d")
			expect(t, r, shown+"1")
			if err := r.RemoveDisk(soon(t), "other"); err == nil {
				t.Error("a disk that it does not have was removed")
			}
			r.Cut()
		})
	}
}

func TestMediumCanBePulled(t *testing.T) {
	l := openLab(t, testHost(t, Wish{}))
	r := startBoard(t, l, board(t), StartOptions{})
	if err := r.EjectMedium(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := r.EjectMedium(soon(t)); err == nil {
		t.Error("it was pulled twice")
	}
	press(t, r, "x")
	expect(t, r, "x")
}

func TestScreenshotShowsTheScreen(t *testing.T) {
	l := openLab(t, testHost(t, Wish{}))
	r := startBoard(t, l, board(t), StartOptions{})
	file := filepath.Join(t.TempDir(), "screen.png")
	if err := r.Screenshot(soon(t), file); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	lit := 0
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			if r, g, b, _ := picture.At(x, y).RGBA(); r+g+b > 0 {
				lit++
			}
		}
	}
	if lit < 100 {
		t.Errorf("%v with %d lit points: there should be words", picture.Bounds(), lit)
	}
}

func TestStartSaysWhatIsWrongWithADescription(t *testing.T) {
	h := testHost(t, Wish{})
	l := openLab(t, h)
	for _, tt := range []struct {
		name string
		edit func(*Machine)
		want string
	}{
		{"name", func(m *Machine) { m.Name = "../x" }, "no name for a machine"},
		{"firmware", func(m *Machine) { m.Firmware = "" }, "neither bios nor uefi"},
		{"two disks", func(m *Machine) { m.Disks = append(m.Disks, m.Disks[0]) }, `two disks are called "d"`},
		{"size", func(m *Machine) { m.Disks[0].SizeBytes = 100 }, "no number of sectors"},
		{"medium", func(m *Machine) { m.Medium = "/no/such/image" }, "/no/such/image"},
		{"network", func(m *Machine) { m.Cards = []Card{{Name: "a", Network: "lan"}} }, "network lan is not up"},
		{"not for QEMU", func(m *Machine) { m.MemoryMiB = 1 << 40 }, "qemu-system-x86_64: exit status 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := board(t, Disk{Name: "d", SizeBytes: 1 << 20, Bus: SATA})
			tt.edit(&m)
			if _, err := l.Start(soon(t), m, StartOptions{}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
	if left, err := ownEmulators(l.path(pidsDir), nil); err != nil || len(left) > 0 {
		t.Errorf("left running: %v, %v", left, err)
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	l := openLab(t, testHost(t, Wish{}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Start(ctx, board(t), StartOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	startBoard(t, l, board(t), StartOptions{})
}

func TestDiskOfAnotherSizeIsNotTouched(t *testing.T) {
	l := openLab(t, testHost(t, Wish{}))
	m := board(t, Disk{Name: "d", SizeBytes: 1 << 20, Bus: SATA})
	startBoard(t, l, m, StartOptions{}).Cut()
	m.Disks[0].SizeBytes *= 2
	if _, err := l.Start(soon(t), m, StartOptions{}); err == nil || !strings.Contains(err.Error(), "1048576 bytes and not 2097152") {
		t.Fatalf("got %v", err)
	}
	if err := l.Erase(m.Name); err != nil {
		t.Fatal(err)
	}
	startBoard(t, l, m, StartOptions{})
}
