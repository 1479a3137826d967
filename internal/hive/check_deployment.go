package hive

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// numbers joins ports for people.
func numbers(ports []int) string {
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = strconv.Itoa(p)
	}
	return list(words)
}

// spaced joins ports as a Nix list has them.
func spaced(ports []int) string {
	return strings.Trim(fmt.Sprint(ports), "[]")
}

// targetHost refuses targets that ssh or nix-copy-closure misread. An IPv6 literal works with one and not with the other
// (Colmena issue 331).
func targetHost(_ scope, h Host) []Problem {
	if h.Deployment.TargetHost == nil {
		return nil
	}
	const option = "deployment.targetHost"
	target := *h.Deployment.TargetHost
	named := fmt.Sprintf("set deployment.targetHost = %q;", saneName(h.Name))
	if a, err := netip.ParseAddr(strings.Trim(target, "[]")); err == nil && a.Is6() {
		return one(Error, option, target+" is an IPv6 address, which Colmena and nix-copy-closure spell differently",
			named+" and let DNS, /etc/hosts or a Host block of ssh_config resolve the name")
	}
	user, host, hasUser := strings.Cut(target, "@")
	name, port, hasPort := strings.Cut(target, ":")
	switch {
	case hasUser:
		return one(Error, option, fmt.Sprintf("%q has a user in it", target),
			fmt.Sprintf("set deployment = { targetHost = %q; targetUser = %q; };", host, user))
	case hasPort:
		return one(Error, option, fmt.Sprintf("%q has a port in it", target),
			fmt.Sprintf("set deployment = { targetHost = %q; targetPort = %s; };", name, cmp.Or(port, "22")))
	case target == "" || strings.HasPrefix(target, "-") || strings.ContainsAny(target, " \t\n/\"'"):
		return one(Error, option, fmt.Sprintf("%q is no host name and no address", target), named)
	}
	return nil
}

// targetMissing notes a host that Colmena always skips.
func targetMissing(_ scope, h Host) []Problem {
	if h.Deployment.TargetHost != nil || h.Deployment.AllowLocal {
		return nil
	}
	return one(Note, "deployment.targetHost", "is null and local deployment is not allowed: every deployment skips the host",
		fmt.Sprintf("set deployment.targetHost = %q; or deployment.allowLocalDeployment = true;", saneName(h.Name)))
}

// duplicateTargets refuses two hosts that are deployed to one place: the last one wins and the machine becomes the other
// host. Where the hosts share an address or a name, that is the cause and is reported as such.
func duplicateTargets(s scope) []Problem {
	order, members := groups(s.hive.Hosts, func(h Host) []string {
		if h.Deployment.TargetHost == nil || *h.Deployment.TargetHost == "" {
			return nil
		}
		return []string{fmt.Sprintf("%s port %d", strings.ToLower(*h.Deployment.TargetHost), portOf(h))}
	})
	var found []Problem
	for _, target := range order {
		hosts := members[target]
		where, _, _ := strings.Cut(target, " ")
		if !slices.ContainsFunc(hosts, func(h Host) bool { return !answersTo(h, where) }) {
			continue
		}
		last := hosts[len(hosts)-1]
		found = append(found, collision(Error, hosts, "deployment.targetHost", "the host is deployed to "+target,
			fmt.Sprintf("set deployment.targetHost = %q; or the address of this host", saneName(last.Name))))
	}
	return found
}

// portOf is the port a deployment connects to.
func portOf(h Host) int {
	if h.Deployment.TargetPort == nil {
		return 22
	}
	return *h.Deployment.TargetPort
}

// answersTo reports whether an address or name is the host's own.
func answersTo(h Host, target string) bool {
	return slices.Contains(addressTexts(h.Network.statics()), target) || slices.Contains(hostNames(h), target)
}

// targetPort refuses ports that are none (Nix takes any number, Colmena 16 bits) and warns of one where no sshd listens.
func targetPort(_ scope, h Host) []Problem {
	port := portOf(h)
	if port < 1 || port > 65535 {
		return one(Error, "deployment.targetPort", fmt.Sprintf("%d is no port: 1 to 65535", port),
			"set deployment.targetPort = "+strconv.Itoa(firstPort(h))+";")
	}
	if !h.SSH.Enable || len(h.SSH.Ports) == 0 || slices.Contains(h.SSH.Ports, port) || localOnly(h) {
		return nil
	}
	return one(Warning, "deployment.targetPort",
		fmt.Sprintf("deployments connect to port %d, but sshd listens on %s", port, numbers(h.SSH.Ports)),
		fmt.Sprintf("set deployment.targetPort = %d; unless a router forwards port %d", firstPort(h), port))
}

func firstPort(h Host) int {
	if len(h.SSH.Ports) > 0 {
		return h.SSH.Ports[0]
	}
	return 22
}

// targetUser refuses a login of deployments that sshd turns away. The deployer itself is judged by the login rules.
func targetUser(_ scope, h Host) []Problem {
	target := h.Deployment.TargetUser
	if target == nil || *target == h.Deployer.Name || localOnly(h) {
		return nil
	}
	way := fmt.Sprintf("set deployment.targetUser = %q;", h.Deployer.Name)
	user, known := userOf(h, *target)
	switch {
	case *target == "root" && h.SSH.RootLogin == "no":
		return one(Error, "deployment.targetUser", "root deploys, but sshd refuses root", way)
	case known && len(user.Keys) == 0 || *target == "root" && !known:
		return one(Error, "deployment.targetUser", *target+" deploys, but has no SSH key", way)
	case !known: // may still be a system user with a key: facts list people only
		return one(Warning, "deployment.targetUser", fmt.Sprintf("%q is not among the people who can log in to the host", *target), way)
	}
	return nil
}

// userOf finds a login in the facts, which list only people with a key or a password.
func userOf(h Host, name string) (User, bool) {
	for _, u := range h.Users {
		if u.Name == name {
			return u, true
		}
	}
	return User{}, false
}

// sshOptions speaks of options that Colmena 0.4 does not know; they came with 0.5.
func sshOptions(s scope, h Host) []Problem {
	if len(h.Deployment.SSHOptions) == 0 || !isColmena04(s.in) {
		return nil
	}
	return one(Warning, "deployment.sshOptions", "Colmena "+s.in.ColmenaVersion+" has no such option: they are left out",
		"put the options into ~/.ssh/config, or use Colmena 0.5")
}

// isColmena04 reports whether the Colmena in use is known to be older than 0.5.
func isColmena04(in CheckInput) bool {
	return in.ColmenaVersion != "" && compareVersions(in.ColmenaVersion, "0.5") < 0
}

// eachUpload runs a judgement over the keys that Colmena uploads.
func eachUpload(h Host, judge func(k Key, option string) []Problem) []Problem {
	var found []Problem
	for _, k := range h.Deployment.Keys {
		found = append(found, judge(k, fmt.Sprintf("deployment.keys.%q", k.Name))...)
	}
	return found
}

// uploadName refuses key names that are no file name; Colmena refuses them too, without saying which.
func uploadName(_ scope, h Host) []Problem {
	return eachUpload(h, func(k Key, option string) []Problem {
		if k.Name != "" && k.Name != "." && k.Name != ".." && !strings.Contains(k.Name, "/") {
			return nil
		}
		return one(Error, option+".name", fmt.Sprintf("%q is no file name", k.Name),
			"use a name without slashes and put the folder into destDir")
	})
}

// uploadSource wants exactly one source for each key. Colmena reads the keys before NixOS' assertion can speak and then
// fails with the whole hive as its message.
func uploadSource(_ scope, h Host) []Problem {
	return eachUpload(h, func(k Key, option string) []Problem {
		switch k.Source {
		case "none":
			return one(Error, option, "has no source: nothing can be uploaded",
				`set keyFile = "/absolute/path"; or keyCommand = [ "pass" "show" "name" ]; for the key`)
		case "several":
			return one(Error, option, "has several sources: it is not clear which one counts",
				"leave one of keyFile, keyCommand and text")
		}
		return nil
	})
}

// uploadText warns of secrets written into the definition: every evaluation shows them.
func uploadText(_ scope, h Host) []Problem {
	return eachUpload(h, func(k Key, option string) []Problem {
		if k.Source != "text" {
			return nil
		}
		return one(Warning, option+".text", "the secret stands in the definition and is part of every evaluation of the hive",
			`put it into a file and set keyFile = "/absolute/path"; or keyCommand = [ "pass" "show" "name" ];`)
	})
}

// uploadInStore refuses a keyFile that is a Nix path: evaluating the hive copies it to the store, which all may read.
func uploadInStore(_ scope, h Host) []Problem {
	return eachUpload(h, func(k Key, option string) []Problem {
		if !k.InStore {
			return nil
		}
		return one(Error, option+".keyFile", "is a Nix path: evaluation copies the secret to the Nix store, where every user can read it",
			`write it as a string, with quotes: keyFile = "/absolute/path";`)
	})
}

// uploadFolder refuses relative folders: the upload runs in whatever folder the login starts in.
func uploadFolder(_ scope, h Host) []Problem {
	return eachUpload(h, func(k Key, option string) []Problem {
		if k.DestDir == "" || strings.HasPrefix(k.DestDir, "/") {
			return nil
		}
		return one(Error, option+".destDir", fmt.Sprintf("%q is no absolute path", k.DestDir),
			fmt.Sprintf("set destDir = %q;", "/run/keys/"+strings.TrimPrefix(k.DestDir, "./")))
	})
}

// uploadOwner speaks of owners that Colmena 0.4 refuses with nothing but "Validation error": it wants ^[a-z][-a-z0-9]*$,
// 0.5 does not. With the version unknown it is a warning.
func uploadOwner(s scope, h Host) []Problem {
	if s.in.ColmenaVersion != "" && !isColmena04(s.in) {
		return nil
	}
	severity := Warning
	if isColmena04(s.in) {
		severity = Error
	}
	return eachUpload(h, func(k Key, option string) []Problem {
		what, owner := "user", k.User
		if isPlainOwner(owner) {
			what, owner = "group", k.Group
		}
		if isPlainOwner(owner) {
			return nil
		}
		return one(severity, option+"."+what, fmt.Sprintf("Colmena 0.4 refuses the name %q: small letters, digits and hyphens only", owner),
			"use Colmena 0.5, or upload as root and let a service hand the file over")
	})
}

// isPlainOwner reports whether Colmena 0.4 takes the name of a user or group; empty means the default, root.
func isPlainOwner(name string) bool {
	odd := func(r rune) bool { return r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9') }
	return name == "" || name[0] >= 'a' && name[0] <= 'z' && !strings.ContainsFunc(name, odd)
}

// storeSecrets reports secrets in the store, which every user of every machine that ever built or ran the host can read.
// A hash can be attacked at leisure and an initial password is meant to be changed: those are warnings.
func storeSecrets(_ scope, h Host) []Problem {
	var found []Problem
	for _, option := range h.StoreSecrets {
		if isUpload(h, option) {
			continue // upload-in-store and upload-text say it
		}
		severity, what := Error, "the secret"
		lower := strings.ToLower(option)
		if strings.Contains(lower, "hashed") || strings.Contains(lower, "initial") {
			severity, what = Warning, "the password or its hash"
		}
		found = append(found, one(severity, option, what+" lands in the Nix store, where every user can read it", secretWay(h, option))...)
	}
	return found
}

func isUpload(h Host, option string) bool {
	return slices.ContainsFunc(h.Deployment.Keys, func(k Key) bool {
		return strings.Contains(option, "deployment.keys."+k.Name+".") || strings.Contains(option, fmt.Sprintf("deployment.keys.%q.", k.Name))
	})
}

// secretWay names the option that takes a file in place of the value, as far as it is known.
func secretWay(h Host, option string) string {
	stem := option[:strings.LastIndex(option, ".")+1]
	if h.Admin.Declared && stem == "users.users."+h.Admin.Name+"." {
		stem = "hive.admin."
	}
	if strings.Contains(strings.ToLower(option), "password") {
		return fmt.Sprintf(`put the hash (mkpasswd) into a file on the host: %shashedPasswordFile = "/absolute/path";`, stem)
	}
	return "upload it with deployment.keys and name the file on the host by its path, as a string with quotes"
}
