package hive

import "testing"

// withoutDisko mounts the host's file systems by hand.
func withoutDisko(h *Host) {
	h.Storage.Disko, h.Storage.Disks = Disko{}, nil
}

// board makes the host an aarch64 machine.
func board(h *Host) {
	h.System = "aarch64-linux"
}

func bootCases() []ruleCase {
	const esp = "alpha boot.loader.efi.efiSysMountPoint"
	const part = "alpha disko.devices.disk.alpha.content.partitions"
	return []ruleCase{
		{
			rule: "platform", name: "unknown", change: func(h []Host) { h[0].System = "" },
			want: []string{"error alpha nixpkgs.hostPlatform"}, says: "not known", way: `nixpkgs.hostPlatform = "x86_64-linux";`,
		},
		{
			rule: "platform", name: "no medium for it", change: func(h []Host) { h[0].System = "riscv64-linux" },
			want: []string{"error alpha nixpkgs.hostPlatform"}, says: "riscv64-linux has no installation medium", way: "aarch64-linux",
		},
		{rule: "platform", name: "aarch64", change: func(h []Host) { board(&h[0]) }},
		{
			rule: "boot-loader", name: "none", change: func(h []Host) { h[0].Boot = Boot{Loader: "none", Firmware: "unknown"} },
			want: []string{"error alpha boot.loader"}, says: "would not start", way: "boot.loader.systemd-boot.enable = true;",
		},
		{rule: "boot-loader", name: "none on a board", change: func(h []Host) {
			board(&h[0])
			h[0].Boot = Boot{Loader: "none", Firmware: "unknown"}
		}, want: []string{"error alpha boot.loader"}, says: "would not start", way: "generic-extlinux-compatible"},
		{rule: "boot-loader", name: "our own option", change: func(h []Host) {
			h[0].Boot = Boot{Loader: "none", Firmware: "unknown", CustomLoader: true}
		}},
		{rule: "firmware-platform", name: "a BIOS on aarch64 is one problem", change: func(h []Host) {
			board(&h[0])
			h[0].Boot = Boot{Loader: "grub", Firmware: "bios"}
		}, want: []string{"error alpha boot.loader"}, says: "BIOS, which no aarch64-linux machine has", way: "systemd-boot.enable = true;"},
		{rule: "firmware-platform", name: "U-Boot on aarch64", change: func(h []Host) {
			board(&h[0])
			h[0].Boot = Boot{Loader: "extlinux", Firmware: "board"}
		}},
		{rule: "esp", name: "not mounted", change: func(h []Host) {
			h[0].Boot.ESP = "/efi"
		}, want: []string{"error " + esp}, says: "goes to /efi, but nothing is mounted there", way: `efiSysMountPoint = "/boot";`},
		{rule: "esp", name: "no partition for it", change: func(h []Host) {
			h[0].Storage.FileSystems, h[0].Storage.Disks[0].Partitions = h[0].Storage.FileSystems[:1], h[0].Storage.Disks[0].Partitions[1:]
		}, want: []string{"error " + esp}, says: "nothing is mounted there", way: `type = "EF00"; size = "1G";`},
		{rule: "esp", name: "not mounted, without disko", change: func(h []Host) {
			withoutDisko(&h[0])
			h[0].Storage.FileSystems = h[0].Storage.FileSystems[:1]
		}, want: []string{"error " + esp}, says: "nothing is mounted there", way: `fileSystems."/boot" = {`},
		{rule: "esp", name: "mirrored", change: func(h []Host) {
			h[0].Boot = Boot{Loader: "grub", Firmware: "uefi", ESP: "/boot"}
			h[0].Storage.FileSystems[1].MountPoint, h[0].Storage.Disks[0].Partitions[0].MountPoint = "/boot1", "/boot1"
			h[0].Storage.FileSystems = append(h[0].Storage.FileSystems, FileSystem{MountPoint: "/boot2", Type: "vfat"})
		}},
		{
			rule: "esp", name: "not FAT", change: func(h []Host) { h[0].Storage.FileSystems[1].Type = "ext4" },
			want: []string{`error alpha fileSystems."/boot".fsType`}, says: "is ext4", way: "vfat",
		},
		{
			rule: "esp", name: "of another type", change: func(h []Host) { h[0].Storage.Disks[0].Partitions[0].Type = "8300" },
			want: []string{"error " + part + ".ESP.type"}, says: `is "8300"`, way: `type = "EF00";`,
		},
		{rule: "esp", name: "at its own mount point with its GUID", change: func(h []Host) {
			h[0].Boot.ESP, h[0].Storage.FileSystems[1].MountPoint = "/boot/efi", "/boot/efi"
			h[0].Storage.Disks[0].Partitions[0].MountPoint, h[0].Storage.Disks[0].Partitions[0].Type = "/boot/efi", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
		}},
		{
			rule: "esp-size", name: "100M", change: func(h []Host) { h[0].Storage.Disks[0].Partitions[0].Size = "100M" },
			want: []string{"warning " + part + ".ESP.size"}, says: "100M is small", way: `size = "1G";`,
		},
		{rule: "esp-size", name: "of a kept disk", change: func(h []Host) {
			windows := soundDisk("windows")
			windows.Additional, windows.Partitions[0].Size = true, "100M"
			windows.Partitions[1].MountPoint = ""
			h[0].Storage.Disks = append(h[0].Storage.Disks, windows)
		}},
		{rule: "grub-bios", name: "no disk, and NixOS' own words are left out", change: func(h []Host) {
			h[0] = biosHost("alpha", 1)
			h[0].Boot.GrubDevices = nil
			h[0].Assertions = []string{"You must set the option ‘boot.loader.grub.devices’ or 'boot.loader.grub.mirroredBoots' to make the system bootable."}
		}, want: []string{"error alpha boot.loader.grub.devices"}, says: "no disk to write", way: "boot.loader.grub.device"},
		{rule: "grub-bios", name: "no room on a GPT disk", change: func(h []Host) {
			h[0] = biosHost("alpha", 1)
			h[0].Storage.Disks[0].Partitions = h[0].Storage.Disks[0].Partitions[1:]
		}, want: []string{"error " + part}, says: "has no partition of type EF02", way: `type = "EF02"; size = "1M";`},
		{rule: "grub-bios", name: "a layout for UEFI only", change: func(h []Host) {
			h[0].Boot = Boot{Loader: "grub", Firmware: "bios", GrubDevices: []string{"/dev/disk/by-id/ata-alpha"}}
		}, want: []string{"error " + part}, says: "laid out for UEFI only", way: "systemd-boot.enable = true;"},
		{rule: "grub-bios", name: "for both kinds of firmware", change: func(h []Host) {
			h[0].Boot = Boot{Loader: "grub", Firmware: "both", ESP: "/boot", Removable: true, GrubDevices: []string{"/dev/disk/by-id/ata-alpha"}}
			h[0].Storage.Disks[0].Partitions = append(h[0].Storage.Disks[0].Partitions, Partition{Name: "bios", Label: "bios", Type: "ef02", Size: "1M"})
		}},
		{rule: "grub-bios", name: "for both kinds of firmware with the disk left out", change: func(h []Host) {
			h[0].Boot = Boot{Loader: "grub", Firmware: "both", Removable: true}
		}},
		{rule: "grub-removable", name: "fallback path and menu", change: func(h []Host) {
			h[0].Boot = Boot{Loader: "grub", Firmware: "uefi", ESP: "/boot", Removable: true, TouchVariables: true}
			h[0].Assertions = []string{"If you wish to to use boot.loader.grub.efiInstallAsRemovable, then turn off boot.loader.efi.canTouchEfiVariables"}
		}, want: []string{"error alpha boot.loader.efi.canTouchEfiVariables"}, says: "not both", way: "canTouchEfiVariables = false;"},
		{rule: "grub-removable", name: "fallback path only", change: func(h []Host) {
			h[0].Boot = Boot{Loader: "grub", Firmware: "uefi", ESP: "/boot", Removable: true}
		}},
	}
}

func TestPartitionSizesAreReadAsSgdiskDoes(t *testing.T) {
	for text, want := range map[string]int64{
		"512M": 512 << 20, "1G": 1 << 30, "500MiB": 500 << 20, " 2t": 2 << 40, "+64K": 64 << 10, "0M": 0,
		"100%": -1, "": -1, "2048": -1, "M": -1, "-1G": -1, "1.5G": -1, "9999999999999P": -1, "B": -1,
	} {
		got, ok := parseSize(text)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("size %q is %d, want %d", text, got, want)
		}
	}
}

func FuzzPartitionSizesNeverPanicNorOverflow(f *testing.F) {
	f.Add("512M")
	f.Add("4096P")
	f.Add("iB")
	f.Fuzz(func(t *testing.T, text string) {
		if n, ok := parseSize(text); n < 0 || !ok && n != 0 {
			t.Errorf("size %q is %d, %v", text, n, ok)
		}
	})
}
