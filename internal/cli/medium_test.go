package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/secret"
	"nixos-staged-hive/internal/testbed/need"
)

// onMedium is a machine with a manifest, where the program is called as it is on a medium.
type onMedium struct {
	*desk
	args []string
}

func newMedium(t *testing.T, hosts ...hive.MediumHost) onMedium {
	t.Helper()
	d := newDesk(t, nil)
	text, err := json.Marshal(hive.Manifest{Schema: hive.ManifestSchema, Volume: "NSH-TEST", Hosts: hosts})
	if err != nil {
		t.Fatal(err)
	}
	d.put("manifest.json", string(text))
	return onMedium{d, []string{need.Program(t, program), "on-medium", "--manifest", d.path("manifest.json"), "--dir", d.path("run"), "--root", d.path("mnt")}}
}

func (m onMedium) setup(args ...string) ended {
	m.Helper()
	return m.runEnv(nil, append(append([]string{}, m.args...), args...)...)
}

// unfit is a host that this machine could never become: its disk is nowhere.
func unfit(name string) hive.MediumHost {
	plan := hive.Plan{Name: name, Platform: "x86_64-linux", Boot: hive.Boot{Firmware: "uefi", Loader: "systemd-boot"}}
	plan.Storage.Disks = []hive.Disk{{Name: "main", Table: "gpt", Selector: hive.Selector{Serial: "NOBODY-HAS-THIS"}, Device: hive.DiskAlias("main")}}
	return hive.MediumHost{Name: name, Plan: plan, PlanHash: strings.Repeat("a", 64), Toplevel: "/nix/store/x-system"}
}

func TestSetupRefusesBeforeItTouchesAnythingAndSaysEverything(t *testing.T) {
	m := newMedium(t, unfit("web"))
	m.setup("plan").exits(4)
	m.setup("run", "--then", "stay").exits(4).says("web cannot be installed on this machine; nothing was changed", "NOBODY-HAS-THIS", "hint:")
	var intent hive.Intent
	if err := json.Unmarshal([]byte(m.setup("plan", "--json").exits(4).out), &intent); err != nil {
		t.Fatal(err)
	}
	if !intent.Refused() || intent.Host != "web" || len(intent.Machine.Devices) == 0 {
		t.Errorf("intent %+v", intent)
	}
	if _, err := os.Stat(m.path("mnt")); !os.IsNotExist(err) {
		t.Errorf("something was made where the target would be mounted: %v", err)
	}
	m.setup("status").exits(0)
	// the run that was refused is in the events, and ended
	events := m.setup("follow", "--json").exits(0).out
	if !strings.Contains(events, `"state":"finished"`) || !strings.Contains(events, `"code":4`) {
		t.Errorf("events %s", events)
	}
}

func TestSetupAsksWhichHostAndRefusesOneThatIsNotOnTheMedium(t *testing.T) {
	m := newMedium(t, unfit("web"), unfit("db"))
	m.setup("plan").exits(1).says("web", "db")
	m.setup("plan", "-n", "mail").exits(1).says("mail")
	m.setup("run", "-n", "web", "--mode", "wipe").exits(2).says("the modes are")
	m.setup("manifest").exits(0)
	m.setup("phases").exits(0)
}

func TestSetupIsNoSetupWithoutAMedium(t *testing.T) {
	d := newDesk(t, nil)
	d.runEnv(nil, need.Program(t, program), "on-medium", "--manifest", d.path("none.json"), "plan").exits(4).says("no installation medium")
}

// The unattended service runs on every medium with at least one such host.
func TestAHostThatIsNotDeclaredSoIsNeverInstalledUnattended(t *testing.T) {
	m := newMedium(t, unfit("web"))
	m.setup("run", "--unattended", "--countdown", "1ms").exits(4).says("web is not installed unattended", "hive.setup.unattended")
	willing := unfit("web")
	willing.Plan.Unattended = true
	newMedium(t, willing).setup("run", "--unattended", "--countdown", "1ms").exits(4).says("NOBODY-HAS-THIS")
}

// Called by a name of the medium's, it is the program on the medium.
func TestNameDecidesWhichProgramItIs(t *testing.T) {
	d := newDesk(t, nil)
	for _, name := range []string{"setup", "disko-format", "pre-setup", "post-setup"} {
		d.runEnv(nil, need.Program(t, name), "--manifest", d.path("none.json")).exits(4).says("no installation medium")
	}
}

func TestHardwareOfThisMachineIsToldWithADefinitionToStartFrom(t *testing.T) {
	m := newMedium(t, unfit("web"))
	var found hive.Machine
	if err := json.Unmarshal([]byte(m.setup("hardware", "--json").exits(0).out), &found); err != nil {
		t.Fatal(err)
	}
	if found.Schema != hive.ManifestSchema || found.Platform == "" || found.Memory == 0 {
		t.Errorf("machine %+v", found)
	}
	m.setup("disks").exits(0)
}

func TestHardwareAsksAtAnAddressWithAPort(t *testing.T) {
	need.Program(t, "ssh")
	d := newDesk(t, nil)
	d.run("hardware", "127.0.0.1:1").exits(1).says("127.0.0.1:1", "connection refused")
	d.run("hardware", "[::1]:1").exits(1).says("[::1]:1")
	d.run("hardware", "127.0.0.1:none").exits(2).says(`"none" is no port`)
}

func TestHardwareBelievesTheKeyThatTheWorkspaceHasOfAHost(t *testing.T) {
	need.Program(t, "ssh")
	d := newDesk(t, map[string]string{"nixConfigs/web.nix": host("")})
	v := secret.Vault{Workspace: d.dir, Identity: filepath.Join(d.home, ".config", "nixos-staged-hive", "identity.txt")}
	if _, _, err := v.EnsureHostKey("web"); err != nil {
		t.Fatal(err)
	}
	d.run("hardware", "-n", "web", "127.0.0.1:1").exits(1).says("connection refused")
}
