package vm

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nixos-staged-hive/internal/testbed/guest"
	"nixos-staged-hive/internal/testbed/need"
)

// seen is a machine as a definition names its parts, for the proof in a guest.
type seen struct {
	name     string
	firmware Firmware
	devices  []string // paths of disks
	cards    []Card
}

// TestGuestSeesWhatADefinitionNames starts machines with what the other half of this package promises and looks at them from inside,
// with the real udev: each path is a disk of the size that only this one has, each card has its name.
func TestGuestSeesWhatADefinitionNames(t *testing.T) {
	image := guest.Prepare(t)
	for _, tt := range []seen{
		{
			name: "every bus", firmware: BIOS,
			devices: []string{
				"/dev/sdb", "/dev/vdb", "/dev/nvme1n1", "/dev/mmcblk0",
				"/dev/disk/by-id/ata-Samsung_SSD_860_EVO_500GB_S3Z1NB0K123456X",
				"/dev/disk/by-id/wwn-0x5002538e40abcdef",
				"/dev/disk/by-id/nvme-eui.0025385b11b0a0b1",
				"/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_abc",
				"/dev/disk/by-id/nvme-Samsung_SSD_980_PRO_1TB_S5GXNX0R123456",
				"/dev/disk/by-id/nvme-eui.00000000000000018ce38e0300b6b4c2",
				"/dev/disk/by-id/virtio-root",
				"/dev/disk/by-id/virtio-0123456789abcdef01234567",
				"/dev/disk/by-id/scsi-35000c500a1b2c3d4",
				"/dev/disk/by-id/scsi-0HC_Volume_12345678",
				"/dev/disk/by-id/scsi-SATA_ST4000DM004-2CV1_ZFN12345",
				"/dev/disk/by-id/wwn-0x600508b1001c4d2a0123456789abcdef",
				"/dev/disk/by-id/usb-SanDisk_Ultra_Fit_4C530001-0:0",
				"/dev/disk/by-id/usb-Manufacturer_Thing_1-0:0",
				"/dev/disk/by-id/mmc-DA4064_0x1e52d2c1",
			},
			cards: []Card{
				{Name: "a", Interface: "eno1"},
				{Name: "b", Interface: "enp0s25"},
				{Name: "c", Interface: "enp0s31f6"},
				{Name: "d", Interface: "ens18"},
				{Name: "e", Interface: "enp3s0"},
				{Name: "f", Interface: "enp5s0f1"},
			},
		},
		{
			name: "by path", firmware: UEFI,
			devices: []string{
				"/dev/disk/by-path/pci-0000:00:17.0-ata-3",
				"/dev/disk/by-path/pci-0000:00:1f.2-ata-1.0",
				"/dev/disk/by-path/pci-0000:02:00.0-nvme-1",
				"/dev/disk/by-path/pci-0000:00:08.0",
				"/dev/disk/by-path/virtio-pci-0000:04:00.0",
				"/dev/disk/by-path/pci-0000:00:14.0-usb-0:2:1.0-scsi-0:0:0:0",
				"/dev/disk/by-path/pci-0000:06:05.0-scsi-0:0:2:0",
				"/dev/disk/by-path/pci-0000:3b:00.0-sas-phy3-lun-0",
				"/dev/disk/by-path/pci-10000:e1:00.0-nvme-1",
				"/dev/hda",
				"/dev/nvme0n2",
			},
			cards: []Card{
				{Name: "a", Interface: "ens3f0"},
				{Name: "b", Interface: "ens3f1"},
				{Name: "c", Interface: "eno2", Path: "pci-0000:00:1f.6"},
				{Name: "d", Interface: "enp65s0f0"},
				{Name: "e", Interface: "enp65s0f1"},
				{Name: "f", Interface: "enp67s2"},
				{Name: "g", Interface: "enp8s1"},
				{Name: "h", Interface: "ens192", Path: "pci-0000:0b:00.0"},
				{Name: "i", Interface: "enp193s0"},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.check(t, image) })
	}
}

func (s seen) check(t *testing.T, image guest.Image) {
	layout, err := DisksFor(s.devices)
	if err != nil {
		t.Fatal(err)
	}
	m := Machine{Name: "seen", Firmware: s.firmware, Cards: s.cards}
	script := "set -e\n"
	var want []string
	for i, d := range layout.Disks {
		d.SizeBytes = d.FitSize(int64(i+32) << 20)
		m.Disks = append(m.Disks, d)
		link := s.devices[i]
		script += fmt.Sprintf("echo %q $(blockdev --getsize64 %q || ls -l /dev/disk/by-*)\n", link, link)
		script += fmt.Sprintf("printf 'n\\np\\n1\\n\\n\\nw\\n' | fdisk %q >/dev/null 2>&1 || true\n", link)
		want = append(want, fmt.Sprint(link, " ", d.SizeBytes))
	}
	m.Disks = append(m.Disks, layout.Fillers...)
	script += "udevadm settle\n"
	for _, link := range s.devices {
		script += fmt.Sprintf("test -b %q || echo no %s\n", partition(link), partition(link))
	}
	for _, c := range m.Cards {
		want = append(want, c.Interface+" "+madeMAC(m.Name, c.Name))
		script += fmt.Sprintf("echo %s $(cat /sys/class/net/%s/address)\n", c.Interface, c.Interface)
	}
	script += "ls /sys/class/net >&2; ls /sys/class/net/*/device/firmware_node/sun >&2 || true; ls /dev/disk/by-id /dev/disk/by-path; find /dev/disk/by-* -type l | wc -l\n"
	out := image.Run(t, append([]string{"-vga", "std"}, arguments(t, m)...), script, map[string]string{"/etc/udev/rules.d/99-local.rules": layout.UdevRules})
	t.Log(out, layout.UdevRules, strings.Join(layout.Differences, "\n"))
	for _, w := range want {
		if !strings.Contains(out, w+"\n") {
			t.Errorf("not in the guest: %s", w)
		}
	}
}

// partition is how the first one of a disk is called.
func partition(device string) string {
	if strings.HasPrefix(device, "/dev/disk/") {
		return device + "-part1"
	}
	if strings.ContainsAny(device[len(device)-1:], "0123456789") {
		return device + "p1"
	}
	return device + "1"
}

// arguments makes the images of a machine and gives QEMU's arguments for it.
func arguments(t *testing.T, m Machine) []string {
	t.Helper()
	files := machineFiles{disks: map[string]string{}}
	dir := t.TempDir()
	for _, d := range m.Disks {
		files.disks[d.Name] = filepath.Join(dir, d.Name+".qcow2")
		makeDisk(t, files.disks[d.Name], fmt.Sprint(d.SizeBytes))
	}
	host := Host{}
	if m.Firmware == UEFI {
		if host.OVMF = findFlash(Flash{}, func(string) string { return "" }, nil); host.OVMF == (Flash{}) {
			need.Skip(t, "no OVMF")
		}
		files.nvram = filepath.Join(dir, "nvram.qcow2")
		out, err := exec.Command(need.Program(t, "qemu-img"), "convert", "-O", "qcow2", "-f", host.OVMF.VarsFormat, host.OVMF.Vars, files.nvram).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	words, err := deviceArguments(m, files, host)
	if err != nil {
		t.Fatal(err)
	}
	return words
}

func makeDisk(t *testing.T, name, size string) {
	t.Helper()
	if out, err := exec.Command(need.Program(t, "qemu-img"), "create", "-q", "-f", "qcow2", name, size).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
