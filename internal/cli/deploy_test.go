package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nixos-staged-hive/internal/testbed/hosts"
	"nixos-staged-hive/internal/testbed/hosts/system"
)

// becomes is for a host whose full system is the one that system.Build made on the controller under this name.
func becomes(name string) string {
	return `imports = [ ({ lib, ... }: { system.build.toplevel = lib.mkForce (import /root/systems/` + name + ` { name = "nixos-system-` + name + `"; size = "0"; }); }) ];
`
}

// onlyOf is a host's state when it has run one system alone.
func onlyOf(path string, generation int) system.State {
	return system.State{Current: path, Booted: path, Profile: path, Generation: generation, Default: path}
}

func TestDeploy(t *testing.T) {
	t.Parallel()
	f := newField(t, map[string]string{
		"web": becomes("second") + `hive.deployment = { tags = [ "front" ]; after = [ "db" ]; checks.answers.command = [ "true" ]; };`,
		"db":  becomes("second"),
		"bad": becomes("second") + `hive.deployment.checks.never.command = [ "sh" "-c" "echo it is not well; false" ];`,
	},
		hosts.Spec{Name: "web", Suite: hosts.Trixie, Systemd: true, NoPassword: true},
		hosts.Spec{Name: "db", Suite: hosts.Bookworm, Systemd: true, NoPassword: true},
		hosts.Spec{Name: "bad", Suite: hosts.Trixie, Systemd: true, NoPassword: true})
	f.colmena("0.4.0")
	second := system.Build(t, f.lab.Controller, system.Spec{Name: "second"})
	f.at("hive", "-s", "deploy", "nosuch").exits(2).says("nosuch")
	f.at("hive", "-s", "deploy", "--engine", "magic", "--on-failure=x").exits(2).says("--engine", "--on-failure")
	f.at("hive", "-s", "deploy", "--no-such-flag").exits(2).says("--no-such-flag")

	f.at("hive", "-s", "deploy", "web", "db").exits(4).says("web", second, "in this order: db; then web", "--yes agrees")
	f.at("hive", "-s", "deploy", "@front", "--dry-run").exits(0).says("web: planned")
	for _, name := range []string{"web", "db"} {
		if got := f.state(name); got != onlyOf(f.base, 1) {
			t.Errorf("nobody has agreed, and %s has %+v", name, got)
		}
	}
	events := f.at("hive", "-s", "deploy", "--yes", "--json", "--on", "web,db", "--", "--no-substitute").exits(0).out
	for _, line := range strings.Split(strings.TrimSpace(events), "\n") {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
	want := system.State{Current: second, Booted: f.base, Profile: second, Generation: 2, Default: second}
	for _, name := range []string{"web", "db"} {
		if got := f.state(name); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	f.at("hive", "-s", "deploy", "web", "--yes").exits(0).says("web: nothing to do")

	f.at("hive", "-s", "deploy", "bad", "--yes").exits(1).says("bad: rolled back", "check never", "it is not well")
	if got := f.state("bad"); got != onlyOf(f.base, 1) {
		t.Errorf("the check did not pass, and the host has %+v", got)
	}
	f.at("hive", "-s", "deploy", "--yes").exits(3).says("web: nothing to do", "bad: rolled back")
	f.lab.Host(t, "bad").Link.Down(t)
	f.at("hive", "-s", "deploy", "--resume", "--yes").exits(1).says("it left bad", "bad", "--skip-unreachable")
}

// The password is asked for by sudo on the host alone, and the closure gets there although the daemon does not trust who logs in.
func TestDeployWithASudoPassword(t *testing.T) {
	t.Parallel()
	f := newField(t, map[string]string{"web": strings.Replace(asking, "imports = [", strings.TrimSuffix(becomes("second"), " ];\n"), 1)},
		hosts.Spec{Name: "web", Suite: hosts.Trixie, Systemd: true})
	f.colmena("0.4.0")
	second := system.Build(t, f.lab.Controller, system.Spec{Name: "second"})
	f.at("hive", "-s", "deploy", "--yes").exits(1).says("--sudo-password-command")
	f.atWith(nil, strings.NewReader("wrong\n"), "hive", "-s", "deploy", "--yes", "--sudo-password-file", "-").exits(1).says("password")
	if got := f.state("web"); got != onlyOf(f.base, 1) {
		t.Errorf("nobody was root, and the host has %+v", got)
	}
	f.atWith(nil, strings.NewReader(hosts.AdminPassword+"\n"), "hive", "-s", "deploy", "--yes", "--sudo-password-file", "-").exits(0).says("web: confirmed on generation 2")
	if got := f.state("web"); got.Current != second || got.Profile != second || got.Default != second {
		t.Errorf("%+v, want %s", got, second)
	}
	var logs strings.Builder
	err := filepath.WalkDir(f.path(".staged-hive"), func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(name)
		logs.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(logs.String(), "committed") || strings.Contains(logs.String(), hosts.AdminPassword) {
		t.Errorf("the run's logs have the password, or are not there:\n%s", logs.String())
	}
}
