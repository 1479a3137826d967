package machine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
)

func TestFits(t *testing.T) {
	ether := func(i hive.Interface) func(p *hive.Plan, _ *hive.Machine) {
		return func(p *hive.Plan, _ *hive.Machine) {
			if i.Kind == "" {
				i.Kind = "ethernet"
			}
			p.Interfaces = append(p.Interfaces, i)
		}
	}
	static := []string{"192.168.1.10/24"}
	for _, tt := range []struct {
		name   string
		change func(p *hive.Plan, m *hive.Machine)
		rules  []string
		says   string
	}{
		{"it does", func(*hive.Plan, *hive.Machine) {}, nil, ""},
		{"another processor", func(_ *hive.Plan, m *hive.Machine) { m.Platform = "aarch64-linux" }, []string{"wrong-platform"}, `nixpkgs.hostPlatform = "aarch64-linux";`},
		{"32 bits on 64 with a BIOS", func(p *hive.Plan, m *hive.Machine) {
			p.Platform, m.Firmware, p.Boot.Firmware = "i686-linux", "bios", "bios"
		}, nil, ""},
		{"32 bits on 64 with UEFI", func(p *hive.Plan, _ *hive.Machine) { p.Platform = "i686-linux" }, []string{"wrong-platform"}, ""},
		{"UEFI on a BIOS", func(_ *hive.Plan, m *hive.Machine) { m.Firmware = "bios" }, []string{"wrong-firmware"}, "entry with UEFI"},
		{"a BIOS on UEFI", func(p *hive.Plan, _ *hive.Machine) { p.Boot.Firmware = "bios" }, []string{"wrong-firmware"}, "entry without UEFI"},
		{"both on UEFI", func(p *hive.Plan, _ *hive.Machine) { p.Boot.Firmware = "both" }, nil, ""},
		{"both on a BIOS", func(p *hive.Plan, m *hive.Machine) { p.Boot.Firmware, m.Firmware = "both", "bios" }, nil, ""},
		{"both on a board", func(p *hive.Plan, m *hive.Machine) { p.Boot.Firmware, m.Firmware = "both", "board" }, []string{"wrong-firmware"}, "device tree"},
		{"UEFI on a board", func(_ *hive.Plan, m *hive.Machine) { m.Firmware = "board" }, []string{"wrong-firmware"}, "generic-extlinux-compatible"},
		{"a board's on UEFI of U-Boot", func(p *hive.Plan, m *hive.Machine) {
			p.Boot.Firmware, p.Platform, m.Platform = "board", "aarch64-linux", "aarch64-linux"
		}, nil, ""},
		{"a board's on a PC", func(p *hive.Plan, _ *hive.Machine) { p.Boot.Firmware = "board" }, []string{"wrong-firmware"}, ""},
		{"nobody knows", func(p *hive.Plan, m *hive.Machine) { p.Boot.Firmware, m.Firmware = "unknown", "bios" }, nil, ""},
		{"Secure Boot", func(_ *hive.Plan, m *hive.Machine) { m.Secure = true }, []string{"secure-boot"}, "turn Secure Boot off"},
		{"Secure Boot and a loader of one's own", func(p *hive.Plan, m *hive.Machine) { m.Secure, p.Boot.Loader = true, "custom" }, []string{"warning secure-boot"}, "enrol"},
		{"little memory", func(_ *hive.Plan, m *hive.Machine) { m.Memory = 512 << 20 }, []string{"warning little-memory"}, "512 MiB"},
		{"1 GiB less what the kernel keeps", func(_ *hive.Plan, m *hive.Machine) { m.Memory = 970 << 20 }, nil, ""},

		{"a card by its name", ether(hive.Interface{Name: "enp3s0", Addresses: static}), nil, ""},
		{"a card by a pattern", ether(hive.Interface{Name: "enp*", Addresses: static}), nil, ""},
		{"a card by its MAC", ether(hive.Interface{MAC: "AA:BB:CC:00:00:01", Addresses: static}), nil, ""},
		{"a card that is not there", ether(hive.Interface{Name: "enp9s0", Addresses: static}), []string{"card-missing"}, `hive.network.match.mac = "aa:bb:cc:00:00:01";`},
		{"a card that is not there, with DHCP", ether(hive.Interface{Name: "enp9s0", DHCP: "yes"}), []string{"card-missing"}, "enp3s0 (aa:bb:cc:00:00:01, e1000e, connected)"},
		{"one of two is not there, with DHCP", func(p *hive.Plan, m *hive.Machine) {
			ether(hive.Interface{Name: "enp9s0", DHCP: "yes"})(p, m)
			ether(hive.Interface{Name: "enp3s0", DHCP: "yes"})(p, m)
		}, []string{"warning card-missing"}, ""},
		{"a MAC that is not there", ether(hive.Interface{MAC: "00:00:00:00:00:09", Addresses: static}), []string{"card-missing"}, "00:00:00:00:00:09"},
		{"a MAC that the host sets", ether(hive.Interface{Name: "enp3s0", MAC: "02:00:00:00:00:09", Addresses: static}), []string{"warning card-mac"}, ""},
		{"a name of the kernel's", ether(hive.Interface{Name: "eth0", Addresses: static}), []string{"warning card-missing"}, ""},
		{"any card, and there are two", func(p *hive.Plan, m *hive.Machine) {
			ether(hive.Interface{Addresses: static})(p, m)
			m.Cards = append(m.Cards, hive.Card{Name: "enp4s0"})
		}, []string{"warning card-ambiguous"}, "every network card"},
		{"any card, and there is one with a cable", ether(hive.Interface{Addresses: static}), nil, ""},
		{"any card, and there is none", func(p *hive.Plan, m *hive.Machine) { ether(hive.Interface{DHCP: "yes"})(p, m); m.Cards = nil }, []string{"card-missing"}, "lspci -k"},
		{"no cable", func(p *hive.Plan, m *hive.Machine) {
			ether(hive.Interface{Name: "enp3s0", Addresses: static})(p, m)
			m.Cards[1].Carrier = false
		}, []string{"warning no-carrier"}, "nothing is connected to enp3s0"},
		{"a bridge over a card", ether(hive.Interface{Name: "br0", Kind: "bridge", Parent: "enp3s0", Addresses: static}), nil, ""},
		{"a bond over one card that is not there", ether(hive.Interface{Name: "bond0", Kind: "bond", Parent: "enp3s0 enp9s0", Addresses: static}), []string{"card-missing"}, "enp9s0"},
		{"a macvlan over a vlan", ether(hive.Interface{Name: "host0", Kind: "macvlan", Parent: "vlan20", Addresses: static}), nil, ""},
		{"a vlan over a bridge", func(p *hive.Plan, m *hive.Machine) {
			ether(hive.Interface{Name: "br0", Kind: "bridge", Parent: "enp3s0"})(p, m)
			ether(hive.Interface{Name: "v", Kind: "vlan", Parent: "br0", Addresses: static})(p, m)
		}, nil, ""},
		{"a bridge with a MAC of its own", ether(hive.Interface{Name: "br0", Kind: "bridge", MAC: "02:00:00:00:00:01"}), []string{"warning card-missing"}, ""},
		{"all at once", func(p *hive.Plan, m *hive.Machine) {
			m.Platform, m.Firmware, m.Secure, m.Memory = "riscv64-linux", "bios", true, 1
			ether(hive.Interface{Name: "enp9s0", Addresses: static})(p, m)
		}, []string{"wrong-platform", "wrong-firmware", "secure-boot", "warning little-memory", "card-missing"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, m := plan(gpt("main", "/dev/sdb")), laptop()
			tt.change(&p, &m)
			problems := Fits(p, m)
			expect(t, problems, tt.rules...)
			if !strings.Contains(messages(problems), tt.says) {
				t.Errorf("%q is not in\n%s", tt.says, messages(problems))
			}
		})
	}
}

func TestBestCardIsWiredAndConnected(t *testing.T) {
	m := laptop()
	if c, ok := BestCard(m); !ok || c.Name != "enp3s0" {
		t.Errorf("got %+v", c)
	}
	m.Cards[1].Carrier, m.Cards[0].Carrier = false, true
	if c, _ := BestCard(m); c.Name != "wlp0s20f3" {
		t.Errorf("got %+v", c)
	}
	if _, ok := BestCard(hive.Machine{}); ok {
		t.Error("none is the best")
	}
}

// modules is lib/modules of a kernel that has these built in.
func modules(t *testing.T, builtin ...string) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, "6.6.31"), 0o755); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, b := range builtin {
		text.WriteString("kernel/drivers/x/" + b + ".ko\n")
	}
	if err := os.WriteFile(filepath.Join(folder, "6.6.31", "modules.builtin"), []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestDriversOfTheInitrd(t *testing.T) {
	data := gpt("data", "/dev/sdb")
	data.Partitions = []hive.Partition{{Name: "data", MountPoint: "/data"}}
	pool := gpt("pool", "/dev/sdb")
	pool.Partitions = []hive.Partition{{Name: "pv", Pool: "vg"}}
	for _, tt := range []struct {
		name    string
		disk    hive.Disk
		drivers []string
		initrd  []string
		builtin []string
		says    string
	}{
		{"all there", gpt("main", "x"), []string{"nvme", "vmd"}, []string{"nvme", "vmd"}, nil, ""},
		{"built in", gpt("main", "x"), []string{"nvme", "virtio_pci"}, []string{"nvme"}, []string{"virtio-pci"}, ""},
		{"spelled with hyphens", gpt("main", "x"), []string{"usb_storage"}, []string{"usb-storage"}, nil, ""},
		{"one lacks", gpt("main", "x"), []string{"nvme", "vmd"}, []string{"nvme"}, nil, `boot.initrd.availableKernelModules = [ "vmd" ];`},
		{"two lack", gpt("main", "x"), []string{"sd_mod", "megaraid_sas", "sd_mod"}, nil, nil, `[ "sd_mod" "megaraid_sas" ]`},
		{"for a pool", pool, []string{"mpt3sas"}, nil, nil, `"mpt3sas"`},
		{"nothing is known of the disk", gpt("main", "x"), nil, nil, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := hive.MediumHost{Name: "alpha", InitrdModules: tt.initrd, ModulesFolder: modules(t, tt.builtin...), Plan: plan(tt.disk)}
			problems := Drivers(h, []hive.Target{{Disk: tt.disk, Device: hive.Device{Path: "/dev/x", Drivers: tt.drivers}}})
			if tt.says == "" {
				expect(t, problems)
				return
			}
			expect(t, problems, "initrd-drivers")
			if !strings.Contains(messages(problems), tt.says) {
				t.Errorf("%q is not in\n%s", tt.says, messages(problems))
			}
		})
	}
}

func TestDriversOfDisksThatTheInitrdDoesNotNeed(t *testing.T) {
	data := hive.Disk{Name: "data", Partitions: []hive.Partition{{MountPoint: "/data"}}}
	targets := []hive.Target{
		{Disk: gpt("main", "x"), Device: hive.Device{Drivers: []string{"nvme"}}},
		{Disk: data, Device: hive.Device{Drivers: []string{"mpt3sas"}}},
	}
	h := hive.MediumHost{Name: "alpha", InitrdModules: []string{"nvme"}, ModulesFolder: modules(t), Plan: plan(targets[0].Disk)}
	expect(t, Drivers(h, targets))
	targets[0].Disk.Partitions = nil // the definition mounts by hand: any may be the root
	expect(t, Drivers(h, targets[1:]), "initrd-drivers")
	expect(t, Drivers(h, nil))
	targets[1].Disk.Additional = true
	expect(t, Drivers(h, targets[1:]))
}

func TestDriversThatCannotBeProven(t *testing.T) {
	h := hive.MediumHost{Name: "alpha", ModulesFolder: t.TempDir(), Plan: plan(gpt("main", "x"))}
	expect(t, Drivers(h, []hive.Target{{Disk: gpt("main", "x")}}), "initrd-unproven")
}
