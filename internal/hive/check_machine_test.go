package hive

// choose lets the machine find the disk by what it is.
func choose(d *Disk, s Selector) { d.Device, d.Selector = DiskAlias(d.Name), s }

func selectorCases() []ruleCase {
	const option = "error alpha hive.partitioning.disks."
	serial := Selector{Serial: "S64"}
	return []ruleCase{
		{rule: "selector-syntax", name: "all that can be said", change: func(h []Host) {
			choose(&h[0].Storage.Disks[0], Selector{Serial: "S64", WWN: "0x50", ByID: "ata-[A-Z]*", Size: "400G-1T"})
		}},
		{
			rule: "selector-syntax", name: "nothing said", change: func(h []Host) { choose(&h[0].Storage.Disks[0], Selector{}) },
			want: []string{option + "alpha"}, says: "any would do", way: "hive.partitioning.disks.alpha.serial",
		},
		{
			rule: "selector-syntax", name: "a size without unit", change: func(h []Host) { choose(&h[0].Storage.Disks[0], Selector{Size: "500"}) },
			want: []string{option + "alpha.size"}, says: `"500" is no size`, way: "setup disks",
		},
		{
			rule: "selector-syntax", name: "a broken pattern", change: func(h []Host) { choose(&h[0].Storage.Disks[0], Selector{ByID: "ata-[a"}) },
			want: []string{option + "alpha.byId"}, says: "no pattern", way: "setup disks",
		},
		{
			rule: "selector-syntax", name: "a path", change: func(h []Host) { choose(&h[0].Storage.Disks[0], Selector{ByID: "/dev/disk/by-id/ata-x"}) },
			want: []string{option + "alpha.byId"}, says: "is a path", way: "nixos-staged-hive hardware",
		},
		{
			rule: "selector-syntax", name: "blanks", change: func(h []Host) { choose(&h[0].Storage.Disks[0], Selector{Serial: " S64", WWN: "0x50 "}) },
			want: []string{option + "alpha.serial", option + "alpha.wwn"}, says: "blank", way: "setup disks",
		},
		{rule: "selector-syntax", name: "a name that is a path", change: func(h []Host) {
			h[0].Storage.Disks[0].Name = "a/b"
			choose(&h[0].Storage.Disks[0], serial)
		}, want: []string{option + "a/b"}, says: "name of a link", way: "letters"},
		{
			rule: "selector-table", name: "no such disk", change: func(h []Host) {
				h[0].Storage.Disks = append(h[0].Storage.Disks, Disk{Name: "dta", Device: DiskAlias("dta"), Selector: serial})
			},
			want: []string{option + "dta"}, says: "no such disk", way: "additional: alpha",
		},
		{
			rule: "selector-table", name: "no disks at all", change: func(h []Host) {
				withoutDisko(&h[0])
				h[0].Storage.Disks = []Disk{{Name: "main", Selector: serial}}
			},
			want: []string{option + "main"}, says: "no such disk", way: "additional",
		},
		{
			rule: "selector-table", name: "a file system on the whole disk", change: func(h []Host) {
				second(&h[0], Disk{Name: "data", Device: DiskAlias("data"), Selector: serial, Table: "filesystem", Partitions: []Partition{{Size: "100%"}}})
			},
			want: []string{option + "data"}, says: `no GPT but "filesystem"`, way: "/dev/disk/by-id/",
		},
		{rule: "selector-table", name: "a GPT", change: func(h []Host) { choose(&h[0].Storage.Disks[0], serial) }},
		{
			rule: "selector-path", name: "a BIOS boot sector", change: func(h []Host) {
				h[0] = biosHost("alpha", 1)
				choose(&h[0].Storage.Disks[0], serial)
				h[0].Boot.GrubDevices = []string{DiskAlias("alpha")}
			},
			want: []string{option + "alpha"}, says: "GRUB's BIOS boot sector needs", way: "/dev/disk/by-id/",
		},
		{
			rule: "selector-path", name: "a file system by path", change: func(h []Host) {
				choose(&h[0].Storage.Disks[0], serial)
				h[0].Storage.FileSystems[0].Device = DiskAlias("alpha") + "-part2"
			},
			want: []string{option + "alpha"}, says: "the file system at / needs", way: "/dev/disk/by-id/",
		},
		{
			rule: "selector-path", name: "swap and encryption by path", change: func(h []Host) {
				choose(&h[0].Storage.Disks[0], serial)
				second(&h[0], Disk{Name: "data", Device: DiskAlias("data"), Selector: Selector{Serial: "S65"}})
				h[0].Storage.LUKS = []LUKS{{Name: "crypt", Device: DiskAlias("alpha")}}
				h[0].Storage.Swap = []Swap{{Device: DiskAlias("data")}}
			},
			want: []string{option + "alpha", option + "data"}, says: "encrypted device crypt", way: "/dev/disk/by-id/",
		},
		{rule: "selector-path", name: "GRUB for UEFI alone", change: func(h []Host) {
			choose(&h[0].Storage.Disks[0], serial)
			h[0].Boot.Loader, h[0].Boot.Removable = "grub", true
		}},
		{
			rule: "same-selector", name: "two disks", change: func(h []Host) {
				choose(&h[0].Storage.Disks[0], serial)
				second(&h[0], Disk{Name: "data", Device: DiskAlias("data"), Selector: serial})
			},
			want: []string{option + "data"}, says: "same as that of alpha", way: "serial number",
		},
		{rule: "same-selector", name: "two kinds", change: func(h []Host) {
			choose(&h[0].Storage.Disks[0], serial)
			second(&h[0], Disk{Name: "data", Device: DiskAlias("data"), Selector: Selector{Size: "4T"}})
		}},
	}
}

func matchCases() []ruleCase {
	const macs = "hive.setup.match.macs"
	mac := func(h Host) string { return h.Network.Interfaces[0].MAC }
	return []ruleCase{
		{rule: "match-syntax", name: "sound values", change: func(h []Host) {
			h[0].Setup.Match = Match{
				MACs: []string{mac(h[0]), "52:54:00:ff:ff:ff"}, Serials: []string{"PF2ABC"}, UUIDs: []string{"4c4c4544-0042-3510-8054-b7c04f4e4d32"},
			}
		}},
		{
			rule: "match-syntax", name: "malformed", change: func(h []Host) {
				h[0].Setup.Match = Match{MACs: []string{"52:54:00"}, Serials: []string{"", "PF2 "}, UUIDs: []string{"4c4c4544"}}
			},
			want: []string{"error alpha " + macs, "error alpha hive.setup.match.serials", "error alpha hive.setup.match.serials", "error alpha hive.setup.match.uuids"},
			says: "no MAC address", way: "ip -br link",
		},
		{
			rule: "duplicate-match", name: "a card of nobody's network", change: func(h []Host) {
				h[0].Setup.Match.MACs, h[2].Setup.Match.MACs = []string{"52:54:00:ff:ff:ff"}, []string{"52:54:00:FF:FF:FF"}
			},
			want: []string{"error gamma " + macs}, says: "52:54:00:ff:ff:ff would be installed as this host, like alpha", way: "one host",
		},
		{
			rule: "duplicate-match", name: "serial and UUID", change: func(h []Host) {
				for i := range 2 {
					h[i].Setup.Match = Match{Serials: []string{"PF2"}, UUIDs: []string{"4c4c4544-0042-3510-8054-b7c04f4e4d32"}}
				}
			},
			want: []string{"error beta hive.setup.match.serials", "error beta hive.setup.match.uuids"}, says: "serial number PF2", way: "one host",
		},
		{rule: "duplicate-match", name: "one's own card twice", change: func(h []Host) {
			for i := range h {
				h[i].Setup.Match.MACs = []string{mac(h[i]), mac(h[i])}
			}
		}},
		{
			rule: "unattended-unknown", name: "one of several", change: func(h []Host) { h[1].Setup.Unattended = true },
			want: []string{"note beta hive.setup.match"}, says: "installs nothing by itself", way: "hive.setup.match.macs = [",
		},
		{rule: "unattended-unknown", name: "with a card", change: func(h []Host) {
			h[1].Setup.Unattended, h[1].Setup.Match.MACs = true, []string{mac(h[1])}
		}},
	}
}
