package workspace

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
)

const ed25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"

func answers(dir string) Options {
	return Options{
		Dir: dir, HostName: "web1", AdminName: "mia", Keys: []string{ed25519 + " mia@laptop"}, System: "x86_64-linux",
		NixOS: DefaultNixOS, Disko: DefaultDisko, K3s: DefaultK3s, Binary: "/opt/a b/it's/nixos-staged-hive",
	}
}

func initialise(t *testing.T, o Options) Report {
	t.Helper()
	r, err := Init(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// contents reads every file below dir.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir+"/")] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func kept(r Report) (made, kept []string) {
	for _, e := range r.Entries {
		if e.Kept {
			kept = append(kept, e.Path)
		} else {
			made = append(made, e.Path)
		}
	}
	return made, kept
}

func TestInitMakesAWorkspaceThatOpens(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "work space")
	r := initialise(t, answers(dir))
	made, old := kept(r)
	want := []string{"nixConfigs/", "nixConfigs/web1.nix", "generated/", "versions.json", ".gitignore", "nixos-staged-hive", "bin/modules/default.nix"}
	if !slices.Equal(made, want) || len(old) != 0 || len(r.Notes) != 0 || r.Dir != dir {
		t.Errorf("report %+v", r)
	}
	w, err := Open(dir)
	if err != nil || !slices.Equal(w.Names(), []string{"web1"}) || len(w.Warnings) != 0 || w.Versions.K3s.String() != DefaultK3s {
		t.Errorf("%+v, %v", w, err)
	}
}

func TestInitAgainKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	initialise(t, answers(dir))
	put(t, filepath.Join(dir, "nixConfigs", "web1.nix"), "mine", false)
	before := contents(t, dir)
	o := answers(dir)
	o.HostName, o.NixOS = "other", "nixos-24.11"
	r := initialise(t, o)
	if made, _ := kept(r); len(made) != 0 {
		t.Errorf("made %q", made)
	}
	for name, text := range contents(t, dir) {
		if before[name] != text {
			t.Errorf("%s changed", name)
		}
	}
}

func TestInitKeepsAWorkspaceOfTheOriginalProject(t *testing.T) {
	dir := folder(t, map[string]string{
		"my-nixconfigs/olaf/default.nix": "{ imports = [ ../../bin/modules ]; }",
		"versions.json":                  `{"nixos": "nixos-23.05", "k3s": "v1.27.4-k3s1", "disko": "v1.1.0"}`,
		"bin/modules/default.nix":        "{ imports = [ ./disko.nix ]; }",
		"bin/scripts/hive.py":            "#!/usr/bin/env python",
		"staged-hive":                    "#!/bin/bash",
		".gitignore":                     "generated\n",
	})
	before := contents(t, dir)
	r := initialise(t, answers(dir))
	made, _ := kept(r)
	if !slices.Equal(made, []string{"generated/", "nixos-staged-hive"}) {
		t.Errorf("made %q", made)
	}
	after := contents(t, dir)
	for name, text := range before {
		if after[name] != text {
			t.Errorf("%s changed", name)
		}
	}
	notes := strings.Join(r.Notes, "\n")
	for _, want := range []string{"bin/modules is the original project's and is kept", "staged-hive still starts the original", ".gitignore is kept as it is"} {
		if !strings.Contains(notes, want) {
			t.Errorf("notes %q do not say %q", r.Notes, want)
		}
	}
	if w, err := Open(dir); err != nil || w.Versions.NixOS.Text != "nixos-23.05" {
		t.Errorf("%+v, %v", w, err)
	}
}

func TestInitDoesNotWriteThroughLinks(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "outside")
	if err := os.Symlink(outside, filepath.Join(dir, "versions.json")); err != nil {
		t.Fatal(err)
	}
	initialise(t, answers(dir))
	if _, err := os.Stat(outside); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a dangling link was followed: %v", err)
	}
}

func TestInitRefusesWrongAnswersAllAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ws")
	o := Options{Dir: dir, HostName: "a.b", AdminName: "root", Keys: []string{"-----BEGIN OPENSSH PRIVATE KEY-----"}, System: "windows", NixOS: "a b", Disko: "", K3s: "latest"}
	_, err := Init(t.Context(), o)
	wantError(t, err, `host name "a.b"`, `login name "root"`, "not a public SSH key", `platform "windows"`, `version "a b"`, `version ""`, `version "latest"`)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("the folder was made all the same")
	}
}

func TestInitSaysWhatIsInTheWay(t *testing.T) {
	_, err := Init(t.Context(), answers(folder(t, map[string]string{"generated": "a file"})))
	wantError(t, err, "generated is in the way")
	_, err = Init(t.Context(), answers(folder(t, map[string]string{"aNixConfigs/": "", "bNixConfigs/": ""})))
	wantError(t, err, "several folders of definitions")
	dir := t.TempDir()
	seal(t, dir)
	defer unseal(t, dir)
	_, err = Init(t.Context(), answers(dir))
	wantError(t, err, "write nixConfigs in "+dir)
	if !strings.Contains(hintOf(err), "read-only") {
		t.Errorf("hint %q", hintOf(err))
	}
}

func TestInitsSideBySideAgree(t *testing.T) {
	dir := t.TempDir()
	var group sync.WaitGroup
	reports := make([]Report, 4)
	for i := range reports {
		group.Go(func() {
			var err error
			if reports[i], err = Init(t.Context(), answers(dir)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	times := make(map[string]int)
	for _, r := range reports {
		made, _ := kept(r)
		for _, m := range made {
			times[m]++
		}
	}
	for _, name := range []string{"nixConfigs/", "versions.json", "nixos-staged-hive", ".gitignore"} {
		if times[name] != 1 {
			t.Errorf("%s was made %d times", name, times[name])
		}
	}
}

func TestTheWrapperPassesItsFolderAndAllArguments(t *testing.T) {
	need.Program(t, "sh")
	base := t.TempDir()
	o := answers(filepath.Join(base, "it's a $HOME \"ws\""))
	o.Binary = filepath.Join(base, "where it's built", "nixos-staged-hive")
	fake := func(path, name string) {
		put(t, path, "#!/bin/sh\necho "+name+"\nfor a in \"$PWD\" \"$@\"; do printf '<%s>' \"$a\"; done\n", false)
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	fake(o.Binary, "built")
	initialise(t, o)
	wrapper := filepath.Join(o.Dir, "nixos-staged-hive")
	system := os.Getenv("PATH")
	call := func(path, name, dir string) string {
		t.Helper()
		out, err := run.Output(t.Context(), run.Local{}, run.Command{Name: name, Args: []string{"a b", "", "$x", "--", "*"}, Dir: dir, Env: []string{"PATH=" + path}})
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	passed := func(dir string) string { return "\n<" + dir + "><-p><" + o.Dir + "><a b><><$x><--><*>" }
	if got, want := call(system, wrapper, base), "built"+passed(base); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	// With the workspace itself on PATH, in front, the wrapper must not find itself; an empty entry means the current folder.
	installed := filepath.Join(base, "installed", "nixos-staged-hive")
	fake(installed, "installed")
	if got, want := call("::"+o.Dir+":"+filepath.Dir(installed)+":"+system, wrapper, o.Dir), "installed"+passed(o.Dir); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	link := filepath.Join(base, "link")
	if err := os.Symlink(wrapper, link); err != nil {
		t.Fatal(err)
	}
	if got, want := call(system, link, base), "built"+passed(base); got != want {
		t.Errorf("through a link: got  %q\nwant %q", got, want)
	}
	if err := os.Remove(o.Binary); err != nil {
		t.Fatal(err)
	}
	_, err := run.Output(t.Context(), run.Local{}, run.Command{Name: wrapper})
	if failed, ok := errors.AsType[*run.Error](err); !ok || failed.ExitCode != 5 || !strings.Contains(string(failed.Stderr), o.Binary) {
		t.Errorf("without any program: %v", err)
	}
}

func TestKeysAreFoundInTheOrderSSHTriesThem(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home [x]")
	text, err := os.ReadFile(filepath.Join(need.Module(t), "internal", "hive", "testdata", "keys", "fine-rsa2048.pub"))
	if err != nil {
		t.Fatal(err)
	}
	rsa := strings.TrimSpace(string(text))
	put(t, filepath.Join(home, ".ssh", "id_rsa.pub"), rsa+"\n", false)
	put(t, filepath.Join(home, ".ssh", "a-work.pub"), "# comment\n"+ed25519+" work\n", false)
	put(t, filepath.Join(home, ".ssh", "id_ed25519.pub"), ed25519+" mia@laptop\r\n", false)
	put(t, filepath.Join(home, ".ssh", "id_ed25519-cert.pub"), strings.Replace(ed25519, "ssh-ed25519 ", "ssh-ed25519-cert-v01@openssh.com ", 1), false)
	put(t, filepath.Join(home, ".ssh", "broken.pub"), "ssh-ed25519 AAAA", false)
	put(t, filepath.Join(home, ".ssh", "id_ed25519"), "PRIVATE", false)
	var lines []string
	for _, k := range FindKeys(t.Context(), run.Local{}, home) {
		lines = append(lines, k.Line)
	}
	if want := []string{ed25519 + " mia@laptop", rsa, ed25519 + " work"}; !slices.Equal(lines, want) {
		t.Errorf("found %q\nwant  %q", lines, want)
	}
	o := Defaults(t.Context(), run.Local{}, home, "mia")
	if o.AdminName != "mia" || !slices.Equal(o.Keys, lines[:1]) {
		t.Errorf("defaults %+v", o)
	}
	o.Dir, o.Binary = t.TempDir(), "/x"
	initialise(t, o) // the defaults are answers that work
}

func TestWithoutKeysInFilesTheAgentIsAsked(t *testing.T) {
	home := t.TempDir()
	t.Setenv("SSH_AUTH_SOCK", "/somewhere")
	asked := runner(func(c run.Command) error {
		_, err := c.Stdout.Write([]byte(ed25519 + " in the agent\n"))
		return errors.Join(err, map[bool]error{false: errors.New("other program " + c.String())}[c.String() == "ssh-add -L"])
	})
	if keys := FindKeys(t.Context(), asked, home); len(keys) != 1 || keys[0].From != "ssh-agent" {
		t.Errorf("found %+v", keys)
	}
	none := runner(func(run.Command) error { return errors.New("exit status 1") })
	if keys := FindKeys(t.Context(), none, home); len(keys) != 0 {
		t.Errorf("found %+v", keys)
	}
	t.Setenv("SSH_AUTH_SOCK", "")
	if o := Defaults(t.Context(), none, home, "root"); o.AdminName != "admin" || len(o.Keys) != 0 {
		t.Errorf("defaults %+v", o)
	}
}

type runner func(run.Command) error

func (r runner) Run(_ context.Context, c run.Command) error { return r(c) }

// exampleSettings is what the example sets, as far as the answers decide it.
type exampleSettings struct {
	Hive struct {
		Admin struct {
			Name    string
			SSHKeys []string `json:"sshKeys"`
		}
	}
	Nixpkgs struct{ HostPlatform string }
	System  struct{ StateVersion string }
}

// evaluateExample evaluates the example as a plain function and returns what it sets.
func evaluateExample(t *testing.T, o Options) (got exampleSettings) {
	t.Helper()
	o.Dir = t.TempDir()
	initialise(t, o)
	out, err := run.Output(t.Context(), run.Local{}, run.Command{Name: "nix-instantiate", Args: []string{
		"--eval", "--strict", "--json",
		"--argstr", "file", filepath.Join(o.Dir, "nixConfigs", o.HostName+".nix"), "-E", "{ file }: import (/. + file) { lib.mkDefault = x: x; }",
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTheExampleHoldsTheAnswers(t *testing.T) {
	need.Store(t)
	o := answers("")
	o.NixOS, o.System = "nixos-23.11-small", "aarch64-linux"
	o.Keys = []string{ed25519 + ` ''${x} "quoted" \ @key@ "@admin@" ü`, ed25519 + " second"}
	got := evaluateExample(t, o)
	if got.Hive.Admin.Name != "mia" || !slices.Equal(got.Hive.Admin.SSHKeys, o.Keys) || got.Nixpkgs.HostPlatform != "aarch64-linux" || got.System.StateVersion != "23.11" {
		t.Errorf("got %+v", got)
	}
	o.Keys, o.NixOS = nil, "./nixpkgs"
	if got := evaluateExample(t, o); len(got.Hive.Admin.SSHKeys) != 0 || got.System.StateVersion != "24.05" {
		t.Errorf("without keys: %+v", got)
	}
}

func TestTheExampleIsAHostOfTheMiniatureNixpkgs(t *testing.T) {
	nixpkgs, disko := need.Mini(t)
	exampleIsAHost(t, nixpkgs, disko)
}

func TestTheExampleIsAHostOfRealNixOS(t *testing.T) {
	nixpkgs, disko := need.Tree(t)
	exampleIsAHost(t, nixpkgs, disko)
}

// exampleIsAHost evaluates the whole configuration the example makes with our modules.
func exampleIsAHost(t *testing.T, nixpkgs, disko string) {
	t.Helper()
	need.Store(t)
	o := answers(t.TempDir())
	initialise(t, o)
	const ask = `{ host, nixpkgs, disko, workspace }:
		let config = (import (/. + host) {
			nixpkgs = /. + nixpkgs; disko = /. + disko; workspace = /. + workspace;
			name = "web1"; definition = /. + workspace + "/nixConfigs/web1.nix";
		}).config;
		in { keys = config.users.users.mia.openssh.authorizedKeys.keys; name = config.networking.hostName; root = config.fileSystems."/".fsType; }`
	got, err := run.JSON[struct {
		Keys []string
		Name string
		Root string
	}](t.Context(), run.Local{}, run.Command{Name: "nix-instantiate", Args: []string{
		"--eval", "--strict", "--json",
		"--argstr", "host", filepath.Join(need.Module(t), "nix", "lib", "host.nix"), "--argstr", "nixpkgs", nixpkgs, "--argstr", "disko", disko,
		"--argstr", "workspace", o.Dir, "-E", ask,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Keys, o.Keys) || got.Name != "web1" || got.Root != "ext4" {
		t.Errorf("got %+v", got)
	}
}

func TestTheShimIsAnEmptyModule(t *testing.T) {
	need.Store(t)
	dir := t.TempDir()
	initialise(t, answers(dir))
	out, err := run.Output(t.Context(), run.Local{}, run.Command{Name: "nix-instantiate", Args: []string{"--eval", "--strict", "--json", filepath.Join(dir, "bin/modules")}})
	if err != nil || strings.TrimSpace(string(out)) != "{}" {
		t.Errorf("%s, %v", out, err)
	}
}

func FuzzLiteral(f *testing.F) {
	need.Program(f, "nix-instantiate")
	for _, s := range []string{"", "plain", `"`, `\`, `\"`, "$", "${", "$${x}", `\${`, "''", "''${x}", "a\nb\r\nc\rd\te", "ü€𝄞", "\x01\x7f", " \t ", "${builtins.abort \"x\"}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		need.Store(t)
		text, err := literal(s)
		if err != nil {
			if !strings.ContainsRune(s, 0) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		// A hash compares every byte; JSON would refuse invalid UTF-8.
		file := filepath.Join(t.TempDir(), "literal.nix")
		put(t, file, `builtins.hashString "sha256" `+text, false)
		out, err := run.Output(t.Context(), run.Local{}, run.Command{Name: "nix-instantiate", Args: []string{"--eval", file}})
		if err != nil {
			t.Fatalf("%q as %s: %v", s, text, err)
		}
		if want := fmt.Sprintf("\"%x\"\n", sha256.Sum256([]byte(s))); string(out) != want {
			t.Errorf("%q as %s: Nix reads another string", s, text)
		}
	})
}
