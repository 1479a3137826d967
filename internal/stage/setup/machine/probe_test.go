package machine

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
)

// surveySample is of a ThinkPad that runs from a stick, shortened.
const surveySample = "host\talpha-setup\nkernel\t6.6.31\narchitecture\tx86_64\nfirmware\tuefi\nsecure\t0\n" +
	"sys_vendor\tLENOVO\nproduct_name\t20XW0026GE\nproduct_serial\tPF2ABCDE\nproduct_uuid\t4C4C4544-0042-3510-8054-B7C04F4E4D32\n" +
	"cpu\t11th Gen Intel(R) Core(TM)  i7-1165G7 @ 2.80GHz\ncores\t8\nmemory\t16145672\nmodule\tnvme\nmodule\tvmd\n" +
	"card\tenp3s0\tAA:BB:CC:00:00:01\te1000e\t1\t1000\t\ncard\twlp0s20f3\taa:bb:cc:00:00:02\tiwlwifi\t\t-1\t1\n" +
	"mount\t22 28 0:21 / / rw - tmpfs tmpfs rw\nmount\t30 22 8:0 / /iso ro - iso9660 /dev/root ro\n" +
	"mount\t31 22 7:0 / /nix/.ro-store ro - squashfs /dev/loop0 ro\nloop\t7:0\t/iso/nix-store.squashfs\n"

func TestSurveyIsRead(t *testing.T) {
	s, err := readSurvey(surveySample)
	if err != nil {
		t.Fatal(err)
	}
	m := s.machine
	if m.HostName != "alpha-setup" || m.Kernel != "6.6.31" || m.Platform != "x86_64-linux" || m.Firmware != "uefi" || m.Secure || m.Memory != 16145672<<10 {
		t.Errorf("got %+v", m)
	}
	if m.Product != (hive.Product{Vendor: "LENOVO", Name: "20XW0026GE", Serial: "PF2ABCDE", UUID: "4c4c4544-0042-3510-8054-b7c04f4e4d32"}) {
		t.Errorf("the product is %+v", m.Product)
	}
	if m.CPU != (hive.CPU{Model: "11th Gen Intel(R) Core(TM) i7-1165G7 @ 2.80GHz", Cores: 8}) || !slices.Equal(m.Modules, []string{"nvme", "vmd"}) {
		t.Errorf("got %+v %q", m.CPU, m.Modules)
	}
	wired := hive.Card{Name: "enp3s0", MAC: "aa:bb:cc:00:00:01", Driver: "e1000e", Carrier: true, Speed: 1000}
	if len(m.Cards) != 2 || !equalCards(m.Cards[0], wired) || !m.Cards[1].Wireless || m.Cards[1].Speed != 0 || m.Cards[1].Carrier {
		t.Errorf("the cards are %+v", m.Cards)
	}
}

func equalCards(a, b hive.Card) bool {
	return slices.Equal(a.Addresses, b.Addresses) && a.Name == b.Name && a.MAC == b.MAC && a.Driver == b.Driver && a.Carrier == b.Carrier && a.Speed == b.Speed
}

func TestSurveyOfABoard(t *testing.T) {
	s, err := readSurvey("architecture\taarch64\nfirmware\tboard\nmemory\t4096\nboard_model\tRaspberry Pi 4 Model B Rev 1.4\nboard_serial\t10000000abcdef01\n")
	if err != nil || s.machine.Product.Name != "Raspberry Pi 4 Model B Rev 1.4" || s.machine.Product.Serial != "10000000abcdef01" || s.machine.Platform != "aarch64-linux" {
		t.Errorf("got %+v, %v", s.machine, err)
	}
}

func TestSurveyThatIsNone(t *testing.T) {
	for _, text := range []string{
		"", "host\tx\n", "sh: not found\n", surveySample + "surprise\tx\n", surveySample + "card\ta\n", surveySample + "mount\tx\n",
		surveySample + "memory\t99999999999999999999\n", surveySample + "cores\tmany\n",
	} {
		if s, err := readSurvey(text); err == nil {
			t.Errorf("%q was read as %+v", text, s)
		}
	}
}

func FuzzSurvey(f *testing.F) {
	f.Add(surveySample)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := readSurvey(text)
		if err != nil {
			return
		}
		if s.machine.Memory <= 0 && strings.Contains(text, "memory\t1") && !strings.Contains(text, "memory\t-") {
			t.Errorf("the memory is %d", s.machine.Memory)
		}
		s.medium(laptop().Devices)
	})
}

func TestAddressesAndPermanentMACsAreAdded(t *testing.T) {
	l := link{Name: "enp3s0", Permanent: "AA:BB:CC:00:00:99"}
	l.Addresses = append(l.Addresses, struct {
		Address string `json:"local"`
		Length  int    `json:"prefixlen"`
	}{"192.168.1.57", 24}, struct {
		Address string `json:"local"`
		Length  int    `json:"prefixlen"`
	}{"fe80::1", 64})
	cards := withAddresses([]hive.Card{{Name: "enp3s0", MAC: "02:00:00:00:00:01"}, {Name: "other"}}, []link{l})
	if cards[0].MAC != "aa:bb:cc:00:00:99" || !slices.Equal(cards[0].Addresses, []string{"192.168.1.57/24", "fe80::1/64"}) || cards[1].Addresses != nil {
		t.Errorf("got %+v", cards)
	}
}

// TestProbeLooksAtThisMachine is whatever the tests run on.
func TestProbeLooksAtThisMachine(t *testing.T) {
	need.Program(t, "lsblk")
	m, err := Probe(t.Context(), run.Local{})
	if err != nil {
		t.Fatal(err)
	}
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if m.Schema != hive.ManifestSchema || m.HostName != name || m.Kernel == "" || m.CPU.Cores < 1 || m.Memory < 64<<20 || !strings.HasSuffix(m.Platform, "-linux") {
		t.Errorf("got %+v", m)
	}
	if !slices.Contains([]string{"uefi", "bios", "board"}, m.Firmware) {
		t.Errorf("the firmware is %q", m.Firmware)
	}
	if len(Tables(m)) != 3 {
		t.Errorf("the tables are %+v", Tables(m))
	}
}

func TestProbeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Probe(ctx, run.Local{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestPlaceholdersOfMakersAreDropped(t *testing.T) {
	for _, value := range []string{
		"To Be Filled By O.E.M.", "To be filled by O.E.M", "Default string", "System Product Name", "System manufacturer", "Not Specified", "N/A", "None",
		"0", "0000000", "00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "xxxxxxxx", "...", "", "  ", "-", "123456789",
		"O.E.M.", "empty", "Unknown", "INVALID", "System Serial Number", "Not Applicable",
	} {
		if got := honest(value); got != "" {
			t.Errorf("%q is taken for %q", value, got)
		}
	}
	for _, value := range []string{"PF2ABCDE", "20XW0026GE", "QEMU", "Standard PC (Q35 + ICH9, 2009)", "ab", "VMware-56 4d", "Ä1"} {
		if got := honest(value); got != value {
			t.Errorf("%q is dropped for %q", value, got)
		}
	}
	if honestUUID("03000200-0400-0500-0006-000700080009") != "" || honestUUID("4C4C4544-0042-3510-8054-B7C04F4E4D32") == "" {
		t.Error("UUIDs that boards share are not told from others")
	}
}

func TestMediumIsFollowedToItsDisk(t *testing.T) {
	usb := hive.Device{Path: "/dev/sda", Number: "8:0", Kind: "disk", Children: []hive.Device{{Path: "/dev/sda1", Number: "8:1", Kind: "part"}}}
	loop := hive.Device{Path: "/dev/loop0", Number: "7:0", Kind: "loop", Mounts: []string{"/nix/.ro-store"}}
	loop1 := hive.Device{Path: "/dev/loop1", Number: "7:1", Kind: "loop"}
	rom := hive.Device{Path: "/dev/sr0", Number: "11:0", Kind: "rom"}
	crypt := hive.Device{Path: "/dev/vda", Number: "254:0", Kind: "disk", Children: []hive.Device{{
		Path: "/dev/vda2", Number: "254:2", Kind: "part",
		Children: []hive.Device{{Path: "/dev/dm-0", Number: "253:0", Kind: "crypt", Content: "btrfs", Mounts: []string{"/", "/nix"}}},
	}}}
	zfs := hive.Device{Path: "/dev/sdc", Number: "8:32", Kind: "disk", Children: []hive.Device{{Path: "/dev/sdc1", Number: "8:33", Content: "zfs_member", Label: "zroot"}}}
	all := []hive.Device{loop, loop1, usb, rom, crypt, zfs}
	for _, tt := range []struct {
		name   string
		mounts []string
		loops  map[string]string
		want   string
	}{
		{
			"a stick",
			[]string{"22 1 0:21 / / rw - tmpfs tmpfs rw", "30 22 8:0 / /iso ro - iso9660 /dev/root ro", "31 22 7:0 / /nix/.ro-store ro - squashfs /dev/loop0 ro"},
			map[string]string{"7:0": "/iso/nix-store.squashfs"},
			"/dev/sda",
		},
		{"a partition of one", []string{"30 22 8:1 / /iso ro - iso9660 /dev/sda1 ro"}, nil, "/dev/sda"},
		{"a disc", []string{"30 22 11:0 / /iso ro - iso9660 /dev/sr0 ro"}, nil, "/dev/sr0"},
		{"copied to RAM", []string{"30 22 0:55 / /iso rw - tmpfs tmpfs rw", "31 22 7:0 / /nix/.ro-store ro - squashfs /dev/loop0 ro"}, map[string]string{"7:0": "/iso/nix-store.squashfs"}, ""},
		{"an image in a file of a stick", []string{"29 22 8:1 / /findiso ro - vfat /dev/sda1 ro", "30 22 7:1 / /iso ro - iso9660 /dev/loop1 ro"}, map[string]string{"7:1": "/findiso/nixos.iso"}, "/dev/sda"},
		{"a file in a circle", []string{"30 22 7:1 / /iso ro - iso9660 /dev/loop1 ro"}, map[string]string{"7:1": "/iso/nixos.iso"}, ""},
		{
			"only the store tells",
			[]string{"22 1 0:21 / / rw - tmpfs tmpfs rw", "29 22 8:1 / /run/media rw - ext4 /dev/sda1 rw", "31 22 7:0 / /nix/.ro-store ro - squashfs /dev/loop0 ro"},
			map[string]string{"7:0": "/run/media/store"},
			"/dev/sda",
		},
		{"an installed system on an encrypted btrfs", []string{"22 1 0:30 /@ / rw - btrfs /dev/mapper/root rw"}, nil, "/dev/vda"},
		{"an installed system on ZFS", []string{"22 1 0:31 / / rw - zfs zroot/nixos rw"}, nil, "/dev/sdc"},
		{"the network", []string{"22 1 0:21 / / rw - tmpfs tmpfs rw", "23 22 0:50 / /nix/store ro - nfs server:/store ro"}, nil, ""},
	} {
		s := surveyed{loops: tt.loops}
		for _, m := range tt.mounts {
			if err := s.addMount(m); err != nil {
				t.Fatal(err)
			}
		}
		if got := s.medium(all); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
