package machine

import (
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
)

func TestResolveFindsTheOneDisk(t *testing.T) {
	for _, tt := range []struct {
		name string
		disk hive.Disk
		want string
	}{
		{"serial", chosen("main", hive.Selector{Serial: nvmeSerial}), "/dev/nvme0n1"},
		{"wwn, as sysfs spells it", chosen("main", hive.Selector{WWN: "EUI.002538B111B1A2C3"}), "/dev/nvme0n1"},
		{"wwn, bare", chosen("main", hive.Selector{WWN: "002538b111b1a2c3"}), "/dev/nvme0n1"},
		{"glob", chosen("main", hive.Selector{ByID: "nvme-Samsung_*"}), "/dev/nvme0n1"},
		{"size", chosen("main", hive.Selector{Size: "480G"}), "/dev/sdb"},
		{"range", chosen("main", hive.Selector{Size: "800G-2T"}), "/dev/nvme0n1"},
		{"size and glob", chosen("main", hive.Selector{Size: "10G-10T", ByID: "ata-*"}), "/dev/sdb"},
		{"a link", gpt("main", "/dev/disk/by-id/ata-Acme_WD-1"), "/dev/sdb"},
		{"a path by the bus", gpt("main", "/dev/disk/by-path/pci-0000:00:17.0-ata-b"), "/dev/sdb"},
		{"a link with a slash too many", gpt("main", "/dev/disk/by-id//ata-Acme_WD-1"), "/dev/sdb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			targets, problems := Resolve(plan(tt.disk), hive.Fresh, laptop())
			expect(t, problems)
			if len(targets) != 1 || targets[0].Device.Path != tt.want || targets[0].State != StateBlank || targets[0].Fate != FateFormat {
				t.Errorf("got %+v", targets)
			}
		})
	}
}

// TestResolveRefuses is the table of disks that are not to be written to, each with what a person is told.
func TestResolveRefuses(t *testing.T) {
	change := func(path string, f func(d *hive.Device)) func(m *hive.Machine) {
		return func(m *hive.Machine) {
			for i := range m.Devices {
				if m.Devices[i].Path == path {
					f(&m.Devices[i])
				}
			}
		}
	}
	part := func(path string, mounts ...string) hive.Device {
		return hive.Device{Path: path, Number: path, Kind: "part", Mounts: mounts, Links: []string{"/dev/disk/by-id/ata-Acme_WD-1-part1"}}
	}
	for _, tt := range []struct {
		name   string
		disk   hive.Disk
		change func(m *hive.Machine)
		rules  []string
		says   []string
	}{
		{
			"no such serial", chosen("main", hive.Selector{Serial: "nope"}), nil,
			[]string{"disk-missing"},
			[]string{`serial "nope" fits no disk`, "serial S64DNX0T, 1.0 TB, nvme", `hive.partitioning.disks.main.serial = "S64DNX0T";`, "write the medium again"},
		},
		{"a serial in other letters", chosen("main", hive.Selector{Serial: "s64dnx0t"}), nil, []string{"disk-missing"}, nil},
		{"part of a serial", chosen("main", hive.Selector{Serial: "S64"}), nil, []string{"disk-missing"}, nil},
		{"right serial, wrong size", chosen("main", hive.Selector{Serial: nvmeSerial, Size: "2T"}), nil, []string{"disk-missing"}, []string{`serial "S64DNX0T" and size "2T"`}},
		{"a size that two have", chosen("main", hive.Selector{Size: "100G-2T"}), nil, []string{"disk-ambiguous"}, []string{"fits 2 disks", "WD-1", " or "}},
		{"a glob that two have", chosen("main", hive.Selector{ByID: "*"}), nil, []string{"disk-ambiguous"}, []string{"fits 3 disks"}},
		{"a broken glob", chosen("main", hive.Selector{ByID: "["}), nil, []string{"disk-missing"}, nil},
		{"a serial that two have", chosen("main", hive.Selector{Serial: nvmeSerial}), change("/dev/sdb", func(d *hive.Device) { d.Serial = nvmeSerial }), []string{"disk-ambiguous"}, nil},
		{"a link that is not there", gpt("main", "/dev/disk/by-id/ata-Gone_1"), nil, []string{"disk-missing"}, []string{"/dev/disk/by-id/ata-Gone_1 fits no disk"}},
		{"a kernel name that is not there", gpt("main", "/dev/sdz"), nil, []string{"disk-missing"}, nil},
		{"nothing", gpt("main", ""), nil, []string{"disk-missing"}, nil},
		{"the alias without its selector", gpt("main", hive.DiskAlias("main")), nil, []string{"disk-missing"}, nil},
		{"the medium by its serial", chosen("main", hive.Selector{Serial: "STICK"}), nil, []string{"disk-is-medium", "warning disk-removable"}, []string{"the medium that this system runs from"}},
		{"the medium by its name", gpt("main", "/dev/sda"), nil, []string{"disk-is-medium", "warning disk-removable", "warning disk-name-changes"}, nil},
		{"the medium as the only small disk", chosen("main", hive.Selector{Size: "16G"}), nil, []string{"disk-is-medium", "warning disk-removable"}, nil},
		{
			"a partition", gpt("main", "/dev/sdb1"), change("/dev/sdb", func(d *hive.Device) { d.Children = []hive.Device{part("/dev/sdb1")} }),
			[]string{"disk-kind"},
			[]string{"a partition of /dev/sdb", "name a whole disk"},
		},
		{"a partition by its link", gpt("main", "/dev/disk/by-id/ata-Acme_WD-1-part1"), change("/dev/sdb", func(d *hive.Device) { d.Children = []hive.Device{part("/dev/sdb1")} }), []string{"disk-kind"}, nil},
		{"an optical drive", gpt("main", "/dev/sr0"), nil, []string{"disk-kind"}, []string{"an optical drive"}},
		{"a loop device", gpt("main", "/dev/loop0"), nil, []string{"disk-kind"}, []string{"a loop device"}},
		{"an array", gpt("main", "/dev/md0"), change("/dev/sdb", func(d *hive.Device) {
			d.Children = []hive.Device{{Path: "/dev/md0", Kind: "raid1"}}
		}), []string{"disk-kind"}, []string{`of the kind "raid1"`}},
		{"RAM", gpt("main", "/dev/zram0"), change("/dev/sdb", func(d *hive.Device) { d.Path, d.Links = "/dev/zram0", nil }), []string{"disk-kind"}, []string{"no disk that a system"}},
		{"the boot area of an eMMC", gpt("main", "/dev/mmcblk0boot0"), change("/dev/sdb", func(d *hive.Device) { d.Path = "/dev/mmcblk0boot0" }), []string{"disk-kind"}, nil},
		{
			"mounted", chosen("main", hive.Selector{Serial: sataSerial}), change("/dev/sdb", func(d *hive.Device) { d.Children = []hive.Device{part("/dev/sdb1", "/home")} }),
			[]string{"disk-in-use"},
			[]string{"mounted at /home", "umount /home"},
		},
		{"mounted under a mapper", chosen("main", hive.Selector{Serial: sataSerial}), change("/dev/sdb", func(d *hive.Device) {
			d.Children = []hive.Device{{Path: "/dev/sdb1", Children: []hive.Device{{Path: "/dev/dm-0", Mounts: []string{"/nix/.rw-store"}}}}}
		}), []string{"disk-in-use"}, []string{"/nix/.rw-store"}},
		{"mounted beside /mnt", chosen("main", hive.Selector{Serial: sataSerial}), change("/dev/sdb", func(d *hive.Device) { d.Mounts = []string{"/mnt2"} }), []string{"disk-in-use"}, nil},
		{"write protected", chosen("main", hive.Selector{Serial: sataSerial}), change("/dev/sdb", func(d *hive.Device) { d.ReadOnly = true }), []string{"disk-read-only"}, []string{"cannot be written to"}},
		{"too small", chosen("main", hive.Selector{Serial: sataSerial}), change("/dev/sdb", func(d *hive.Device) { d.Bytes = 1 << 30 }), []string{"disk-too-small"}, []string{"1.1 GB", "need more than"}},
		{"no size at all", chosen("main", hive.Selector{Serial: sataSerial}), change("/dev/sdb", func(d *hive.Device) { d.Bytes = 0 }), []string{"disk-too-small"}, nil},
		{"another stick", chosen("main", hive.Selector{Serial: sataSerial}), change("/dev/sdb", func(d *hive.Device) { d.Transport = "usb" }), []string{"warning disk-removable"}, []string{"can be unplugged"}},
		{"a kernel name of two disks", gpt("main", "/dev/sdb"), nil, []string{"warning disk-name-changes"}, []string{"may be another disk", `hive.partitioning.disks.main.serial = "WD-1";`}},
		{"a machine without a disk", chosen("main", hive.Selector{Serial: sataSerial}), func(m *hive.Machine) { m.Devices = m.Devices[:1] }, []string{"disk-missing"}, []string{"none to install to", "RAID mode"}},
		{
			"several things at once", chosen("main", hive.Selector{Serial: sataSerial}), change("/dev/sdb", func(d *hive.Device) { d.ReadOnly, d.Mounts, d.Bytes = true, []string{"/srv"}, 1 }),
			[]string{"disk-in-use", "disk-read-only", "disk-too-small"},
			nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := laptop()
			if tt.change != nil {
				tt.change(&m)
			}
			_, problems := Resolve(plan(tt.disk), hive.Fresh, m)
			expect(t, problems, tt.rules...)
			for _, says := range tt.says {
				if !strings.Contains(messages(problems), says) {
					t.Errorf("%q is not in\n%s", says, messages(problems))
				}
			}
		})
	}
}

// TestResolveKeepsWhatIsOfAnEarlierRun is no reason to refuse: the teardown ends it.
func TestResolveKeepsWhatIsOfAnEarlierRun(t *testing.T) {
	m := laptop()
	m.Devices[1].Children = []hive.Device{{Path: "/dev/sdb1", Mounts: []string{"/mnt", "/mnt/boot"}}, {Path: "/dev/sdb2", Mounts: []string{"[SWAP]"}}}
	targets, problems := Resolve(plan(chosen("main", hive.Selector{Serial: sataSerial})), hive.Fresh, m)
	expect(t, problems)
	if len(targets) != 1 || targets[0].State != StateForeign || targets[0].Fate != FateDestroy {
		t.Errorf("got %+v", targets)
	}
}

func TestResolveRefusesOneDiskForTwo(t *testing.T) {
	p := plan(chosen("main", hive.Selector{Serial: sataSerial}))
	p.Storage.Disks = append(p.Storage.Disks, gpt("data", "/dev/disk/by-id/ata-Acme_WD-1"))
	_, problems := Resolve(p, hive.Fresh, laptop())
	expect(t, problems, "disk-twice")
	if !strings.Contains(problems[0].Message, "main and data are both") || problems[0].Option != "disko.devices.disk.data.device" {
		t.Errorf("got %+v", problems[0])
	}
	p.Storage.Disks[1].Additional = true // partitions beside those that are laid out
	targets, problems := Resolve(p, hive.Fresh, laptop())
	expect(t, problems)
	if targets[1].Fate != FateMount {
		t.Errorf("what is additional gets %s", targets[1].Fate)
	}
}

func TestResolveTellsAllDisksAtOnce(t *testing.T) {
	p := plan(chosen("main", hive.Selector{Serial: "a"}))
	p.Storage.Disks = append(p.Storage.Disks, chosen("with space", hive.Selector{Serial: "b"}))
	_, problems := Resolve(p, hive.Fresh, laptop())
	expect(t, problems, "disk-missing", "disk-missing")
	if problems[1].Option != `hive.partitioning.disks."with space"` {
		t.Errorf("the option is %s", problems[1].Option)
	}
}

// TestWayOutOfABIOSDisk gives a path: GRUB knows its disk by it.
func TestWayOutOfABIOSDisk(t *testing.T) {
	p := plan(gpt("main", "/dev/disk/by-id/gone"))
	p.Boot = hive.Boot{Loader: "grub", Firmware: "bios", GrubDevices: []string{"/dev/disk/by-id/gone"}}
	_, problems := Resolve(p, hive.Fresh, laptop())
	if want := `hive.partitioning.format.disk.main.device = "/dev/disk/by-id/nvme-Samsung_SSD_980_S64DNX0T";`; !strings.Contains(messages(problems), want) {
		t.Errorf("%s is not in\n%s", want, messages(problems))
	}
}

func TestStatesAndFates(t *testing.T) {
	own := hive.DiskGUID("alpha", "main")
	blank := func(*hive.Device) {}
	for _, tt := range []struct {
		name   string
		change func(d *hive.Device)
		state  string
		fates  [3]string // fresh, keep, add
	}{
		{"blank", blank, StateBlank, [3]string{FateFormat, FateMount, FateFormat}},
		{"own", func(d *hive.Device) { d.Table, d.TableID = "gpt", own }, StateOwn, [3]string{FateDestroy, FateMount, FateMount}},
		{"own, in capitals", func(d *hive.Device) { d.Table, d.TableID = "gpt", strings.ToUpper(own) }, StateOwn, [3]string{FateDestroy, FateMount, FateMount}},
		{"interrupted", func(d *hive.Device) { d.Table, d.TableID = "gpt", hive.InstallingGUID("alpha", "main") }, StateInterrupted, [3]string{FateFormat, FateMount, FateFormat}},
		{"of another host", func(d *hive.Device) { d.Table, d.TableID = "gpt", hive.DiskGUID("beta", "main") }, StateForeign, [3]string{FateDestroy, FateMount, FateMount}},
		{"of another disk", func(d *hive.Device) { d.Table, d.TableID = "gpt", hive.DiskGUID("alpha", "data") }, StateForeign, [3]string{FateDestroy, FateMount, FateMount}},
		{"only a table", func(d *hive.Device) { d.Table = "dos" }, StateForeign, [3]string{FateDestroy, FateMount, FateMount}},
		{"only a signature", func(d *hive.Device) { d.Content = "ext4" }, StateForeign, [3]string{FateDestroy, FateMount, FateMount}},
		{"only partitions", func(d *hive.Device) { d.Children = []hive.Device{{Path: "/dev/sdb1"}} }, StateForeign, [3]string{FateDestroy, FateMount, FateMount}},
	} {
		m := laptop()
		tt.change(&m.Devices[1])
		for i, mode := range hive.Modes() {
			targets, _ := Resolve(plan(chosen("main", hive.Selector{Serial: sataSerial})), mode, m)
			if len(targets) != 1 || targets[0].State != tt.state || targets[0].Fate != tt.fates[i] {
				t.Errorf("%s, %s: got %+v", tt.name, mode, targets)
			}
		}
	}
}

func FuzzResolve(f *testing.F) {
	f.Add("/dev/sdb", "", "", "", "")
	f.Add("", nvmeSerial, "0x1", "nvme-*", "500G")
	f.Fuzz(func(t *testing.T, device, serial, wwn, byID, size string) {
		d := gpt("main", device)
		d.Selector = hive.Selector{Serial: serial, WWN: wwn, ByID: byID, Size: size}
		targets, problems := Resolve(plan(d), hive.Fresh, laptop())
		refused := slices.ContainsFunc(problems, func(p hive.Problem) bool { return p.Severity == hive.Error })
		if len(targets) == 0 && !refused {
			t.Error("a disk was not found, and nothing said")
		}
		if len(targets) == 1 && !refused && (targets[0].Device.Path == "/dev/sda" || targets[0].Device.Kind != "disk") {
			t.Errorf("%s would be written to", targets[0].Device.Path)
		}
	})
}
