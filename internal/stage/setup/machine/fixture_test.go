package machine

import (
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
)

// disk is a blank one.
func disk(path, serial string, bytes int64) hive.Device {
	d := hive.Device{
		Path: path, Number: "8:" + path, Kind: "disk", Bytes: bytes, Sector: 512, Model: "Acme " + path[len(path)-1:], Serial: serial, Transport: "sata",
		Drivers: []string{"sd_mod", "ahci"},
	}
	if serial != "" {
		d.Links = []string{"/dev/disk/by-id/ata-Acme_" + serial, "/dev/disk/by-path/pci-0000:00:17.0-ata-" + path[len(path)-1:]}
	}
	return d
}

// stick is the medium, as the machine shows it.
func stick() hive.Device {
	return hive.Device{
		Path: "/dev/sda", Number: "8:0", Kind: "disk", Bytes: 16e9, Model: "Flash", Serial: "STICK", Transport: "usb", Removable: true, Table: "dos",
		Links: []string{"/dev/disk/by-id/usb-Flash_STICK-0:0"}, Content: "iso9660", Mounts: []string{"/iso"},
	}
}

const (
	sataSerial = "WD-1"
	nvmeSerial = "S64DNX0T"
)

// laptop is started from a stick, has two disks and two cards.
func laptop() hive.Machine {
	nvme := disk("/dev/nvme0n1", nvmeSerial, 1000e9)
	nvme.Number, nvme.Transport, nvme.Model, nvme.WWN = "259:0", "nvme", "Samsung SSD 980", "eui.002538b111b1a2c3"
	nvme.Links = []string{"/dev/disk/by-id/nvme-Samsung_SSD_980_S64DNX0T", "/dev/disk/by-id/nvme-eui.002538b111b1a2c3"}
	nvme.Drivers = []string{"nvme", "vmd"}
	sata := disk("/dev/sdb", sataSerial, 500e9)
	return hive.Machine{
		Schema: hive.ManifestSchema, HostName: "alpha-setup", Firmware: "uefi", Platform: "x86_64-linux", Kernel: "6.6.31", Memory: 16 << 30,
		Product: hive.Product{Vendor: "LENOVO", Name: "20XW0026GE", Serial: "PF2ABCDE", UUID: "4c4c4544-0042-3510-8054-b7c04f4e4d32"},
		CPU:     hive.CPU{Model: "11th Gen Intel(R) Core(TM) i7", Cores: 8},
		Devices: []hive.Device{
			stick(), sata, nvme,
			{Path: "/dev/loop0", Number: "7:0", Kind: "loop", Bytes: 1e9, Mounts: []string{"/nix/.ro-store"}},
			{Path: "/dev/sr0", Number: "11:0", Kind: "rom", Bytes: 700e6, Links: []string{"/dev/disk/by-id/ata-DVD_1"}},
		},
		Cards: []hive.Card{
			{Name: "wlp0s20f3", MAC: "aa:bb:cc:00:00:02", Driver: "iwlwifi", Wireless: true},
			{Name: "enp3s0", MAC: "aa:bb:cc:00:00:01", Driver: "e1000e", Carrier: true, Speed: 1000, Addresses: []string{"192.168.1.57/24"}},
		},
		Modules: []string{"kvm_intel", "e1000e"},
		Medium:  "/dev/sda",
	}
}

// plan is of a host with one disk.
func plan(d hive.Disk) hive.Plan {
	return hive.Plan{
		Name: "alpha", HostName: "alpha", Platform: "x86_64-linux",
		Boot: hive.Boot{Loader: "systemd-boot", Firmware: "uefi", ESP: "/boot"},
		Storage: hive.Storage{
			Disks:       []hive.Disk{d},
			FileSystems: []hive.FileSystem{{MountPoint: "/", NeededForBoot: true}, {MountPoint: "/boot"}},
		},
	}
}

func gpt(name, device string) hive.Disk {
	return hive.Disk{Name: name, Device: device, Table: "gpt", Partitions: []hive.Partition{
		{Name: "ESP", Size: "1G", Type: "EF00", Content: "filesystem", Format: "vfat", MountPoint: "/boot"},
		{Name: "root", Size: "100%", Content: "filesystem", Format: "ext4", MountPoint: "/"},
	}}
}

func chosen(name string, s hive.Selector) hive.Disk {
	d := gpt(name, hive.DiskAlias(name))
	d.Selector = s
	return d
}

// rules are those of problems, with their severity unless it is an error.
func rules(problems []hive.Problem) []string {
	var found []string
	for _, p := range problems {
		rule := p.Rule
		if p.Severity != hive.Error {
			rule = string(p.Severity) + " " + rule
		}
		found = append(found, rule)
	}
	slices.Sort(found)
	return found
}

// expect wants these rules and no others, each problem complete.
func expect(t *testing.T, problems []hive.Problem, want ...string) {
	t.Helper()
	got := rules(problems)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got the problems %q, want %q:\n%v", got, want, problems)
	}
	for _, p := range problems {
		if p.Host != "alpha" || p.Message == "" || p.Way == "" {
			t.Errorf("a problem without host, message or way: %+v", p)
		}
	}
}

func messages(problems []hive.Problem) string {
	var all strings.Builder
	for _, p := range problems {
		all.WriteString(p.Message + "\n" + p.Way + "\n")
	}
	return all.String()
}
