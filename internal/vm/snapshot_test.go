package vm

import (
	"errors"
	"strings"
	"testing"
)

func TestLiveSnapshotGoesOnWhereItWas(t *testing.T) {
	for _, firmware := range []Firmware{BIOS, UEFI} {
		t.Run(string(firmware), func(t *testing.T) {
			l := openLab(t, testHost(t, Wish{UEFI: firmware == UEFI}))
			m := board(t, Disk{Name: "a", SizeBytes: 8 << 20, Bus: SATA}, Disk{Name: "b", SizeBytes: 8 << 20, Bus: Virtio})
			if firmware == UEFI { // which does not boot a sector: it is enough that it is saved and resumed
				m.Firmware, m.MemoryMiB = UEFI, 128
				resumesInFirmware(t, l, m)
				return
			}
			r := startBoard(t, l, m, StartOptions{})
			press(t, r, "nnw")
			expect(t, r, "122")
			save(t, r, "two")
			press(t, r, "nw")
			expect(t, r, "12233")
			save(t, r, "three")
			save(t, r, "two") // of the same name: replaced
			press(t, r, "n")
			expect(t, r, "122334")
			r.Cut()

			r = startBoard(t, l, m, StartOptions{From: "two"})
			press(t, r, "nd")
			expect(t, r, "43")
			r.Cut()

			all, err := l.Snapshots("board")
			if err != nil || len(all) != 2 || all[0].Tag != "three" || all[1].Tag != "two" || !all[0].Live {
				t.Errorf("snapshots %+v, %v", all, err)
			}
			other := m
			other.MemoryMiB = 64
			if _, err := l.Start(soon(t), other, StartOptions{From: "two"}); err == nil || !strings.Contains(err.Error(), "described differently") {
				t.Errorf("another machine: %v", err)
			}
			if _, err := l.Start(soon(t), m, StartOptions{From: "one"}); err == nil || !strings.Contains(err.Error(), "no snapshot one") {
				t.Errorf("no such snapshot: %v", err)
			}
		})
	}
}

func save(t *testing.T, r *Running, tag string) {
	t.Helper()
	if err := r.Save(soon(t), tag); err != nil {
		t.Fatal(err)
	}
}

func resumesInFirmware(t *testing.T, l *Lab, m Machine) {
	t.Helper()
	r, err := l.Start(soon(t), m, StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	save(t, r, "early")
	r.Cut()
	if r, err = l.Start(soon(t), m, StartOptions{From: "early"}); err != nil {
		t.Fatal(err)
	}
	r.Cut()
	// Factory settings are written over what is there, and the snapshot stays.
	if r, err = l.Start(soon(t), m, StartOptions{ResetNVRAM: true}); err != nil {
		t.Fatal(err)
	}
	r.Cut()
	if _, err = l.Start(soon(t), m, StartOptions{From: "early"}); err != nil {
		t.Fatal(err)
	}
}

func TestMachineThatCannotBeSavedGoesOn(t *testing.T) {
	l := openLab(t, testHost(t, Wish{}))
	m := board(t, Disk{Name: "fast", SizeBytes: 8 << 20, Bus: NVMe})
	r := startBoard(t, l, m, StartOptions{})
	err := r.Save(soon(t), "x")
	if unsavable, ok := errors.AsType[*UnsavableError](err); !ok || !strings.Contains(unsavable.Reason, "nvme") {
		t.Errorf("got %v", err)
	}
	press(t, r, "y")
	expect(t, r, "y")
	if all, err := l.Snapshots(m.Name); err != nil || len(all) != 0 {
		t.Errorf("snapshots %+v, %v", all, err)
	}
}

func TestDisksOfAMachineThatIsOffAreSaved(t *testing.T) {
	l := openLab(t, testHost(t, Wish{}))
	m := board(t, Disk{Name: "fast", SizeBytes: 8 << 20, Bus: NVMe})
	r := startBoard(t, l, m, StartOptions{})
	press(t, r, "nw")
	expect(t, r, "11")
	if err := l.SaveDisks(soon(t), m, "one"); err == nil || !strings.Contains(err.Error(), "on already") {
		t.Errorf("while it runs: %v", err)
	}
	press(t, r, "s")
	ends(t, r, GuestShutdown)
	for range 2 {
		if err := l.SaveDisks(soon(t), m, "one"); err != nil {
			t.Fatal(err)
		}
	}
	r = startBoard(t, l, m, StartOptions{})
	press(t, r, "nnw")
	expect(t, r, "122")
	press(t, r, "s")
	ends(t, r, GuestShutdown)
	r = startBoard(t, l, m, StartOptions{})
	press(t, r, "d")
	expect(t, r, "ready\r\n2")
	r.Cut()

	r, err := l.Start(soon(t), m, StartOptions{From: "one"})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, r, "ready\r\n")
	press(t, r, "d")
	expect(t, r, "ready\r\n1")
}
