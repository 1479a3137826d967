package secret

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
)

func web1() hive.Host {
	target, port := "web1.example.org", 2222
	return hive.Host{
		Name: "web1", HostName: "www", Domain: "lan",
		SSH: hive.SSH{Ports: []int{22}},
		Network: hive.Network{Interfaces: []hive.Interface{
			{Name: "lan0", Addresses: []string{"192.168.1.10/24", "fd00::0:10/64", "fe80::1/64"}},
		}},
		Deployment: hive.Deployment{TargetHost: &target, TargetPort: &port},
	}
}

func TestAHostIsKnownByItsNamesAndAddressesOnItsPorts(t *testing.T) {
	_, public := keyOf(t, "web1")
	lines := KnownHostsLines(web1(), public)
	if len(lines) != 1 || !strings.HasSuffix(lines[0], " nixos-staged-hive:web1") {
		t.Fatalf("got %q", lines)
	}
	words := strings.Fields(lines[0])
	got := strings.Split(words[0], ",")
	for _, want := range []string{
		"web1", "www", "www.lan", "www.local", "www-setup", "www-setup.local", "web1.lan", "web1.local", "web1-setup.local",
		"web1.example.org", "192.168.1.10", "fd00::10", "[www]:2222", "[192.168.1.10]:2222", "[fd00::10]:2222",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("not %s in %q", want, got)
		}
	}
	if strings.Contains(lines[0], "fe80") || words[1]+" "+words[2]+" web1" != public {
		t.Errorf("got %q", lines[0])
	}
	if KnownHostsLines(web1(), "") != nil {
		t.Error("a line without a key")
	}
}

func TestNoFactSmugglesALineIn(t *testing.T) {
	_, public := keyOf(t, "web1")
	h := web1()
	h.HostName, h.Domain = "a b", "x\n* ssh-ed25519 AAAA"
	evil := "*"
	h.Deployment.TargetHost = &evil
	h.Network.Interfaces[0].Addresses = []string{"10.0.0.1/8,*", "not"}
	lines := KnownHostsLines(h, public)
	if len(lines) != 1 || len(strings.Fields(lines[0])) != 4 || strings.ContainsAny(lines[0], "*\n") {
		t.Errorf("got %q", lines)
	}
}

// ssh-keygen -F asks as ssh does.
func TestSSHFindsTheKeyByEachName(t *testing.T) {
	need.Program(t, "ssh-keygen")
	_, public := keyOf(t, "web1")
	dir := t.TempDir()
	if changed, err := UpdateKnownHosts(dir, map[string][]string{"web1": KnownHostsLines(web1(), public)}); err != nil || !changed {
		t.Fatal(changed, err)
	}
	for _, name := range []string{"www.lan", "192.168.1.10", "fd00::10", "[192.168.1.10]:2222", "www-setup.local"} {
		out, err := run.Output(t.Context(), run.Local{}, run.Command{
			Name: "ssh-keygen", Args: []string{"-F", name, "-f", filepath.Join(dir, KnownHostsName)},
		})
		if err != nil || !strings.Contains(string(out), strings.Fields(public)[1]) {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
}

func TestForeignLinesStay(t *testing.T) {
	const (
		foreign = "# mine\ngithub.com ssh-ed25519 AAAA\n|1|aa=|bb= ssh-rsa BBBB note nixos-staged-hive:web1 more\n"
		other   = "nas ssh-ed25519 CCCC nixos-staged-hive:nas\n"
		before  = "web1 ssh-ed25519 OLD nixos-staged-hive:web1\n"
		now     = "web1 ssh-ed25519 NEW nixos-staged-hive:web1"
	)
	for _, tt := range []struct{ name, old, want string }{
		{"an empty file", "", now + "\n"},
		{"no end of line", strings.TrimSuffix(foreign, "\n"), foreign + now + "\n"},
		{"in its place", before + foreign + other, now + "\n" + foreign + other},
		{"twice", before + foreign + before + other, now + "\n" + foreign + other},
		{"as it is", foreign + now + "\n" + other, foreign + now + "\n" + other},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := MergeKnownHosts(tt.old, map[string][]string{"web1": {now}}); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if got := MergeKnownHosts(foreign+before+other, map[string][]string{"web1": nil}); got != foreign+other {
		t.Errorf("a host that is gone: %q", got)
	}
}

func TestAKnownHostsThatSaysTheSameIsNotWritten(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, KnownHostsName)
	lines := map[string][]string{"b": {"b ssh-ed25519 B nixos-staged-hive:b"}, "a": {"a ssh-ed25519 A nixos-staged-hive:a"}}
	for i, want := range []bool{true, false} {
		if changed, err := UpdateKnownHosts(dir, lines); err != nil || changed != want {
			t.Errorf("run %d: %v, %v", i, changed, err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil || string(text) != lines["a"][0]+"\n"+lines["b"][0]+"\n" {
		t.Errorf("got %q, %v", text, err)
	}
	if changed, err := UpdateKnownHosts(filepath.Join(dir, "none"), lines); err == nil || changed {
		t.Error("a workspace that is not there")
	}
}

func FuzzMergeKnownHosts(f *testing.F) {
	f.Add("web1 ssh-ed25519 OLD nixos-staged-hive:web1\n# x\n\n")
	f.Add("a\r\nb")
	f.Fuzz(func(t *testing.T, old string) {
		hosts := map[string][]string{"web1": {"web1 ssh-ed25519 NEW nixos-staged-hive:web1"}}
		once := MergeKnownHosts(old, hosts)
		if twice := MergeKnownHosts(once, hosts); twice != once {
			t.Errorf("%q, then %q", once, twice)
		}
		if strings.Count(once, hosts["web1"][0]) < 1 {
			t.Errorf("the line is missing in %q", once)
		}
	})
}
