package hive

// deployedBy makes another login the deployer, with a key, and drops the admin.
func deployedBy(h *Host, name string) {
	h.Admin = Admin{}
	h.Deployer = Deployer{Name: name, Keys: []string{goodKey}, Trusted: true, Sudo: "nopasswd"}
	h.Users = []User{{Name: name, Wheel: true, Keys: []string{goodKey}}}
	h.Deployment.TargetUser = &name
	if name == "root" {
		h.Deployer.Sudo, h.SSH.RootLogin = "root", "prohibit-password"
	}
}

// keyless takes all keys away.
func keyless(h *Host) {
	h.Admin.Keys, h.Deployer.Keys, h.Users[0].Keys = nil, nil, nil
}

// local makes the host deploy itself.
func local(h *Host) {
	h.Deployment.TargetHost, h.Deployment.AllowLocal = nil, true
}

func loginCases() []ruleCase {
	const keys, rights = "alpha hive.admin.sshKeys", "alpha users.users.admin.extraGroups"
	return []ruleCase{
		{rule: "locked-out", name: "nobody has a key, and it is said once", change: func(h []Host) {
			keyless(&h[0])
			h[0].Admin.HasPassword = true
			h[0].Assertions = []string{"Neither the root account nor any wheel user has a password or SSH authorized key.\nYou must"}
		}, want: []string{"error " + keys}, says: "locked out", way: `hive.admin = { name = "admin"; sshKeys = [ "ssh-ed25519 `},
		{rule: "locked-out", name: "without a key there is no sshd either", change: func(h []Host) {
			keyless(&h[0])
			h[0].Admin.HasPassword, h[0].SSH, h[0].Deployer.Sudo = true, SSH{}, "password"
		}, want: []string{"error " + keys}, says: "locked out", way: "hive.admin = {"},
		{rule: "locked-out", name: "only somebody else has a key", change: func(h []Host) {
			keyless(&h[0])
			h[0].Admin = Admin{}
			h[0].Deployer = Deployer{Name: "root", Sudo: "root", Trusted: true}
			h[0].SSH.RootLogin, h[0].Deployment.TargetUser = "prohibit-password", nil
			h[0].Users = []User{{Name: "guest", Keys: []string{goodKey}}}
		}, want: []string{"error alpha users.users.root.openssh.authorizedKeys.keys"}, says: "only guest has one", way: "hive.admin = {"},
		{rule: "locked-out", name: "a host that deploys itself with no way in at all", change: func(h []Host) {
			keyless(&h[0])
			local(&h[0])
		}, want: []string{"error " + keys}, says: "no login has a password or an SSH key", way: "hive.admin = {"},
		{rule: "locked-out", name: "a password is enough for a host that deploys itself", change: func(h []Host) {
			keyless(&h[0])
			local(&h[0])
			h[0].Admin.HasPassword = true
		}},
		{rule: "locked-out", name: "root with a key", change: func(h []Host) { deployedBy(&h[0], "root") }},
		{rule: "admin-without-key", name: "others have one", change: func(h []Host) {
			keyless(&h[0])
			h[0].Admin.HasPassword = true
			h[0].Users = append(h[0].Users, User{Name: "guest", Keys: []string{goodKey}})
		}, want: []string{"error " + keys}, says: "a password but no SSH key", way: "hive.admin.sshKeys = ["},
		{rule: "admin-without-key", name: "somebody else deploys", change: func(h []Host) {
			deployedBy(&h[0], "wendy")
			h[0].Admin = Admin{Declared: true, Name: "admin", HasPassword: true}
		}, want: []string{"warning " + keys}, says: "a password but no SSH key", way: "hive.admin.sshKeys = ["},
		{rule: "admin-without-key", name: "no admin, a wheel user deploys", change: func(h []Host) { deployedBy(&h[0], "wendy") }},
		{rule: "root-login", name: "root deploys and is refused", change: func(h []Host) {
			deployedBy(&h[0], "root")
			h[0].SSH.RootLogin = "no"
		}, want: []string{"error alpha services.openssh.settings.PermitRootLogin"}, says: "sshd refuses root", way: `"prohibit-password"`},
		{rule: "root-login", name: "by key", change: func(h []Host) { deployedBy(&h[0], "root") }},
		{rule: "deployer-rights", name: "neither root nor trusted is one problem", change: func(h []Host) {
			h[0].Deployer.Sudo, h[0].Deployer.Trusted, h[0].Users[0].Wheel = "none", false, false
		}, want: []string{"error " + rights}, says: "and may not add unsigned store paths", way: `users.users.admin.extraGroups = [ "wheel" ];`},
		{
			rule: "deployer-rights", name: "no sudo", change: func(h []Host) { h[0].Deployer.Sudo, h[0].Users[0].Wheel = "none", false },
			want: []string{"error " + rights}, says: "cannot become root", way: `[ "wheel" ]`,
		},
		{rule: "deployer-rights", name: "sudo asks for a password that does not exist", change: func(h []Host) {
			h[0].Deployer.Sudo, h[0].Users[0].Wheel = "none", true
		}, want: []string{"error alpha security.sudo.wheelNeedsPassword"}, says: "admin has none", way: `hive.admin.hashedPasswordFile = "`},
		{rule: "deployer-rights", name: "a wheel user without a password, beside root with a key", change: func(h []Host) {
			deployedBy(&h[0], "wendy")
			h[0].Deployer.Sudo = "none"
			h[0].Users = append(h[0].Users, User{Name: "root", Keys: []string{goodKey}})
		}, want: []string{"error alpha security.sudo.wheelNeedsPassword"}, says: "wendy has none", way: `deployment.targetUser = "root";`},
		{rule: "deployer-rights", name: "root deploys in place of an admin without a password", change: func(h []Host) {
			root := "root"
			h[0].Deployer.Sudo, h[0].Deployment.TargetUser, h[0].SSH.RootLogin = "none", &root, "prohibit-password"
			h[0].Users[1].Keys = []string{goodKey}
		}},
		{
			rule: "deployer-rights", name: "not trusted", change: func(h []Host) { h[0].Deployer.Trusted = false },
			want: []string{"error alpha nix.settings.trusted-users"}, says: "unsigned store paths", way: `nix.settings.trusted-users = [ "root" "@wheel" ];`,
		},
		{rule: "deployer-rights", name: "a host that deploys itself", change: func(h []Host) {
			local(&h[0])
			h[0].Deployer.Trusted = false
		}},
		{
			rule: "sudo-password", name: "Colmena cannot type it", change: func(h []Host) { h[0].Deployer.Sudo = "password" },
			want: []string{"note alpha security.sudo.wheelNeedsPassword"}, says: "asks for a password on alpha", way: "wheelNeedsPassword = false;",
		},
		{rule: "sudo-password", name: "three hosts are one note", change: func(h []Host) {
			for i := range h {
				h[i].Deployer.Sudo = "password"
			}
		}, want: []string{"note  security.sudo.wheelNeedsPassword"}, says: "on alpha, beta and gamma", way: "wheelNeedsPassword = false;"},
		{rule: "sudo-password", name: "deployments go to root", change: func(h []Host) {
			root := "root"
			h[0].Deployer.Sudo, h[0].Deployment.TargetUser, h[0].SSH.RootLogin = "password", &root, "prohibit-password"
			h[0].Users[1].Keys = []string{goodKey}
		}},
		{
			rule: "ssh-disabled", name: "off, and nothing else is said about sshd", change: func(h []Host) { h[0].SSH = SSH{Ports: []int{22}} },
			want: []string{"error alpha services.openssh.enable"}, says: "sshd is off", way: "services.openssh.enable = true;",
		},
		{rule: "ssh-disabled", name: "a host that deploys itself", change: func(h []Host) {
			h[0].SSH = SSH{}
			local(&h[0])
		}},
		{rule: "ssh-closed", name: "one of two ports", change: func(h []Host) {
			h[0].SSH.Ports, h[0].SSH.Reachable = []int{22, 2222}, false
		}, want: []string{"error alpha networking.firewall.allowedTCPPorts"}, says: "port 2222", way: "allowedTCPPorts = [ 22 2222 ];"},
		{rule: "ssh-closed", name: "a port that is open to one interface only", change: func(h []Host) {
			h[0].SSH.Ports, h[0].SSH.Reachable = nil, false
		}, want: []string{"error alpha networking.firewall.allowedTCPPorts"}, says: "port 22", way: "allowedTCPPorts = [ 22 ];"},
		{rule: "ssh-closed", name: "no firewall", change: func(h []Host) {
			h[0].SSH.Reachable, h[0].Network.Firewall = false, Firewall{}
		}},
		{rule: "ssh-password", name: "for root too is one problem", change: func(h []Host) {
			h[0].SSH.PasswordAuth, h[0].SSH.RootLogin = true, "yes"
		}, want: []string{"warning alpha services.openssh.settings.PermitRootLogin"}, says: "passwords for root", way: "PasswordAuthentication = false;"},
		{
			rule: "ssh-password", name: "for users", change: func(h []Host) { h[0].SSH.PasswordAuth = true },
			want: []string{"warning alpha services.openssh.settings.PasswordAuthentication"}, says: "may try passwords", way: "PasswordAuthentication = false;",
		},
		{rule: "ssh-password", name: "root by key", change: func(h []Host) { h[0].SSH.RootLogin = "yes" }},
	}
}

// keyed gives the admin other keys, everywhere facts show them.
func keyed(keys ...string) func(h []Host) {
	return func(h []Host) { h[0].Admin.Keys, h[0].Deployer.Keys, h[0].Users[0].Keys = keys, keys, keys }
}

func keyCases() []ruleCase {
	const option = "alpha hive.admin.sshKeys"
	private := "-----BEGIN OPENSSH PRIVATE " + "KEY-----\nb3BlbnNzaC1rZXktdjE\n"
	bad := func(name, says, way string, keys ...string) ruleCase {
		return ruleCase{rule: "key-malformed", name: name, change: keyed(keys...), want: []string{"error " + option}, says: says, way: way}
	}
	dsa := string(mustRead("dsa.pub"))
	return []ruleCase{
		bad("a private key", "key 2 of admin is a private key", "ssh-keygen -t ed25519", goodKey, private),
		bad("a path", "is the path of a file", "builtins.readFile", "/home/you/.ssh/id_ed25519.pub"),
		bad("another format", "RFC 4716", "ssh-keygen -i", string(mustRead("foreign-rfc4716.pub"))),
		bad("cut off", "cut off", "whole line", goodKey[:60]),
		bad("no type", "key type", "whole line", "AAAAC3NzaC1lZDI1NTE5AAAA you@deployer"),
		bad("empty", "is empty", "whole line", "# nothing here\n"),
		{rule: "key-malformed", name: "of somebody who does not deploy", change: func(h []Host) {
			h[0].Users = append(h[0].Users, User{Name: "guest", Keys: []string{"ssh-ed25519 AAAA"}})
		}, want: []string{"warning alpha users.users.guest.openssh.authorizedKeys.keys"}, says: "key 1 of guest", way: "users.users.guest"},
		{rule: "key-malformed", name: "a private key of somebody who does not deploy", change: func(h []Host) {
			h[0].Users = append(h[0].Users, User{Name: "guest", Keys: []string{private}})
		}, want: []string{"error alpha users.users.guest.openssh.authorizedKeys.keys"}, says: "private key", way: "stolen"},
		{rule: "key-malformed", name: "the admin's key handed on to root is one problem", change: func(h []Host) {
			keyed("ssh-ed25519 AAAA")(h)
			h[0].Users[1].Keys = h[0].Admin.Keys
		}, want: []string{"error " + option}, says: "key 1 of admin", way: "whole line"},
		{
			rule: "key-malformed", name: "options, comments and several lines pass",
			change: keyed("# mine\n"+`from="10.0.0.0/8",command="echo \"a b\"" `+goodKey+"\n\n"+goodKey+"\n", string(mustRead("fine-rsa2048.pub"))),
		},
		{rule: "key-weak", name: "only a DSA key", change: keyed(dsa), want: []string{"error " + option}, says: "DSA", way: "ssh-keygen -t ed25519"},
		{
			rule: "key-weak", name: "a DSA key beside a good one", change: keyed(goodKey, dsa),
			want: []string{"warning " + option}, says: "key 2 of admin is a DSA key", way: "ssh-keygen -t ed25519",
		},
		{
			rule: "key-weak", name: "a short RSA key", change: keyed(string(mustRead("short-rsa1024.pub"))),
			want: []string{"warning " + option}, says: "less than 2048 bits", way: "ssh-keygen -t ed25519",
		},
		{rule: "key-weak", name: "RSA of 2048 bits", change: keyed(string(mustRead("fine-rsa2048.pub")))},
	}
}
