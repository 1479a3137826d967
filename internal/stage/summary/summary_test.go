package summary

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
)

func TestNetworksAreFoundFromInterfacesGatewaysAndDHCP(t *testing.T) {
	s := New(twelveHosts())
	var got []string
	for _, n := range s.Networks {
		got = append(got, n.ID+" "+strings.Join(n.Prefixes, "+")+" via "+strings.Join(n.Gateways, "+")+" "+n.Via)
	}
	want := []string{
		"net1 10.20.0.0/24+fd00:20::/64 via 10.20.0.1+fd00:20::1 gate",
		"net2 10.30.0.0/28 via  ",
		"net3 192.168.1.0/24 via 192.168.1.1 ",
		"net4 2001:db8:1234:5678::/64 via fe80::1 ",
		"dhcp  via  ",
		"none  via  ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("networks are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAHostStandsInTheNetworkOfItsGateway(t *testing.T) {
	h := plainHost("two", "10.0.0.5/24")
	h.Network.Interfaces = append(h.Network.Interfaces, hive.Interface{Name: "b", Addresses: []string{"192.168.1.5/24"}})
	private := hive.Interface{Name: "virbr0", Kind: "bridge", Addresses: []string{"192.168.122.1/24"}}
	odd := plainHost("odd", "fe80::2/64")
	odd.Network.Interfaces = append(odd.Network.Interfaces, private, hive.Interface{Name: "x", Addresses: []string{"nonsense"}})
	s := New(Input{Hive: hive.Hive{Hosts: []hive.Host{h, odd}}})
	for name, want := range map[string]string{"two": "192.168.1.0/24", "odd": ""} {
		i := slices.IndexFunc(s.Hosts, func(h Host) bool { return h.Name == name })
		n := slices.IndexFunc(s.Networks, func(n Network) bool { return n.ID == s.Hosts[i].Network })
		if got := strings.Join(s.Networks[n].Prefixes, ""); got != want {
			t.Errorf("%s stands in %q, want %q", name, got, want)
		}
	}
	if len(s.Networks) != 3 {
		t.Errorf("%d networks, want 3: a bridge of the host's own is none, and neither is link-local", len(s.Networks))
	}
}

func TestABridgeWithUnknownPortsStandsWhereItsGatewayIs(t *testing.T) {
	h := plainHost("study", "192.168.1.13/24")
	h.Network.Interfaces = []hive.Interface{{Name: "br0", Kind: "bridge", Addresses: []string{"192.168.1.13/24"}}}
	h.Network.Gateways = []string{"192.168.1.1"}
	s := New(Input{Hive: hive.Hive{Hosts: []hive.Host{plainHost("attic", "192.168.1.11/24"), h}}})
	if len(s.Networks) != 1 || len(s.Networks[0].Members) != 2 {
		t.Errorf("networks are %+v, want one with both hosts", s.Networks)
	}
}

func TestHostsThatServeAsGatewayAreMarked(t *testing.T) {
	for _, h := range New(twelveHosts()).Hosts {
		if h.IsGateway != (h.Name == "gate") {
			t.Errorf("%s is a gateway: %v", h.Name, h.IsGateway)
		}
	}
}

func TestEveryHostHasExactlyOneCardInTheNetworkItStandsIn(t *testing.T) {
	for name, in := range samples() {
		s := New(in)
		seen := map[string]int{}
		for _, b := range Layout(s).Bands {
			for _, c := range b.Cards {
				seen[c.Host.Name]++
				if c.Host.Network != b.Network.ID {
					t.Errorf("%s: %s is drawn in %s, stands in %s", name, c.Host.Name, b.Network.ID, c.Host.Network)
				}
			}
		}
		for _, h := range s.Hosts {
			if seen[h.Name] != 1 {
				t.Errorf("%s: %q has %d cards", name, h.Name, seen[h.Name])
			}
		}
	}
}

func TestJSONHasNoNullListsAndKeepsItsShape(t *testing.T) {
	raw, err := json.Marshal(New(Input{Hive: hive.Hive{Hosts: []hive.Host{{Name: "bare"}}}, Broken: []string{"broken"}}))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(strings.ReplaceAll(string(raw), `"member":null`, ""), `"target":null`, "")
	if strings.Contains(text, "null") {
		t.Errorf("a list is null: %s", text)
	}
	var back Summary
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if back.Schema != Schema || !back.Hosts[1].Broken {
		t.Errorf("read back as %+v", back)
	}
}

func TestJSONNamesEveryFieldItself(t *testing.T) {
	var missing func(typ reflect.Type)
	seen := map[reflect.Type]bool{}
	missing = func(typ reflect.Type) {
		for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] {
			return
		}
		seen[typ] = true
		for f := range typ.Fields() {
			if f.IsExported() && f.Tag.Get("json") == "" {
				t.Errorf("%s.%s has no JSON name", typ, f.Name)
			}
			if f.IsExported() {
				missing(f.Type)
			}
		}
	}
	missing(reflect.TypeFor[Summary]())
	if len(seen) < 8 {
		t.Errorf("only %d types seen", len(seen))
	}
}

func TestDeployTargetIsWrittenAsAPersonWould(t *testing.T) {
	tests := []struct {
		d    hive.Deployment
		want string
	}{
		{hive.Deployment{}, ""},
		{hive.Deployment{TargetHost: ptr("a")}, "anna@a"},
		{hive.Deployment{TargetHost: ptr("a"), TargetUser: ptr("root"), TargetPort: ptr(22)}, "root@a"},
		{hive.Deployment{TargetHost: ptr("a"), TargetPort: ptr(2222)}, "anna@a:2222"},
		{hive.Deployment{TargetHost: ptr("fd00::1"), TargetPort: ptr(2222)}, "anna@[fd00::1]:2222"},
		{hive.Deployment{TargetHost: ptr("fd00::1")}, "anna@fd00::1"},
	}
	for _, tt := range tests {
		got := ""
		if tg := target(hive.Host{Deployer: hive.Deployer{Name: "anna"}, Deployment: tt.d}); tg != nil {
			got = tg.Text
		}
		if got != tt.want {
			t.Errorf("%+v is %q, want %q", tt.d, got, tt.want)
		}
	}
}

func TestBootIsSaidInAFewWords(t *testing.T) {
	tests := []struct {
		b    hive.Boot
		want string
	}{
		{hive.Boot{Loader: "systemd-boot", Firmware: "uefi"}, "systemd-boot, UEFI"},
		{hive.Boot{Loader: "grub", Firmware: "bios", GrubDevices: []string{"/dev/sda"}}, "grub, BIOS"},
		{hive.Boot{Loader: "grub", Firmware: "both", GrubDevices: []string{"/dev/disk/by-id/x"}}, "grub, BIOS and UEFI"},
		{hive.Boot{Loader: "extlinux", Firmware: "board"}, "extlinux, board"},
		{hive.Boot{Loader: "none", CustomLoader: true, Firmware: "unknown"}, "custom"},
		{hive.Boot{}, "none"},
	}
	for _, tt := range tests {
		if got := bootText(tt.b); got != tt.want {
			t.Errorf("%+v is %q, want %q", tt.b, got, tt.want)
		}
	}
}

func TestDisksAreSaidWithTheirLayout(t *testing.T) {
	s := New(fourHosts())
	want := map[string]string{
		"web":  "by-id virtio-OS: ESP vfat /boot, swap, root ext4 /",
		"pi":   "/ ext4 by-label NIXOS_SD, /boot/firmware vfat by-label FIRMWARE",
		"desk": "by-id nvme-Samsung_SSD_980_PRO_1TB_S5GXNX0T123456: ESP vfat /boot, zfs rpool",
	}
	for _, h := range s.Hosts {
		if w, ok := want[h.Name]; ok && h.diskTexts()[0] != w {
			t.Errorf("%s: %q, want %q", h.Name, h.diskTexts()[0], w)
		}
	}
}

func TestADiskThatIsLookedForIsSaidByWhatItIs(t *testing.T) {
	in := oneHost()
	h := &in.Hive.Hosts[0]
	h.Storage.Disks = []hive.Disk{{Name: "main", Device: hive.DiskAlias("main"), Table: "gpt", Selector: hive.Selector{Serial: "S64", Size: "500G"}}}
	h.Setup.Match = hive.Match{MACs: []string{"52:54:00:00:00:01"}, UUIDs: []string{"4c4c"}}
	s := New(in)
	if got := s.Hosts[0].diskTexts()[0]; got != "serial S64, size 500G: gpt" {
		t.Errorf("%q", got)
	}
	details := Text(Detail(*h, in))
	for _, want := range []string{"serial S64, size 500G", "MAC 52:54:00:00:00:01", "UUID 4c4c"} {
		if !strings.Contains(details, want) {
			t.Errorf("the details do not say %q:\n%s", want, details)
		}
	}
}

func TestPartitionsAreJudgedByContentThenMountPointThenType(t *testing.T) {
	tests := []struct {
		p    hive.Partition
		want string
	}{
		{hive.Partition{Content: "swap"}, "swap"},
		{hive.Partition{Content: "luks", MountPoint: "/"}, "luks"},
		{hive.Partition{Content: "lvm_pv"}, "lvm"},
		{hive.Partition{Content: "mdraid"}, "raid"},
		{hive.Partition{Type: "ef00"}, "esp"},
		{hive.Partition{Content: "filesystem", Format: "vfat", MountPoint: "/efi"}, "esp"},
		{hive.Partition{Type: "EF02"}, "bios"},
		{hive.Partition{Content: "btrfs", MountPoint: "/"}, "root"},
		{hive.Partition{Type: "0700", Format: "exfat", MountPoint: "/mnt/x"}, "data"},
		{hive.Partition{Type: "0700"}, "foreign"},
		{hive.Partition{Format: "ntfs3", MountPoint: "/c"}, "foreign"},
		{hive.Partition{Content: "btrfs"}, "data"},
		{hive.Partition{}, "other"},
	}
	for _, tt := range tests {
		if got := use(tt.p, "/efi"); got != tt.want {
			t.Errorf("%+v is %q, want %q", tt.p, got, tt.want)
		}
	}
}

func TestSharesOfABarAddUpAndKeepTheOrderOfSizes(t *testing.T) {
	tests := [][]string{
		{"512M", "8G", "100%"},
		{"1M"},
		{},
		{"", "-8G", "0"},
		{"1K", "1T"},
		{"50%", "50%"},
		{"9999999P", "x", "1.5GiB"},
		slices.Repeat([]string{"1G"}, 60),
	}
	for _, sizes := range tests {
		got := shares(sizes, 250, 6)
		total := 0
		for _, w := range got {
			total += w
			if w < 1 {
				t.Errorf("%v: a part of %d", sizes, w)
			}
		}
		if len(sizes) > 0 && total != 250 {
			t.Errorf("%v add up to %d", sizes, total)
		}
	}
	if got := shares([]string{"512M", "8G", "100%"}, 250, 6); got[0] >= got[1] || got[1] >= got[2] {
		t.Errorf("512M, 8G, rest are %v", got)
	}
}

func TestSizesAreReadAsDiskoSpellsThem(t *testing.T) {
	tests := map[string]int64{"512M": 512, "+1G": 1024, "1.5GiB": 1536, "2TB": 2 << 20, "1024K": 1, "100%": 0, "": 0, "-8G": 0, "G": 0, "12": 0}
	for in, want := range tests {
		if got, ok := mebibytes(in); got != want || ok != (want > 0) {
			t.Errorf("%q is %d MiB, %v; want %d", in, got, ok, want)
		}
	}
}

func TestTheTableFitsItsTerminal(t *testing.T) {
	for _, width := range []int{80, 100, 120, 160, 200} {
		for _, name := range []string{"one", "four", "twelve", "fifty"} {
			header, rows := New(samples()[name]).Table(width)
			if got := tableWidth(header, rows); got > width {
				t.Errorf("%s at %d columns takes %d", name, width, got)
			}
		}
	}
}

func TestTheTableLosesNothingWhenItFolds(t *testing.T) {
	s := New(twelveHosts())
	_, rows := s.Table(120)
	all := ""
	for _, r := range rows {
		all += strings.Join(r, " ") + "\n"
	}
	for _, word := range []string{
		"attic", "192.168.1.30/24", "enp3s0", "52:54:00:20:00:0b", "dhcp (IPv4)", "sdd:", "(kept)", "BIOS", "24.05", "aarch64-linux",
		"server (home)", "k1.home.lan", "1 warning", "broken", "untracked", "def0:1234:5678/64",
	} {
		if !strings.Contains(all, word) {
			t.Errorf("%q is not in the table:\n%s", word, all)
		}
	}
}

func TestTheTableForProgramsHasOneRowPerHostWithEveryColumn(t *testing.T) {
	header, rows := New(fourHosts()).Table(0)
	want := []string{
		"desk", "192.168.1.20/24", "enp3s0, 52:54:00:12:34:56",
		"by-id nvme-Samsung_SSD_980_PRO_1TB_S5GXNX0T123456: ESP vfat /boot, zfs rpool; by-id ata-WDC_WD10EZEX_WD-WCC3F0000000 (kept): EFI vfat, reserved, Windows ntfs, share ext4 /mnt/share",
		"systemd-boot, UEFI", "24.05", "x86_64-linux", "-", "anna@desk.home.lan", "1 error", "cached",
	}
	if len(rows) != 4 || len(header) != len(want) || !slices.Equal(rows[1], want) {
		t.Errorf("header %q\nrow %q\nwant %q", header, rows[1], want)
	}
}

func TestAnInterfaceStartsOnTheSameLineInBothColumns(t *testing.T) {
	for _, r := range New(twelveHosts()).Rows() {
		a, l := r.addresses(), r.links()
		if len(a) != len(l) {
			t.Errorf("%s: %d lines of addresses, %d of interfaces", r.Host, len(a), len(l))
		}
		if r.Host == "gate" && l[slices.Index(a, "10.30.0.1/28")] != "storage0" {
			t.Errorf("storage0 is not beside its address: %q %q", a, l)
		}
	}
}

func TestCutTextFitsAndNeverTearsLettersApart(t *testing.T) {
	for _, m := range []measure{cells, sans(11), mono, bold(16)} {
		for _, in := range nastyHosts().Hive.Hosts {
			name := clean(in.Name)
			for limit := m.of(ellipsis); limit < m.of(name)+3; limit += max(1, m.of(name)/37) {
				for _, cut := range []string{m.end(name, limit), m.middle(name, limit)} {
					if m.of(cut) > limit {
						t.Fatalf("%q cut to %d takes %d: %q", name, limit, m.of(cut), cut)
					}
					if i := strings.Index(cut, ellipsis); i >= 0 {
						if after := []rune(cut[i+len(ellipsis):]); len(after) > 0 && joins(after[0]) {
							t.Fatalf("%q starts with an accent after the ellipsis", cut)
						}
					}
				}
			}
		}
	}
}

func TestDetailsFollowTheQuestionsAPersonAsks(t *testing.T) {
	in := fourHosts()
	h := in.Hive.Hosts[1]
	h.Storage.LUKS = []hive.LUKS{{Name: "secret", Device: "/dev/sdz1"}}
	h.Setup = hive.Setup{PreScript: []string{"wipe\nall"}, Files: []string{"motd"}, Scripts: []string{"fix"}}
	h.Carried = []hive.Carried{{Path: []string{"boot", "x"}}, {Path: []string{"boot", "y"}}, {Path: []string{"time", "zone"}}}
	h.Losses = []hive.Loss{{Option: "services.foo", Why: "a function", Boots: true}}
	sections := Detail(h, in)
	var titles []string
	for _, s := range sections {
		titles = append(titles, s.Title)
	}
	want := []string{"Host", "Network", "Storage", "Boot", "Access", "Setup", "Deployment", "Mini system", "Problems"}
	if !slices.Equal(titles, want) {
		t.Errorf("sections are %q, want %q", titles, want)
	}
	text := Text(sections)
	for _, line := range []string{
		"  pin            nixos-23.11, its own\n",
		"  windows           /dev/disk/by-id/ata-WDC_WD10EZEX_WD-WCC3F0000000, gpt, kept: setup never formats it\n",
		"    share           100%, ext4, /mnt/share\n",
		"  encrypted secret  /dev/sdz1\n",
		"  pool rpool        zpool\n",
		"  anna      wheel, 1 key (anna@laptop), password\n",
		"  before   wipe …\n",
		"  carries  boot (2), time (1)\n",
		"  loses    services.foo: a function, may not boot without it\n",
		"    way out  add your public key\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
}

func TestDetailsShowNoKeyButItsName(t *testing.T) {
	tests := map[string]string{
		"ssh-ed25519 AAAAC3 anna@laptop":          "anna@laptop",
		`from="10.0.0.0/8" ssh-rsa AAAAB3 my key`: "my key",
		"sk-ssh-ed25519@openssh.com AAAAG":        "sk-ssh-ed25519@openssh.com",
		"":                                        "?",
	}
	for line, want := range tests {
		if got := keyName(line); got != want {
			t.Errorf("%q is %q, want %q", line, got, want)
		}
	}
}

func TestMarkdownCellsShowTextAndNeverMarkup(t *testing.T) {
	tests := map[string]string{
		"a|b":             `a\|b`,
		"a\nb":            "a<br>b",
		"<b>&amp;":        `\<b\>\&amp;`,
		"`x` *y* _z_":     "\\`x\\` \\*y\\* \\_z\\_",
		"\\":              `\\`,
		"tab\there\r\nnl": "tab here<br>nl",
		"\x00":            "\uFFFD",
	}
	for in, want := range tests {
		if got := escapeMarkdown(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

func TestMarkdownTablesKeepTheirColumnsWhateverTheNames(t *testing.T) {
	columns := 0
	for line := range strings.Lines(New(nastyHosts()).Markdown()) {
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		n := strings.Count(strings.ReplaceAll(strings.ReplaceAll(line, `\\`, ""), `\|`, ""), "|")
		if columns != 0 && n != columns {
			t.Errorf("%d bars instead of %d: %s", n, columns, line)
		}
		columns = n
	}
}

func TestMermaidLabelsHoldNoSyntax(t *testing.T) {
	for line := range strings.Lines(New(nastyHosts()).Mermaid()) {
		line = strings.TrimSpace(line)
		_, rest, ok := strings.Cut(line, `"`)
		if !ok {
			continue
		}
		label, _, _ := strings.Cut(rest, `"`)
		if strings.ContainsAny(strings.ReplaceAll(label, "<br>", ""), "<>`%&\"[]{}()\n") {
			t.Errorf("label %q has syntax in it", label)
		}
		if strings.Count(line, `"`) != 2 {
			t.Errorf("%q does not hold exactly one label", line)
		}
	}
}

func TestMermaidLinksEveryHostToItsNetworks(t *testing.T) {
	got := New(twelveHosts()).Mermaid()
	for _, line := range []string{
		"  host2 --- gateway0\n", "  uplink --- gateway2\n", "  gateway0 --- net0\n", "  net0 --- host3\n", "  net1 -.- host3\n", "  uplink --- net4\n",
		`  host3["k1<br>10.20.0.11/24<br>fd00:20::11/64<br>10.30.0.11/28<br>server #40;home#41;"]:::ok` + "\n",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("no line %q in\n%s", line, got)
		}
	}
}

func TestAllFormsAreTheSameBytesEachTime(t *testing.T) {
	for name, in := range samples() {
		forms := func() []string {
			s := New(in)
			raw, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			return []string{string(s.SVG()), s.Markdown(), s.Mermaid(), string(raw)}
		}
		first := forms()
		for range 5 {
			if !slices.Equal(first, forms()) {
				t.Fatalf("%s differs from itself", name)
			}
		}
	}
}

func TestNewLeavesItsInputAlone(t *testing.T) {
	in, same := twelveHosts(), twelveHosts()
	New(in).SVG()
	if !reflect.DeepEqual(in, same) {
		t.Error("the facts were changed")
	}
}

func TestGoldenFiles(t *testing.T) {
	look(t)
	for file, got := range map[string]string{
		"one.svg": string(New(oneHost()).SVG()),
		"four.md": New(fourHosts()).Markdown(),
	} {
		path := filepath.Join("testdata", file)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is not what it was; look at it and run with -update", file)
		}
	}
}
