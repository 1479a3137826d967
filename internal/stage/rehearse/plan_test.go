package rehearse

import (
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/vm"
)

// plannable is a host that can be rehearsed.
func plannable() hive.Host {
	h := static("web", "192.168.1.11/24", "192.168.1.1")
	h.System, h.SSH.Enable, h.Boot.Firmware = "x86_64-linux", true, "uefi"
	h.Storage.Disks = []hive.Disk{
		{Device: "/dev/disk/by-id/ata-WDC_WD10EZEX_WCC6Y4HJ7KLM", Partitions: []hive.Partition{{Size: "512M"}, {Size: "8G"}, {Size: "100%"}}},
		{Device: "/dev/disk/by-id/ata-OLD_1", Additional: true},
	}
	return h
}

func TestAGuestHasWhatItsDefinitionNames(t *testing.T) {
	h := plannable()
	h.Network.Interfaces = []hive.Interface{
		{Name: "enp3s0", Kind: "ethernet", Addresses: []string{"192.168.1.11/24"}},
		{Name: "lan", Kind: "ethernet", MAC: "00:1E:4F:9A:10:01"},
		{Name: "br0", Kind: "bridge", MAC: "00:1e:4f:9a:10:02"},
		{Name: "vlan7", Kind: "vlan", Parent: "enp3s0"},
	}
	plan, err := Rehearsal{Hosts: []hive.Host{h}}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	g := plan.Guests[0]
	if g.Machine.Firmware != vm.UEFI || len(g.Machine.Disks) != 2 {
		t.Fatalf("%+v", g.Machine)
	}
	if d := g.Machine.Disks[0]; d.Bus != vm.SATA || d.Serial != "WCC6Y4HJ7KLM" || d.SizeBytes != 32<<30+512<<20+8<<30 {
		t.Errorf("first disk %+v", d)
	}
	var cards []string
	for _, c := range g.Machine.Cards {
		if c.Network != "192.168.1.0-24" {
			t.Errorf("%s is in %q", c.Name, c.Network)
		}
		cards = append(cards, c.Interface+" "+c.MAC)
	}
	if want := []string{"enp3s0 ", " 00:1e:4f:9a:10:01", " 00:1e:4f:9a:10:02"}; !slices.Equal(cards, want) {
		t.Errorf("cards %q, not %q", cards, want)
	}
	// no place gives a card the name lan
	if !strings.Contains(g.needs.UdevRules, `"lan"`) || !slices.ContainsFunc(g.Differences, func(d string) bool { return strings.Contains(d, "lan") }) {
		t.Errorf("rules %q, differences %q", g.needs.UdevRules, g.Differences)
	}
}

func TestADiskThatIsChosenOnTheMachineFitsItsSelector(t *testing.T) {
	for name, s := range map[string]hive.Selector{
		"serial":             {Serial: "S64DNX0T123456"},
		"serial and size":    {Serial: "S64DNX0T123456", Size: "500G"},
		"WWN":                {WWN: "0x5002538E40A1B2C3"},
		"serial and WWN":     {Serial: "S64DNX0T123456", WWN: "5002538e40a1b2c3"},
		"pattern":            {ByID: "ata-WDC_*_WCC6Y?HJ7[KL]LM"},
		"pattern, NVMe":      {ByID: "nvme-Samsung_SSD_980_*"},
		"size":               {Size: "400G-600G"},
		"everything at once": {Serial: "WCC6Y4HJ7KLM", WWN: "0x50014ee2b1a2c3d4", ByID: "ata-WDC_*_WCC6Y4HJ7KLM", Size: "1T"},
	} {
		t.Run(name, func(t *testing.T) {
			h := plannable()
			h.Storage.Disks[0].Device, h.Storage.Disks[0].Selector = hive.DiskAlias("main"), s
			plan, err := Rehearsal{Hosts: []hive.Host{h}}.Plan()
			if err != nil {
				t.Fatal(err)
			}
			d := plan.Guests[0].Machine.Disks[0]
			is := hive.Device{Serial: d.Serial, WWN: d.WWN, Bytes: d.SizeBytes, Links: []string{pathOf(h.Storage.Disks[0])}}
			if !s.Fits(is) {
				t.Errorf("%+v does not fit", is)
			}
		})
	}
}

func TestThatAnUnattendedInstallationIsBegunIsTold(t *testing.T) {
	h := plannable()
	h.Setup.Unattended = true
	plan, err := Rehearsal{Hosts: []hive.Host{h}}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if told := plan.Guests[0].Differences; !slices.ContainsFunc(told, func(d string) bool { return strings.Contains(d, "begun by the rehearsal") }) {
		t.Errorf("differences %q", told)
	}
}

func TestADiskWithABootSectorComesFirst(t *testing.T) {
	h := plannable()
	h.Boot.Firmware, h.Boot.GrubDevices = "bios", []string{h.Storage.Disks[1].Device}
	plan, err := Rehearsal{Hosts: []hive.Host{h}}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if m := plan.Guests[0].Machine; m.Firmware != vm.BIOS || m.Disks[0].Serial != "1" || m.Disks[1].Serial != "WCC6Y4HJ7KLM" {
		t.Errorf("%+v", m)
	}
}

func TestACardKnownByItsPlaceSitsThere(t *testing.T) {
	h := plannable()
	h.Network.Interfaces[0].Name = ""
	h.Network.Units = map[string]string{"10-lan.network": "[Match]\nPath=pci-0000:00:1f.6\n\n[Network]\n"}
	plan, err := Rehearsal{Hosts: []hive.Host{h}}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if c := plan.Guests[0].Machine.Cards[0]; c.Path != "pci-0000:00:1f.6" {
		t.Errorf("%+v", c)
	}
}

func TestEveryReasonAgainstARehearsalIsGiven(t *testing.T) {
	for want, change := range map[string]func(*hive.Host){
		"only x86_64-linux":   func(h *hive.Host) { h.System = "aarch64-linux" },
		"formats none":        func(h *hive.Host) { h.Storage.Disks = h.Storage.Disks[1:] },
		"has no SSH":          func(h *hive.Host) { h.SSH.Enable = false },
		"for board":           func(h *hive.Host) { h.Boot.Firmware = "board" },
		"an unknown firmware": func(h *hive.Host) { h.Boot.Firmware = "unknown" },
	} {
		h := plannable()
		change(&h)
		_, err := Rehearsal{Hosts: []hive.Host{h, plannable()}}.Plan()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "web: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q is not the whole of %v", want, err)
		}
	}
	h := plannable()
	h.SSH.Enable = false
	if _, err := (Rehearsal{Hosts: []hive.Host{h}, Until: Mini}).Plan(); err != nil {
		t.Errorf("until the mini system: %v", err)
	}
}

func TestSizesOfPartitionsAreRead(t *testing.T) {
	for text, want := range map[string]int64{"1M": 1 << 20, "8G": 8 << 30, "2T": 2 << 40, "100%": 0, "": 0, "G": 0, "-1G": 0, "12": 0, "1.5G": 0} {
		if got := partitionSize(text); got != want {
			t.Errorf("%q is %d bytes, not %d", text, got, want)
		}
	}
}
