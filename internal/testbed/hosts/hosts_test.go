package hosts_test

import (
	"testing"

	"nixos-staged-hive/internal/testbed/hosts"
)

func TestSmoke(t *testing.T) {
	lab := hosts.Up(t, hosts.Net{Hosts: []hosts.Spec{
		{Name: "h1", Suite: hosts.Bookworm},
		{Name: "h2", Suite: hosts.Trixie, Systemd: true},
	}})
	c := lab.Controller
	t.Log(c.Sh(t, "nix --version; ip -br a; id"))
	t.Log(c.Sh(t, "time ssh h1 'hostname; id; nix --version; nix store ping'"))
	t.Log(c.Sh(t, "time ssh h2 'hostname; id; nix --version; systemctl --failed; nix store ping'"))
}
