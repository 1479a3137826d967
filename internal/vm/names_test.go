package vm

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestCanName(t *testing.T) {
	for name, want := range map[string]bool{
		"eno1": true, "eno255": true, "eno0": false, "eno256": false, "eno1np0": false,
		"ens3": true, "ens192": true, "ens3f1": true, "ens0": false, "ens8192": false, "ens3f8": false, "ens03": false,
		"enp0s25": true, "enp0s31f6": true, "enp2s0": true, "enp65s0f1": true, "enp3s5": true, "enp250s0": true,
		"enp0s0": false, "enp0s1": false, "enp0s31": false, "enp0s31f3": false, "enp0s32": false, "enp2s0f8": false, "enp251s0": false,
		"enp0s20f0u1": false, "enp1s0f0np0": false, "enp2s0d1": false, "enP1p2s0": false,
		"eth0": true, "eth12": true, "enx525400123456": false, "wlp3s0": false, "wlan0": false, "lan": false, "": false, "br0": false,
	} {
		if got := CanName(name); got != want {
			t.Errorf("CanName(%q) = %v", name, got)
		}
	}
}

func TestCanPlace(t *testing.T) {
	for path, want := range map[string]bool{
		"pci-0000:00:1f.6": true, "pci-0000:02:00.0": true, "pci-0000:00:00.0": false, "pci-0000:00:1f.0": false,
		"pci-0001:00:1f.6": false, "0000:00:1f.6": false, "pci-0000:00:1F.6": false, "platform-x": false, "": false,
	} {
		if got := CanPlace(path); got != want {
			t.Errorf("CanPlace(%q) = %v", path, got)
		}
	}
}

// FuzzCanName: what is called possible is what QEMU's arguments can be made for.
func FuzzCanName(f *testing.F) {
	for _, name := range []string{"eno1", "ens3f1", "enp2s0", "enp0s31f6", "eth0", "enp200s3f2", "enp0s20"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		m := Machine{Name: "m", Firmware: BIOS, Cards: []Card{{Name: "c", Interface: name}}}
		_, err := deviceArguments(m, machineFiles{}, Host{})
		if possible := CanName(name) || name == ""; possible != (err == nil) {
			t.Errorf("%q: %v, %v", name, possible, err)
		}
	})
}

func TestDisksForReadsEveryKindOfPath(t *testing.T) {
	for _, tt := range []struct {
		device string
		want   Disk
		link   string // what a rule has to add
	}{
		{"/dev/sda", Disk{Name: "sda", Bus: SATA, Device: "sda"}, ""},
		{"/dev/sda2", Disk{Name: "sda", Bus: SATA, Device: "sda"}, ""},
		{"/dev//vda", Disk{Name: "vda", Bus: Virtio, Device: "vda"}, ""},
		{"/dev/nvme0n1p3", Disk{Name: "nvme0n1", Bus: NVMe, Device: "nvme0n1"}, ""},
		{"/dev/mmcblk0p1", Disk{Name: "disk0", Bus: SATA, Serial: made("mmcblk0"), WWN: "5" + made("mmcblk0")[:15]}, "mmcblk0"},
		{
			"/dev/disk/by-id/ata-WDC_WD40EFRX-68N32N0_WD-WCC7K0000000-part1",
			Disk{Name: "disk0", Bus: SATA, Model: "WDC WD40EFRX-68N32N0", Serial: "WD-WCC7K0000000"},
			"",
		},
		{"/dev/disk/by-id/ata-A__B_C", Disk{Name: "disk0", Bus: SATA, Model: "A__B", Serial: "C"}, ""},
		{"/dev/disk/by-id/wwn-0x5002538e40abcdef", Disk{Name: "disk0", Bus: SATA, WWN: "5002538e40abcdef"}, ""},
		{"/dev/disk/by-id/scsi-35000c500a1b2c3d4", Disk{Name: "disk0", Bus: SCSI, WWN: "5000c500a1b2c3d4"}, ""},
		{"/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-scsi0", Disk{Name: "disk0", Bus: SCSI, Vendor: "QEMU", Model: "QEMU HARDDISK", Serial: "drive-scsi0"}, ""},
		{"/dev/disk/by-id/virtio-root", Disk{Name: "disk0", Bus: Virtio, Serial: "root"}, ""},
		{"/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_x_1", Disk{Name: "disk0", Bus: NVMe, Serial: "x"}, ""},
		{"/dev/disk/by-id/nvme-Samsung_SSD_S5GX", Disk{Name: "disk0", Bus: NVMe, Serial: "S5GX"}, "disk/by-id/nvme-Samsung_SSD_S5GX"},
		{"/dev/disk/by-id/nvme-Samsung_SSD_S5GX_1-part2", Disk{Name: "disk0", Bus: NVMe, Serial: "S5GX"}, "disk/by-id/nvme-Samsung_SSD_S5GX_1"},
		{"/dev/disk/by-id/usb-SanDisk_Ultra_4C53-0:0", Disk{Name: "disk0", Bus: USB, Vendor: "SanDisk", Model: "Ultra", Serial: "4C53"}, ""},
		{
			"/dev/disk/by-id/mmc-DA4064_0x1e52d2c1",
			Disk{Name: "disk0", Bus: SATA, Serial: made("disk/by-id/mmc-DA4064_0x1e52d2c1"), WWN: "5" + made("disk/by-id/mmc-DA4064_0x1e52d2c1")[:15]},
			"disk/by-id/mmc-DA4064_0x1e52d2c1",
		},
		{"/dev/disk/by-path/pci-0000:00:17.0-ata-1", Disk{Name: "disk0", Bus: SATA, Path: "pci-0000:00:17.0-ata-1"}, ""},
		{"/dev/disk/by-path/pci-0000:01:00.0-nvme-1-part1", Disk{Name: "disk0", Bus: NVMe, Path: "pci-0000:01:00.0-nvme-1"}, ""},
		{"/dev/disk/by-path/pci-10000:e1:00.0-nvme-1", Disk{Name: "disk0", Bus: NVMe, Serial: made("disk/by-path/pci-10000:e1:00.0-nvme-1")}, "disk/by-path/pci-10000:e1:00.0-nvme-1"},
	} {
		layout, err := DisksFor([]string{tt.device})
		if err != nil || len(layout.Disks) != 1 || layout.Disks[0] != tt.want {
			t.Errorf("%s: %+v, %v, want %+v", tt.device, layout.Disks, err, tt.want)
			continue
		}
		if (tt.link == "") != (layout.UdevRules == "") || !strings.Contains(layout.UdevRules, fmt.Sprintf("SYMLINK+=%q\n", tt.link)) && tt.link != "" {
			t.Errorf("%s: rules %s", tt.device, layout.UdevRules)
		}
		if (tt.link == "") != (len(layout.Differences) == 0) {
			t.Errorf("%s: differences %q", tt.device, layout.Differences)
		}
	}
}

func TestDisksForTellsWhatIsNoDiskAndWhatClashes(t *testing.T) {
	_, err := DisksFor([]string{
		"/dev/disk/by-uuid/1234-5678", "/dev/disk/by-partlabel/disk-main-root", "/dev/disk/by-id/dm-name-x", "/dev/mapper/root", "/dev/md0",
		"/dev/sr0", "sda", "", "/dev/sda\nb", `/dev/disk/by-id/ata-"$attr{x}"_y`,
		"/dev/vda", "/dev/vda1", "/dev/disk/by-path/pci-0000:00:17.0-ata-1", "/dev/disk/by-path/pci-0000:00:17.0-ata-1.0",
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"by-uuid/1234-5678 names what is on a disk", "by-partlabel/disk-main-root names", "dm-name-x names", "/dev/mapper/root is no disk", "/dev/md0 is no disk",
		"/dev/sr0 is no disk", `"sda" is no path`, `"" is no path`, `"/dev/sda\nb" is no path`, `attr{x}\"_y" is no path`,
		"/dev/vda and /dev/vda1 are the same disk", "-ata-1 and /dev/disk/by-path/pci-0000:00:17.0-ata-1.0 are the same disk",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not told: %s", want)
		}
	}
	if n := len(strings.Split(err.Error(), "\n")); n != 12 {
		t.Errorf("%d errors:\n%v", n, err)
	}
}

func TestFillersComeBeforeWhatIsNamed(t *testing.T) {
	layout, err := DisksFor([]string{"/dev/sdc", "/dev/disk/by-id/ata-a_b", "/dev/nvme2n1", "/dev/disk/by-id/usb-a_b_c-0:0"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range layout.Fillers {
		got = append(got, string(d.Bus))
	}
	if want := "sata nvme nvme"; strings.Join(got, " ") != want {
		t.Errorf("fillers on %q, want %q", got, want)
	}
	if len(layout.Differences) != 2 || !strings.Contains(layout.Differences[0], "disk3 may get this name") {
		t.Errorf("differences: %q", layout.Differences)
	}
	if len(layout.KernelParameters) != 1 {
		t.Errorf("kernel parameters: %q", layout.KernelParameters)
	}
}

func TestInOrder(t *testing.T) {
	var names []string
	for _, d := range inOrder([]Disk{{Name: "x"}, {Name: "c", Device: "sdc"}, {Name: "a", Device: "sda"}, {Name: "y"}, {Name: "aa", Device: "sdaa"}}) {
		names = append(names, d.Name)
	}
	if got := strings.Join(names, " "); got != "a x c y aa" {
		t.Errorf("order %s", got)
	}
}

// FuzzDisksFor: whatever a definition says, it is refused, or becomes a disk that QEMU's arguments can be made for and rules that are
// nothing but the rules they should be.
func FuzzDisksFor(f *testing.F) {
	for _, device := range []string{
		"/dev/sdb", "/dev/nvme0n2", "/dev/hda", "/dev/xvda1", "/dev/mmcblk1", "/dev/disk/by-id/ata-a_b-part1", "/dev/disk/by-id/usb-a_b_c-0:0",
		"/dev/disk/by-id/nvme-eui.0025385b11b0a0b1", "/dev/disk/by-id/scsi-0a_b_c", "/dev/disk/by-id/mmc-x", "/dev/disk/by-id/virtio-y",
		"/dev/disk/by-path/pci-0000:00:14.0-usb-0:2:1.0-scsi-0:0:0:0", "/dev/disk/by-path/pci-0000:05:03.0-scsi-0:0:255:0",
		"/dev/disk/by-path/virtio-pci-0000:00:08.0", "/dev/disk/by-id/wwn-0x600508b1001c4d2a0123456789abcdef",
	} {
		f.Add(device)
	}
	rule := regexp.MustCompile(`^ACTION!="remove", SUBSYSTEM=="block", ENV\{DEVTYPE\}=="(disk|partition)", KERNEL=="[a-z0-9*]+"(, ENV\{ID_[A-Z_]+\}=="[^"$%]+")?, SYMLINK\+="[^"$%]+(%n)?"$`)
	f.Fuzz(func(t *testing.T, device string) {
		layout, err := DisksFor([]string{device})
		if err != nil {
			return
		}
		for line := range strings.Lines(layout.UdevRules) {
			if line = strings.TrimSuffix(line, "\n"); !strings.HasPrefix(line, "#") && !rule.MatchString(line) {
				t.Errorf("%q: rule %q", device, line)
			}
		}
		m := Machine{Name: "m", Firmware: BIOS, Disks: append(layout.Disks, layout.Fillers...)}
		const places = 20 // of PCI; vdzz is for other machines
		if _, err := deviceArguments(m, machineFiles{}, Host{}); err != nil && len(layout.Fillers) < places {
			t.Errorf("%q: %+v: %v", device, layout, err)
		}
	})
}
