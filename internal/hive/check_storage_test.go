package hive

import (
	"bytes"
	"io"
	"testing"
)

// zfs puts the host's root on a pool.
func zfs(h *Host) {
	h.Boot.SupportedFSList = []string{"zfs"}
	h.Storage.FileSystems[0] = FileSystem{MountPoint: "/", Device: h.Name + "/root", Type: "zfs"}
	h.Storage.Disks[0].Partitions[1] = Partition{Name: "zfs", Label: "disk-" + h.Name + "-zfs", Size: "100%", Content: "zfs", Pool: h.Name}
	h.Storage.Pools = []Pool{{Name: h.Name, Kind: "zpool"}}
}

// second adds a disk with one partition.
func second(h *Host, d Disk) {
	if d.Partitions == nil && d.Table == "" {
		d.Table = "gpt"
		d.Partitions = []Partition{{Name: "data", Label: "disk-" + h.Name + "-" + d.Name + "-data", Size: "100%"}}
	}
	h.Storage.Disks = append(h.Storage.Disks, d)
}

func storageCases() []ruleCase {
	const root, part = `alpha fileSystems."/"`, "alpha hive.partitioning.enable"
	byID := func(name string) string { return "/dev/disk/by-id/ata-" + name }
	return []ruleCase{
		{rule: "no-root", name: "nothing described is one problem", change: func(h []Host) {
			h[0].Storage = Storage{}
			h[0].Assertions = []string{"The ‘fileSystems’ option does not specify your root file system."}
		}, want: []string{"error " + root}, says: "nothing to install to", way: `fileSystems."/" = {`},
		{
			rule: "no-root", name: "no partition is the root", change: func(h []Host) { h[0].Storage.FileSystems = h[0].Storage.FileSystems[1:] },
			want: []string{"error " + root}, says: "no partition is mounted at /", way: `mountpoint = "/";`,
		},
		{rule: "no-root", name: "disko is off", change: func(h []Host) {
			h[0].Storage.FileSystems, h[0].Storage.Disko.Enable = nil, false
		}, want: []string{"error " + part}, says: "not part of the system", way: "hive.partitioning.enable = true;"},
		{rule: "no-root", name: "mounted by hand", change: func(h []Host) { withoutDisko(&h[0]) }},
		{
			rule: "disko-without-disk", name: "and no root", change: func(h []Host) { h[0].Storage = Storage{Disko: Disko{Enable: true}} },
			want: []string{"error " + part}, says: "no root file system", way: "hive.partitioning.format.disk.main = {",
		},
		{
			rule: "disko-without-disk", name: "root mounted by hand", change: func(h []Host) { h[0].Storage.Disks = nil },
			want: []string{"warning " + part}, says: "formats nothing", way: "hive.partitioning.enable = false;",
		},
		{rule: "disko-without-disk", name: "off", change: func(h []Host) { withoutDisko(&h[0]) }},
		{
			rule: "duplicate-device", name: "two layouts for one disk", change: func(h []Host) { second(&h[0], Disk{Name: "data", Device: byID("alpha")}) },
			want: []string{"error alpha disko.devices.disk"}, says: "alpha and data are all the disk " + byID("alpha"), way: "its own device",
		},
		{rule: "duplicate-device", name: "two disks", change: func(h []Host) { second(&h[0], Disk{Name: "data", Device: byID("data")}) }},
		{rule: "additional-device", name: "a kept whole disk is formatted", change: func(h []Host) {
			second(&h[0], Disk{Name: "data", Device: byID("alpha"), Additional: true, Table: "filesystem", Partitions: []Partition{{Size: "100%"}}})
		}, want: []string{"error alpha hive.partitioning.additional.disk.data"}, says: "contents would be lost", way: "remove the disk"},
		{rule: "additional-device", name: "kept partitions on a formatted disk", change: func(h []Host) {
			second(&h[0], Disk{Name: "windows", Device: byID("alpha"), Additional: true})
		}, want: []string{"note alpha hive.partitioning.additional.disk.windows"}, says: "erases them", way: "mode add or keep"},
		{rule: "additional-device", name: "a disk of its own", change: func(h []Host) {
			second(&h[0], Disk{Name: "windows", Device: byID("windows"), Additional: true})
		}},
		{rule: "duplicate-label", name: "on two disks", change: func(h []Host) {
			second(&h[0], Disk{Name: "data", Device: byID("data"), Table: "gpt", Partitions: []Partition{{Name: "data", Label: "disk-alpha-root"}}})
		}, want: []string{"error alpha disko.devices.disk"}, says: `alpha.root and data.data have one label, "disk-alpha-root"`, way: "another label"},
		{rule: "duplicate-label", name: "an old partition table has none", change: func(h []Host) {
			for _, name := range []string{"a", "b"} {
				second(&h[0], Disk{Name: name, Device: byID(name), Table: "table", Partitions: []Partition{{Name: "data", Label: "data"}}})
			}
		}},
		{rule: "duplicate-label", name: "partitions without labels", change: func(h []Host) {
			second(&h[0], Disk{Name: "data", Device: byID("data"), Table: "table", Partitions: []Partition{{Name: "a"}, {Name: "b"}}})
		}},
		{rule: "duplicate-pool", name: "one name twice", change: func(h []Host) {
			zfs(&h[0])
			h[0].Storage.Pools = append(h[0].Storage.Pools, Pool{Name: "alpha", Kind: "zpool"})
		}, want: []string{"error alpha disko.devices.zpool.alpha"}, says: "described twice", way: "rename"},
		{rule: "duplicate-pool", name: "a pool and a volume group", change: func(h []Host) {
			zfs(&h[0])
			h[0].Storage.Pools = append(h[0].Storage.Pools, Pool{Name: "alpha", Kind: "lvm_vg"})
		}},
		{rule: "unstable-device", name: "two disks are one problem", change: func(h []Host) {
			h[0].Storage.Disks[0].Device = "/dev/sda"
			second(&h[0], Disk{Name: "data", Device: "/dev/nvme0n1"})
		}, want: []string{"warning alpha disko.devices.disk"}, says: "/dev/nvme0n1 and /dev/sda: the name depends", way: `device = "/dev/disk/by-id/...";`},
		{rule: "unstable-device", name: "a boot sector wants the path by id", change: func(h []Host) {
			h[0] = biosHost("alpha", 1)
			h[0].Storage.Disks[0].Device, h[0].Boot.GrubDevices = "/dev/sda", []string{"/dev/sda"}
		}, want: []string{"warning alpha boot.loader.grub.devices"}, says: "/dev/sda: the name depends", way: `device = "/dev/disk/by-id/...";`},
		{rule: "unstable-device", name: "file systems without disko", change: func(h []Host) {
			withoutDisko(&h[0])
			h[0].Storage.FileSystems[0].Device, h[0].Storage.Swap = "/dev/sda2", []Swap{{Device: "/dev/sda3"}}
		}, want: []string{"warning alpha fileSystems"}, says: "/dev/sda2 and /dev/sda3", way: "/dev/disk/by-uuid"},
		{rule: "unstable-device", name: "a boot sector without disko", change: func(h []Host) {
			h[0] = biosHost("alpha", 1)
			withoutDisko(&h[0])
			h[0].Boot.GrubDevices = []string{"/dev/sda"}
		}, want: []string{"warning alpha boot.loader.grub.devices"}, says: "/dev/sda:", way: `boot.loader.grub.device = "/dev/disk/by-id/..."; and`},
		{rule: "unstable-device", name: "a virtual machine with two disks", change: func(h []Host) {
			h[0].Storage.Disks[0].Device = "/dev/vda"
			second(&h[0], Disk{Name: "data", Device: "/dev/vdb"})
		}, want: []string{"note alpha disko.devices.disk"}, says: "/dev/vda and /dev/vdb", way: "/dev/disk/by-id"},
		{rule: "unstable-device", name: "a virtual machine with one disk", change: func(h []Host) { h[0].Storage.Disks[0].Device = "/dev/vda" }},
		{rule: "placeholder-device", name: "the example's disk", change: func(h []Host) {
			h[0].Storage.Disks[0].Device = "/dev/disk/by-id/ata-EXAMPLE_SSD_CHANGE_ME"
		}, want: []string{"warning alpha disko.devices.disk.alpha.device"}, says: "no machine has", way: "ls -l /dev/disk/by-id"},
		{rule: "placeholder-device", name: "a disk of its own", change: func([]Host) {}},
		{rule: "host-id-missing", name: "a pool, and NixOS' own words are left out", change: func(h []Host) {
			zfs(&h[0])
			h[0].HostID, h[0].Assertions = "", []string{"ZFS requires networking.hostId to be set"}
		}, want: []string{"error alpha networking.hostId"}, says: "uses ZFS", way: "check --write-host-id alpha"},
		{
			rule: "host-id-missing", name: "ZFS support alone", change: func(h []Host) { h[0].Boot.SupportedFSList, h[0].HostID = []string{"zfs"}, "" },
			want: []string{"error alpha networking.hostId"}, says: "uses ZFS", way: "check --write-host-id alpha",
		},
		{rule: "host-id-missing", name: "a pool mounted without the list", change: func(h []Host) {
			h[0].Storage.FileSystems[0].Type, h[0].HostID = "zfs", ""
		}, want: []string{"error alpha networking.hostId"}, says: "uses ZFS", way: "hostid"},
		{rule: "host-id-missing", name: "no ZFS", change: func(h []Host) { h[0].HostID = "" }},
		{
			rule: "host-id-syntax", name: "seven digits", change: func(h []Host) { h[0].HostID = "1234567" },
			want: []string{"error alpha networking.hostId"}, says: `"1234567"`, way: "/dev/urandom",
		},
		{
			rule: "host-id-syntax", name: "zeros mean none", change: func(h []Host) { h[0].HostID = "00000000" },
			want: []string{"error alpha networking.hostId"}, says: "other than zeros", way: "/dev/urandom",
		},
		{rule: "host-id-syntax", name: "capitals", change: func(h []Host) { h[0].HostID = "DEADBEEF" }},
	}
}

func hiveStorageCases() []ruleCase {
	return []ruleCase{
		{rule: "shared-labels", name: "disko's default names are one note for the hive", change: func(h []Host) {
			for i := range h {
				h[i].Storage.Disks = []Disk{soundDisk("main")}
				h[i].Storage.Pools = []Pool{{Name: "vg", Kind: "lvm_vg"}}
			}
		}, want: []string{"note  disko.devices"}, says: "alpha, beta and gamma have disks with the same names on them (disk-main-ESP, disk-main-root and lvm_vg vg)", way: "NAME-main"},
		{rule: "shared-labels", name: "kept disks are not ours to name", change: func(h []Host) {
			for i := range h {
				windows := soundDisk("windows")
				windows.Additional = true
				h[i].Storage.Disks = append(h[i].Storage.Disks, windows)
				h[i].Storage.Disks[1].Partitions[0].MountPoint = ""
			}
		}},
		{rule: "duplicate-host-id", name: "two pools", change: func(h []Host) {
			zfs(&h[0])
			zfs(&h[2])
			h[0].HostID, h[1].HostID, h[2].HostID = "deadbeef", "DEADBEEF", "deadbeef"
		}, want: []string{"error gamma networking.hostId"}, says: "like beta and alpha", way: "check --write-host-id gamma"},
		{
			rule: "duplicate-host-id", name: "without ZFS", change: func(h []Host) { h[1].HostID = h[0].HostID },
			want: []string{"warning beta networking.hostId"}, says: "00000001, like alpha", way: "check --write-host-id beta",
		},
		{rule: "duplicate-host-id", name: "two hosts without one", change: func(h []Host) { h[0].HostID, h[1].HostID = "", "" }},
	}
}

func TestANewHostIDIsEightDigitsAndNeverZero(t *testing.T) {
	id, err := NewHostID(bytes.NewReader([]byte{0, 0, 0, 0, 0x0a, 0xff, 0x00, 0x12}))
	if err != nil || id != "0aff0012" {
		t.Errorf("got %q, %v", id, err)
	}
	if _, err := NewHostID(bytes.NewReader([]byte{1, 2})); err == nil || err.Error() != "make a host id: "+io.ErrUnexpectedEOF.Error() {
		t.Errorf("a short source gives %v", err)
	}
}
