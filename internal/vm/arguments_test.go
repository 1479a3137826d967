package vm

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestArgumentsAreWhatTheyWere holds QEMU's arguments still: a machine in whose memory a snapshot is loaded must look as it did.
func TestArgumentsAreWhatTheyWere(t *testing.T) {
	host := Host{OVMF: Flash{Code: "/code.fd", Vars: "/vars.fd", CodeFormat: "raw", VarsFormat: "raw"}}
	for file, tt := range map[string]struct {
		machine Machine
		files   machineFiles
	}{
		"arguments-bios.txt": {
			Machine{
				Name: "b", Firmware: BIOS,
				Disks: []Disk{
					{Name: "two", Bus: SATA, Device: "sdb"},
					{Name: "one", Bus: SATA, Model: "A, B", Serial: "C", WWN: "5002538e40abcdef"},
					{Name: "s", Bus: SCSI, Vendor: "V", Model: "M", Serial: "S"},
					{Name: "v", Bus: Virtio, Serial: "S"},
					{Name: "n", Bus: NVMe},
				},
				Cards: []Card{{Name: "lan", Interface: "eth0", Network: "n"}, {Name: "idle", MAC: "52:54:00:00:00:01"}},
			},
			machineFiles{
				disks:  map[string]string{"one": "/1", "two": "/2", "s": "/s", "v": "/v", "n": "/n"},
				medium: "/a,b.iso", plugs: map[string]string{"lan": "/lan.sock"}, diskFirst: true,
			},
		},
		"arguments-uefi.txt": {
			Machine{
				Name: "u", Firmware: UEFI,
				Disks: []Disk{{Name: "stick", Bus: USB, Vendor: "V", Model: "M", Serial: "S"}, {Name: "card", Bus: MMC, SizeBytes: 1 << 30}, {
					Name: "path", Bus: SATA, Path: "pci-0000:00:17.0-ata-2",
				}},
				Cards: []Card{
					{Name: "board", Interface: "eno1", Path: "pci-0000:00:1f.6"},
					{Name: "slot", Interface: "ens3f1"},
					{Name: "third", Interface: "enp3s0"},
					{Name: "old", Interface: "enp2s5"},
					{Name: "far", Interface: "enp65s0"},
				},
			},
			machineFiles{disks: map[string]string{"stick": "/s", "card": "/c", "path": "/p"}, nvram: "/nvram", medium: "/m.iso"},
		},
	} {
		words, err := deviceArguments(tt.machine, tt.files, host)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		got := strings.ReplaceAll(strings.Join(words, "\n")+"\n", "\n-", "\x00-")
		got = strings.ReplaceAll(strings.ReplaceAll(got, "\n", " "), "\x00", "\n")
		golden(t, filepath.Join("testdata", file), strings.TrimSpace(got)+"\n")
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what it was; look at it and run with -update:\n%s", file, got)
	}
}

func TestArgumentsTellAllThatCannotBe(t *testing.T) {
	m := Machine{
		Name: "m", Firmware: BIOS,
		Disks: []Disk{
			{Name: "card", Bus: MMC, SizeBytes: 3 << 20},
			{Name: "tape", Bus: "tape"},
			{Name: "lonely", Bus: Virtio, Device: "vdb"},
			{Name: "far", Bus: NVMe, Path: "platform-x"},
			{Name: "wrong", Bus: NVMe, Path: "pci-0000:00:17.0-ata-2"},
			{Name: "a", Bus: SATA, Path: "pci-0000:00:17.0-ata-1"},
			{Name: "b", Bus: SATA, Path: "pci-0000:00:17.0-ata-1.0"},
			{Name: "bridged", Bus: NVMe, Path: "pci-0000:05:00.0-nvme-1"},
		},
		Cards: []Card{
			{Name: "radio", Interface: "wlp3s0"},
			{Name: "c", Interface: "enp2s0"},
			{Name: "d", Path: "pci-0000:02:00.0"},
			{Name: "e", Interface: "enp2s0", Path: "pci-0000:03:00.0"},
			{Name: "f", Interface: "eno1", Path: "pci-0000:04:00.0"},
			{Name: "g", Path: "pci-0000:00:1f.0"},
			{Name: "h", Interface: "enp5s3"},
		},
	}
	_, err := deviceArguments(m, machineFiles{}, Host{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"hardware of m: ", "disk card: memory cards have sizes", `no bus "tape"`, "disk lonely: it cannot be vdb", "disk far: no nvme disk can be at platform-x",
		"disk wrong: no nvme disk can be at pci-0000:00:17.0-ata-2", "disks a and b cannot be on the same port",
		"card radio: none gets the name wlp3s0", "card c and card d cannot both be at 0000:02:00.0", "card e: what is called enp2s0 is not at",
		"card f: eno1 cannot be at", "card g: no card can be at", "card h cannot be at 0000:05:03.0",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not told: %s", want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}
