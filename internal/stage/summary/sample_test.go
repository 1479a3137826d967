package summary

import (
	"fmt"

	"nixos-staged-hive/internal/hive"
)

func ptr[T any](v T) *T { return &v }

// uefiDisk is an ordinary system disk.
func uefiDisk(device string) hive.Disk {
	return hive.Disk{Name: "os", Device: device, Table: "gpt", Partitions: []hive.Partition{
		{Name: "ESP", Label: "disk-os-ESP", Size: "512M", Type: "EF00", Content: "filesystem", Format: "vfat", MountPoint: "/boot"},
		{Name: "swap", Label: "disk-os-swap", Size: "8G", Type: "8200", Content: "swap"},
		{Name: "root", Label: "disk-os-root", Size: "100%", Type: "8300", Content: "filesystem", Format: "ext4", MountPoint: "/"},
	}}
}

// plainHost is a PC with a static address and one disk.
func plainHost(name, cidr string) hive.Host {
	return hive.Host{
		Name: name, HostName: name, Definition: "nixConfigs/" + name + ".nix", System: "x86_64-linux",
		StateVersion: "24.05", NixOS: hive.Release{Release: "24.05", Version: "24.05.20240531.63dacb4"},
		Network: hive.Network{
			Managed: true, Backend: "networkd", Gateways: []string{"192.168.1.1"}, Nameservers: []string{"192.168.1.1", "9.9.9.9"},
			Interfaces: []hive.Interface{{Name: "enp3s0", MAC: "52:54:00:12:34:56", Kind: "ethernet", Addresses: []string{cidr}}},
			Firewall:   hive.Firewall{Enable: true, TCP: []int{22, 443}},
		},
		Boot:    hive.Boot{Loader: "systemd-boot", Firmware: "uefi", ESP: "/boot", Kernel: "6.6.32", TouchVariables: true},
		Storage: hive.Storage{Disks: []hive.Disk{uefiDisk("/dev/disk/by-id/virtio-OS")}, Disko: hive.Disko{Enable: true, Version: "1.8.2"}},
		SSH:     hive.SSH{Enable: true, Ports: []int{22}, RootLogin: "no", Reachable: true},
		Users: []hive.User{
			{Name: "anna", Wheel: true, HasPassword: true, Keys: []string{"ssh-ed25519 AAAAC3Nz anna@laptop"}},
		},
		Deployer:   hive.Deployer{Name: "anna", Trusted: true, Sudo: "password"},
		Deployment: hive.Deployment{TargetHost: ptr(name + ".home.lan"), TargetUser: ptr("anna"), Tags: []string{"home"}},
	}
}

// dualBoot keeps a Windows disk beside its own.
func dualBoot() hive.Host {
	h := plainHost("desk", "192.168.1.20/24")
	h.HostID = "deadbeef"
	h.Storage.Disks = []hive.Disk{
		{Name: "main", Device: "/dev/disk/by-id/nvme-Samsung_SSD_980_PRO_1TB_S5GXNX0T123456", Table: "gpt", Partitions: []hive.Partition{
			{Name: "ESP", Size: "1G", Type: "EF00", Content: "filesystem", Format: "vfat", MountPoint: "/boot"},
			{Name: "zfs", Size: "100%", Type: "BF00", Content: "zfs", Pool: "rpool"},
		}},
		{Name: "windows", Device: "/dev/disk/by-id/ata-WDC_WD10EZEX_WD-WCC3F0000000", Additional: true, Table: "gpt", Partitions: []hive.Partition{
			{Name: "EFI", Size: "100M", Type: "EF00", Content: "filesystem", Format: "vfat"},
			{Name: "reserved", Size: "16M", Type: "0C01"},
			{Name: "Windows", Size: "180G", Type: "0700", Format: "ntfs"},
			{Name: "share", Size: "100%", Type: "8300", Content: "filesystem", Format: "ext4", MountPoint: "/mnt/share"},
		}},
	}
	h.Storage.Pools = []hive.Pool{{Name: "rpool", Kind: "zpool"}}
	h.Storage.FileSystems = []hive.FileSystem{{MountPoint: "/", Device: "rpool/root", Type: "zfs"}}
	return h
}

// board is an aarch64 machine on DHCP without disko.
func board(name string) hive.Host {
	h := plainHost(name, "")
	h.System = "aarch64-linux"
	h.Boot = hive.Boot{Loader: "extlinux", Firmware: "board", Kernel: "6.6.31"}
	h.Storage = hive.Storage{FileSystems: []hive.FileSystem{
		{MountPoint: "/", Device: "/dev/disk/by-label/NIXOS_SD", Type: "ext4"},
		{MountPoint: "/boot/firmware", Device: "/dev/disk/by-label/FIRMWARE", Type: "vfat"},
	}}
	h.Network.Gateways = nil
	h.Network.Interfaces = []hive.Interface{{Name: "end0", MAC: "dc:a6:32:00:11:22", Kind: "ethernet", DHCP: "yes"}}
	h.Deployment.TargetHost = ptr(name)
	return h
}

// router leads from the servers' network to the home's; it has many interfaces.
func router() hive.Host {
	h := plainHost("gate", "192.168.1.2/24")
	h.Domain = "home.lan"
	h.Network.Interfaces = append(h.Network.Interfaces,
		hive.Interface{Name: "servers", Kind: "vlan", Parent: "enp3s0", VLAN: 20, Addresses: []string{"10.20.0.1/24", "fd00:20::1/64"}},
		hive.Interface{Name: "storage0", MAC: "52:54:00:aa:00:01", Kind: "ethernet", Addresses: []string{"10.30.0.1/28"}},
		hive.Interface{Name: "wlp2s0", Kind: "wireless", DHCP: "ipv4"})
	return h
}

// member is a server or agent of the cluster in the servers' network.
func member(name, role string, n int) hive.Host {
	h := plainHost(name, fmt.Sprintf("10.20.0.%d/24", n))
	i := &h.Network.Interfaces[0]
	i.Addresses = append(i.Addresses, fmt.Sprintf("fd00:20::%d/64", n))
	i.MAC = fmt.Sprintf("52:54:00:20:00:%02x", n)
	h.Network.Interfaces = append(h.Network.Interfaces, hive.Interface{Name: "enp4s0", Kind: "ethernet", Addresses: []string{fmt.Sprintf("10.30.0.%d/28", n%14)}})
	h.Network.Gateways = []string{"10.20.0.1", "fd00:20::1"}
	h.Member = &hive.Member{Cluster: "home", Role: role}
	h.Domain = "home.lan"
	return h
}

// bios boots from a BIOS disk with btrfs.
func bios() hive.Host {
	h := plainHost("attic", "192.168.1.30/24")
	h.Boot = hive.Boot{Loader: "grub", Firmware: "bios", GrubDevices: []string{"/dev/sda"}, Kernel: "6.6.32"}
	h.Storage.Disks = []hive.Disk{
		{Name: "sda", Device: "/dev/sda", Table: "gpt", Partitions: []hive.Partition{
			{Name: "boot", Size: "1M", Type: "EF02"},
			{Name: "crypt", Size: "60G", Content: "luks"},
			{Name: "root", Size: "100%", Content: "btrfs", MountPoint: "/"},
		}},
		{Name: "sdb", Device: "/dev/sdb", Table: "gpt", Partitions: []hive.Partition{{Name: "raid", Size: "100%", Content: "mdraid", Pool: "md0"}}},
		{Name: "sdc", Device: "/dev/sdc", Table: "zfs"},
		{Name: "sdd", Device: "/dev/sdd", Table: "gpt", Partitions: []hive.Partition{
			{Name: "a", Size: "20G", Content: "lvm_pv", Pool: "vg"}, {Name: "b", Size: "50%"},
		}},
		{Name: "sde", Device: "/dev/sde", Table: "gpt"},
	}
	return h
}

func samplePins() Pins {
	return Pins{NixOS: "nixos-24.05", Disko: "v1.8.2", K3s: "v1.27.4-k3s1", Hosts: map[string]string{"desk": "nixos-23.11"}}
}

// oneHost is the smallest hive: a virtual machine on DHCP.
func oneHost() Input {
	h := plainHost("testvm", "")
	h.Network.Interfaces = []hive.Interface{{Name: "ens3", Kind: "ethernet", DHCP: "yes"}}
	h.Network.Gateways = nil
	return Input{Name: "my hive", Hive: hive.Hive{Hosts: []hive.Host{h}}, Pins: samplePins()}
}

func fourHosts() Input {
	problems := []hive.Problem{
		{
			Host: "attic", Option: "boot.loader.grub.devices", File: "nixConfigs/attic.nix", Severity: hive.Warning, Rule: "unstable-device",
			Message: "/dev/sda may be another disk tomorrow", Way: "use the path under /dev/disk/by-id",
		},
		{
			Host: "desk", Option: "hive.admin.sshKeys", File: "nixConfigs/desk.nix", Severity: hive.Error, Rule: "locked-out",
			Message: "nobody could log in", Way: "add your public key",
		},
	}
	return Input{
		Name: "home", Pins: samplePins(), Problems: problems,
		Hive:    hive.Hive{Hosts: []hive.Host{bios(), dualBoot(), board("pi"), plainHost("web", "192.168.1.10/24")}},
		Origins: map[string]Origin{"attic": Cached, "desk": Cached, "pi": Untracked, "web": Fresh},
	}
}

func twelveHosts() Input {
	in := fourHosts()
	in.Hive.Hosts = append(in.Hive.Hosts, router())
	for i := range 3 {
		in.Hive.Hosts = append(in.Hive.Hosts, member(fmt.Sprintf("k%d", i+1), "server", 11+i))
	}
	for i := range 2 {
		in.Hive.Hosts = append(in.Hive.Hosts, member(fmt.Sprintf("worker%d", i+1), "agent", 21+i))
	}
	six := plainHost("sixonly", "2001:db8:1234:5678:9abc:def0:1234:5678/64")
	six.Network.Gateways = []string{"fe80::1"}
	in.Hive.Hosts = append(in.Hive.Hosts, six)
	in.Broken = []string{"unfinished"}
	in.Problems = append(in.Problems, hive.Problem{Host: "unfinished", Severity: hive.Error, Message: "syntax error, unexpected end of file", File: "nixConfigs/unfinished.nix"})
	return in
}

func fiftyHosts() Input {
	in := Input{Name: "rack", Pins: samplePins()}
	for i := range 30 {
		in.Hive.Hosts = append(in.Hive.Hosts, plainHost(fmt.Sprintf("node-%02d", i+1), fmt.Sprintf("192.168.1.%d/24", i+10)))
	}
	for i := range 14 {
		in.Hive.Hosts = append(in.Hive.Hosts, member(fmt.Sprintf("k3s-%02d", i+1), map[bool]string{true: "server", false: "agent"}[i < 3], i+11))
	}
	for i := range 6 {
		in.Hive.Hosts = append(in.Hive.Hosts, board(fmt.Sprintf("pi-%d", i+1)))
	}
	return in
}

// nastyHosts have names and values that would break a careless form.
func nastyHosts() Input {
	names := []string{
		`<script>alert("1")</script>&'`, "a|b\nc\\`d`", "ein-sehr-langer-name-für-einen-rechner-der-irgendwo-im-keller-steht",
		"服务器集群第一号机器在地下室里面运行着", "e\u0301a\u0301 \U0001F41D\u200d\U0001F3E0 bee", "\x00\x1b[31m\u202Eevil\xff", `"]; end; %%{init}%% subgraph`, "${builtins.abort \"x\"}",
	}
	in := Input{Name: "<&>\" | nasty\n", Pins: Pins{NixOS: "</title><b>", K3s: "`|`"}}
	for i, name := range names {
		h := plainHost(name, fmt.Sprintf("192.168.1.%d/24", i+10))
		h.Network.Interfaces[0].Name = name
		h.Storage.Disks[0].Device = "/dev/disk/by-id/" + name
		h.Storage.Disks[0].Partitions[2].MountPoint = "/" + name
		h.System, h.Boot.Loader = name, name
		h.Deployment.TargetHost, h.Member = &name, &hive.Member{Cluster: name, Role: "server"}
		in.Hive.Hosts = append(in.Hive.Hosts, h)
		in.Problems = append(in.Problems, hive.Problem{Host: name, Severity: hive.Error, Message: name, Way: name, Option: name})
	}
	return in
}
