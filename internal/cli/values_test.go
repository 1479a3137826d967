package cli_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/testbed/need"
)

// values are what one definition sets. They reach it through JSON, so that no quoting of ours can help them.
type values struct {
	Params   []string          `json:"params"`   // boot.kernelParams, which NixOS lets have blanks inside of double quotes only
	Options  []string          `json:"options"`  // fileSystems."/".options
	Mounts   map[string]string `json:"mounts"`   // device by mount point
	Locale   map[string]string `json:"locale"`   // i18n.extraLocaleSettings
	Luks     map[string]string `json:"luks"`     // device by name
	Search   []string          `json:"search"`   // networking.search
	Modprobe string            `json:"modprobe"` // boot.extraModprobeConfig
	Font     string            `json:"font"`     // console.font
	Tags     []string          `json:"tags"`
	Keys     []string          `json:"keys"`
	Scripts  []string          `json:"scripts"`
	Unit     string            `json:"unit"` // text of a unit of networkd
}

// usesValues is a definition that sets all of them.
const usesValues = `{ lib, ... }:
let v = builtins.fromJSON (builtins.readFile ../values.json); in
{
  imports = [ {` + sound + `} ];
  boot.kernelParams = v.params;
  boot.extraModprobeConfig = v.modprobe;
  boot.initrd.luks.devices = lib.mapAttrs (_: device: { inherit device; }) v.luks;
  fileSystems = lib.mapAttrs (_: device: { inherit device; fsType = "ext4"; }) v.mounts // { "/".options = v.options; };
  i18n.extraLocaleSettings = v.locale;
  networking.search = v.search;
  console.font = v.font;
  hive.deployment.tags = v.tags;
  hive.admin.sshKeys = v.keys;
  hive.setup.preScript = v.scripts;
  hive.setup.postScript = v.scripts;
  systemd.network.networks."50-odd" = { matchConfig.Name = "odd*"; extraConfig = v.unit; };
}
`

// evaluated reads the same settings back from a mini system or a full one, by nix alone.
const evaluated = `{ nixpkgs, modules }:
let
  c = (import (/. + nixpkgs + "/nixos/lib/eval-config.nix") { system = null; modules = [ (/. + modules) ]; }).config;
  devices = builtins.mapAttrs (_: f: f.device);
in
{
  params = c.boot.kernelParams;
  options = c.fileSystems."/".options;
  mounts = devices c.fileSystems;
  locale = c.i18n.extraLocaleSettings;
  luks = devices c.boot.initrd.luks.devices;
  inherit (c.networking) search;
  modprobe = c.boot.extraModprobeConfig;
  inherit (c.console) font;
  unit = c.systemd.network.units."50-odd.network".text;
  keys = c.users.users.admin.openssh.authorizedKeys.keys;
  tags = [ ];
  scripts = [ ];
}
`

// pieces are what texts are made of: each has a meaning in Nix, JSON, a shell, XML or Go's templates.
func pieces() []string {
	return []string{
		`"`, `''`, `'`, `${`, `$${`, `''${`, `}`, `{`, `${builtins.abort "x"}`, `''$`, `'''`, `\`, `\n`, `\"`, `\\`, `\u0041`, "\n", "\r\n", "\t", " ", "  ",
		"ä", "漢字", "🙂", "e\u0301", "\u2028", "\u00a0", "\u200b", "\u202e", "\ufeff", "\x7f", "\x1b[31m", "\x01", "<", ">", "&", "&amp;", "%s", "%d%v", "`id`", "$(id)", "$HOME",
		";", "*/", "/*", "#", "//", "--", "@", "=", ",", ":", "a", "Z", "0", "null", "true", "1e9", "[", "]", "{{.}}", "/nix/store/x", "~", "|", "!", "?", "*",
	}
}

func text(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(12) {
		b.WriteString(pieces()[r.IntN(len(pieces()))])
	}
	return b.String()
}

func texts(r *rand.Rand, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = text(r)
	}
	return list
}

// without drops what an option's type refuses.
func without(s, chars string) string {
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune(chars, c) {
			return -1
		}
		return c
	}, s)
}

func each(list []string, f func(string) string) []string {
	for i, s := range list {
		list[i] = f(s)
	}
	return list
}

func byName(r *rand.Rand, n int, name, value func(string) string) map[string]string {
	m := map[string]string{}
	for range n {
		m[name(text(r))] = value(text(r))
	}
	return m
}

func randomValues(r *rand.Rand) values {
	same := func(s string) string { return s }
	before := func(p string) func(string) string { return func(s string) string { return p + s } }
	return values{
		Params: each(texts(r, 40), func(s string) string {
			bare := without(s, "\" \t\n\v\f\r")
			return "p=" + bare + `"` + without(s, `"`) + `"`
		}),
		Options:  each(texts(r, 40), before("o=")),
		Mounts:   byName(r, 10, func(s string) string { return "/mnt/" + strings.ReplaceAll(s, "/", "") + "x" }, before("/dev/")),
		Locale:   byName(r, 20, before("LC_"), same),
		Luks:     byName(r, 10, before("crypt"), before("/dev/")),
		Search:   texts(r, 40),
		Modprobe: text(r) + "m", Font: text(r), Tags: texts(r, 40), Scripts: texts(r, 40), Unit: "[Odd]\nKey=" + text(r),
		Keys: each(texts(r, 20), func(s string) string { return "ssh-ed25519 AAAA " + without(s, "\n\r\u2028") + "." }),
	}
}

// long values are longer than an argument of a program, a pipe or a line may be.
func longValues() values {
	r := rand.New(rand.NewPCG(1, 1))
	v := randomValues(r)
	v.Tags, v.Search, v.Scripts = texts(r, 10_000), texts(r, 10_000), texts(r, 10_000)
	v.Options = each(texts(r, 10_000), func(s string) string { return "o=" + s })
	v.Modprobe = strings.Repeat(strings.Join(pieces(), ""), 2_000)
	v.Params = slices.Repeat(v.Params, 250)
	return v
}

// contains tells whether a list holds another without a gap: modules of NixOS may add before and behind.
func contains(list, part []string) bool {
	for i := 0; i+len(part) <= len(list); i++ {
		if slices.Equal(list[i:i+len(part)], part) {
			return true
		}
	}
	return false
}

func holds(m, part map[string]string) bool {
	for k, v := range part {
		if got, ok := m[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// compare tells which of the values did not come through.
func compare(t *testing.T, where string, got, want values) {
	t.Helper()
	for name, ok := range map[string]bool{
		"params":   contains(got.Params, want.Params),
		"options":  contains(got.Options, want.Options),
		"mounts":   holds(got.Mounts, want.Mounts),
		"locale":   holds(got.Locale, want.Locale),
		"luks":     holds(got.Luks, want.Luks),
		"search":   contains(got.Search, want.Search),
		"modprobe": strings.Contains(got.Modprobe, want.Modprobe),
		"font":     got.Font == want.Font,
		"keys":     contains(got.Keys, want.Keys),
		"tags":     contains(got.Tags, want.Tags),
		"scripts":  contains(got.Scripts, want.Scripts),
		"unit":     strings.Contains(got.Unit, want.Unit),
	} {
		if !ok {
			g, w := reflect.ValueOf(got), reflect.ValueOf(want)
			field := func(v reflect.Value) string {
				return fmt.Sprintf("%.1500q", v.FieldByNameFunc(func(n string) bool { return strings.EqualFold(n, name) }).Interface())
			}
			t.Errorf("%s: %s did not come through\n got %s\nwant %s", where, name, field(g), field(w))
		}
	}
}

// fromFacts picks the values out of the facts of a host.
func fromFacts(t *testing.T, raw json.RawMessage) values {
	t.Helper()
	var f struct {
		Admin      struct{ Keys []string }
		Network    struct{ Units map[string]string }
		Setup      struct{ PreScript, PostScript []string }
		Deployment struct{ Tags []string }
		Carried    []carriedSetting
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.Setup.PreScript, f.Setup.PostScript) {
		t.Error("preScript and postScript differ")
	}
	v := fromCarried(t, f.Carried)
	v.Keys, v.Tags, v.Scripts, v.Unit = f.Admin.Keys, f.Deployment.Tags, f.Setup.PreScript, f.Network.Units["50-odd.network"]
	return v
}

type carriedSetting struct {
	Path  []string
	Value json.RawMessage
}

func fromCarried(t *testing.T, all []carriedSetting) values {
	t.Helper()
	v := values{Mounts: map[string]string{}, Luks: map[string]string{}}
	read := func(raw json.RawMessage, into any) {
		if err := json.Unmarshal(raw, into); err != nil {
			t.Error(err)
		}
	}
	device := func(c carriedSetting) string {
		var s string
		read(c.Value, &s)
		return s
	}
	for _, c := range all {
		last := c.Path[len(c.Path)-1]
		switch {
		case c.Path[0] == "fileSystems" && last == "device":
			v.Mounts[c.Path[1]] = device(c)
		case c.Path[0] == "fileSystems" && last == "options" && c.Path[1] == "/":
			read(c.Value, &v.Options)
		case len(c.Path) == 6 && c.Path[2] == "luks" && last == "device":
			v.Luks[c.Path[4]] = device(c)
		}
		if into := map[string]any{
			"boot.kernelParams": &v.Params, "boot.extraModprobeConfig": &v.Modprobe, "i18n.extraLocaleSettings": &v.Locale,
			"networking.search": &v.Search, "console.font": &v.Font,
		}[strings.Join(c.Path, ".")]; into != nil {
			read(c.Value, into)
		}
	}
	return v
}

// cross follows the values from the definition over the facts into the tree, and from there into evaluated systems.
func cross(t *testing.T, nixpkgs, disko string, v values) {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	d := newDeskOn(t, nixpkgs, disko, map[string]string{"nixConfigs/odd.nix": usesValues, "values.json": string(raw), "evaluated.nix": evaluated})
	d.run("generate", "--despite-errors").exits(0)
	// as remembered from generating; the tree has them as they were evaluated
	var doc struct{ Hosts []json.RawMessage }
	d.run("summary", "--json", "odd").exits(0).into(&doc)
	if len(doc.Hosts) == 1 {
		compare(t, "the facts", fromFacts(t, doc.Hosts[0]), v)
	}
	inTheTree(t, d, v)
	mini := values{}
	out := d.evaluate(d.path("evaluated.nix"), "--argstr", "nixpkgs", nixpkgs, "--argstr", "modules", d.path("generated/odd/mini_sys.nix"))
	if err := json.Unmarshal(out, &mini); err != nil {
		t.Fatal(err)
	}
	mini.Tags, mini.Scripts = v.Tags, v.Scripts // no business of the mini system
	compare(t, "the mini system", mini, v)
	keepsTheLaw(t, d)
}

func inTheTree(t *testing.T, d *desk, v values) {
	t.Helper()
	var host struct {
		Carried  []carriedSetting
		Units    map[string]string
		Deployer struct{ Keys []string }
	}
	var hive struct {
		Hosts map[string]struct{ Tags []string }
	}
	for file, into := range map[string]any{"generated/odd/host.json": &host, "generated/hive.json": &hive} {
		if err := json.Unmarshal([]byte(d.read(file)), into); err != nil {
			t.Fatal(err)
		}
	}
	got := fromCarried(t, host.Carried)
	got.Keys, got.Unit, got.Tags, got.Scripts = host.Deployer.Keys, host.Units["50-odd.network"], hive.Hosts["odd"].Tags, v.Scripts
	compare(t, "the tree", got, v)
}

func TestValuesSurviveTheWholeWayIntoEvaluatedConfiguration(t *testing.T) {
	t.Parallel()
	nixpkgs, disko := need.Mini(t)
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			cross(t, nixpkgs, disko, randomValues(rand.New(rand.NewPCG(seed, 24))))
		})
	}
	t.Run("long", func(t *testing.T) {
		t.Parallel()
		cross(t, nixpkgs, disko, longValues())
	})
}

func TestValuesSurviveOnRealNixOS(t *testing.T) {
	t.Parallel()
	nixpkgs, disko := need.Tree(t)
	cross(t, nixpkgs, disko, longValues())
}

func TestValuesInNamesAndPictures(t *testing.T) {
	t.Parallel()
	d := newDesk(t, map[string]string{
		"nixConfigs/odd.nix": usesValues,
		"values.json":        "{}",
	})
	r := rand.New(rand.NewPCG(7, 24))
	raw, err := json.Marshal(randomValues(r))
	if err != nil {
		t.Fatal(err)
	}
	d.put("values.json", string(raw))
	d.run("summary", "--format", "svg", "-o", d.path("n.svg")).exits(0)
	isXML(t, d.path("n.svg"))
	for _, args := range [][]string{{"summary"}, {"summary", "odd"}, {"summary", "-f", "markdown"}, {"summary", "-f", "mermaid"}} {
		if e := d.run(args...).exits(0); strings.ContainsAny(e.out, "\x1b\x01") {
			t.Errorf("%q prints control characters", filepath.Join(args...))
		}
	}
	d.run("check").saysNot("\x1b", "\x01")
}
