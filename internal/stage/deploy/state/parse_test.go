package state

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nixos-staged-hive/internal/hive"
)

func whole() string {
	return strings.Join([]string{
		"noise of a login shell", "T", "hostname\tweb1", "boot\tabc-1", "uptime\t3600.25", "current\t" + sys("a"), "booted\t" + sys("b"), "profile\t" + sys("a"),
		"version\t24.05.1\x1b[31m", "reboot\tyes", "generation\tsystem-10-link 1700000000 " + sys("a"), "generation\tsystem-9-link 1600000000.5 " + sys("b"),
		"generation\tsystem-x-link 1 " + sys("b"), "link\tsystem-10-link", "systemd\tdegraded", "failed\tbad.service", "failed\tworse.service",
		"space\t/ 41 4096 100 50 /dev/sda2", "space\t/nix 42 4096 100 50 /dev/sda2", "space\t/boot 43 512 10 5 tmpfs",
		"user\tmia", "groups\tusers wheel", "trusted\troot @wheel", "T", "",
	}, "\n")
}

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := parse([]byte(strings.Replace(whole(), "1600000000.5", "1600000000", 1)), "T")
	if err != nil {
		t.Fatal(err)
	}
	want := hive.HostState{
		HostName: "web1", BootID: "abc-1", Uptime: 3600250 * time.Millisecond, Current: sys("a"), Booted: sys("b"), Profile: sys("a"),
		Generation: 10, Version: "24.05.1[31m", RebootNeeded: true, SystemState: "degraded", Failed: []string{"bad.service", "worse.service"},
		Generations: []hive.Generation{
			{Number: 9, Path: sys("b"), Made: time.Unix(1600000000, 0).UTC()},
			{Number: 10, Path: sys("a"), Made: time.Unix(1700000000, 0).UTC()},
		},
		Spaces:  []hive.Space{{Mount: "/", Free: 50 * 4096, Size: 100 * 4096}, {Mount: "/boot", Free: 5 * 512, Size: 10 * 512}},
		Trusted: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, said, want string }{
		{"nothing", "", "not whole"},
		{"no end", "T\nhostname\tx\n", "not whole"},
		{"more behind the end", "T\nT\nmore\n", "not whole"},
		{"no value", "T\nhostname\nT\n", "no value"},
		{"an unknown word", "T\nfancy\tx\nT\n", "not understood"},
		{"twice", "T\ncurrent\t\ncurrent\t\nT\n", "twice"},
		{"no store path", "T\ncurrent\t/etc/passwd\nT\n", "not a store path"},
		{"neither", "T\nreboot\tperhaps\nT\n", "neither"},
		{"uptime", "T\nuptime\tNaN\nT\n", "seconds"},
		{"generation", "T\ngeneration\tsystem-1-link\nT\n", "a time"},
		{"time of a generation", strings.TrimLeft(whole(), "\n"), "not a number"},
		{"space", "T\nspace\t/ 1 2 3 x\nT\n", "number of blocks"},
		{"line", "T\nline\tx\nT\n", "not a path"},
		{"config", "T\nconfig\tx\nT\n", "not a time"},
	} {
		if _, err := parse([]byte(tt.said), "T"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestUnfinished(t *testing.T) {
	t.Parallel()
	said := func(state, boot, end string) string {
		return "T\nboot\tb1\nuptime\t100.9\n" + strings.ReplaceAll("\nrun=r1\nby=mia@desk\nstate="+state+"\nbootId="+boot+"\nexit=0\ndeadline=130\n"+end, "\n", "\nrecord\t")[1:] + "\nT\n"
	}
	s, err := parse([]byte(said("waiting", "b1", "end")), "T")
	if err != nil || s.Unfinished == nil || s.Unfinished.Run != "r1" || s.Unfinished.Remaining != 30 || s.Unfinished.State != hive.Waiting {
		t.Errorf("%+v, %v", s.Unfinished, err)
	}
	if s, err := parse([]byte(said("waiting", "b0", "end")), "T"); err != nil || s.Unfinished == nil || s.Unfinished.Remaining != 0 {
		t.Errorf("begun before the host restarted: %+v, %v", s.Unfinished, err)
	}
	if s, err := parse([]byte(said("rolled back", "b1", "end")), "T"); err != nil || s.Unfinished != nil {
		t.Errorf("ended: %+v, %v", s.Unfinished, err)
	}
	for _, bad := range []string{said("waiting", "b1", "x=1"), said("flying", "b1", "end")} {
		if _, err := parse([]byte(bad), "T"); err == nil {
			t.Errorf("no error: %q", bad)
		}
	}
}

func TestTrusted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		user, groups, trusted string
		want                  bool
	}{
		{"mia", "mia wheel", "root", false},
		{"mia", "mia wheel", "root @wheel", true},
		{"mia", "mia", "root mia", true},
		{"mia", "mia", "*", true},
		{"wheel", "mia", "@wheel", false},
		{"root", "root", "", true},
	} {
		a := answer{user: tt.user, groups: strings.Fields(tt.groups), trusted: strings.Fields(tt.trusted)}
		if got := a.believed(); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(whole())
	f.Add("T\n" + grubCfg("2>1>0") + generationEntry("nixos-generation-1+0.conf", 1, "a") + "T\n")
	f.Add("T\nconfig\t1 /boot/loader/loader.conf\nline\t/boot/loader/loader.conf:default [\nline\t/boot/loader/entries/.conf:options init=x/init\nT\n")
	f.Fuzz(func(t *testing.T, said string) {
		s, err := parse([]byte(said), "T")
		if err != nil {
			return
		}
		for _, p := range []string{s.Current, s.Booted, s.Profile, s.Default} {
			if p != "" && !storePath.MatchString(p) {
				t.Errorf("%q is taken for a store path", p)
			}
		}
		for _, g := range s.Generations {
			if g.Number < 1 || !storePath.MatchString(g.Path) {
				t.Errorf("%+v is taken for a generation", g)
			}
		}
		if slices.ContainsFunc(append(s.Failed, s.HostName, s.Version, s.SystemState), func(text string) bool { return strings.ContainsAny(text, "\x1b\r\n") }) {
			t.Error("a terminal would obey this")
		}
	})
}
