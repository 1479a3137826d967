// Package hosts makes machines for tests out of namespaces: each has a network card, a file system, processes and a name of its own, a
// real sshd, a real nix-daemon, an admin whom sudo asks for a password, and systemd where it is wanted. A controller beside them plays
// the deployer's computer. Their links can be cut, slowed down and made to lose packets, and hosts can be killed and rebooted.
//
//	hosts.Prepare(t, hosts.Bookworm, hosts.Trixie)
//	lab := hosts.Up(t, hosts.Net{Hosts: []hosts.Spec{{Name: "h1", Suite: hosts.Trixie, Systemd: true}}})
//	lab.Controller.Sh(t, "ssh h1 true")
//	lab.Host("h1").Link.Down(t)
//
// All of it is inside of namespaces that end with the test process, whatever ends it. What is left over then, folders and
// control groups, is removed by the next Up (package remains). Nothing is made in the machine's own network, mount or process
// namespace, and two test binaries can have labs at the same time.
//
// A host is a Debian of which only Nix, OpenSSH, sudo and systemd matter, and not NixOS: package system lays a stand-in for a NixOS
// system on it. The kernel is the machine's own. There is no netem here; loss is nftables' and rate is tbf's.
//
// It needs Linux 5.14, root with CAP_SYS_ADMIN, and iproute2 and nftables only inside of the roots. Where that is
// not given, tests fail in CI and are skipped with a reason elsewhere.
package hosts

// Who logs in, and how.
const (
	// Admin may become root by sudo with AdminPassword (see Spec.NoPassword), and logs in with the controller's key.
	Admin = "admin"
	// AdminPassword has what shells stumble over.
	AdminPassword = `it's a "secret" $HOME \n`
)

// searchPath is PATH on hosts, and while roots are made.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
