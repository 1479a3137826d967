package blockdev

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/disk"
	"nixos-staged-hive/internal/testbed/need"
)

var update = flag.Bool("update", false, "write the golden files anew")

// samples are what versions of lsblk say: 2.38 from the guest of guest_test.go, the others written in the form of that version.
var samples = []string{"old-2.32", "laptop-2.37", "guest-2.38", "desktop-2.40"}

func sample(t testing.TB, name string) []hive.Device {
	t.Helper()
	devices, err := Parse(sampleFile(t, name+".lsblk"), sampleFile(t, name+".survey"))
	if err != nil {
		t.Fatal(err)
	}
	return devices
}

func sampleFile(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if errors.Is(err, os.ErrNotExist) && strings.HasSuffix(name, ".survey") {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	file = filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (go test -update writes it anew):\n%s", file, diff)
	}
}

func TestParseGivesTheDevicesOfEachVersion(t *testing.T) {
	for _, name := range samples {
		t.Run(name, func(t *testing.T) {
			text, err := json.MarshalIndent(sample(t, name), "", " ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".golden", string(text)+"\n")
		})
	}
}

func at(t testing.TB, devices []hive.Device, path string) hive.Device {
	t.Helper()
	for _, top := range devices {
		var found hive.Device
		top.Walk(func(d hive.Device) {
			if d.Path == path {
				found = d
			}
		})
		if found.Path != "" {
			return found
		}
	}
	t.Fatalf("no %s in the list", path)
	return hive.Device{}
}

func TestParseNamesADiskByWhatIsPrintedOnIt(t *testing.T) {
	devices := sample(t, "desktop-2.40")
	for path, want := range map[string]string{
		"/dev/sda":        "/dev/disk/by-id/ata-ST4000DM004-2CV104_ZFN12345",
		"/dev/nvme0n1":    "/dev/disk/by-id/nvme-Samsung_SSD_980_PRO_1TB_S5GXNX0R123456",
		"/dev/mmcblk0":    "/dev/disk/by-id/mmc-SD32G_0x1e52d2c1",
		"/dev/sdc":        "/dev/disk/by-id/usb-SanDisk_Ultra_Fit_4C530001230509112345-0:0",
		"/dev/cciss/c0d0": "/dev/disk/by-id/cciss-3600508b1001", // not by what LVM wrote on it
		"/dev/md127":      "/dev/disk/by-id/md-name-nas:home",
		"/dev/sdi":        "/dev/sdi",
	} {
		if got := at(t, devices, path).Best(); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	want := []string{"nvme", "vmd"}
	if got := at(t, devices, "/dev/nvme0n1").Drivers; !slices.Equal(got, want) {
		t.Errorf("drivers %q, want %q", got, want)
	}
	p := at(t, devices, "/dev/nvme0n1p2")
	if p.PartNum != 2 || p.Start != 1<<30 || p.Transport != "nvme" || p.Table != "" {
		t.Errorf("got %+v", p)
	}
}

// TestGuestIsSeenWhole is about a real machine with a real udev, whose words are in testdata.
func TestGuestIsSeenWhole(t *testing.T) {
	devices := sample(t, "guest-2.38")
	for path, want := range map[string]struct{ link, transport, drivers string }{
		"/dev/sda":     {"/dev/disk/by-id/ata-Samsung_SSD_860_QM_mda", "sata", "sd_mod ahci"},
		"/dev/sdd":     {"/dev/disk/by-id/usb-QEMU_QEMU_HARDDISK_QM_stick-0:0", "usb", "sd_mod usb_storage usbcore xhci_pci"},
		"/dev/sdf":     {"/dev/disk/by-id/wwn-0x5000c500a1b2c3d4", "", "sd_mod virtio_scsi virtio_pci"},
		"/dev/vda":     {"/dev/disk/by-id/virtio-QM_luks", "virtio", "virtio_blk virtio_pci"},
		"/dev/vdc":     {"/dev/disk/by-path/pci-0000:00:09.0", "virtio", "virtio_blk virtio_pci"}, // has no serial
		"/dev/nvme0n1": {"/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_QM_btra", "nvme", "nvme"},
	} {
		d := at(t, devices, path)
		if d.Best() != want.link || d.Transport != want.transport || strings.Join(d.Drivers, " ") != want.drivers {
			t.Errorf("%s: %s %s %q, want %+v", path, d.Best(), d.Transport, d.Drivers, want)
		}
	}
	stick := at(t, devices, "/dev/sdd")
	if stick.Table != "gpt" || len(stick.Children) != 2 || stick.Children[0].Start != 1<<20 || stick.Children[0].Label != "STICK" {
		t.Errorf("got %+v", stick)
	}
	if !at(t, devices, "/dev/vdc").Blank() || at(t, devices, "/dev/vdb").Blank() {
		t.Error("what is blank is not told from what is not")
	}
	found, disks, ok := Find(devices, "9:0")
	if !ok || found.Path != "/dev/md0" || len(disks) != 2 {
		t.Errorf("the array is %+v on %d disks", found, len(disks))
	}
}

func TestParseLeavesOutWhatSteersATerminal(t *testing.T) {
	for _, top := range sample(t, "desktop-2.40") {
		top.Walk(func(d hive.Device) {
			for _, s := range []string{d.Model, d.Serial, d.Label, d.PartLabel} {
				if strings.ContainsFunc(s, unicode.IsControl) {
					t.Errorf("%s: %q", d.Path, s)
				}
			}
		})
	}
}

func TestParseRefusesWhatIsNoList(t *testing.T) {
	for _, text := range []string{"{", `[]`, `{"blockdevices":[{"size":"big"}]}`, `{"blockdevices":7}`} {
		if _, err := Parse([]byte(text), nil); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
	for _, text := range []string{"", "{}", `{"blockdevices":[]}`, `{"blockdevices":[{"label":"` + "\xff" + `"}]}`} {
		if _, err := Parse([]byte(text), nil); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range samples {
		f.Add(sampleFile(f, name+".lsblk"), sampleFile(f, name+".survey"))
	}
	f.Fuzz(func(t *testing.T, lsblk, survey []byte) {
		devices, err := Parse(lsblk, survey)
		if err != nil {
			return
		}
		for _, top := range devices {
			top.Walk(func(d hive.Device) {
				for _, r := range Judge(devices, d.Number, 1) {
					if r.Text == "" || strings.ContainsFunc(r.Text, unicode.IsControl) {
						t.Errorf("%s: reason %q", d.Path, r.Text)
					}
				}
			})
		}
	})
}

func TestListFindsALoopDeviceWithItsPartitions(t *testing.T) {
	need.Program(t, "lsblk")
	d := disk.New(t, disk.Spec{Table: disk.GPT, Parts: []disk.Part{{Label: "EFI", Kind: disk.ESP, Size: 8 << 20}, {Label: "root"}}})
	got := listed(t, d.Path)
	if got.Kind != "loop" || got.Bytes != 64<<20 || got.Sector != 512 || got.Table != "gpt" || len(got.Children) != 2 {
		t.Fatalf("got %+v", got)
	}
	part := got.Children[1]
	if part.Kind != "part" || part.PartNum != 2 || part.Start != 9<<20 || part.PartLabel != "root" || part.PartType != typeLinux {
		t.Errorf("got %+v", part)
	}
}

func listed(t testing.TB, path string) hive.Device {
	t.Helper()
	devices, err := List(t.Context(), local())
	if err != nil {
		t.Fatal(err)
	}
	return at(t, devices, path)
}

type absent struct{}

func (absent) Run(_ context.Context, c run.Command) error { return &run.MissingError{Program: c.Name} }

func TestListWithoutLsblkSaysSo(t *testing.T) {
	_, err := List(t.Context(), absent{})
	if missing := (*run.MissingError)(nil); !errors.As(err, &missing) || missing.Program != "lsblk" {
		t.Errorf("got %v", err)
	}
}

func local() run.Runner { return run.Local{} }
