package bootchain

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
)

// As OVMF of edk2 2022.11 and bootctl of systemd 255 wrote them in a virtual machine: a program of the firmware's own, a USB disk, and the
// entry of systemd-boot on the first partition of a disk.
const (
	ovmfUI     = "090100002c0055006900410070007000000004071400c9bdb87cebf8344faaea3ee4af6516a10406140021aa2c4614760345836e8ab6f46623317fff0400"
	ovmfUSB    = "010000001c0055004500460049002000510045004d0055002000510045004d00550020005500530042002000480041005200440044005200490056004500200031002d0030003000300030003a00300030003a00310034002e0030002d0031003500000002010c00d041030a00000000010106000014030506000e007fff04004eac0881119f594d850ee21a522c59b2"
	systemdOne = "0100000074004c0069006e0075007800200042006f006f00740020004d0061006e006100670065007200000004012a000100000000080000000000000000100000000000316be2510f240e4d85b901d9038ffe5b0202040446005c004500460049005c00730079007300740065006d0064005c00730079007300740065006d0064002d0062006f006f0074007800360034002e0065006600690000007fff0400"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wanted is what systemdOne starts.
func wanted() program {
	return program{number: 1, start: 2048, size: 1 << 20, guid: "51e26b31-240f-4d0e-85b9-01d9038ffe5b", file: `\EFI\systemd\systemd-bootx64.efi`}
}

func TestLoadOptionsAsFirmwareWritesThem(t *testing.T) {
	for text, want := range map[string]struct {
		description string
		optional    int
	}{ovmfUI: {"UiApp", 0}, ovmfUSB: {"UEFI QEMU QEMU USB HARDDRIVE 1-0000:00:14.0-15", 16}, systemdOne: {"Linux Boot Manager", 0}} {
		b := unhex(t, text)
		o, err := readLoadOption(b)
		if err != nil || o.description != want.description || len(o.optional) != want.optional || !o.active() {
			t.Errorf("%s: got %+v, %v", want.description, o, err)
		}
		if !bytes.Equal(o.bytes(), b) {
			t.Errorf("%s is written otherwise: %x", want.description, o.bytes())
		}
		p, ok := readProgram(o.path)
		if ok != (text == systemdOne) || ok && p != wanted() {
			t.Errorf("%s starts %+v, %v", want.description, p, ok)
		}
	}
	path, err := wanted().path()
	if o, _ := readLoadOption(unhex(t, systemdOne)); err != nil || !bytes.Equal(path, o.path) {
		t.Errorf("the device path is %x, %v", path, err)
	}
}

func FuzzLoadOption(f *testing.F) {
	for _, text := range []string{ovmfUI, ovmfUSB, systemdOne} {
		f.Add(unhex(f, text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := readLoadOption(b)
		if err != nil {
			return
		}
		again, err := readLoadOption(o.bytes())
		if err != nil || !bytes.Equal(again.path, o.path) || !bytes.Equal(again.optional, o.optional) || again.attributes != o.attributes {
			t.Errorf("%x was read as %+v and written as %x: %v", b, o, o.bytes(), err)
		}
		p, ok := readProgram(o.path)
		if !ok {
			return
		}
		path, err := p.path()
		if err != nil {
			t.Fatal(err)
		}
		if back, ok := readProgram(path); !ok || back.guid != p.guid || back.number != p.number || back.start != p.start {
			t.Errorf("%+v was written as %x", p, path)
		}
	})
}

// firmware is a folder of variables, as efivarfs shows them.
type firmware struct {
	t *testing.T
	variables
}

func newFirmware(t *testing.T) firmware {
	t.Helper()
	f := firmware{t, variables{t.TempDir()}}
	f.put("Boot0000", guidGlobal, unhex(t, ovmfUI))
	f.put("Boot0001", guidGlobal, unhex(t, ovmfUSB))
	f.put("BootOrder", guidGlobal, numberBytes(1, 0))
	f.put("Timeout", guidGlobal, []byte{0, 0})
	f.put("SecureBoot", guidGlobal, []byte{0})
	return f
}

func (f firmware) put(name, guid string, value []byte) {
	f.t.Helper()
	if err := os.WriteFile(f.file(name, guid), append([]byte{7, 0, 0, 0}, value...), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func (f firmware) entry(n uint16, label string, p program) {
	f.t.Helper()
	path, err := p.path()
	if err != nil {
		f.t.Fatal(err)
	}
	f.put(optionName(n), guidGlobal, loadOption{attributes: loadActive, description: label, path: path}.bytes())
}

func (f firmware) orderNow() []uint16 {
	f.t.Helper()
	order, err := f.order()
	if err != nil {
		f.t.Fatal(err)
	}
	return order
}

func TestFirmwareIsMadeToStartTheSystem(t *testing.T) {
	label := Label("alpha")
	moved := func(p program) program { p.guid = "00000000-1111-2222-3333-444444444444"; return p }
	for _, tt := range []struct {
		name    string
		before  func(f firmware)
		number  string
		label   string
		changed bool
		removed []string
		order   []uint16
	}{
		{"a new machine", func(firmware) {}, "Boot0002", label, true, nil, []uint16{2, 1, 0}},
		{"nothing in the order", func(f firmware) { _ = f.remove("BootOrder", guidGlobal) }, "Boot0002", label, true, nil, []uint16{2}},
		{"a number that is only in the order", func(f firmware) { f.put("BootOrder", guidGlobal, numberBytes(1, 2, 0)) }, "Boot0003", label, true, nil, []uint16{3, 1, 2, 0}},
		{"bootctl made an entry", func(f firmware) {
			f.put("Boot0003", guidGlobal, unhex(f.t, systemdOne))
			f.put("BootOrder", guidGlobal, numberBytes(1, 3, 0))
		}, "Boot0003", "Linux Boot Manager", false, nil, []uint16{3, 1, 0}},
		{"an earlier installation, with the GUID of its partition", func(f firmware) {
			f.entry(5, label, moved(wanted()))
			f.put("BootOrder", guidGlobal, numberBytes(5, 1, 0))
		}, "Boot0005", label, true, nil, []uint16{5, 1, 0}},
		{"two of them", func(f firmware) {
			f.entry(5, label, moved(wanted()))
			f.entry(6, label, moved(wanted()))
			f.put("BootOrder", guidGlobal, numberBytes(6, 5, 1, 0))
		}, "Boot0005", label, true, []string{"Boot0006"}, []uint16{5, 1, 0}},
		{"ours and bootctl's", func(f firmware) {
			f.entry(2, label, moved(wanted()))
			f.put("Boot0003", guidGlobal, unhex(f.t, systemdOne))
			f.put("BootOrder", guidGlobal, numberBytes(2, 3, 1, 0))
		}, "Boot0003", "Linux Boot Manager", false, []string{"Boot0002"}, []uint16{3, 1, 0}},
		{"the same again", func(f firmware) {
			f.entry(4, label, wanted())
			f.put("BootOrder", guidGlobal, numberBytes(4, 1, 0))
		}, "Boot0004", label, false, nil, []uint16{4, 1, 0}},
		{"the partition was moved", func(f firmware) {
			p := wanted()
			p.start = 4096
			f.entry(4, "Linux Boot Manager", p)
		}, "Boot0004", label, true, nil, []uint16{4, 1, 0}},
		{"an entry of another host", func(f firmware) {
			f.entry(2, Label("beta"), moved(wanted()))
			f.put("BootOrder", guidGlobal, numberBytes(2, 1, 0))
		}, "Boot0003", label, true, nil, []uint16{3, 2, 1, 0}},
		{"an entry that cannot be read", func(f firmware) { f.put("Boot0002", guidGlobal, []byte{1}) }, "Boot0003", label, true, nil, []uint16{3, 1, 0}},
		{"an entry that is turned off", func(f firmware) {
			o, _ := readLoadOption(unhex(f.t, systemdOne))
			o.attributes = 0
			f.put("Boot0002", guidGlobal, o.bytes())
		}, "Boot0002", label, true, nil, []uint16{2, 1, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFirmware(t)
			tt.before(f)
			for _, again := range []bool{false, true} {
				r, err := register(f.variables, label, wanted())
				if err != nil {
					t.Fatal(err)
				}
				if r.Number != tt.number || r.Label != tt.label || r.Changed != (tt.changed && !again) || !again && !slices.Equal(r.Removed, tt.removed) {
					t.Errorf("registered %+v (again: %v)", r, again)
				}
				if order := f.orderNow(); !slices.Equal(order, tt.order) {
					t.Errorf("the order is %d", order)
				}
			}
			options, err := f.options()
			if err != nil {
				t.Fatal(err)
			}
			if _, kept := options[1]; !kept || options[0].description != "UiApp" {
				t.Errorf("entries of others are gone: %v", options)
			}
		})
	}
}

func TestVariablesOfAnEarlierChoiceGo(t *testing.T) {
	f := newFirmware(t)
	f.put("LoaderEntryDefault", guidLoader, putText("nixos-generation-7.conf"))
	if err := f.forgetChoices(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.read("LoaderEntryDefault", guidLoader); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

// TestFirmwareThatDoesNotKeepIt is one that takes a write and has another value after it.
func TestFirmwareThatDoesNotKeepIt(t *testing.T) {
	f := newFirmware(t)
	if _, err := register(f.variables, Label("alpha"), wanted()); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string][]byte{
		"BootNext": numberBytes(1), "BootOrder": numberBytes(1, 2), "Boot0002": unhex(t, ovmfUI),
	} {
		before, err := f.read(name, guidGlobal)
		if err != nil {
			t.Fatal(err)
		}
		f.put(name, guidGlobal, value)
		if err := confirm(f.variables, 2, wanted()); err == nil || !strings.Contains(err.Error(), "keeps another "+name) {
			t.Errorf("%s: got %v", name, err)
		}
		f.put(name, guidGlobal, before)
	}
}

func TestEntryIsAnErrorOnlyWithoutAWayAround(t *testing.T) {
	h := hive.MediumHost{Name: "alpha", Plan: hive.Plan{Boot: hive.Boot{ESP: "/boot"}}}
	for fallback, want := range map[bool]hive.Severity{true: hive.Warning, false: hive.Error} {
		r, problems := Entry(t.TempDir(), h, Chain{Program: `\EFI\systemd\systemd-bootx64.efi`, Fallback: fallback})
		if len(problems) != 1 || problems[0].Severity != want || problems[0].Way == "" {
			t.Errorf("fallback %v: got %v", fallback, problems)
		}
		if r.Number != "" {
			t.Errorf("an entry that was not made is told: %+v", r)
		}
	}
}

func TestVariablesThatAreNotThere(t *testing.T) {
	for name, folder := range map[string]string{"no folder": filepath.Join(t.TempDir(), "none"), "an empty one": t.TempDir()} {
		if _, err := register(variables{folder}, "x", wanted()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestNamesOfEntries(t *testing.T) {
	for name, want := range map[string]bool{
		"Boot00AF-" + guidGlobal: true, "Boot00af-" + guidGlobal: false, "Boot1-" + guidGlobal: false, "BootOrder-" + guidGlobal: false,
		"Boot00AF-" + guidLoader: false, "BootNext-" + guidGlobal: false, "Boot+001-" + guidGlobal: false,
	} {
		if n, ok := optionNumber(name); ok != want || ok && n != 0xaf {
			t.Errorf("%s: got %d, %v", name, n, ok)
		}
	}
}
