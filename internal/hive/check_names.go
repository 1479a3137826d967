package hive

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// unaddressable lists what Colmena's --on takes apart in a name: commas between names, @ for tags, the signs of a glob.
// Blanks and slashes are refused too, since the name is also a folder of the tree and a host name for ssh.
const unaddressable = ",@*?[]{}/\\\"'$ \t\n\r"

// definitionName refuses names that --on cannot address, that a hive reserves, or that are ours in the generated tree.
// Colmena reserves meta, network and defaults (both versions); every other attribute is a node.
func definitionName(_ scope, h Host) []Problem {
	way := fmt.Sprintf("rename the definition %s, for example to %s", h.Definition, saneName(h.Name))
	reserved := []string{"meta", "network", "defaults", "default.nix", "hive.nix", "hive.json", "deploy.json"}
	switch {
	case slices.Contains(reserved, h.Name):
		return one(Error, "", fmt.Sprintf("%q is a reserved name of a Colmena hive or of the generated tree", h.Name), way)
	case h.Name == "" || strings.ContainsAny(h.Name, unaddressable):
		return one(Error, "", fmt.Sprintf("%q has signs that `--on` reads as a list, a tag or a pattern: the host cannot be addressed",
			h.Name), way)
	case strings.ContainsRune("-._", rune(h.Name[0])):
		return one(Error, "", fmt.Sprintf("%q begins with %q: programs take it for a flag, a hidden file or a folder of ours",
			h.Name, h.Name[:1]), way)
	case strings.Trim(h.Name, "0123456789") == "":
		return one(Error, "", fmt.Sprintf("%q is a number: nix-build takes it for a place in a list, and finds no such host", h.Name), way)
	}
	return nil
}

// saneName is the nearest name that is a good host name: RFC 1123 letters, digits and hyphens, and not reserved.
func saneName(name string) string {
	clean := strings.Map(func(r rune) rune {
		if isAlphanumeric(r) || r == '-' {
			return r
		}
		return '-'
	}, name)
	clean = strings.Trim(clean, "-")
	if strings.Trim(clean, "0123456789") == "" && clean != "" {
		return "host-" + clean[:min(len(clean), 58)]
	}
	if clean == "" || slices.Contains([]string{"meta", "network", "defaults"}, clean) {
		return "host-" + strings.Trim(clean+"1", "-")
	}
	return clean[:min(len(clean), 63)]
}

func isAlphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// isLabel reports whether s is a host name label after RFC 1123: 1 to 63 letters, digits and inner hyphens.
func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return !isAlphanumeric(r) && r != '-' })
}

// isDomain reports whether s is a list of labels with dots between them.
func isDomain(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

// hostName wants networking.hostName to be an RFC 1123 label. NixOS also takes an underscore, which DNS, TLS and
// Kubernetes refuse, so that alone is a warning. A name that only follows the definition's bad one is left to that rule.
func hostName(s scope, h Host) []Problem {
	if isLabel(h.HostName) || h.HostName == h.Name && len(definitionName(s, h)) > 0 {
		return nil
	}
	way := fmt.Sprintf("set networking.hostName = %q;", saneName(cmp.Or(h.HostName, h.Name)))
	switch {
	case h.HostName == "":
		return one(Warning, "networking.hostName", "is empty: the host has no name unless DHCP hands one out", way)
	case isLabel(strings.Trim(strings.ReplaceAll(h.HostName, "_", "x"), "-")):
		return one(Warning, "networking.hostName",
			fmt.Sprintf("%q has an underscore, which DNS, certificates and Kubernetes refuse", h.HostName), way)
	}
	return one(Error, "networking.hostName",
		fmt.Sprintf("%q is no host name: up to 63 letters, digits and hyphens, no hyphen at the ends", h.HostName), way)
}

// tagNames refuses tags that --on cannot address: it splits at commas and reads globs in tags too.
func tagNames(_ scope, h Host) []Problem {
	var bad []string
	for _, tag := range h.Deployment.Tags {
		if tag == "" || strings.ContainsAny(tag, unaddressable) {
			bad = append(bad, fmt.Sprintf("%q", tag))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return one(Error, "deployment.tags", list(bad)+" cannot be addressed with `--on @TAG`",
		"use letters, digits, hyphens, dots, colons or underscores in tags")
}

// FQDN is the host's name with its domain, or the bare name without one.
func (h Host) FQDN() string {
	if h.Domain == "" || h.HostName == "" {
		return h.HostName
	}
	return h.HostName + "." + h.Domain
}

// duplicateHostNames keeps two machines from answering to one name. Names are compared with their domain and without
// regard to case, as DNS does.
func duplicateHostNames(s scope) []Problem {
	order, members := groups(s.hive.Hosts, func(h Host) []string { return []string{strings.ToLower(h.FQDN())} })
	var found []Problem
	for _, name := range order {
		hosts := members[name]
		found = append(found, collision(Error, hosts, "networking.hostName", fmt.Sprintf("the host is called %q", name),
			fmt.Sprintf("give it a name of its own: networking.hostName = %q;", saneName(hosts[len(hosts)-1].Name))))
	}
	return found
}
