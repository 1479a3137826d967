package cli_test

import (
	"strings"
	"testing"

	"nixos-staged-hive/internal/testbed/hosts"
	"nixos-staged-hive/internal/testbed/hosts/system"
)

// One lab serves both: making it takes longer than they do.
func TestDiffAndSSH(t *testing.T) {
	t.Parallel()
	f := newField(t, nil, hosts.Spec{Name: "web", Suite: hosts.Bookworm}, hosts.Spec{Name: "db", Suite: hosts.Trixie})
	t.Run("ssh", func(t *testing.T) { f.logsIn(t) })
	t.Run("diff", func(t *testing.T) { f.compares(t) })
}

func (f *field) compares(t *testing.T) {
	second := f.system(system.Spec{Name: "second", Size: 100_000}, "web")
	web := f.lab.Host(t, "web")
	only := web.Sh(t, "echo x >/tmp/only-1.0; nix-store --add /tmp/only-1.0")
	web.Sh(t, "nix-env -p "+system.Profile+" --set "+second)
	f.at("hive", "diff", "web").exits(1).says("web: which system is", "nothing was built")
	f.built("web", second)
	f.at("hive", "diff").exits(3).says("web: generation 1", "nixos-system-second", "+1", "db: which system is")
	f.at("hive", "diff", "web", "--to", "current").exits(0).says("no difference")
	f.at("hive", "diff", "web", "--from", "2", "--to", only).exits(0).says("only", "1.0", "generation 2", "-10")
	f.at("hive", "diff", "web", "--from", "7").exits(1).says("no such generation", "its generations are 1, 2")
	var d struct {
		Hosts []struct {
			Host       string
			Difference struct {
				From, To string
				Changes  []struct{ Name string }
			}
		}
	}
	f.at("hive", "diff", "web", "--from", "profile", "--to", "1", "--json").exits(0).into(&d)
	if len(d.Hosts) != 1 || d.Hosts[0].Difference.From != second || d.Hosts[0].Difference.To != f.base || len(d.Hosts[0].Difference.Changes) != 2 {
		t.Errorf("%+v", d)
	}
}

func (f *field) logsIn(t *testing.T) {
	if e := f.at("hive", "ssh", "web", "--", "hostname;", "id", "-un").exits(0); e.out != "web\nadmin\n" {
		t.Errorf("%+v", e)
	}
	if e := f.atWith(nil, strings.NewReader("in\n"), "hive", "ssh", "web", "cat; echo err >&2; exit 7").exits(7); e.out != "in\n" || !strings.HasSuffix(e.err, "err\n") {
		t.Errorf("%+v", e)
	}
	f.at("hive", "ssh", "-t", "web", "test -t 0 && echo terminal").exits(0).says("terminal")
	f.at("hive", "ssh", "web", "--", "ls", "-d", "/").exits(0).says("/")
	f.at("hive", "ssh", "web,db", "true").exits(2).says("2 hosts")
	f.at("hive", "ssh", "nosuch").exits(2)
	f.at("hive", "ssh").exits(2)
	f.at("hive", "ssh", "db", "true").exits(0) // the first contact: its key is remembered
	remembered := f.read("known_hosts")
	defer f.put("known_hosts", remembered)
	f.put("known_hosts", strings.ReplaceAll(f.read("known_hosts"), strings.Fields(f.lab.Host(t, "db").HostKey())[1], strings.Fields(f.lab.Host(t, "web").HostKey())[1]))
	f.at("hive", "ssh", "db", "true").exits(255).says("HOST IDENTIFICATION HAS CHANGED")
}
