package hive

import "fmt"

// goodKey is a real public key; its private half was thrown away.
const goodKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0OruRvkLuA295I+gZRfGlwz8oM04+ILsxDxtv/+jqB you@deployer"

// soundHost is the least host without any problem: UEFI, one disk laid out by disko, a static address, an admin with a
// key. n tells hosts apart.
func soundHost(name string, n int) Host {
	keys := []string{goodKey}
	target, user := fmt.Sprintf("192.168.1.%d", 10+n), "admin"
	return Host{
		Name: name, Definition: "nixConfigs/" + name + ".nix", HostName: name, Domain: "home.arpa",
		HostID: fmt.Sprintf("0000000%d", n), System: "x86_64-linux", StateVersion: "24.05",
		NixOS:    Release{Release: "24.05", Version: "24.05.20240531.63dacb4"},
		Admin:    Admin{Declared: true, Name: "admin", Keys: keys},
		Deployer: Deployer{Name: "admin", Keys: keys, Trusted: true, Sudo: "nopasswd"},
		Users:    []User{{Name: "admin", Wheel: true, Keys: keys}, {Name: "root"}},
		SSH:      SSH{Enable: true, Ports: []int{22}, RootLogin: "no", Reachable: true},
		Network: Network{
			Managed: true, Backend: "networkd", Gateways: []string{"192.168.1.1"}, Nameservers: []string{"192.168.1.1"},
			Interfaces: []Interface{{
				Name: "enp1s0", Kind: "ethernet", MAC: fmt.Sprintf("52:54:00:00:00:%02x", n),
				Addresses: []string{target + "/24"},
			}},
			Firewall: Firewall{Enable: true, TCP: []int{22}},
			Units:    map[string]string{"40-lan.network": "[Match]\nName=enp1s0\n"},
		},
		Boot: Boot{Loader: "systemd-boot", Firmware: "uefi", ESP: "/boot"},
		Storage: Storage{
			Disko: Disko{Enable: true, Version: "1.8.2"},
			Disks: []Disk{soundDisk(name)},
			FileSystems: []FileSystem{
				{MountPoint: "/", Device: "/dev/disk/by-partlabel/disk-" + name + "-root", Type: "ext4"},
				{MountPoint: "/boot", Device: "/dev/disk/by-partlabel/disk-" + name + "-ESP", Type: "vfat"},
			},
		},
		Deployment: Deployment{TargetHost: &target, TargetUser: &user, Tags: []string{"home", "role:server"}},
	}
}

// soundDisk is a disk of its own name with an EFI system partition and a root.
func soundDisk(name string) Disk {
	return Disk{Name: name, Device: "/dev/disk/by-id/ata-" + name, Table: "gpt", Partitions: []Partition{
		{Name: "ESP", Label: "disk-" + name + "-ESP", Size: "1G", Type: "EF00", Content: "filesystem", Format: "vfat", MountPoint: "/boot"},
		{Name: "root", Label: "disk-" + name + "-root", Size: "100%", Type: "8300", Content: "filesystem", Format: "ext4", MountPoint: "/"},
	}}
}

// biosHost is a sound host that starts with GRUB on a BIOS.
func biosHost(name string, n int) Host {
	h := soundHost(name, n)
	h.Boot = Boot{Loader: "grub", Firmware: "bios", GrubDevices: []string{"/dev/disk/by-id/ata-" + name}}
	h.Storage.Disks[0].Partitions[0] = Partition{Name: "boot", Label: "disk-" + name + "-boot", Size: "1M", Type: "EF02"}
	h.Storage.FileSystems = h.Storage.FileSystems[:1]
	return h
}

// soundHive has three sound hosts: alpha, beta and gamma.
func soundHive() Hive {
	return Hive{Hosts: []Host{soundHost("alpha", 1), soundHost("beta", 2), soundHost("gamma", 3)}}
}
