package cli_test

import (
	"testing"

	"nixos-staged-hive/internal/testbed/hosts"
	"nixos-staged-hive/internal/testbed/hosts/system"
)

// deploy makes a system the one that a host runs and boots, as a deployment leaves it.
func (f *field) deploy(name, path string) {
	f.Helper()
	f.lab.Host(f.TB, name).Sh(f.TB, "nix-env -p "+system.Profile+" --set "+path+" && "+path+"/bin/switch-to-configuration switch")
}

func (f *field) state(name string) system.State {
	f.Helper()
	return system.Read(f.TB, f.lab.Host(f.TB, name))
}

func TestRollback(t *testing.T) {
	t.Parallel()
	f := newField(t, map[string]string{"web": `hive.deployment.checks.never.command = [ "false" ];`},
		hosts.Spec{Name: "web", Suite: hosts.Trixie, Systemd: true, NoPassword: true},
		hosts.Spec{Name: "db", Suite: hosts.Bookworm, Systemd: true, NoPassword: true})
	second := f.system(system.Spec{Name: "second"}, "web", "db")
	f.deploy("web", second)
	f.deploy("db", second)
	f.at("hive", "rollback").exits(2)
	f.at("hive", "rollback", "web").exits(4).says("web", "generation 1", "changes", "--yes agrees")
	f.at("hive", "rollback", "web", "--dry-run").exits(0).says("generation 1", "web: planned")
	if got := f.state("web"); got.Current != second || got.Generation != 2 {
		t.Errorf("nobody has agreed: %+v", got)
	}
	f.at("hive", "rollback", "web", "db", "--yes").exits(0).says("web: is back on generation 1", "db: is back on generation 1")
	for _, name := range []string{"web", "db"} {
		want := system.State{Current: f.base, Booted: f.base, Profile: f.base, Generation: 1, Default: f.base}
		if got := f.state(name); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	f.at("hive", "rollback", "web", "--yes").exits(1).says("no other system")
	f.at("hive", "rollback", "web", "--to", "2", "--yes", "--json").exits(0).says(`"outcome": "confirmed"`, second)
	f.at("hive", "rollback", "web", "--to", "1", "--checks", "--yes").exits(1).says("rolled back", "check never")
	if got := f.state("web"); got.Current != second || got.Generation != 2 || got.Default != second {
		t.Errorf("the check did not pass: %+v", got)
	}
	f.lab.Host(t, "db").Link.Down(t)
	f.at("hive", "rollback", "web", "db", "--to", "1", "--yes").exits(3).says("web: is back", "db: unreachable")
}
