package hive

import (
	"fmt"
	"slices"
	"strings"
)

// exampleKey is what a public key looks like, for messages to paste over.
const exampleKey = `"ssh-ed25519 AAAA... you@deployer"`

// keyOption is the option that holds a login's keys.
func keyOption(h Host, user string) string {
	if h.Admin.Declared && user == h.Admin.Name {
		return "hive.admin.sshKeys"
	}
	return "users.users." + user + ".openssh.authorizedKeys.keys"
}

// adminName is the name to use in advice.
func adminName(h Host) string {
	if h.Admin.Name != "" {
		return h.Admin.Name
	}
	return "admin"
}

// lockedOut refuses a host nobody can log in to with a key (passwords are no way in for a deployment: ssh runs in batch
// mode). It also speaks up if others have keys, but not the login that deploys. A host that deploys itself needs no key,
// only some password.
func lockedOut(_ scope, h Host) []Problem {
	if len(h.Deployer.Keys) > 0 {
		return nil
	}
	way := fmt.Sprintf(`give the admin your public key (cat ~/.ssh/id_ed25519.pub): hive.admin = { name = %q; sshKeys = [ %s ]; };`,
		adminName(h), exampleKey)
	holder := slices.IndexFunc(h.Users, func(u User) bool { return len(u.Keys) > 0 })
	switch {
	case localOnly(h) && (hasPassword(h) || holder >= 0):
		return nil
	case localOnly(h):
		return one(Error, keyOption(h, h.Deployer.Name), "no login has a password or an SSH key: you would be locked out of the installed host", way)
	case h.Admin.Declared && len(h.Admin.Keys) == 0 && holder >= 0:
		return nil // admin-without-key says it
	case holder >= 0:
		return one(Error, keyOption(h, h.Deployer.Name),
			fmt.Sprintf("%s deploys to the host but has no SSH key; only %s has one", h.Deployer.Name, h.Users[holder].Name), way)
	}
	return one(Error, keyOption(h, h.Deployer.Name), "no login has an SSH key: you would be locked out of the installed host", way)
}

func hasPassword(h Host) bool {
	return h.Admin.HasPassword ||
		slices.ContainsFunc(h.Users, func(u User) bool { return u.HasPassword && (u.Wheel || u.Name == "root") })
}

// adminWithoutKey speaks of an admin with nothing but a password. It is an error if the admin is the one who deploys.
func adminWithoutKey(_ scope, h Host) []Problem {
	anyKey := len(h.Deployer.Keys) > 0 || slices.ContainsFunc(h.Users, func(u User) bool { return len(u.Keys) > 0 })
	if !h.Admin.Declared || len(h.Admin.Keys) > 0 || !anyKey || localOnly(h) {
		return nil // without any key, locked-out says it
	}
	severity := Warning
	if h.Deployer.Name == h.Admin.Name && len(h.Deployer.Keys) == 0 {
		severity = Error
	}
	return one(severity, "hive.admin.sshKeys", fmt.Sprintf("the admin %s has a password but no SSH key, and passwords are refused over SSH",
		adminName(h)), fmt.Sprintf("add your public key (cat ~/.ssh/id_ed25519.pub): hive.admin.sshKeys = [ %s ];", exampleKey))
}

// heldKey is a key of a login, counted from 1.
type heldKey struct {
	user string
	n    int
	text string
}

// heldKeys are the keys of all logins: the admin's, the deployer's, then the others', each key where it is found first.
// hive.ssh hands the admin's keys on to root, and that is no second cause.
func heldKeys(h Host) []heldKey {
	logins := []User{{Name: h.Deployer.Name, Keys: h.Deployer.Keys}}
	if h.Admin.Declared {
		logins = slices.Insert(logins, 0, User{Name: h.Admin.Name, Keys: h.Admin.Keys})
	}
	seen := map[string]bool{}
	var found []heldKey
	for _, u := range append(logins, h.Users...) {
		for i, text := range u.Keys {
			if !seen[text] {
				found = append(found, heldKey{u.Name, i + 1, text})
			}
			seen[text] = true
		}
	}
	return found
}

// keysMalformed refuses keys that sshd would skip without a word. A bad key of somebody who does not deploy is a
// warning, a private key always an error. Keys are counted from 1 and never quoted.
func keysMalformed(_ scope, h Host) []Problem {
	var found []Problem
	for _, k := range heldKeys(h) {
		fault := judgeKey(k.text)
		if fault == keyFine || fault == keyDSA || fault == keyShortRSA {
			continue
		}
		severity := Warning
		if fault == keyPrivate || k.user == h.Deployer.Name || h.Admin.Declared && k.user == h.Admin.Name {
			severity = Error
		}
		option := keyOption(h, k.user)
		found = append(found, one(severity, option, fmt.Sprintf("key %d of %s %s", k.n, k.user, fault), keyWay(fault, option))...)
	}
	return found
}

// keyWay is what to do about a bad key.
func keyWay(fault keyFault, option string) string {
	switch fault {
	case keyPrivate:
		return "make a new pair with ssh-keygen -t ed25519 and put the .pub file's line there; treat the old key as stolen"
	case keyPath:
		return option + " = [ (builtins.readFile /home/you/.ssh/id_ed25519.pub) ];"
	case keyForeign:
		return "convert it with ssh-keygen -i -f FILE (PuTTY's with puttygen FILE -O public-openssh) and put the line there"
	default:
		return "put the whole line of the .pub file there: " + option + " = [ " + exampleKey + " ];"
	}
}

// keysWeak speaks of keys that sshd refuses or should not trust. A refused key is an error if its owner deploys and has
// no other.
func keysWeak(_ scope, h Host) []Problem {
	accepted := slices.ContainsFunc(h.Deployer.Keys, func(k string) bool {
		fault := judgeKey(k)
		return fault == keyFine || fault == keyShortRSA
	})
	var found []Problem
	for _, k := range heldKeys(h) {
		fault := judgeKey(k.text)
		if fault != keyDSA && fault != keyShortRSA {
			continue
		}
		severity := Warning
		if fault == keyDSA && k.user == h.Deployer.Name && !accepted {
			severity = Error
		}
		found = append(found, one(severity, keyOption(h, k.user), fmt.Sprintf("key %d of %s %s", k.n, k.user, fault),
			"make a new pair with ssh-keygen -t ed25519 and put the .pub file's line there")...)
	}
	return found
}

// rootLogin refuses a host whose deployer is root while its sshd turns root away.
func rootLogin(_ scope, h Host) []Problem {
	if h.Deployer.Name != "root" || len(h.Deployer.Keys) == 0 || !h.SSH.Enable || h.SSH.RootLogin != "no" || localOnly(h) {
		return nil
	}
	return one(Error, "services.openssh.settings.PermitRootLogin", "root deploys to the host, but sshd refuses root",
		fmt.Sprintf(`declare an admin: hive.admin = { name = "admin"; sshKeys = [ %s ]; }; or set services.openssh.settings.PermitRootLogin = "prohibit-password";`, exampleKey))
}

// deploysAsRoot reports whether deployments log in as root although somebody else is the deployer.
func deploysAsRoot(h Host) bool {
	target := h.Deployment.TargetUser
	return h.Deployer.Name == "root" || target != nil && *target == "root"
}

// deployerRights refuses a login that cannot deploy: activation needs root, and the copy, which is not run as root,
// brings unsigned paths that only a trusted user may add (Colmena issues 27, 200, 210).
func deployerRights(_ scope, h Host) []Problem {
	d := h.Deployer
	if deploysAsRoot(h) || localOnly(h) {
		return nil
	}
	const trust = `nix.settings.trusted-users = [ "root" "@wheel" ];`
	option, message, way := sudoFault(h)
	switch {
	case message != "" && !d.Trusted:
		return one(Error, option, message+", and may not add unsigned store paths", way+" and "+trust)
	case message != "":
		return one(Error, option, message, way)
	case !d.Trusted:
		return one(Error, "nix.settings.trusted-users",
			d.Name+" deploys to the host but may not add unsigned store paths: the copy would be refused", "set "+trust)
	}
	return nil
}

// sudoFault says why the deployer cannot become root. A member of wheel without a password cannot answer sudo.
func sudoFault(h Host) (option, message, way string) {
	name := h.Deployer.Name
	if h.Deployer.Sudo != "none" {
		return "", "", ""
	}
	if user, known := userOf(h, name); known && user.Wheel && !user.HasPassword {
		file := keyOption(h, name)
		file = strings.TrimSuffix(strings.TrimSuffix(file, "sshKeys"), "openssh.authorizedKeys.keys") + "hashedPasswordFile"
		way = fmt.Sprintf(`set %s = "/absolute/path"; or security.sudo.wheelNeedsPassword = false;`, file)
		if root, known := userOf(h, "root"); known && len(root.Keys) > 0 {
			way = `set deployment.targetUser = "root"; which has a key, or security.sudo.wheelNeedsPassword = false;`
		}
		return "security.sudo.wheelNeedsPassword", name + " deploys to the host, but sudo asks for a password and " + name + " has none", way
	}
	return "users.users." + name + ".extraGroups", name + " deploys to the host but cannot become root: the system could be copied, not activated",
		fmt.Sprintf(`set users.users.%s.extraGroups = [ "wheel" ]; security.sudo.enable = true;`, name)
}

// sudoPassword notes that plain Colmena cannot type a password: it runs sudo without a terminal and without input. Through us it can. A
// password for sudo is a good habit and most hives have it everywhere, so it is one note for all hosts.
func sudoPassword(s scope) []Problem {
	var asked []Host
	for _, h := range s.hive.Hosts {
		if h.Deployer.Sudo == "password" && len(h.Deployer.Keys) > 0 && !localOnly(h) && !deploysAsRoot(h) {
			asked = append(asked, h)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	found := one(Note, "security.sudo.wheelNeedsPassword",
		fmt.Sprintf("sudo asks for a password on %s: `hive deploy` asks you for it once, and plain `colmena apply` fails at the activation",
			list(names(asked))),
		`set security.sudo.wheelNeedsPassword = false; or give root a key with deployment.targetUser = "root"; and services.openssh.settings.PermitRootLogin = "prohibit-password";`)
	if len(asked) == 1 {
		found[0].Host = asked[0].Name
	}
	return found
}

// sshDisabled refuses a host that is deployed to over SSH and runs no sshd. Without any key that is only a consequence:
// hive.ssh starts sshd with the admin's first key.
func sshDisabled(s scope, h Host) []Problem {
	if h.SSH.Enable || localOnly(h) || len(lockedOut(s, h)) > 0 {
		return nil
	}
	return one(Error, "services.openssh.enable", "sshd is off: the installed host cannot be reached",
		"set services.openssh.enable = true; or, for a machine that deploys itself, deployment = { targetHost = null; allowLocalDeployment = true; };")
}

// sshClosed refuses a host whose firewall drops SSH.
func sshClosed(_ scope, h Host) []Problem {
	if !h.SSH.Enable || h.SSH.Reachable || !h.Network.Firewall.Enable || localOnly(h) {
		return nil
	}
	ports := h.SSH.Ports
	if len(ports) == 0 {
		ports = []int{22}
	}
	closed := slices.DeleteFunc(slices.Clone(ports), func(p int) bool { return slices.Contains(h.Network.Firewall.TCP, p) })
	if len(closed) == 0 {
		closed = ports
	}
	return one(Error, "networking.firewall.allowedTCPPorts",
		fmt.Sprintf("the firewall drops sshd's port %s: the installed host cannot be reached", numbers(closed)),
		fmt.Sprintf("set services.openssh.openFirewall = true; or networking.firewall.allowedTCPPorts = [ %s ];", spaced(ports)))
}

// sshPassword warns of logins that can be guessed over the network. NixOS allows passwords as long as nobody says
// otherwise.
func sshPassword(_ scope, h Host) []Problem {
	if !h.SSH.Enable || !h.SSH.PasswordAuth {
		return nil
	}
	if h.SSH.RootLogin == "yes" {
		return one(Warning, "services.openssh.settings.PermitRootLogin", "anybody on the network may try passwords for root",
			`set services.openssh.settings = { PasswordAuthentication = false; PermitRootLogin = "prohibit-password"; };`)
	}
	return one(Warning, "services.openssh.settings.PasswordAuthentication", "anybody on the network may try passwords",
		"set services.openssh.settings.PasswordAuthentication = false;")
}
