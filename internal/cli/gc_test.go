package cli_test

import (
	"strings"
	"testing"

	"nixos-staged-hive/internal/testbed/hosts"
	"nixos-staged-hive/internal/testbed/hosts/system"
)

func TestGC(t *testing.T) {
	t.Parallel()
	f := newField(t, map[string]string{"asks": asking},
		hosts.Spec{Name: "web", Suite: hosts.Trixie, Systemd: true, NoPassword: true},
		hosts.Spec{Name: "asks", Suite: hosts.Bookworm, Systemd: true})
	web := f.lab.Host(t, "web")
	var paths []string
	for _, name := range []string{"second", "third", "fourth"} {
		path := f.system(system.Spec{Name: name, Size: 1 << 20}, "web")
		web.Sh(t, "nix-env -p "+system.Profile+" --set "+path+"; "+path+"/bin/switch-to-configuration switch")
		paths = append(paths, path)
	}
	f.at("hive", "gc", "web").exits(0).says("web", "young", "nothing to delete")
	f.at("hive", "gc", "web", "--keep", "1").exits(4).says("2 3", "2.1 MB", "was booted", "the profile's", "--yes agrees")
	f.at("hive", "gc", "web", "--keep", "1", "--dry-run").exits(0).says("2 3").saysNot("freed")
	f.at("hive", "gc", "--keep", "1", "--yes", "--quiet").exits(3).says("web: 2 generations deleted", "asks: ", "not both a terminal")
	f.atWith(nil, strings.NewReader(hosts.AdminPassword+"\n"), "hive", "gc", "asks", "--keep", "1", "--yes", "--sudo-password-file", "-").exits(0).says("asks: nothing to delete")
	if left := web.Sh(t, "ls -d "+paths[0]+" "+paths[1]+" "+paths[2]+" 2>/dev/null; ls -d "+system.Profile+"-*-link"); left != paths[2]+"\n"+system.Profile+"-1-link\n"+system.Profile+"-4-link" {
		t.Errorf("left: %s", left)
	}
	f.at("hive", "gc", "web", "--older-than", "0d", "--json", "--dry-run").exits(0).says(`"schema": 1`, `"delete": []`)
	for _, words := range [][]string{{"--older-than", "soon"}, {"--keep", "-1"}, {"--older-than", "3"}} {
		f.at(append([]string{"hive", "gc"}, words...)...).exits(2)
	}
	web.Sh(t, "mkdir -p /var/lib/nixos-staged-hive/deploy && printf '%s\\n' run=r7 by=mia@desk state=waiting bootId=x end >/var/lib/nixos-staged-hive/deploy/record")
	f.at("hive", "gc", "web", "--keep", "0", "--yes").exits(1).says("the deployment r7 by mia@desk is waiting", "hive deploy web")
	f.at("hive", "status", "web").exits(3).says("unfinished", "r7", "mia@desk")
}
