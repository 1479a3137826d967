package vm

import (
	"cmp"
	"fmt"
	"maps"
	"os"
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
	medium   bool
	renamed  map[string]string // names that cards get by a rule, by MAC address
	files    map[string]string // in the guest
}

// TestGuestSeesWhatADefinitionNames starts machines with what the other half of this package promises and looks at them from inside,
// with the real udev: each path is a disk of the size that only this one has, each card has its name.
func TestGuestSeesWhatADefinitionNames(t *testing.T) {
	image := guest.Prepare(t)
	for _, tt := range []seen{
		{
			name: "every bus", firmware: BIOS,
			devices: []string{
				"/dev/vdb", "/dev/nvme1n1",
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
			name: "names of the kernel", firmware: BIOS, medium: true,
			devices: []string{"/dev/sdc", "/dev/sda", "/dev/vdb", "/dev/nvme1n1", "/dev/mmcblk0"},
			cards:   []Card{{Name: "b", Interface: "eth1"}, {Name: "a", Interface: "eth0"}, {Name: "c", MAC: "52:54:00:12:34:56"}},
			renamed: map[string]string{"52:54:00:12:34:56": "wlp3s0"},
			files: map[string]string{
				"/etc/systemd/network/99-default.link": "", // as NixOS without predictable names
				"/etc/modprobe.d/guest.conf":           "", // real systems do not look at a stick at once
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
	if s.medium {
		m.Medium = filepath.Join(t.TempDir(), "medium")
		makeDisk(t, m.Medium, "raw", 7<<20)
	}
	for i, d := range layout.Disks {
		d.SizeBytes = int64(i+33) << 20
		m.Disks = append(m.Disks, d)
	}
	m.Disks = append(m.Disks, layout.Fillers...)
	files := map[string]string{"/etc/udev/rules.d/99-local.rules": layout.UdevRules + s.rules()}
	maps.Copy(files, s.files)
	files["/etc/modules"] = strings.Join(append(layout.FirstModules, ""), "\n")
	image.Parameters = layout.KernelParameters
	out := image.Run(t, append([]string{"-vga", "std"}, arguments(t, m)...), s.script(), files)
	for _, want := range s.promises(m) {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("not in the guest: %s", want)
		}
	}
	if t.Failed() {
		t.Log(out, files)
	}
}

func (s seen) rules() string {
	var all strings.Builder
	for mac, name := range s.renamed {
		all.WriteString(NameRule(mac, name))
	}
	return all.String()
}

// script tells the size of what a path leads to, whether the first partition is found beside it, and what each card is called. The last
// line shows what newer systems would look at: a number that the firmware gives a slot (systemd 254 and newer).
func (s seen) script() string {
	var all strings.Builder
	if s.medium {
		all.WriteString("until test -b /dev/disk/by-id/usb-QEMU_*:0; do sleep 1; done; udevadm settle\n")
	}
	for _, device := range s.devices {
		fmt.Fprintf(&all, "echo %s is $(blockdev --getsize64 %s)\n", device, device)
		fmt.Fprintf(&all, "printf 'n\\np\\n1\\n\\n\\nw\\n' | fdisk %s >/dev/null 2>&1\n", device)
	}
	all.WriteString("udevadm settle\n")
	for _, device := range s.devices {
		fmt.Fprintf(&all, "test -b %s && echo %s is there\n", partition(device), partition(device))
	}
	all.WriteString(`cd /sys/class/net; for card in e* w*; do test -e $card && echo "$card has $(cat $card/address)"; done
ls -d */device/firmware_node/sun 2>/dev/null || echo no slot has a number
ls -l /dev/disk/by-id /dev/disk/by-path
`)
	return all.String()
}

// promises are the lines that the script shall write.
func (s seen) promises(m Machine) []string {
	all := []string{"no slot has a number"}
	for i, device := range s.devices {
		all = append(all, fmt.Sprintf("%s is %d", device, m.Disks[i].SizeBytes), partition(device)+" is there")
	}
	for _, c := range m.Cards {
		mac := cmp.Or(c.MAC, madeMAC(m.Name, c.Name))
		all = append(all, fmt.Sprintf("%s has %s", cmp.Or(c.Interface, s.renamed[mac]), mac))
	}
	return all
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
	files := machineFiles{disks: map[string]string{}, medium: m.Medium}
	dir := t.TempDir()
	for _, d := range m.Disks {
		files.disks[d.Name] = filepath.Join(dir, d.Name+".qcow2")
		makeDisk(t, files.disks[d.Name], "qcow2", d.SizeBytes)
	}
	host := testHost(t, Wish{UEFI: m.Firmware == UEFI})
	if m.Firmware == UEFI {
		files.nvram = filepath.Join(dir, "nvram.qcow2")
		qemuImage(t, "convert", "-f", host.OVMF.VarsFormat, "-O", "qcow2", host.OVMF.Vars, files.nvram)
	}
	words, err := deviceArguments(m, files, host)
	if err != nil {
		t.Fatal(err)
	}
	return words
}

func makeDisk(t *testing.T, name, format string, size int64) {
	t.Helper()
	qemuImage(t, "create", "-q", "-f", format, name, fmt.Sprint(size))
}

func qemuImage(t *testing.T, words ...string) {
	t.Helper()
	if out, err := exec.Command(need.Program(t, "qemu-img"), words...).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img %q: %v: %s", words, err, out)
	}
}

// TestBIOSBootsFromEveryBus has a program of one sector on the disk, and a medium beside it that is not to be booted.
func TestBIOSBootsFromEveryBus(t *testing.T) {
	l := openLab(t, testHost(t, Wish{}))
	for _, b := range []Bus{Virtio, SATA, SCSI, NVMe, USB, MMC} {
		t.Run(string(b), func(t *testing.T) {
			m := board(t, Disk{Name: "d", Bus: b, SizeBytes: 1 << 20})
			m.Name = "boots-" + string(b)
			if err := os.MkdirAll(l.machineDir(m.Name), 0o700); err != nil {
				t.Fatal(err)
			}
			qemuImage(t, "convert", "-f", "raw", "-O", "qcow2", m.Medium, l.diskImage(m.Name, "d"))
			makeDisk(t, m.Medium, "raw", 1<<20)
			if b == MMC { // SeaBIOS prefers a stick
				m.Medium = ""
			}
			r := startBoard(t, l, m, StartOptions{DiskFirst: true})
			r.Cut()
			ends(t, r, PowerCut)
		})
	}
}
