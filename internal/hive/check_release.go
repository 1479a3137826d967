package hive

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// compareVersions compares dotted numbers, as in v1.8.2 and 24.05: a leading v and whatever follows the numbers do not
// count, and missing parts are zeros.
func compareVersions(a, b string) int {
	as, bs := versionParts(a), versionParts(b)
	for len(as) < len(bs) {
		as = append(as, 0)
	}
	for len(bs) < len(as) {
		bs = append(bs, 0)
	}
	return slices.Compare(as, bs)
}

func versionParts(text string) []int {
	var parts []int
	for part := range strings.SplitSeq(strings.TrimPrefix(strings.TrimSpace(text), "v"), ".") {
		digits := strings.IndexFunc(part+"x", func(r rune) bool { return r < '0' || r > '9' })
		n, err := strconv.Atoi(part[:digits])
		if err != nil {
			break
		}
		parts = append(parts, n)
		if digits < len(part) {
			break
		}
	}
	return parts
}

// stateVersion wants system.stateVersion: without it every update of NixOS may change the form of a service's data. A
// release newer than the pinned one promises forms that this NixOS does not know.
func stateVersion(_ scope, h Host) []Problem {
	const option = "system.stateVersion"
	release := cmp.Or(h.NixOS.Release, "24.05")
	switch {
	case h.StateVersion == "":
		return one(Warning, option, "is not set: an update of NixOS may then change how services keep their data",
			fmt.Sprintf("set system.stateVersion = %q; (the release the host was first installed with)", release))
	case len(versionParts(h.StateVersion)) < 2:
		return one(Warning, option, fmt.Sprintf("%q is no release", h.StateVersion),
			fmt.Sprintf("set system.stateVersion = %q; (the release the host was first installed with)", release))
	case h.NixOS.Release != "" && compareVersions(h.StateVersion, h.NixOS.Release) > 0:
		return one(Warning, option, fmt.Sprintf("is %s, newer than the pinned NixOS %s", h.StateVersion, h.NixOS.Release),
			fmt.Sprintf(`pin NixOS %s in versions.json ("nixos": "nixos-%s"), or set system.stateVersion = %q; if the host was never installed`,
				h.StateVersion, h.StateVersion, h.NixOS.Release))
	}
	return nil
}

// Of disko and NixOS: the last disko that evaluates on 24.05 and older, the first that does not, and the first NixOS that
// the latter works on (it calls lib.match, which 24.05 lacks).
const (
	lastOldDisko  = "1.8.2"
	firstNewDisko = "1.9.0"
	firstNewNixOS = "24.11"
)

// OldestNixOS is the oldest release that nix/modules and nix/stages evaluate on: they set services.openssh.settings (22.11)
// and nix.settings (21.11), and 23.05 is what the original project started from.
const OldestNixOS = "23.05"

// NixOSSupported reports whether a release is not older than [OldestNixOS]. One that is not known is.
func NixOSSupported(release string) bool {
	return len(versionParts(release)) < 2 || compareVersions(release, OldestNixOS) >= 0
}

// DiskoFits reports whether a version of disko evaluates on a release of NixOS. Versions that are not known fit.
func DiskoFits(disko, release string) bool {
	if len(versionParts(disko)) < 2 || len(versionParts(release)) < 2 {
		return true
	}
	return compareVersions(disko, firstNewDisko) < 0 || compareVersions(release, firstNewNixOS) >= 0
}

// diskoVersion refuses a disko that does not evaluate on the pinned NixOS. Both are pins of the workspace, so all hosts
// with the same pair are one problem. A host that brings its own disko knows better.
func diskoVersion(s scope) []Problem {
	pairs := map[[2]string][]Host{}
	for _, h := range s.hive.Hosts {
		disko := h.Storage.Disko
		version := cmp.Or(disko.Version, s.in.DiskoVersion)
		if !disko.Own && (disko.Enable || len(h.Storage.Disks) > 0) && !DiskoFits(version, h.NixOS.Release) {
			pair := [2]string{strings.TrimPrefix(version, "v"), h.NixOS.Release}
			pairs[pair] = append(pairs[pair], h)
		}
	}
	var found []Problem
	for pair, hosts := range pairs {
		found = append(found, Problem{
			Severity: Error, Option: "disko", File: "versions.json",
			Message: fmt.Sprintf("disko %s does not evaluate on NixOS %s (%s): it needs %s or newer", pair[0], pair[1],
				list(names(hosts)), firstNewNixOS),
			Way: fmt.Sprintf(`set "disko": "v%s" in versions.json, the last for %s and older, or pin a newer NixOS`, lastOldDisko, "24.05"),
		})
	}
	return found
}

// nixVersion refuses a Nix that is too old for the pinned nixpkgs, which would stop every evaluation.
func nixVersion(s scope) []Problem {
	if s.in.NixVersion == "" || s.in.NixMinimum == "" || compareVersions(s.in.NixVersion, s.in.NixMinimum) >= 0 {
		return nil
	}
	return []Problem{{
		Severity: Error, Option: "nixos", File: "versions.json",
		Message: fmt.Sprintf("Nix %s is too old for the pinned nixpkgs, which asks for %s", s.in.NixVersion, s.in.NixMinimum),
		Way:     "install Nix " + s.in.NixMinimum + " or newer, or pin an older NixOS in versions.json",
	}}
}

// ownWords maps what an assertion of NixOS says (a part of its message, as of 24.05) to the rules that say it better.
func ownWords() map[string][]string {
	return map[string][]string{
		"does not specify your root file system":     {"no-root", "disko-without-disk"},
		"You must set the option ‘boot.loader.grub":  {"grub-bios"},
		"efiInstallAsRemovable, then turn off":       {"grub-removable"},
		"ZFS requires networking.hostId":             {"host-id-missing"},
		"Invalid value given to the networking.host": {"host-id-syntax"},
		"Neither the root account nor any wheel":     {"locked-out", "admin-without-key"},
	}
}

// assertions passes on NixOS assertions that do not hold, except those whose cause a rule has already named.
func assertions(h Host, before []Problem) []Problem {
	var found []Problem
	for _, message := range h.Assertions {
		if !alreadySaid(message, before) {
			found = append(found, one(Error, "", "NixOS refuses the configuration: "+oneLine(message),
				"change the setting the message names; nothing builds while an assertion fails")...)
		}
	}
	return found
}

func alreadySaid(message string, before []Problem) bool {
	for words, rules := range ownWords() {
		if !strings.Contains(message, words) {
			continue
		}
		if slices.ContainsFunc(before, func(p Problem) bool { return slices.Contains(rules, p.Rule) }) {
			return true
		}
	}
	return false
}

// oneLine joins the lines of a message.
func oneLine(message string) string {
	return strings.Join(strings.Fields(message), " ")
}

// nixosWarnings passes on what NixOS warns of.
func nixosWarnings(_ scope, h Host) []Problem {
	var found []Problem
	for _, message := range h.Warnings {
		if h.StateVersion == "" && strings.Contains(message, "system.stateVersion is not set") {
			continue // said better by the rule state-version
		}
		found = append(found, one(Warning, "", "NixOS warns: "+oneLine(message), "follow the advice in the message")...)
	}
	return found
}

// losses reports what the mini system cannot take over, because it is a function, a package or a path: an error where the
// machine may not start without it.
func losses(_ scope, h Host) []Problem {
	var found []Problem
	for _, l := range h.Losses {
		severity, what := Warning, "the mini system goes without it"
		if l.Boots {
			severity, what = Error, "the mini system may not start without it"
		}
		found = append(found, one(severity, l.Option, fmt.Sprintf("cannot be carried to the mini system (%s): %s", oneLine(l.Why), what),
			"set it in a file of its own that needs nothing but nixpkgs, and name that file in hive.mini.modules")...)
	}
	return found
}
