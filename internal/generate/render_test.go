package generate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
	nixfiles "nixos-staged-hive/nix"
)

func text(s string) *string { return &s }

// web is a host with something in every field that is rendered.
func web(name string) hive.Host {
	return hive.Host{
		Name: name, Definition: "nixConfigs/" + name + ".nix", HostName: name, Domain: "home.arpa", HostID: "8425e349",
		System:     "x86_64-linux",
		Users:      []hive.User{{Name: "admin", HasPassword: true}, {Name: "root"}},
		Deployer:   hive.Deployer{Name: "admin", Keys: []string{"ssh-ed25519 AAAA me@desk"}, Sudo: "password"},
		Network:    hive.Network{Interfaces: []hive.Interface{{Name: "eno1", Addresses: []string{"192.168.1.10/24"}}}, Units: map[string]string{"10-hive.network": "[Match]\nName=eno1\n"}},
		Boot:       hive.Boot{KernelAttribute: "linux_6_6", SupportedFSList: []string{"ext4"}},
		Storage:    hive.Storage{Disks: []hive.Disk{{Name: "main", Device: "/dev/vda"}}},
		Deployment: hive.Deployment{TargetHost: text("192.168.1.10"), TargetUser: text("admin"), Tags: []string{"web"}},
		Member:     &hive.Member{Cluster: "home", Role: "server"},
		Carried: []hive.Carried{
			{Path: []string{"time", "timeZone"}, Value: json.RawMessage(`"Europe/Berlin"`)},
			{Path: []string{"boot", "loader", "timeout"}, Value: json.RawMessage(`{"b":12345678901234567890,"a":1.50}`)},
			{Path: []string{"i18n", "defaultLocale"}, Value: json.RawMessage(`"de_DE.UTF-8"`)},
			{Path: []string{"console", "keyMap"}, Value: json.RawMessage(`null`)},
		},
		Without: []string{"ip"},
	}
}

func render(t testing.TB, hosts ...hive.Host) Tree {
	t.Helper()
	tree, err := Render(hive.Hive{Hosts: hosts}, Input{Entries: map[string][]string{"192.168.1.10": {"web1", "web1.home.arpa"}}})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestHostDocumentHoldsAllThatMediumAndMiniSystemNeed(t *testing.T) {
	const want = `{
  "carried": [
    {
      "path": [
        "time",
        "timeZone"
      ],
      "value": "Europe/Berlin"
    },
    {
      "path": [
        "boot",
        "loader",
        "timeout"
      ],
      "value": {
        "a": 1.50,
        "b": 12345678901234567890
      }
    },
    {
      "path": [
        "i18n",
        "defaultLocale"
      ],
      "value": "de_DE.UTF-8"
    },
    {
      "path": [
        "console",
        "keyMap"
      ],
      "value": null
    }
  ],
  "definition": "nixConfigs/web1.nix",
  "deployer": {
    "hasPassword": true,
    "keys": [
      "ssh-ed25519 AAAA me@desk"
    ],
    "name": "admin",
    "sudoAsks": true
  },
  "diskLayout": true,
  "hostId": "8425e349",
  "hostName": "web1",
  "kernelAttribute": "linux_6_6",
  "keyMap": null,
  "locale": "de_DE.UTF-8",
  "miniModules": [],
  "name": "web1",
  "schema": 1,
  "supportedFileSystems": [
    "ext4"
  ],
  "system": "x86_64-linux",
  "timeZone": "Europe/Berlin",
  "units": {
    "10-hive.network": "[Match]\nName=eno1\n"
  },
  "without": [
    "ip"
  ]
}
`
	if got := string(render(t, web("web1")).Files["web1/host.json"]); got != want {
		t.Errorf("host.json is\n%s", got)
	}
}

func TestHiveDocumentHoldsOnlyWhatHostsMayKnowOfEachOther(t *testing.T) {
	const want = `{
  "entries": {
    "192.168.1.10": [
      "web1",
      "web1.home.arpa"
    ]
  },
  "hosts": {
    "bare": {
      "addresses": [],
      "definition": "",
      "domain": "",
      "hostName": "",
      "member": null,
      "system": "",
      "tags": [],
      "targetHost": null,
      "targetUser": null,
      "without": []
    },
    "web1": {
      "addresses": [
        "192.168.1.10/24"
      ],
      "definition": "nixConfigs/web1.nix",
      "domain": "home.arpa",
      "hostName": "web1",
      "member": {
        "cluster": "home",
        "role": "server"
      },
      "system": "x86_64-linux",
      "tags": [
        "web"
      ],
      "targetHost": "192.168.1.10",
      "targetUser": "admin",
      "without": [
        "ip"
      ]
    }
  },
  "schema": 1,
  "workspace": ".."
}
`
	if got := string(render(t, web("web1"), hive.Host{Name: "bare"}).Files["hive.json"]); got != want {
		t.Errorf("hive.json is\n%s", got)
	}
}

func TestTheMediumGetsThePlanOfItsHostAlone(t *testing.T) {
	a := web("web1")
	a.Setup.Match.Serials, a.SSH.Ports = []string{"PF2<&>"}, []int{22}
	tree := render(t, a, web("web2"))
	var document struct {
		Schema   int
		Plan     hive.Plan
		PlanHash string
	}
	d := json.NewDecoder(bytes.NewReader(tree.Files["web1/medium.json"]))
	d.DisallowUnknownFields()
	if err := d.Decode(&document); err != nil {
		t.Fatal(err)
	}
	want := hive.PlanOf(a)
	if document.Schema != hive.ManifestSchema || !reflect.DeepEqual(document.Plan, want) {
		t.Errorf("schema %d, plan %+v", document.Schema, document.Plan)
	}
	sum, err := document.Plan.Hash()
	if wanted, _ := want.Hash(); err != nil || sum != wanted || document.PlanHash != wanted {
		t.Errorf("hash %s, said to be %s, wanted %s (%v)", sum, document.PlanHash, wanted, err)
	}
	if text := string(tree.Files["web1/medium.json"]); strings.Contains(text, "web2") || strings.Contains(text, "ssh-ed25519") {
		t.Errorf("it knows more than it needs:\n%s", text)
	}
}

func TestNixFilesAreCopiedAsTheyAre(t *testing.T) {
	tree := render(t, web("web1"))
	want := map[string]string{
		"default.nix": "entry/default.nix", "hive.nix": "entry/hive.nix",
		"web1/iso.nix": "entry/iso.nix", "web1/mini_sys.nix": "stages/mini_sys.nix", "_all/iso.nix": "entry/all.nix",
	}
	onDisk := os.DirFS("../../nix")
	for _, top := range []string{"eval.nix", "lib", "modules", "stages"} {
		err := fs.WalkDir(onDisk, top, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				want["_hive/"+name] = name
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, source := range want {
		content, err := nixfiles.FS.ReadFile(source)
		if err != nil || !bytes.Equal(tree.Files[name], content) {
			t.Errorf("%s is not the embedded %s (%v)", name, source, err)
		}
	}
	for name := range tree.Files {
		if _, ok := want[name]; !ok && !strings.HasSuffix(name, ".json") {
			t.Errorf("%s is in the tree and nothing says why", name)
		}
	}
}

func TestBothSidesKnowOneSchema(t *testing.T) {
	content, err := nixfiles.FS.ReadFile("lib/schema.nix")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	if got, want := lines[len(lines)-1], fmt.Sprint(hive.Schema); got != want {
		t.Errorf("nix/lib/schema.nix says %s, hive.Schema says %s", got, want)
	}
}

func TestTheSameFactsInAnotherOrderGiveTheSameBytes(t *testing.T) {
	a, b := render(t, web("web1"), web("web2")), render(t, web("web2"), web("web1"))
	if !reflect.DeepEqual(a, b) {
		t.Error("the order of hosts changes the tree")
	}
}

func TestNamesThatAreNoFolderOfTheirOwnAreRefused(t *testing.T) {
	for _, name := range []string{
		"", ".", "..", ".git", "../x", "a/b", "/etc", "a\x00b", "a\nb", "_hive", "_all", "_x", "hive.nix", "hive.json",
		"default.nix", manifestName, "\xff", strings.Repeat("x", 255),
	} {
		if _, err := Render(hive.Hive{Hosts: []hive.Host{{Name: name}}}, Input{}); err == nil {
			t.Errorf("a host may be called %q", name)
		}
	}
	for _, name := range []string{"web1", "Web-1", "9", "a.b", "größe", "with blank", "modules", `q"'$`} {
		if _, err := Render(hive.Hive{Hosts: []hive.Host{{Name: name}}}, Input{}); err != nil {
			t.Errorf("a host may not be called %q: %v", name, err)
		}
	}
}

func TestAllBadNamesAreReportedAtOnce(t *testing.T) {
	_, err := Render(hive.Hive{Hosts: []hive.Host{{Name: "twin"}, {Name: "_a"}, {Name: "../b"}, {Name: "twin"}}}, Input{})
	for _, part := range []string{`"_a"`, `"../b"`, `"twin"`} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s is not in: %v", part, err)
		}
	}
}

func TestCarriedValuesThatCannotBeCarriedNameHostAndSetting(t *testing.T) {
	for _, raw := range []string{"", "{", "1 2", "\"\xff\""} {
		h := hive.Host{Name: "web1", Carried: []hive.Carried{{Path: []string{"a", "b"}, Value: json.RawMessage(raw)}}}
		_, err := Render(hive.Hive{Hosts: []hive.Host{h}}, Input{})
		if err == nil || !strings.Contains(err.Error(), `host "web1": carried setting a.b`) {
			t.Errorf("value %q: %v", raw, err)
		}
	}
}

func TestTextThatJSONWouldChangeIsRefused(t *testing.T) {
	for _, bad := range []string{"\xff", "a\x00b"} {
		h := hive.Host{Name: "web1", Network: hive.Network{Units: map[string]string{"10.network": bad}}}
		_, err := Render(hive.Hive{Hosts: []hive.Host{h}}, Input{})
		if err == nil || !strings.Contains(err.Error(), `web1/host.json: units["10.network"]`) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestMiniModulesAreCopiedAsTheyAreInTheOrderOfTheOption(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "z.nix"), filepath.Join(dir, "a.nix")
	for _, name := range []string{one, two} {
		if err := os.WriteFile(name, []byte("{ } # ''${x}\r\n"+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := hive.Hive{Hosts: []hive.Host{{Name: "web1", Setup: hive.Setup{MiniModules: []string{one, two, one}}}}}
	modules, err := ReadModules(h)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := Render(h, Input{Modules: modules})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(tree.Files["web1/modules/z.nix"]); got != "{ } # ''${x}\r\n"+one {
		t.Errorf("the copy is %q", got)
	}
	var host struct{ MiniModules []string }
	if err := json.Unmarshal(tree.Files["web1/host.json"], &host); err != nil {
		t.Fatal(err)
	}
	if want := []string{"z.nix", "a.nix"}; !slices.Equal(host.MiniModules, want) {
		t.Errorf("miniModules is %q, want %q", host.MiniModules, want)
	}
}

func TestMiniModulesWithOneFileNameAreRefusedWithBothPaths(t *testing.T) {
	h := hive.Host{Name: "web1", Setup: hive.Setup{MiniModules: []string{"/a/raid.nix", "/b/raid.nix"}}}
	_, err := Render(hive.Hive{Hosts: []hive.Host{h}}, Input{Modules: map[string][]byte{"/a/raid.nix": nil, "/b/raid.nix": nil}})
	if err == nil || !strings.Contains(err.Error(), "/a/raid.nix and /b/raid.nix") || !strings.Contains(err.Error(), "web1") {
		t.Errorf("got %v", err)
	}
}

func TestMiniModulesThatAreNoFilesAreAllNamed(t *testing.T) {
	dir := t.TempDir()
	gone := filepath.Join(dir, "gone.nix")
	_, err := ReadModules(hive.Hive{Hosts: []hive.Host{{Name: "web1", Setup: hive.Setup{MiniModules: []string{dir, gone}}}}})
	if err == nil || !strings.Contains(err.Error(), dir+" is not a file") || !strings.Contains(err.Error(), gone) {
		t.Errorf("got %v", err)
	}
}

// secrets have the form and length of real ones, by a word that their kind holds.
func secrets() map[string]string {
	return map[string]string{
		"yescrypt":  "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$" + strings.Repeat("X", 43),
		"SHA-512":   "$6$rounds=5000$saltsalt$" + strings.Repeat("a", 86),
		"SHA-256":   "$5$saltsalt$" + strings.Repeat("a", 43),
		"bcrypt":    "$2b$05$" + strings.Repeat("b", 53),
		"MD5":       "$1$abcdefgh$" + strings.Repeat("c", 22),
		"scrypt":    "$7$CU..../....abcdefgh$" + strings.Repeat("d", 43),
		"Argon2":    "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$" + strings.Repeat("e", 43),
		"private":   "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA",
		"age":       "AGE-SECRET-KEY-1" + strings.Repeat("Q", 58),
		"WireGuard": "[WireGuard]\nPrivateKey=" + strings.Repeat("A", 43) + "=\n",
	}
}

func TestSecretsAreRefusedWithHostAndPlaceAndNeverShown(t *testing.T) {
	for kind, secret := range secrets() {
		value, err := json.Marshal(map[string]any{"users": []string{"x", "root:" + secret + ":1"}})
		if err != nil {
			t.Fatal(err)
		}
		h := web("web1")
		h.Carried = append(h.Carried, hive.Carried{Path: []string{"x"}, Value: value})
		h.Deployment.Tags = []string{secret}
		_, err = Render(hive.Hive{Hosts: []hive.Host{h}}, Input{})
		var found *SecretError
		if !errors.As(err, &found) {
			t.Errorf("%s passes: %v", kind, err)
			continue
		}
		want := []Finding{
			{Host: "web1", File: "web1/host.json", Path: "carried[4].value.users[1]", Kind: found.Findings[0].Kind},
			{File: "hive.json", Path: "hosts.web1.tags[0]", Kind: found.Findings[0].Kind},
			{File: "deploy.json", Path: "hosts.web1.deployment.tags[0]", Kind: found.Findings[0].Kind},
		}
		if !slices.Equal(found.Findings, want) || !strings.Contains(want[0].Kind, kind) {
			t.Errorf("%s: found %v", kind, found.Findings)
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the message shows the secret: %v", kind, err)
		}
	}
}

func TestSecretsInKeysAndModulesAreFoundAndNotShown(t *testing.T) {
	secret := secrets()["yescrypt"]
	h := web("web1")
	h.Network.Units = map[string]string{secret: "x"}
	h.Setup.MiniModules = []string{"/m/users.nix"}
	in := Input{Modules: map[string][]byte{"/m/users.nix": []byte(`{ users.users.root.hashedPassword = "` + secret + `"; }`)}}
	_, err := Render(hive.Hive{Hosts: []hive.Host{h}}, in)
	var found *SecretError
	if !errors.As(err, &found) || len(found.Findings) != 2 || strings.Contains(err.Error(), secret) {
		t.Fatalf("got %v", err)
	}
	if f := found.Findings[0]; f.File != "web1/modules/users.nix" || f.Host != "web1" || f.Path != "" {
		t.Errorf("got %+v", f)
	}
}

func TestEverySecretFormPassesTheQuickLook(t *testing.T) {
	for _, s := range secretForms() {
		if !strings.ContainsAny(s.hint, "$K") {
			t.Errorf("%s: %q has neither a $ nor a K, so that it is never looked for", s.kind, s.hint)
		}
	}
}

func TestTextAboutHashesIsNoSecret(t *testing.T) {
	for _, harmless := range []string{"$6$", "mkpasswd makes $6$salt$hash", "$2b$ is bcrypt", "ssh-ed25519 AAAAC3Nz key$1$2$3", "PublicKey=" + strings.Repeat("A", 43) + "=", "$y$j9T$short$short"} {
		if kind := secretKind(harmless); kind != "" {
			t.Errorf("%q looks like %s", harmless, kind)
		}
	}
}

func FuzzNamesAndValuesSurviveJSON(f *testing.F) {
	for _, seed := range []string{"web1", `a"b`, "''", "${x}", "a\nb", "größe 漢字 🙂", "<&>\u2028", `\u0000`, strings.Repeat("long ", 5000), "../x", "_hive", "\xff"} {
		f.Add(seed, seed, seed)
	}
	f.Fuzz(func(t *testing.T, name, key, value string) {
		raw, err := json.Marshal(map[string]string{key: value})
		if err != nil {
			return // no JSON, no fact
		}
		h := hive.Host{
			Name: name, Deployer: hive.Deployer{Keys: []string{value, value}}, Network: hive.Network{Units: map[string]string{key: value}},
			Carried: []hive.Carried{{Path: []string{key}, Value: raw}},
		}
		tree, err := Render(hive.Hive{Hosts: []hive.Host{h}}, Input{Entries: map[string][]string{value: {key}}})
		if err != nil {
			return // refused; the tables say when
		}
		for _, file := range tree.sorted() {
			if !filepath.IsLocal(file) || !fs.ValidPath(file) {
				t.Errorf("the tree has the path %q", file)
			}
		}
		var got struct {
			Deployer hive.Deployer
			Units    map[string]string
			Carried  []struct {
				Path  []string
				Value map[string]string
			}
		}
		if err := json.Unmarshal(tree.Files[name+"/host.json"], &got); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Deployer.Keys, h.Deployer.Keys) || !maps.Equal(got.Units, h.Network.Units) ||
			got.Carried[0].Path[0] != key || got.Carried[0].Value[key] != value {
			t.Errorf("name %q, key %q, value %q became %+v", name, key, value, got)
		}
		if !bytes.HasSuffix(tree.Files["hive.json"], []byte("}\n")) {
			t.Error("hive.json does not end with one newline")
		}
	})
}

func fifty() hive.Hive {
	var h hive.Hive
	for i := range 50 {
		host := web(fmt.Sprintf("host%02d", i))
		for j := range 100 {
			host.Carried = append(host.Carried, hive.Carried{
				Path:  []string{"fileSystems", fmt.Sprintf("/mount/%d", j)},
				Value: json.RawMessage(`{"device":"/dev/disk/by-label/x","fsType":"ext4","options":["noatime","nofail"],"neededForBoot":false}`),
			})
		}
		h.Hosts = append(h.Hosts, host)
	}
	return h
}

func BenchmarkRenderFiftyHosts(b *testing.B) {
	h := fifty()
	for b.Loop() {
		if _, err := Render(h, Input{}); err != nil {
			b.Fatal(err)
		}
	}
}
