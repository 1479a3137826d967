package stages

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/testbed/need"
)

// medium is nix/tests/medium.nix' answer.
type medium struct {
	System, HostName, RootLogin, Volume, Autologin, LoginShell string
	HostID                                                     *string `json:"hostId"`
	Units                                                      map[string]string
	Keys                                                       map[string][]string
	Ports                                                      []int
	PasswordAuth, ZFS, SWRaid                                  bool
	TimeZone, Locale, KeyMap                                   *string
	Users, Files, Contents, Commands                           []string
	Manifest                                                   json.RawMessage
	Passwords                                                  []password
	Services                                                   map[string]service
}

type password struct {
	Name, User       string
	File, Hash, Word *string
}

type service struct {
	Before, After []string
	Exec, Type    string
}

// look evaluates the medium of a host, or without a name that of all hosts of the platform.
func look(t *testing.T, dir, name, platform string) medium {
	t.Helper()
	var m medium
	out := command(t, "nix-instantiate", "--eval", "--strict", "--json", "--read-write-mode",
		filepath.Join(need.Module(t), "nix", "tests", "medium.nix"),
		"--argstr", "tree", filepath.Join(dir, "generated"), "--argstr", "name", name, "--argstr", "platform", platform)
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// manifest reads what the program on the medium reads. The list of modules is a file as long as nothing is built.
func (m medium) manifest(t *testing.T) hive.Manifest {
	t.Helper()
	var manifest hive.Manifest
	d := json.NewDecoder(bytes.NewReader(m.Manifest))
	d.DisallowUnknownFields()
	if err := d.Decode(&manifest); err != nil {
		t.Fatalf("%v: %s", err, m.Manifest)
	}
	return manifest
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
				m := look(t, dir, host.Name, "")
				m.check(t, host)
				m.checkLanguage(t, host)
				m.checkFiles(t, host)
				m.checkManifest(t, host)
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
	for _, port := range append([]int{22}, host.SSH.Ports...) {
		if !slices.Contains(m.Ports, port) {
			wrong("sshd does not listen on %d: %v", port, m.Ports)
		}
	}
	if zfs := slices.Contains(host.Boot.SupportedFSList, "zfs"); m.ZFS != zfs {
		wrong("zfs is %v on the medium, %v on the host", m.ZFS, zfs)
	}
	if len(m.Passwords) != 1 || m.Passwords[0].Name != host.Name || m.Passwords[0].User != host.Deployer.Name {
		wrong("passwords of %v", m.Passwords)
	}
	m.checkSystem(t)
}

// checkSystem is what every medium has.
func (m medium) checkSystem(t *testing.T) {
	t.Helper()
	if m.PasswordAuth || m.RootLogin != "prohibit-password" {
		t.Errorf("sshd takes passwords (%v) or lets root in by %s", m.PasswordAuth, m.RootLogin)
	}
	if n := len(m.Volume); n > 32 || !strings.HasPrefix(m.Volume, "NSH-") || strings.ToUpper(m.Volume) != m.Volume {
		t.Errorf("volume id %q: 32 characters of upper case at most", m.Volume)
	}
	if m.Autologin != "root" || slices.Contains(m.Users, "nixos") || !strings.Contains(m.LoginShell, "setup console") {
		t.Errorf("%s is logged in at the screen, users are %v, and the shell does %q", m.Autologin, m.Users, m.LoginShell)
	}
	if !m.SWRaid || !containsAll(m.Contents, []string{"/nixos-staged-hive/injected"}) {
		t.Errorf("md arrays %v, contents %v", m.SWRaid, m.Contents)
	}
	// without a link-local address and DHCP on every card, nobody reaches a machine in a network that nobody thought of
	fallback := m.Units["zz-nixos-staged-hive.network"]
	for _, line := range []string{"Type=ether", "DHCP=yes", "LinkLocalAddressing=ipv6", "ClientIdentifier=mac"} {
		if !strings.Contains(fallback, line+"\n") {
			t.Errorf("the network for other cards has no %s: %s", line, fallback)
		}
	}
	keys, announce := m.Services["nixos-staged-hive-keys"], m.Services["nixos-staged-hive-announce"]
	if !strings.HasSuffix(keys.Exec, "/bin/setup keys") || keys.Type != "oneshot" || !slices.Contains(keys.Before, "sshd.service") {
		t.Errorf("keys come by %+v", keys)
	}
	if !strings.HasSuffix(announce.Exec, "/bin/setup announce") || !slices.Contains(announce.After, "nixos-staged-hive-keys.service") {
		t.Errorf("the medium is announced by %+v", announce)
	}
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
	if want := []string{"nixos-staged-hive/manifest.json", "nixos"}; !containsAll(m.Files, want) {
		t.Errorf("%s: files %v, wanted %v", host.Name, m.Files, want)
	}
	if !containsAll(m.Commands, host.Setup.Scripts) {
		t.Errorf("%s: scripts %v are not among its commands", host.Name, host.Setup.Scripts)
	}
}

func (m medium) checkManifest(t *testing.T, host hive.Host) {
	t.Helper()
	manifest := m.manifest(t)
	on, ok := manifest.Host(host.Name)
	if !ok || len(manifest.Hosts) != 1 || manifest.Volume != m.Volume || manifest.Schema != hive.ManifestSchema {
		t.Fatalf("%s: manifest %+v", host.Name, manifest)
	}
	checkOnMedium(t, on, host)
}

// checkOnMedium wants the plan to be that of the facts, also after it went through Nix, and everything else to be in the store.
func checkOnMedium(t *testing.T, on hive.MediumHost, host hive.Host) {
	t.Helper()
	want, err := hive.PlanOf(host).Hash()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := on.Plan.Hash(); err != nil || got != want || on.PlanHash != want {
		t.Errorf("%s: the plan's hash is %s, said to be %s, that of the facts %s (%v)", host.Name, got, on.PlanHash, want, err)
	}
	paths := map[string]string{
		"toplevel": on.Toplevel, "closure": on.Closure, "configuration": on.Configuration, "preScript": on.PreScript,
		"postScript": on.PostScript, "modules": on.ModulesFolder, "initrd modules": strings.Join(on.InitrdModules, " "),
	}
	if len(host.Storage.Disks) > 0 {
		paths["format"], paths["mount"] = on.Scripts.Format, on.Scripts.Mount
	} else if on.Scripts != (hive.Scripts{}) {
		t.Errorf("%s: scripts %+v without disks", host.Name, on.Scripts)
	}
	for what, path := range paths {
		if !strings.HasPrefix(path, "/nix/store/") {
			t.Errorf("%s: %s is %q", host.Name, what, path)
		}
	}
}

// TestOneMediumForAllHosts: it carries each of them, lets everybody's deployer in, and takes of each network only what fits one card.
func TestOneMediumForAllHosts(t *testing.T) {
	need.Program(t, "nix-instantiate")
	onEach(t, func(t *testing.T, on trees) {
		dir := workspace(t, "static-trio", on)
		edit(t, filepath.Join(dir, "nixConfigs", "attic.nix"), "imports = [ ../common ];", `imports = [ ../common ];
			hive.setup.unattended = true;
			hive.setup.files = [ ../versions.json ];
			services.openssh.ports = [ 2222 ];
			users.users.mia.openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0OruRvkLuA295I+gZRfGlwz8oM04+ILsxDxtv/+jqB ben@attic" ];`)
		hiveOf(t, dir, "generate")
		all := hosts(t, dir)
		m := look(t, dir, "", "x86_64-linux")
		m.checkSystem(t)
		manifest := m.manifest(t)
		if m.HostName != "nixos-setup" || !strings.HasPrefix(m.Volume, "NSH-ALL-") || len(manifest.Hosts) != len(all) {
			t.Errorf("medium %s, volume %s, hosts %d", m.HostName, m.Volume, len(manifest.Hosts))
		}
		for _, host := range all {
			carried, _ := manifest.Host(host.Name)
			checkOnMedium(t, carried, host)
			if !containsAll(m.Keys["root"], host.Deployer.Keys) {
				t.Errorf("%s cannot be installed by %v", host.Name, host.Deployer.Keys)
			}
		}
		if !slices.Contains(m.Ports, 22) || !slices.Contains(m.Ports, 2222) {
			t.Errorf("ports %v", m.Ports)
		}
		// attic has its address on a card; study's is on a bridge, and cellar asks DHCP
		if unit := m.Units["10-attic-10-hive.network"]; !strings.Contains(unit, "Address=192.168.1.11/24") || !strings.Contains(unit, "MACAddress=00:1e:4f:9a:10:01") {
			t.Errorf("attic's address is not on its card: %s", unit)
		}
		for name := range m.Units {
			if strings.HasPrefix(name, "10-study") {
				t.Errorf("%s is there, which needs a bridge", name)
			}
		}
		if slices.Contains(m.Files, "nixos") {
			t.Error("/etc/nixos is that of one host")
		}
		if run := m.Services["nixos-staged-hive-unattended"]; !strings.HasSuffix(run.Exec, "/bin/setup run --unattended") || run.Type != "exec" {
			t.Errorf("the unattended run is %+v", run)
		}
		if len(m.Passwords) != len(all) {
			t.Errorf("passwords %v", m.Passwords)
		}
	})
}

// TestHowAPasswordIsSetIsToldToTheBuilderAlone: under its word, once, and without reading a file.
func TestHowAPasswordIsSetIsToldToTheBuilderAlone(t *testing.T) {
	need.Program(t, "nix-instantiate")
	onEach(t, func(t *testing.T, on trees) {
		dir := workspace(t, "single-vm", on)
		definition := filepath.Join(dir, "nixConfigs", "testvm.nix")
		hiveOf(t, dir, "generate")
		host := hosts(t, dir)[0]
		before, err := os.ReadFile(definition)
		if err != nil {
			t.Fatal(err)
		}
		for setting, want := range map[string]string{
			`hashedPasswordFile = lib.mkForce null; hashedPassword = "$y$hash";`:                   `"file":null,"hash":"$y$hash","name":"testvm","user":"USER","word":null`,
			`hashedPasswordFile = lib.mkForce null; hashedPassword = "!"; password = "pass word";`: `"file":null,"hash":null,"name":"testvm","user":"USER","word":"pass word"`,
			`hashedPasswordFile = lib.mkForce "/nowhere/hash";`:                                    `"file":"/nowhere/hash",`,
		} {
			text := "{ lib, ... }: {\n  imports = [ (" + string(before) + ") ];\n  users.users." + host.Deployer.Name + " = { " + setting + " };\n}\n"
			if err := os.WriteFile(definition, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			_, said := outputs(t, "nix-instantiate", filepath.Join(dir, "generated"), "-A", "testvm.iso", "--argstr", "word", "W0RD")
			var told []string
			for line := range strings.Lines(said) {
				if rest, ok := strings.CutPrefix(line, "trace: W0RD {"); ok {
					told = append(told, rest)
				}
			}
			want = strings.ReplaceAll(want, "USER", host.Deployer.Name)
			if len(told) != 1 || !strings.HasPrefix(told[0], want) {
				t.Errorf("%s: told %q, wanted %s", setting, told, want)
			}
		}
	})
}

// TestBoardsGetAnImageOfTheirCard: it is the mini system, and is refused where the root is not on the card.
func TestBoardsGetAnImageOfTheirCard(t *testing.T) {
	need.Program(t, "nix-instantiate")
	onEach(t, func(t *testing.T, on trees) {
		dir := workspace(t, "aarch64", on)
		hiveOf(t, dir, "generate")
		out := string(command(t, "nix-instantiate", filepath.Join(dir, "generated"), "-A", "gardenpi.sd"))
		if !strings.Contains(out, ".img") {
			t.Errorf("no image: %s", out)
		}
		cmd := exec.Command("nix-instantiate", filepath.Join(dir, "generated"), "-A", "ampere.sd")
		if said, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(said), "ampere mounts its root from /dev/disk/by-partlabel/") {
			t.Errorf("a server with UEFI has an image of a card: %v, %s", err, said)
		}
	})
}

// TestADiskThatIsLookedForIsAnAliasInTheScriptsAlone: the selector takes the place of the device, which need not be there, and the
// installed system does not know of either.
func TestADiskThatIsLookedForIsAnAliasInTheScriptsAlone(t *testing.T) {
	need.Program(t, "nix-instantiate")
	onEach(t, func(t *testing.T, on trees) {
		dir := workspace(t, "k3s-trio", on)
		systems := map[string]bool{}
		const device = `device = "/dev/disk/by-id/${disk}";`
		file := filepath.Join(dir, "common", "node.nix")
		for _, way := range [][2]string{
			{"boot.loader.systemd-boot", "boot.loader.systemd-boot"}, // as it is
			{device, ""},
			{"hive.partitioning.format", "hive.partitioning.disks.${name} = { serial = \"S64 DNX\"; byId = \"ata-*\"; size = \"500G\"; };\n  hive.partitioning.format"},
		} {
			edit(t, file, way[0], way[1])
			if way[1] == "" {
				continue // disko wants a device, or what stands for it
			}
			hiveOf(t, dir, "generate")
			systems[strings.TrimSpace(string(command(t, "nix-instantiate", filepath.Join(dir, "generated"), "-A", "karl.mini")))] = true
		}
		if len(systems) != 1 {
			t.Errorf("the way to the disk is in the system: %v", systems)
		}
		host := hosts(t, dir)[0]
		want := hive.Disk{Name: "karl", Device: hive.DiskAlias("karl"), Selector: hive.Selector{Serial: "S64 DNX", ByID: "ata-*", Size: "500G"}, Table: "gpt"}
		got := host.Storage.Disks[0]
		got.Partitions = nil
		if len(host.Storage.Disks) != 1 || !reflect.DeepEqual(got, want) {
			t.Errorf("the disk is %+v", host.Storage.Disks)
		}
		if problems := hive.Check(hive.Hive{Hosts: []hive.Host{host}}, hive.CheckInput{}); hive.Count(problems).Errors > 0 {
			t.Errorf("check finds %v", problems)
		}
		drv := strings.TrimSpace(string(command(t, "nix-instantiate", filepath.Join(dir, "generated"), "-A", "karl.format")))
		if all := derivations(t, drv); !strings.Contains(all, hive.DiskAlias("karl")) || strings.Contains(all, "/dev/disk/by-id/ata") {
			t.Error("the script does not format the alias")
		}
	})
}

// edit replaces text that has to be there once.
func edit(t *testing.T, file, before, after string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(b), before) != 1 {
		t.Fatalf("%s has %q %d times", file, before, strings.Count(string(b), before))
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(b), before, after, 1)), 0o644); err != nil {
		t.Fatal(err)
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
