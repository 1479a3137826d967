package stages

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/testbed/need"
)

// medium is nix/tests/medium.nix' answer.
type medium struct {
	System, HostName, RootLogin, Volume string
	HostID                              *string `json:"hostId"`
	Units                               map[string]string
	Keys                                map[string][]string
	PasswordAuth, ZFS                   bool
	TimeZone, Locale, KeyMap            *string
	Files, Commands                     []string
	Manifest                            map[string]any
}

// TestTheMediumKnowsItsHost: the image has the network, the logins, the identity and the language of the host it is for, and
// scripts for its disks exactly where disko lays them out.
func TestTheMediumKnowsItsHost(t *testing.T) {
	need.Program(t, "nix-instantiate")
	onEach(t, func(t *testing.T, on trees) {
		volumes := map[string]string{}
		for _, example := range []string{"static-trio", "original", "without-disko"} {
			dir := workspace(t, example, on)
			hiveOf(t, dir, "generate")
			for _, host := range hosts(t, dir) {
				var m medium
				out := command(t, "nix-instantiate", "--eval", "--strict", "--json", "--read-write-mode",
					filepath.Join(need.Module(t), "nix", "tests", "medium.nix"),
					"--argstr", "tree", filepath.Join(dir, "generated"), "--argstr", "name", host.Name)
				if err := json.Unmarshal(out, &m); err != nil {
					t.Fatal(err)
				}
				m.check(t, host)
				if other, taken := volumes[m.Volume]; taken {
					t.Errorf("%s and %s have one volume id, %s", other, host.Name, m.Volume)
				}
				volumes[m.Volume] = host.Name
			}
		}
	})
}

func (m medium) check(t *testing.T, host hive.Host) {
	t.Helper()
	wrong := func(format string, args ...any) {
		t.Helper()
		t.Errorf(host.Name+": "+format, args...)
	}
	if m.System != host.System || m.HostName != host.HostName+"-setup" {
		wrong("medium %s for %s", m.HostName, m.System)
	}
	if host.HostID != "" && (m.HostID == nil || *m.HostID != host.HostID) {
		wrong("host id %v, the host's is %s", m.HostID, host.HostID)
	}
	for name, unit := range host.Network.Units {
		if m.Units[name] != unit {
			wrong("unit %s is %q, the host's is %q", name, m.Units[name], unit)
		}
	}
	for _, login := range []string{"root", host.Deployer.Name} {
		if !containsAll(m.Keys[login], host.Deployer.Keys) {
			wrong("%s cannot log in with the keys of %s: %v", login, host.Deployer.Name, m.Keys[login])
		}
	}
	if m.PasswordAuth || m.RootLogin != "prohibit-password" {
		wrong("sshd takes passwords (%v) or lets root in by %s", m.PasswordAuth, m.RootLogin)
	}
	if n := len(m.Volume); n > 32 || !strings.HasPrefix(m.Volume, "NSH-") || strings.ToUpper(m.Volume) != m.Volume {
		wrong("volume id %q: 32 characters of upper case at most", m.Volume)
	}
	if zfs := slices.Contains(host.Boot.SupportedFSList, "zfs"); m.ZFS != zfs {
		wrong("zfs is %v on the medium, %v on the host", m.ZFS, zfs)
	}
	m.checkLanguage(t, host)
	m.checkFiles(t, host)
}

func (m medium) checkLanguage(t *testing.T, host hive.Host) {
	t.Helper()
	has := map[string]*string{"time.timeZone": m.TimeZone, "i18n.defaultLocale": m.Locale, "console.keyMap": m.KeyMap}
	for _, c := range host.Carried {
		got, known := has[strings.Join(c.Path, ".")]
		var want string
		if !known || json.Unmarshal(c.Value, &want) != nil {
			continue
		}
		if got == nil || *got != want {
			t.Errorf("%s: %v is %s on the medium, %s on the host", host.Name, c.Path, text(got), want)
		}
	}
}

func (m medium) checkFiles(t *testing.T, host hive.Host) {
	t.Helper()
	want := []string{"nixos-staged-hive/manifest.json", "nixos/configuration.nix", "nixos/host.json"}
	for _, f := range host.Setup.Files {
		want = append(want, "nixos/files/"+f)
	}
	if !containsAll(m.Files, want) {
		t.Errorf("%s: files %v, wanted %v", host.Name, m.Files, want)
	}
	if !containsAll(m.Commands, host.Setup.Scripts) {
		t.Errorf("%s: scripts %v are not among its commands", host.Name, host.Setup.Scripts)
	}
	keys := []string{"closure", "name", "postScript", "preScript", "schema", "system"}
	if len(host.Storage.Disks) > 0 {
		keys = append(keys, "diskoScript", "formatScript", "mountScript")
	}
	slices.Sort(keys)
	if got := slices.Sorted(maps.Keys(m.Manifest)); !slices.Equal(got, keys) {
		t.Errorf("%s: manifest has %v, wanted %v", host.Name, got, keys)
	}
	for _, k := range []string{"system", "closure", "preScript"} {
		if path, _ := m.Manifest[k].(string); !strings.HasPrefix(path, "/nix/store/") {
			t.Errorf("%s: %s of the manifest is %v", host.Name, k, m.Manifest[k])
		}
	}
}

// TestADiskToKeepIsInNoScriptThatFormats: everything the scripts of `format` and of the image are built from names the disk that
// is formatted, and never the one that is only mounted.
func TestADiskToKeepIsInNoScriptThatFormats(t *testing.T) {
	need.Program(t, "nix-instantiate")
	onEach(t, func(t *testing.T, on trees) {
		dir := workspace(t, "original", on)
		hiveOf(t, dir, "generate")
		derivation := strings.TrimSpace(string(command(t, "nix-instantiate", filepath.Join(dir, "generated"), "-A", "zfsVM.format")))
		var formats, keeps bool
		for path := range strings.Lines(string(command(t, "nix-store", "--query", "--requisites", derivation))) {
			path = strings.TrimSpace(path)
			if !strings.HasSuffix(path, ".drv") {
				continue
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			formats = formats || strings.Contains(string(b), "virtio-OS")
			keeps = keeps || strings.Contains(string(b), "virtio-Windows")
		}
		if !formats {
			t.Error("the disk to format is nowhere: this test looks at the wrong thing")
		}
		if keeps {
			t.Error("the disk to keep is in a script that formats")
		}
	})
}

// TestTheMediumOfAHostThatLooksAtOthersInstantiates: a definition written for Colmena may use `nodes` in what the medium takes from it.
func TestTheMediumOfAHostThatLooksAtOthersInstantiates(t *testing.T) {
	need.Program(t, "nix-instantiate")
	onEach(t, func(t *testing.T, on trees) {
		dir := workspace(t, "k3s-trio", on)
		definition := filepath.Join(dir, "nixConfigs", "karl.nix")
		b, err := os.ReadFile(definition)
		if err != nil {
			t.Fatal(err)
		}
		text := "{ nodes, ... }: {\n  hive.setup.preScript = [ \"ping -c 1 ${nodes.olaf.config.networking.hostName}\" ];\n  imports = [ (" + string(b) + ") ];\n}\n"
		if err := os.WriteFile(definition, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		hiveOf(t, dir, "generate")
		out := string(command(t, "nix-instantiate", filepath.Join(dir, "generated"), "-A", "karl.iso", "-A", "karl.full", "-A", "karl.format"))
		if n := strings.Count(out, ".drv\n"); n != 3 {
			t.Errorf("%d derivations, want 3: %s", n, out)
		}
	})
}
