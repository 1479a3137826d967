package hive

import (
	"cmp"
	"testing"
)

func releaseCases() []ruleCase {
	const option = "alpha system.stateVersion"
	released := func(release, disko string) func(h []Host) {
		return func(h []Host) {
			for i := range h[:2] {
				h[i].NixOS.Release, h[i].Storage.Disko.Version = release, disko
			}
		}
	}
	return []ruleCase{
		{
			rule: "state-version", name: "missing", change: func(h []Host) { h[0].StateVersion = "" },
			want: []string{"warning " + option}, says: "is not set", way: `system.stateVersion = "24.05";`,
		},
		{
			rule: "state-version", name: "newer than the pin", change: func(h []Host) { h[0].StateVersion = "24.11" },
			want: []string{"warning " + option}, says: "newer than the pinned NixOS 24.05", way: `"nixos": "nixos-24.11"`,
		},
		{
			rule: "state-version", name: "not a release", change: func(h []Host) { h[0].StateVersion = "unstable" },
			want: []string{"warning " + option}, says: `"unstable" is no release`, way: `"24.05"`,
		},
		{rule: "state-version", name: "older than the pin", change: func(h []Host) { h[0].StateVersion = "23.11" }},
		{
			rule: "disko-version", name: "two hosts are one problem of the pins", change: released("24.05", "1.9.0"),
			want: []string{"error  disko"}, says: "disko 1.9.0 does not evaluate on NixOS 24.05 (alpha and beta)", way: `"disko": "v1.8.2"`,
		},
		{
			rule: "disko-version", name: "known from the pin only", change: released("23.11", ""), in: CheckInput{DiskoVersion: "v1.12.0"},
			want: []string{"error  disko", "warning alpha system.stateVersion", "warning beta system.stateVersion"},
			says: "disko 1.12.0 does not evaluate on NixOS 23.11", way: `"disko": "v1.8.2"`,
		},
		{rule: "disko-version", name: "a host brings its own", change: func(h []Host) {
			h[0].Storage.Disko.Version, h[0].Storage.Disko.Own = "1.9.0", true
		}},
		{rule: "disko-version", name: "a newer NixOS", change: released("24.11", "1.9.0")},
		{
			rule: "nix-version", name: "too old", change: func([]Host) {}, in: CheckInput{NixVersion: "2.3.16", NixMinimum: "2.18"},
			want: []string{"error  nixos"}, says: "Nix 2.3.16 is too old", way: "install Nix 2.18",
		},
		{rule: "nix-version", name: "the minimum", change: func([]Host) {}, in: CheckInput{NixVersion: "2.18.0", NixMinimum: "2.18"}},
		{
			rule: "nixos-assertion", name: "each one", change: func(h []Host) { h[0].Assertions = []string{"first\n  line", "second"} },
			want: []string{"error alpha", "error alpha"}, says: "NixOS refuses the configuration: first line", way: "while an assertion fails",
		},
		{rule: "nixos-assertion", name: "words of ours without our rule are passed on", change: func(h []Host) {
			h[0].Assertions = []string{"ZFS requires networking.hostId to be set"}
		}, want: []string{"error alpha"}, says: "ZFS requires", way: "setting the message names"},
		{rule: "nixos-assertion", name: "none", change: func([]Host) {}},
		{
			rule: "nixos-warning", name: "each one", change: func(h []Host) { h[0].Warnings = []string{"obsolete", "renamed"} },
			want: []string{"warning alpha", "warning alpha"}, says: "NixOS warns: obsolete", way: "advice",
		},
		{rule: "nixos-warning", name: "none", change: func([]Host) {}},
		{rule: "loss", name: "needed to boot", change: func(h []Host) {
			h[0].Losses = []Loss{{Option: "boot.initrd.extraFiles", Why: "a package", Boots: true}}
		}, want: []string{"error alpha boot.initrd.extraFiles"}, says: "may not start", way: "hive.mini.modules"},
		{rule: "loss", name: "not needed to boot", change: func(h []Host) {
			h[0].Losses = []Loss{{Option: "console.font", Why: "a package"}}
		}, want: []string{"warning alpha console.font"}, says: "(a package)", way: "hive.mini.modules"},
		{rule: "loss", name: "none", change: func([]Host) {}},
	}
}

func TestVersionsCompareByNumber(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"1.8.2", "v1.8.2", 0},
		{"1.9.0", "1.10.0", -1},
		{"24.11", "24.05", 1},
		{"0.5.0-pre", "0.5", 0},
		{"2.18", "2.18.0", 0},
		{"24.05pre1", "24.05", 0},
		{"", "0.1", -1},
		{"2.3.17", "2.3", 1},
	} {
		if got := cmp.Compare(compareVersions(c.a, c.b), 0); got != c.want {
			t.Errorf("%q against %q is %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestDiskoFitsByReleaseAndUnknownVersionsFit(t *testing.T) {
	for _, c := range []struct {
		disko, release string
		want           bool
	}{
		{"v1.8.2", "24.05", true},
		{"1.9.0", "24.05", false},
		{"1.9.0", "24.11", true},
		{"1.13.0", "23.11", false},
		{"", "24.05", true},
		{"1.9.0", "", true},
		{"master", "24.05", true},
	} {
		if got := DiskoFits(c.disko, c.release); got != c.want {
			t.Errorf("disko %q on NixOS %q: %v, want %v", c.disko, c.release, got, c.want)
		}
	}
}

func TestReleasesBeforeTheOldestAreNotSupported(t *testing.T) {
	for release, want := range map[string]bool{"20.09": false, "22.11": false, "23.05": true, "24.05": true, "26.11": true, "": true, "unstable": true} {
		if got := NixOSSupported(release); got != want {
			t.Errorf("%q: %v", release, got)
		}
	}
}
