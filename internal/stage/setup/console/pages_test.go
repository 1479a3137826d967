package console

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/ui"
)

var update = flag.Bool("update", false, "write the golden screens")

var (
	linux  = Look{Columns: 80, Rows: 25, Simple: true, Colour: true}
	serial = Look{Columns: 80, Rows: 24, Plain: true, Colour: true}
	narrow = Look{Columns: 40, Rows: 20, Simple: true}
)

const fingerprint = "SHA256:6Yp8mW4vQm3Yb0xj1c5q0rYcVh3l0bQy2Zf8b7Yl0aM"

func machine() hive.Machine {
	return hive.Machine{
		Firmware: "uefi", Memory: 33567703040, CPU: hive.CPU{Model: "AMD Ryzen 5 5600X 6-Core Processor", Cores: 12},
		Product: hive.Product{Vendor: "ASUSTeK COMPUTER INC.", Name: "PRIME B550M-A"},
		Cards: []hive.Card{
			{Name: "enp3s0", Carrier: true, Addresses: []string{"192.168.1.7/24", "fd00::7/64", "fe80::1/64"}},
			{Name: "enp4s0"},
			{Name: "enp5s0", Carrier: true, Addresses: []string{"fe80::2/64"}},
			{Name: "wlan0", Wireless: true},
		},
	}
}

func single() State {
	return State{
		Program: "nixos-staged-hive 1.2", Name: "web1-setup", Hosts: []Host{{Name: "web1", Release: "24.05"}}, Host: "web1", Why: "mac",
		Machine: machine(), Finger: fingerprint,
		Phases: []Phase{
			{"identify", "find out which machine this is"},
			{"release", "take down what uses the disks: mounts, swap, LVM, RAID, LUKS, pools"},
			{"wipe", "wipe what is on the disks, and lay out their tables"},
			{"format", "format what is blank, and prove that it is new"},
			{"check", "check file systems"},
			{"copy", "copy the mini system, each path proven"},
			{"install", "make it the system, and install the boot loader"},
		},
	}
}

func several() State {
	s := single()
	s.Name, s.Host, s.Why, s.SSHPort = "all-setup", "", "", 2222
	s.Hosts = nil
	for _, name := range []string{"web1", "web2", "nas", "db", "router", "printer", "backup", "spare"} {
		s.Hosts = append(s.Hosts, Host{Name: name, Release: "24.05", Sealed: true})
	}
	s.Machine.Cards = s.Machine.Cards[1:3]
	s.Machine.Firmware, s.Machine.Product = "bios", hive.Product{}
	s.Earlier = &hive.Journal{Host: "nas", Began: time.Date(2026, 11, 23, 18, 40, 0, 0, time.UTC), Finished: []string{"release", "format"}}
	return s
}

func fresh() hive.Intent {
	return hive.Intent{
		Host: "web1", Mode: hive.Fresh,
		Targets: []hive.Target{
			{
				Disk: hive.Disk{Name: "main"}, State: "foreign", Fate: "destroy",
				Device:   hive.Device{Path: "/dev/nvme0n1", Model: "Samsung SSD 980 1TB", Bytes: 1000204886016, Serial: "S649NX0R123456T"},
				Contents: []string{"partition 1: vfat, 105 MB, an EFI system partition", "partition 3: ntfs \"Windows\", 499 GB", "partition 4: ext4 \"home\", 500 GB: a very long line that says what is in it, for it has to be wrapped somewhere"},
			},
			{
				Disk: hive.Disk{Name: "old"}, State: "own", Fate: "destroy",
				Device:   hive.Device{Path: "/dev/vda", Bytes: 8589934592},
				Contents: []string{"partition 1: ext4, 8.6 GB"},
			},
			{Disk: hive.Disk{Name: "data"}, State: "blank", Fate: "format", Device: hive.Device{Path: "/dev/sdb", Model: "WDC WD40EFRX", Bytes: 4000787030016, Serial: "WD-WCC4E0123456"}},
			{Disk: hive.Disk{Name: "media", Additional: true}, State: "foreign", Fate: "mount", Device: hive.Device{Path: "/dev/sdc", Model: "WDC WD80", Bytes: 8001563222016, Serial: "WD-1"}, Contents: []string{"ext4 \"media\""}},
		},
		Confirm: []string{"S649NX0R123456T", "vda"},
		Problems: []hive.Problem{
			{Severity: hive.Warning, Message: "the machine has 2 GiB of memory, less than the host was made for"},
		},
	}
}

func refused() hive.Intent {
	in := fresh()
	in.Targets = nil
	in.Problems = append(in.Problems, hive.Problem{
		Severity: hive.Error, Option: "disko.devices.disk.main.device",
		Message: "no disk of this machine is /dev/disk/by-id/ata-X; it has /dev/nvme0n1 (Samsung SSD 980 1TB, 1.0 TB, serial S649NX0R123456T)",
		Way:     "name the disk in the definition:\nhive.partitioning.disks.main.serial = \"S649NX0R123456T\";",
	})
	return in
}

func at(seconds int) time.Time { return time.Date(2026, 11, 24, 0, 0, seconds, 0, time.UTC) }

func during() *course {
	s := single()
	s.Task = "web1, fresh"
	c := newCourse(s)
	for i, e := range []hive.SetupEvent{
		{Time: at(0), Phase: "identify", State: "started"},
		{Time: at(1), Phase: "identify", State: "done", Text: "web1, known by the address of a card"},
		{Time: at(1), Phase: "release", State: "started"},
		{Time: at(2), Phase: "release", State: "warned", Text: "the volume group old was in use"},
		{Time: at(14), Phase: "release", State: "done"},
		{Time: at(14), Phase: "format", State: "started"},
		{Time: at(15), Phase: "format", State: "running", Text: "mkfs.ext4 /dev/nvme0n1p2"},
		{Time: at(16), Phase: "format", State: "done", Text: "2 file systems"},
		{Time: at(16), Phase: "copy", State: "started"},
		{Time: at(20), Phase: "copy", State: "running", Done: 412, Total: 1800, Text: "glibc-2.39-52"},
	} {
		e.Number = i + 1
		c.take(e)
	}
	return c
}

func ended(e hive.SetupEvent) *course {
	c := during()
	if e.Code == 0 {
		c.take(hive.SetupEvent{Number: 11, Time: at(90), Phase: "copy", State: "done", Text: "1.8 GB in 402 paths"})
		c.take(hive.SetupEvent{Number: 12, Time: at(90), Phase: "install", State: "started"})
		c.take(hive.SetupEvent{Number: 13, Time: at(95), Phase: "install", State: "done"})
	} else {
		c.take(hive.SetupEvent{Number: 11, Time: at(30), Phase: "copy", State: "failed", Error: e.Error})
	}
	e.Number, e.State = 14, "finished"
	c.take(e)
	return c
}

// screens are all pages there are, each in the looks that its golden files have.
func screens() map[string]func(Look) page {
	one, all := &console{act: everything(), state: single()}, &console{act: everything(), state: several()}
	keys, severalKeys := one.keys(), all.keys()
	return map[string]func(Look) page{
		"main":       func(l Look) page { return mainPage(single(), l, keys) },
		"main-all":   func(l Look) page { return mainPage(several(), l, severalKeys) },
		"main-dark":  func(l Look) page { return mainPage(State{Program: "nixos-staged-hive 1.2"}, l, keys) },
		"intent":     func(l Look) page { return intentPage(fresh(), l) },
		"refused":    func(l Look) page { return intentPage(refused(), l) },
		"consent":    func(l Look) page { return consentPage(consents(fresh())[0], "S64", "that is not it; tries left: 2", l) },
		"consent-vm": func(l Look) page { return consentPage(consents(fresh())[1], "", "", l) },
		"unlock":     func(l Look) page { return unlockPage("", l) },
		"countdown": func(l Look) page {
			return countPage(Countdown{Host: "web1", Begin: at(27), What: []string{"main: /dev/vda, 8.6 GB, blank: it is formatted"}}, at(0), l)
		},
		"during": func(l Look) page { return during().page(at(75), l) },
		"done": func(l Look) page {
			return ended(hive.SetupEvent{Time: at(96), Text: "The machine starts the installed system now."}).page(at(200), l).with(one.over())
		},
		"failed": func(l Look) page {
			return ended(hive.SetupEvent{Time: at(31), Code: 1, Error: "copy: /nix/store/abc-glibc: the medium cannot be read", Way: "try another medium"}).page(at(200), l).with(one.over())
		},
		"hosts": func(l Look) page {
			m := menu{title: "Which host is this machine to become?", at: 1}
			for _, h := range several().Hosts {
				m.options = append(m.options, option{h.Name, "NixOS " + h.Release})
			}
			return m.page(l)
		},
	}
}

func everything() Actions {
	return Actions{
		Unlock: noUnlock, Disks: noText, Log: noText, Undo: noText, Shell: nothing, Reboot: nothing, PowerOff: nothing,
	}
}

func text(p page, look Look) string {
	var b strings.Builder
	for _, line := range p.lines(look) {
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

func TestScreensAreAsTheirPictures(t *testing.T) {
	for name, draw := range screens() {
		for suffix, look := range map[string]Look{"": linux, "-serial": serial, "-narrow": narrow} {
			file := filepath.Join("testdata", name+suffix+".txt")
			got := text(draw(look), look)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (go test -run Pictures -update writes it):\n%s", file, diff)
			}
		}
	}
}

func TestEveryPageFitsEveryTerminal(t *testing.T) {
	for name, draw := range screens() {
		for _, look := range []Look{linux, serial, narrow, {Columns: 132, Rows: 50}, {Columns: 30, Rows: 10, Plain: true}, {Columns: 80, Rows: 12}} {
			lines := draw(look).lines(look)
			if len(lines) > look.Rows {
				t.Errorf("%s has %d lines on %+v", name, len(lines), look)
			}
			for _, line := range lines {
				got := line.String()
				if n := utf8.RuneCountInString(got); n > look.Columns && look.Columns >= 40 {
					t.Errorf("%s is %d columns wide on %+v: %q", name, n, look, got)
				}
				if i := strings.IndexFunc(got, func(r rune) bool { return r >= 0x80 }); look.Plain && i >= 0 {
					t.Errorf("%s is not ASCII on a serial line: %q", name, got)
				}
				if i := strings.IndexFunc(got, func(r rune) bool { return r >= 0x80 && !strings.ContainsRune("█▀▄░", r) }); look.Simple && i >= 0 {
					t.Errorf("%s has a glyph that the console's font has not: %q", name, got)
				}
			}
		}
	}
}

// TestAPhoneReadsTheCode scans the code off the very screen.
func TestAPhoneReadsTheCode(t *testing.T) {
	for _, tt := range []struct {
		change func(*State)
		want   string
	}{
		{func(*State) {}, "ssh://root@192.168.1.7"},
		{func(s *State) { s.SSHPort = 2222 }, "ssh://root@192.168.1.7:2222"},
		{func(s *State) { s.Machine.Cards[0].Addresses = []string{"fd00::7/64"} }, "ssh://root@[fd00::7]"},
		{func(s *State) { s.Machine.Cards = s.Machine.Cards[1:] }, "ssh://root@web1-setup.local"},
		{func(s *State) { s.Machine.Cards[0].Addresses = []string{"192.168.100.100/24"}; s.SSHPort = 22222 }, "ssh://root@192.168.100.100:22222"},
	} {
		s := single()
		tt.change(&s)
		var rows []string
		for _, line := range mainPage(s, linux, nil).lines(linux) {
			if last := len(line) - 1; last >= 0 && line[last].Tone == ui.Scanned {
				rows = append(rows, line[last].Text)
			}
		}
		if got := scan(t, rows); got != tt.want {
			t.Errorf("the code says %q, want %q", got, tt.want)
		}
	}
}

// scan reads a code drawn with half blocks.
func scan(t *testing.T, rows []string) string {
	t.Helper()
	if len(rows) == 0 {
		t.Fatal("there is no code on the screen")
	}
	const scale, border = 4, 4
	width := utf8.RuneCountInString(rows[0])
	matrix, err := gozxing.NewBitMatrix((width+2*border)*scale, (2*len(rows)+2*border)*scale)
	if err != nil {
		t.Fatal(err)
	}
	for y, row := range rows {
		for x, r := range []rune(row) {
			for half, lights := range []string{"█▀", "█▄"} {
				lastHalf := y == len(rows)-1 && half == 1 // below the code
				if !lastHalf && !strings.ContainsRune(lights, r) {
					if err := matrix.SetRegion((x+border)*scale, (2*y+half+border)*scale, scale, scale); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(picture(matrix))
	if err != nil {
		t.Fatal(err)
	}
	result, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		t.Fatalf("%v:\n%s", err, strings.Join(rows, "\n"))
	}
	return result.GetText()
}

func TestTheCodeGivesWayWhereThereIsNoRoom(t *testing.T) {
	for _, look := range []Look{narrow, serial, {Columns: 80, Rows: 18}, {Columns: 60, Rows: 25}} {
		for _, line := range mainPage(single(), look, nil).lines(look) {
			for _, span := range line {
				if span.Tone == ui.Scanned {
					t.Fatalf("there is a code on %+v", look)
				}
			}
		}
	}
}

func TestWhatIsLostIsRed(t *testing.T) {
	red := map[string]bool{}
	for _, line := range intentPage(fresh(), linux).body {
		for _, span := range line {
			if span.Tone == ui.Bad {
				red[strings.TrimSpace(span.Text)] = true
			}
		}
	}
	for _, want := range []string{"EVERYTHING ON THIS WILL BE DESTROYED", "/dev/nvme0n1 Samsung SSD 980 1TB, 1.0 TB, serial S649NX0R123456T"} {
		if !red[want] {
			t.Errorf("%q is not red: %v", want, red)
		}
	}
	for text := range red {
		if strings.Contains(text, "/dev/sdb") || strings.Contains(text, "/dev/sdc") {
			t.Errorf("%q is red, and nothing of it is lost", text)
		}
	}
}

func TestOnlyTheSerialIsConsent(t *testing.T) {
	twins := fresh()
	twins.Targets[1].Device.Serial = "X649NX0R1-3456T"
	twins.Confirm = []string{"S649NX0R123456T", "X649NX0R1-3456T"}
	short := fresh()
	short.Targets[0].Device.Serial, short.Confirm = "ABC123", []string{"ABC123", "vda"}
	unasked := fresh()
	unasked.Confirm = nil
	for _, tt := range []struct {
		name    string
		intent  hive.Intent
		disk    int
		yes, no []string
	}{
		{"a long serial", fresh(), 0, []string{"S649NX0R123456T", "456T", " 456t ", "s649nx0r123456t"}, []string{"", " ", "56T", "3456T", "S649", "yes", "vda", "main"}},
		{"a kernel name", fresh(), 1, []string{"vda", "/dev/vda"}, []string{"", "da", "vdb", "dev/vda", "/dev/"}},
		{"a short serial", short, 0, []string{"ABC123", "abc123"}, []string{"C123", "123"}},
		{"two that end alike", twins, 1, []string{"X649NX0R1-3456T"}, []string{"456T"}},
		{"a disk that the intent forgot to name", unasked, 0, []string{"456T"}, []string{""}},
	} {
		all := consents(tt.intent)
		if len(all) != 2 {
			t.Fatalf("%s: asked for %d disks", tt.name, len(all))
		}
		for _, typed := range tt.yes {
			if !all[tt.disk].given(typed) {
				t.Errorf("%s: %q is no consent", tt.name, typed)
			}
		}
		for _, typed := range tt.no {
			if all[tt.disk].given(typed) {
				t.Errorf("%s: %q is consent", tt.name, typed)
			}
		}
	}
	extra := fresh()
	extra.Confirm = append(extra.Confirm, "POOL-MEMBER")
	if all := consents(extra); len(all) != 3 || all[2].serial != "POOL-MEMBER" || all[2].given("MBER") {
		t.Errorf("what else is to be confirmed: %+v", all)
	}
}

func FuzzConsentIsNeverLessThanTheEndOfASerial(f *testing.F) {
	f.Add("S649NX0R123456T", "456T")
	f.Fuzz(func(t *testing.T, serial, typed string) {
		in := fresh()
		in.Targets = in.Targets[:1]
		in.Targets[0].Device.Serial, in.Confirm = serial, []string{serial}
		for _, c := range consents(in) {
			if !c.given(typed) {
				continue
			}
			if typed = strings.TrimSpace(typed); serial != "" && !strings.HasSuffix(strings.ToUpper(strings.TrimSpace(serial)), strings.ToUpper(typed)) && !strings.EqualFold(serial, typed) {
				t.Errorf("%q is consent for %q", typed, serial)
			}
		}
	})
}

func TestTextFromOutsideCannotPaintTheScreen(t *testing.T) {
	evil := "\x1b[2J\x1b[1;1HNothing is lost\r\n\u202e"
	in := fresh()
	in.Targets[0].Device.Model, in.Targets[0].Disk.Name, in.Targets[0].Contents = evil, evil, []string{evil}
	s := single()
	s.Machine.Product.Name, s.Machine.Cards[0].Name, s.Program = evil, evil, evil
	for name, p := range map[string]page{"intent": intentPage(in, linux), "main": mainPage(s, linux, nil)} {
		if got := text(p, linux); strings.ContainsAny(got, "\x1b\r\u202e") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestMenusNarrowDownAndStayWithinBounds(t *testing.T) {
	m := menu{options: []option{{"web1", ""}, {"web2", ""}, {"nas", ""}}}
	for _, tt := range []struct {
		keys []ui.Key
		want string
	}{
		{[]ui.Key{ui.Enter}, "web1"},
		{[]ui.Key{ui.Down, ui.Enter}, "web2"},
		{[]ui.Key{ui.Up, ui.Up, ui.Enter}, "web1"},
		{[]ui.Key{ui.PageDown, ui.Enter}, "nas"},
		{[]ui.Key{'n', ui.Enter}, "nas"},
		{[]ui.Key{'w', ui.Down, ui.Enter}, "web2"},
		{[]ui.Key{'x', ui.Enter}, ""},
		{[]ui.Key{'x', ui.Backspace, ui.Enter}, "web1"},
		{[]ui.Key{ui.Backspace, ui.Other, ui.Enter}, "web1"},
	} {
		m.typed, m.at = "", 0
		got := ""
		for _, key := range tt.keys {
			got = m.press(key)
		}
		if got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.keys, got, tt.want)
		}
	}
}

func TestACourseFollowsItsEvents(t *testing.T) {
	c := during()
	var marks []string
	for i, s := range c.phases {
		marks = append(marks, strings.TrimSpace(s.line(linux, 10, i < c.at)[0].Text)+s.Name)
	}
	if want := []string{"+identify", "+release", "-wipe", "+format", "-check", ">copy", "install"}; !slices.Equal(marks, want) {
		t.Errorf("got %v, want %v", marks, want)
	}
	c.take(hive.SetupEvent{Number: 11, Phase: "invented", State: "started"})
	if got := c.phases[c.at].Name; got != "invented" || c.phases[c.at-1].Name != "copy" {
		t.Errorf("a phase that nobody announced is at %d, as %q", c.at, got)
	}
	for i := range 2 * saidKept {
		c.take(hive.SetupEvent{Number: 12 + i, Phase: "invented", State: "running", Text: fmt.Sprint(i)})
	}
	if len(c.said) != saidKept {
		t.Errorf("%d lines are kept", len(c.said))
	}
}

func TestTheBannerIsForAnyTerminal(t *testing.T) {
	got := Banner(several(), 80)
	for _, want := range []string{"one of: web1, web2", "ssh -p 2222 root@all-setup.local", fingerprint} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}
