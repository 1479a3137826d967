package workspace

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"nixos-staged-hive/internal/pin"
)

func TestVersionsOfTheOriginalProjectAreUnderstood(t *testing.T) {
	v, err := parseVersions([]byte(`{"nixos": "nixos-23.05", "k3s": "v1.27.4-k3s1", "disko": "v1.1.0"}`))
	if err != nil || v.NixOS.Text != "nixos-23.05" || v.Disko.Text != "v1.1.0" || v.K3s.String() != "v1.27.4+k3s1" {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestMissingVersionsHaveDefaults(t *testing.T) {
	v, err := readVersions(t.TempDir())
	if err != nil || v.NixOS.Text != DefaultNixOS || v.Disko.Text != DefaultDisko || v.K3s.String() != DefaultK3s {
		t.Errorf("%+v, %v", v, err)
	}
	v, err = parseVersions([]byte(`{"disko": "./disko", "hosts": {"a": {"nixos": "https://host/x.tar.gz"}, "b": {}}}`))
	if err != nil || v.NixOS.Text != DefaultNixOS || v.Disko.Kind != pin.Path {
		t.Errorf("%+v, %v", v, err)
	}
	if own := v.Hosts["a"].NixOS; own == nil || own.Kind != pin.URL || v.Hosts["b"].NixOS != nil {
		t.Errorf("hosts %+v", v.Hosts)
	}
}

func TestMistakesInVersionsHaveLineAndColumn(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "versions.json:1:1: not valid JSON",
		"{\n  \"nixos\": \"x\",\n}":              "versions.json:3:1: not valid JSON",
		"{\"nixos\": \"ä\" \"x\"}":               "versions.json:1:15: not valid JSON",
		"{}{}":                                   "versions.json:1:3: not valid JSON",
		"\xff":                                   "versions.json:1:1: the file is not valid UTF-8",
		"[]":                                     "versions.json:1:1: the whole file: expected an object in braces",
		"{\n  \"nixso\": \"x\"}":                 `versions.json:2:3: the whole file: unknown key "nixso" (did you mean nixos?)`,
		"{\"colmena\": {\"a\": [1]}}":            `unknown key "colmena"`,
		"{\"disko\": null}":                      "versions.json:1:11: disko: expected text in quotes",
		"{\"nixos\": \"a b\"}":                   "versions.json:1:11: nixos: version \"a b\"",
		"{\"k3s\": \"latest\"}":                  "versions.json:1:9: k3s: version \"latest\": it is not a version of K3s",
		"{\"nixos\": \"a\", \"nixos\": \"b\"}":   `versions.json:1:16: the whole file: key "nixos" is there twice`,
		"{\"hosts\": {\"a\": {\"nixOS\": 1}}}":   `hosts.a: unknown key "nixOS" (did you mean nixos?)`,
		"{\"hosts\": {\"a\": {\"nixos\": 1}}}":   "hosts.a.nixos: expected text in quotes",
		"{\"hosts\": []}":                        "hosts: expected an object in braces",
		"{\"hosts\": {\"a\": \"nixos-24.05\"}}":  "hosts.a: expected an object in braces",
		"{\"without\": \"ip\"}":                  "without: expected a list in brackets",
		"{\"without\": [\"ip\", 1]}":             "versions.json:1:20: without: expected text in quotes",
		strings.Repeat("[", 11000):               "not valid JSON",
		"{\"nixos\": \"https://u:p@host/x.gz\"}": "password",
	} {
		_, err := parseVersions([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v\nwant %q", text, err, want)
		}
	}
}

func TestAllMistakesInVersionsAreReportedAtOnce(t *testing.T) {
	_, err := parseVersions([]byte("{\n\"nixos\": 1,\n\"disko\": \"-x\",\n\"k3s\": [],\n\"x\": {}\n}"))
	wantError(t, err, ":2:10: nixos", ":3:10: disko", ":4:8: k3s", ":5:1: the whole file: unknown key")
}

func FuzzVersions(f *testing.F) {
	for _, s := range []string{`{"nixos":"x","hosts":{"a":{"nixos":"./b","without":["ip"]}},"without":[]}`, `{"a":{"b":[1,{"c":null}]},"nixos":1}`, `{"":"","":1}`, "{}\n", `[[`, `{"k3s":"v1.2.3-k3s1"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := parseVersions(text)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Errorf("%q: error without a place: %v", text, err)
			}
			return
		}
		var plain struct {
			NixOS *string `json:"nixos"`
			Hosts map[string]json.RawMessage
		}
		if json.Unmarshal(text, &plain) != nil {
			t.Errorf("%q: accepted, but it is no such object", text)
		}
		if plain.NixOS != nil && *plain.NixOS != v.NixOS.Text {
			t.Errorf("%q: nixos %q, encoding/json reads %q", text, v.NixOS.Text, *plain.NixOS)
		}
	})
}

func FuzzLock(f *testing.F) {
	f.Add([]byte(`{"schema":1,"pins":{}}`))
	f.Add([]byte(`{"schema":1,"pins":{"nixos":{"spec":"x","url":"","path":"","rev":"","narHash":"sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","storePath":"/nix/store/x-source"}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := parseLock(text)
		if err != nil {
			return
		}
		once, err := l.text()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseLock(once)
		if err != nil {
			t.Fatalf("%q: cannot read back %q: %v", text, once, err)
		}
		if twice, err := again.text(); err != nil || string(twice) != string(once) {
			t.Errorf("not stable: %q, %q, %v", once, twice, err)
		}
	})
}
