package hive

// ptr is the address of a value, for the optional facts of a deployment.
func ptr[T any](v T) *T { return &v }

func deploymentCases() []ruleCase {
	target := func(name, host, says, way string) ruleCase {
		return ruleCase{
			rule: "target-host", name: name, change: func(h []Host) { h[0].Deployment.TargetHost = &host },
			want: []string{"error alpha deployment.targetHost"}, says: says, way: way,
		}
	}
	return []ruleCase{
		target("an IPv6 address", "fd00::1", "IPv6", `deployment.targetHost = "alpha";`),
		target("an IPv6 address in brackets", "[fd00::1]", "IPv6", "ssh_config"),
		target("a user", "me@alpha", "a user in it", `{ targetHost = "alpha"; targetUser = "me"; }`),
		target("a port", "alpha:2222", "a port in it", `{ targetHost = "alpha"; targetPort = 2222; }`),
		target("a flag", "-oProxyCommand=x", "no host name", `"alpha"`),
		target("empty", "", "no host name", `"alpha"`),
		{rule: "target-host", name: "a name", change: func(h []Host) { h[0].Deployment.TargetHost = ptr("alpha.home.arpa") }},
		{
			rule: "target-missing", name: "neither remote nor local", change: func(h []Host) { h[0].Deployment.TargetHost = nil },
			want: []string{"note alpha deployment.targetHost"}, says: "skips the host", way: `deployment.targetHost = "alpha";`,
		},
		{rule: "target-missing", name: "local", change: func(h []Host) { local(&h[0]) }},
		{
			rule: "target-port", name: "more than 16 bits", change: func(h []Host) { h[0].Deployment.TargetPort = ptr(70000) },
			want: []string{"error alpha deployment.targetPort"}, says: "70000 is no port", way: "deployment.targetPort = 22;",
		},
		{
			rule: "target-port", name: "nobody listens there", change: func(h []Host) { h[0].SSH.Ports = []int{2222} },
			want: []string{"warning alpha deployment.targetPort"}, says: "port 22, but sshd listens on 2222", way: "deployment.targetPort = 2222;",
		},
		{rule: "target-port", name: "the one sshd listens on", change: func(h []Host) {
			h[0].SSH.Ports, h[0].Deployment.TargetPort = []int{2222}, ptr(2222)
		}},
		{
			rule: "target-user", name: "root is refused", change: func(h []Host) { h[0].Deployment.TargetUser = ptr("root") },
			want: []string{"error alpha deployment.targetUser"}, says: "sshd refuses root", way: `deployment.targetUser = "admin";`,
		},
		{
			rule: "target-user", name: "unknown", change: func(h []Host) { h[0].Deployment.TargetUser = ptr("nobody") },
			want: []string{"warning alpha deployment.targetUser"}, says: "not among the people", way: `"admin"`,
		},
		{rule: "target-user", name: "root without a key", change: func(h []Host) {
			h[0].Users, h[0].SSH.RootLogin, h[0].Deployment.TargetUser = h[0].Users[:1], "prohibit-password", ptr("root")
		}, want: []string{"error alpha deployment.targetUser"}, says: "root deploys, but has no SSH key", way: `"admin"`},
		{rule: "target-user", name: "without a key", change: func(h []Host) {
			h[0].Users = append(h[0].Users, User{Name: "guest"})
			h[0].Deployment.TargetUser = ptr("guest")
		}, want: []string{"error alpha deployment.targetUser"}, says: "has no SSH key", way: `"admin"`},
		{rule: "target-user", name: "left to ssh_config", change: func(h []Host) { h[0].Deployment.TargetUser = nil }},
		{rule: "duplicate-target", name: "one machine for two hosts", change: func(h []Host) {
			h[1].Deployment.TargetHost = h[0].Deployment.TargetHost
		}, want: []string{"error beta deployment.targetHost"}, says: "192.168.1.11 port 22, like alpha", way: `deployment.targetHost = "beta";`},
		{rule: "duplicate-target", name: "ports of one router", change: func(h []Host) {
			for i, port := range []int{2201, 2202} {
				h[i].Deployment.TargetHost, h[i].Deployment.TargetPort, h[i].SSH.Ports = ptr("home.example.org"), &port, []int{port}
			}
		}},
		{
			rule: "ssh-options", name: "Colmena 0.4 has none", change: func(h []Host) { h[0].Deployment.SSHOptions = []string{"-A"} },
			in:   CheckInput{ColmenaVersion: "0.4.0"},
			want: []string{"warning alpha deployment.sshOptions"}, says: "Colmena 0.4.0", way: "~/.ssh/config",
		},
		{
			rule: "ssh-options", name: "Colmena 0.5", change: func(h []Host) { h[0].Deployment.SSHOptions = []string{"-A"} },
			in: CheckInput{ColmenaVersion: "0.5.0"},
		},
		{
			rule: "store-secret", name: "a token", change: func(h []Host) { h[0].StoreSecrets = []string{"services.k3s.token"} },
			want: []string{"error alpha services.k3s.token"}, says: "every user can read it", way: "deployment.keys",
		},
		{
			rule: "store-secret", name: "a hash", change: func(h []Host) { h[0].StoreSecrets = []string{"users.users.wendy.hashedPassword"} },
			want: []string{"warning alpha users.users.wendy.hashedPassword"}, says: "hash", way: `users.users.wendy.hashedPasswordFile = "/absolute/path";`,
		},
		{
			rule: "store-secret", name: "the admin's hash", change: func(h []Host) { h[0].StoreSecrets = []string{"users.users.admin.hashedPassword"} },
			want: []string{"warning alpha users.users.admin.hashedPassword"}, says: "hash", way: `hive.admin.hashedPasswordFile = "/absolute/path";`,
		},
		{rule: "store-secret", name: "an uploaded key is reported as such", change: func(h []Host) {
			h[0].StoreSecrets = []string{"deployment.keys.token.keyFile"}
		}, want: []string{"error alpha deployment.keys.token.keyFile"}, says: "every user can read it", way: "name the file on the host"},
		{rule: "store-secret", name: "none", change: func([]Host) {}},
	}
}

// uploads gives a host one key to upload.
func uploads(k Key) func(h []Host) {
	if k.Name == "" {
		k.Name = "token"
	}
	if k.Source == "" {
		k.Source = "keyFile"
	}
	return func(h []Host) { h[0].Deployment.Keys = []Key{k} }
}

func uploadCases() []ruleCase {
	const key = `alpha deployment.keys."token"`
	colmena04 := CheckInput{ColmenaVersion: "0.4.0"}
	fine := Key{User: "root", Group: "keys", DestDir: "/run/keys"}
	return []ruleCase{
		{
			rule: "upload-name", name: "a slash", change: uploads(Key{Name: "a/b"}),
			want: []string{`error alpha deployment.keys."a/b".name`}, says: "no file name", way: "destDir",
		},
		{rule: "upload-name", name: "a dot inside", change: uploads(Key{Name: "wg.key"})},
		{rule: "upload-source", name: "none", change: uploads(Key{Source: "none"}), want: []string{"error " + key}, says: "no source", way: "keyCommand"},
		{rule: "upload-source", name: "several", change: uploads(Key{Source: "several"}), want: []string{"error " + key}, says: "several sources", way: "leave one"},
		{rule: "upload-source", name: "a command", change: uploads(Key{Source: "keyCommand"})},
		{
			rule: "upload-text", name: "in the definition", change: uploads(Key{Source: "text"}),
			want: []string{"warning " + key + ".text"}, says: "part of every evaluation", way: "keyFile =",
		},
		{rule: "upload-text", name: "in a file", change: uploads(fine)},
		{rule: "upload-in-store", name: "a Nix path, said once", change: func(h []Host) {
			uploads(Key{InStore: true})(h)
			h[0].StoreSecrets = []string{"deployment.keys.token.keyFile"}
		}, want: []string{"error " + key + ".keyFile"}, says: "Nix path", way: `keyFile = "/absolute/path";`},
		{rule: "upload-in-store", name: "a string", change: uploads(fine)},
		{
			rule: "upload-folder", name: "relative", change: uploads(Key{DestDir: "keys"}),
			want: []string{"error " + key + ".destDir"}, says: "no absolute path", way: `destDir = "/run/keys/keys";`,
		},
		{rule: "upload-folder", name: "absolute", change: uploads(Key{DestDir: "/var/lib/keys"})},
		{
			rule: "upload-owner", name: "an underscore under 0.4", change: uploads(Key{User: "root", Group: "_chrony"}), in: colmena04,
			want: []string{"error " + key + ".group"}, says: `"_chrony"`, way: "Colmena 0.5",
		},
		{
			rule: "upload-owner", name: "capitals with Colmena unknown", change: uploads(Key{User: "Admin"}),
			want: []string{"warning " + key + ".user"}, says: `"Admin"`, way: "Colmena 0.5",
		},
		{rule: "upload-owner", name: "an underscore under 0.5", change: uploads(Key{User: "_chrony"}), in: CheckInput{ColmenaVersion: "0.5.0-pre"}},
		{rule: "upload-owner", name: "plain names under 0.4", change: uploads(Key{User: "systemd-network", Group: "a1"}), in: colmena04},
	}
}
