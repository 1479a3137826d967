package hive

import (
	"fmt"
	"slices"
	"strings"
)

// CheckInput is what [Check] needs to know besides the hive. An empty version means "not known": the rules that need
// it then stay silent, or speak of both cases.
type CheckInput struct {
	DiskoVersion   string // of the pinned disko, for example 1.8.2 or v1.8.2; a host's own facts go first
	NixVersion     string // of the nix program, for example 2.18.1
	NixMinimum     string // what the pinned nixpkgs asks for (its lib/minver.nix), for example 2.3
	ColmenaVersion string // of the colmena program, for example 0.4.0
}

// Check runs every rule over the hive and returns all problems, sorted with [SortProblems]. It needs nothing but facts:
// no file is read and no host is asked. One cause is reported once: a rule stays silent where another one has already
// named the reason.
func Check(h Hive, in CheckInput) []Problem {
	var found []Problem
	s := scope{hive: h, in: in}
	for _, r := range hiveRules() {
		found = append(found, named(r.id, r.find(s))...)
	}
	for _, host := range h.Hosts {
		found = append(found, checkHost(s, host)...)
	}
	for i := range found {
		found[i].File = definitionOf(h, found[i])
	}
	SortProblems(found)
	return found
}

// scope is what a rule may look at: the host in hand is passed beside it.
type scope struct {
	hive Hive
	in   CheckInput
}

// hiveRule compares hosts with each other. It names the host itself in each problem, or none for the whole hive.
type hiveRule struct {
	id   string
	find func(scope) []Problem
}

// hostRule looks at one host.
type hostRule struct {
	id   string
	find func(scope, Host) []Problem
}

// hiveRules is the table of rules across hosts. It is a function because the package keeps no state.
func hiveRules() []hiveRule {
	return []hiveRule{
		{"duplicate-host-name", duplicateHostNames},
		{"duplicate-address", duplicateAddresses},
		{"duplicate-host-id", duplicateHostIDs},
		{"duplicate-mac", duplicateMACs},
		{"duplicate-match", duplicateMatch},
		{"duplicate-target", duplicateTargets},
		{"shared-labels", sharedLabels},
		{"sudo-password", sudoPassword},
		{"gateway-conflict", gatewayConflicts},
		{"prefix-conflict", prefixConflicts},
		{"rollout-circle", rolloutCircle},
		{"rollout-group", rolloutGroup},
		{"disko-version", diskoVersion},
		{"nix-version", nixVersion},
	}
}

// hostRules is the table of rules for one host. The last ones repeat what NixOS itself says.
func hostRules() []hostRule {
	return slices.Concat(nameRules(), networkRules(), loginRules(), bootRules(), storageRules(), setupRules(),
		deploymentRules(), releaseRules())
}

func nameRules() []hostRule {
	return []hostRule{
		{"definition-name", definitionName},
		{"host-name", hostName},
		{"tag", tagNames},
	}
}

func networkRules() []hostRule {
	return []hostRule{
		{"no-network", noNetwork},
		{"address-syntax", addressSyntax},
		{"address-unusable", addressUnusable},
		{"interface-missing", interfaceMissing},
		{"interface-name", interfaceName},
		{"mac-syntax", macSyntax},
		{"vlan-id", vlanID},
		{"gateway-syntax", gatewaySyntax},
		{"gateway-outside-subnet", gatewayOutside},
		{"gateway-missing", gatewayMissing},
		{"nameserver-syntax", nameserverSyntax},
		{"nameservers-missing", nameserversMissing},
	}
}

func loginRules() []hostRule {
	return []hostRule{
		{"locked-out", lockedOut},
		{"admin-without-key", adminWithoutKey},
		{"key-malformed", keysMalformed},
		{"key-weak", keysWeak},
		{"root-login", rootLogin},
		{"deployer-rights", deployerRights},
		{"ssh-disabled", sshDisabled},
		{"ssh-closed", sshClosed},
		{"ssh-password", sshPassword},
	}
}

func bootRules() []hostRule {
	return []hostRule{
		{"platform", platform},
		{"boot-loader", bootLoader},
		{"firmware-platform", firmwarePlatform},
		{"esp", espMount},
		{"esp-size", espSize},
		{"grub-bios", grubBIOS},
		{"grub-removable", grubRemovable},
	}
}

func storageRules() []hostRule {
	return []hostRule{
		{"no-root", noRoot},
		{"disko-without-disk", diskoWithoutDisk},
		{"selector-syntax", selectorSyntax},
		{"selector-table", selectorTable},
		{"selector-path", selectorPath},
		{"same-selector", sameSelector},
		{"duplicate-device", duplicateDevices},
		{"additional-device", additionalDevices},
		{"duplicate-label", duplicateLabels},
		{"duplicate-pool", duplicatePools},
		{"unstable-device", unstableDevices},
		{"placeholder-device", placeholderDevices},
		{"host-id-missing", hostIDMissing},
		{"host-id-syntax", hostIDSyntax},
	}
}

func setupRules() []hostRule {
	return []hostRule{
		{"match-syntax", matchSyntax},
		{"unattended-unknown", unattendedUnknown},
	}
}

func deploymentRules() []hostRule {
	return []hostRule{
		{"target-host", targetHost},
		{"target-missing", targetMissing},
		{"target-port", targetPort},
		{"target-user", targetUser},
		{"ssh-options", sshOptions},
		{"upload-name", uploadName},
		{"upload-source", uploadSource},
		{"upload-text", uploadText},
		{"upload-in-store", uploadInStore},
		{"upload-folder", uploadFolder},
		{"upload-owner", uploadOwner},
		{"store-secret", storeSecrets},
		{"rollout-after", rolloutAfter},
		{"rollout-alone", rolloutAlone},
		{"health-check", healthCheck},
		{"health-patience", healthPatience},
	}
}

func releaseRules() []hostRule {
	return []hostRule{
		{"state-version", stateVersion},
		{"nixos-warning", nixosWarnings},
		{"loss", losses},
	}
}

// checkHost runs all rules of one host, and NixOS' own assertions last: most of what those say is said better above.
func checkHost(s scope, host Host) []Problem {
	var found []Problem
	for _, r := range hostRules() {
		found = append(found, named(r.id, r.find(s, host))...)
	}
	found = append(found, named("nixos-assertion", assertions(host, found))...)
	for i := range found {
		found[i].Host = host.Name
	}
	return found
}

// named enters the rule's id into its problems.
func named(id string, problems []Problem) []Problem {
	for i := range problems {
		problems[i].Rule = id
	}
	return problems
}

// definitionOf is the file a problem is about: the one the rule named, else the definition of its host.
func definitionOf(h Hive, p Problem) string {
	if p.File != "" || p.Host == "" {
		return p.File
	}
	for _, host := range h.Hosts {
		if host.Name == p.Host {
			return host.Definition
		}
	}
	return ""
}

// one is the result of a rule that found a single problem. The message says what is wrong and what follows from it.
func one(severity Severity, option, message, way string) []Problem {
	return []Problem{{Severity: severity, Option: option, Message: message, Way: way}}
}

// names returns the definition names of hosts.
func names(hosts []Host) []string {
	found := make([]string, len(hosts))
	for i, h := range hosts {
		found[i] = h.Name
	}
	return found
}

// list joins words as a sentence does, the first eight of them: "a, b and c", "a, … and 42 more".
func list(words []string) string {
	const most = 8
	switch {
	case len(words) == 0:
		return ""
	case len(words) == 1:
		return words[0]
	case len(words) > most:
		return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), len(words)-most)
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// groups sorts hosts by a key and returns the keys that more than one host has, in order. A host may have several keys;
// the empty key does not count.
func groups(hosts []Host, keys func(Host) []string) (order []string, members map[string][]Host) {
	members = map[string][]Host{}
	for _, h := range hosts {
		own := slices.Compact(slices.Sorted(slices.Values(keys(h))))
		for _, k := range own {
			if k != "" {
				members[k] = append(members[k], h)
			}
		}
	}
	for k, hs := range members {
		if len(hs) > 1 {
			order = append(order, k)
		}
	}
	slices.Sort(order)
	return order, members
}

// collision is the problem of a value that several hosts share. The last host carries it and the message names the
// others: which of them is the mistaken one, only the user knows.
func collision(severity Severity, hosts []Host, option, what, way string) Problem {
	last := len(hosts) - 1
	return Problem{
		Host: hosts[last].Name, Severity: severity, Option: option, Way: way,
		Message: fmt.Sprintf("%s, like %s", what, list(names(hosts[:last]))),
	}
}
