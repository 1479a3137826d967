package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"nixos-staged-hive/internal/cli"
	standin "nixos-staged-hive/internal/testbed/colmena"
	"nixos-staged-hive/internal/testbed/need"
)

// The program under test is this test binary under another name, so that it is a real process with real streams and signals.
const program = "nixos-staged-hive"

func TestMain(m *testing.M) {
	standin.MainIfAsked()
	main := func() { os.Exit(cli.Main(os.Args, os.Stdin, os.Stdout, os.Stderr, os.Environ())) }
	if filepath.Base(os.Args[0]) == "ssh" { // not by testscript, which would put it onto everybody's PATH
		main()
	}
	testscript.Main(m, map[string]func(){
		program: main,
		// its names on a medium
		"setup": main, "disko-format": main, "pre-setup": main, "post-setup": main,
	})
}

// key is the public half of a pair that nobody has.
const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICdYbNfeEQSVeOPnI+AQGuJncpybjNpzYnMjRlikR4Jj mia@laptop"

// sound is a host that check has nothing to say about.
const sound = `
  hive.admin.sshKeys = [ "` + key + `" ];
  security.sudo.wheelNeedsPassword = false;
  hive.network = { interface = "ens3"; address = "dhcp"; };
  fileSystems."/" = { device = "/dev/disk/by-label/root"; fsType = "ext4"; };
  fileSystems."/boot" = { device = "/dev/disk/by-label/boot"; fsType = "vfat"; };
  boot.loader.systemd-boot.enable = true;
  nixpkgs.hostPlatform = "x86_64-linux";
  system.stateVersion = "24.05";
`

// desk is a person's machine: a home, a cache and a folder for temporary files of its own, and a workspace.
type desk struct {
	testing.TB
	dir, home, cache, tmp string // absolute; dir is the workspace
	env                   []string
}

// newDesk makes a workspace of these files, pinned to the miniatures unless there is a versions.json among them.
func newDesk(t testing.TB, files map[string]string) *desk {
	t.Helper()
	nixpkgs, disko := need.Mini(t)
	return newDeskOn(t, nixpkgs, disko, files)
}

func newDeskOn(t testing.TB, nixpkgs, disko string, files map[string]string) *desk {
	t.Helper()
	return newDeskIn(t, t.TempDir(), nixpkgs, disko, files)
}

// newDeskIn makes it below a folder that exists.
func newDeskIn(t testing.TB, place, nixpkgs, disko string, files map[string]string) *desk {
	t.Helper()
	need.Program(t, "nix-instantiate")
	d := &desk{TB: t, dir: filepath.Join(place, "ws"), home: filepath.Join(place, "home"), cache: filepath.Join(place, "cache"), tmp: filepath.Join(place, "tmp")}
	for _, folder := range []string{d.dir, d.home, d.tmp} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d.env = append(environment(), "HOME="+d.home, "XDG_CACHE_HOME="+d.cache, "XDG_CONFIG_HOME="+d.home+"/.config", "TMPDIR="+d.tmp)
	d.put("versions.json", pinned(nixpkgs, disko))
	for name, text := range files {
		d.put(name, text)
	}
	return d
}

func pinned(nixpkgs, disko string) string {
	return fmt.Sprintf("{\n  \"nixos\": %q,\n  \"disko\": %q\n}\n", nixpkgs, disko)
}

// environment is ours without what would make a test depend on who runs it; nix set up as scripts/with-nix.sh does.
func environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains([]string{"NIX_PATH", "SSH_AUTH_SOCK", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "HOME", "TMPDIR", "TERM", "NO_COLOR"}, name)
	})
	return append(append(env, noWait), nixSettings()...)
}

// noWait keeps the race detector, where the tests are built with it, from waiting for a second at the end of every process.
const noWait = "GORACE=atexit_sleep_ms=0"

func nixSettings() []string {
	if os.Geteuid() != 0 || os.Getenv("NIX_REMOTE") != "" || os.Getenv("NIX_CONFIG") != "" {
		return nil
	}
	return []string{"NIX_REMOTE=local", "NIX_CONFIG=substituters =\nbuild-users-group =\nsandbox = false"}
}

func (d *desk) path(name string) string { return filepath.Join(d.dir, name) }

func (d *desk) put(name, text string) {
	d.Helper()
	path := d.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		d.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		d.Fatal(err)
	}
}

func (d *desk) read(name string) string {
	d.Helper()
	text, err := os.ReadFile(d.path(name))
	if err != nil {
		d.Fatal(err)
	}
	return string(text)
}

// ended is how a run went.
type ended struct {
	testing.TB
	line     string // what was run
	out, err string
	code     int
}

// run calls the program on the workspace and sees to it that it never breaks down.
func (d *desk) run(args ...string) ended {
	d.Helper()
	return d.runEnv(nil, append([]string{program, "-p", d.dir}, args...)...)
}

// runEnv runs any program with more environment.
func (d *desk) runEnv(env []string, words ...string) ended {
	d.Helper()
	var out, errOut bytes.Buffer
	c := d.command(d.Context(), env, words...)
	c.Stdout, c.Stderr = &out, &errOut
	err := c.Run()
	if c.ProcessState == nil {
		d.Fatalf("%q: %v", words, err)
	}
	e := ended{TB: d.TB, line: strings.Join(words, " "), out: out.String(), err: errOut.String(), code: c.ProcessState.ExitCode()}
	e.whole()
	return e
}

func (d *desk) command(ctx context.Context, env []string, words ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.Dir, c.Env = d.dir, append(slices.Clone(d.env), env...)
	c.WaitDelay = 5 * time.Second
	return c
}

// brokeDown matches what a person must never see: a Go panic, or the internals of an error.
var brokeDown = regexp.MustCompile(`(?m)^panic:|^goroutine \d|runtime error|\.go:\d+|%!|<nil>|&\{`)

func (e ended) whole() {
	e.Helper()
	for _, text := range []string{e.out, e.err} {
		if json.Valid([]byte(text)) {
			continue // what a person wrote may look like anything
		}
		if m := brokeDown.FindString(text); m != "" {
			e.Errorf("%s: broke down (%q):\n%s", e.line, m, text)
		}
	}
}

// exits checks the exit code.
func (e ended) exits(code int) ended {
	e.Helper()
	if e.code != code {
		e.Errorf("%s: exit code %d, want %d\nstdout: %s\nstderr: %s", e.line, e.code, code, e.out, e.err)
	}
	return e
}

// says checks that stdout and stderr together hold each text.
func (e ended) says(texts ...string) ended {
	e.Helper()
	for _, text := range texts {
		if !strings.Contains(e.out+e.err, text) {
			e.Errorf("%s: does not say %q\nstdout: %s\nstderr: %s", e.line, text, e.out, e.err)
		}
	}
	return e
}

func (e ended) saysNot(texts ...string) ended {
	e.Helper()
	for _, text := range texts {
		if strings.Contains(e.out+e.err, text) {
			e.Errorf("%s: says %q\nstdout: %s\nstderr: %s", e.line, text, e.out, e.err)
		}
	}
	return e
}

// into reads stdout as one JSON document.
func (e ended) into(v any) ended {
	e.Helper()
	if err := json.Unmarshal([]byte(e.out), v); err != nil {
		e.Errorf("%s: stdout is no JSON document: %v\n%s", e.line, err, e.out)
	}
	return e
}

// snapshot is every file below dir with content, mode and kind, but for what is named in but.
func snapshot(t testing.TB, dir string, but ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == dir {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if slices.Contains(but, name) {
			return skipFolder(d)
		}
		all[name], err = described(path, d)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func skipFolder(d fs.DirEntry) error {
	if d.IsDir() {
		return fs.SkipDir
	}
	return nil
}

func described(path string, d fs.DirEntry) (string, error) {
	st, err := d.Info()
	if err != nil {
		return "", err
	}
	text := st.Mode().String() + " "
	switch {
	case st.Mode().IsRegular():
		content, err := os.ReadFile(path)
		return text + string(content), err
	case st.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(path)
		return text + to, err
	}
	return text, nil
}

// differences names the files that are not the same in two snapshots.
func differences(a, b map[string]string) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if text, there := b[name]; !there || text != a[name] {
			names = append(names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if _, there := a[name]; !there {
			names = append(names, name)
		}
	}
	return names
}

func unchanged(t testing.TB, what string, before, after map[string]string) {
	t.Helper()
	if d := differences(before, after); len(d) > 0 {
		t.Errorf("%s changed: %q", what, d)
	}
}

// TestScripts runs testdata/script: what a person types, what they see, and the exit code.
//
// Commands besides testscript's own:
//
//	pins DIR              writes a versions.json that pins the workspace to the miniatures
//	exits CODE WORDS...   runs a program that must end with this code and without breaking down
//	mortal CODE WORDS...  the same, without root's right to read and write everything
//	json                  stdout is one JSON document
//	remember DIR          keeps what is in a folder
//	unchanged DIR         it still is, whole
func TestScripts(t *testing.T) {
	nixpkgs, disko := need.Mini(t)
	need.Program(t, "nix-instantiate")
	if os.Geteuid() == 0 {
		need.Program(t, "setpriv")
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, "HOME="+e.WorkDir+"/home", "XDG_CACHE_HOME="+e.WorkDir+"/cache", "NIXPKGS="+nixpkgs, "DISKO="+disko, "KEY="+key, noWait)
			for _, name := range []string{"NIX_REMOTE", "NIX_CONFIG"} {
				if v, set := os.LookupEnv(name); set {
					e.Vars = append(e.Vars, name+"="+v)
				}
			}
			e.Vars = append(e.Vars, nixSettings()...)
			return os.MkdirAll(e.WorkDir+"/home", 0o755)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"pins":  func(ts *testscript.TestScript, _ bool, args []string) { writePins(ts, nixpkgs, disko, args) },
			"exits": func(ts *testscript.TestScript, _ bool, args []string) { runWithCode(ts, args[0], args[1:]) },
			"mortal": func(ts *testscript.TestScript, _ bool, args []string) {
				runWithCode(ts, args[0], withoutRoot(args[1:]))
			},
			"json":      isJSON,
			"remember":  remember,
			"unchanged": stillSo,
		},
		RequireExplicitExec: true,
	})
}

func writePins(ts *testscript.TestScript, nixpkgs, disko string, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	ts.Check(os.WriteFile(filepath.Join(dir, "versions.json"), []byte(pinned(nixpkgs, disko)), 0o644))
}

func runWithCode(ts *testscript.TestScript, want string, words []string) {
	err := ts.Exec(words[0], words[1:]...)
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%q: %v", words, err)
	}
	if strconv.Itoa(code) != want {
		ts.Fatalf("exit code %d, want %s", code, want)
	}
	for _, stream := range []string{"stdout", "stderr"} {
		if m := brokeDown.FindString(ts.ReadFile(stream)); m != "" {
			ts.Fatalf("broke down: %s", m)
		}
	}
}

// withoutRoot takes from root what lets it pass over the rights of files; others never had it.
func withoutRoot(words []string) []string {
	if os.Geteuid() != 0 {
		return words
	}
	return append([]string{"setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"}, words...)
}

func isJSON(ts *testscript.TestScript, _ bool, _ []string) {
	var v any
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &v); err != nil {
		ts.Fatalf("stdout is no JSON document: %v", err)
	}
}

// remembered is the name of the file that keeps a folder's content between two lines of a script.
func remembered(ts *testscript.TestScript, dir string) string {
	return ts.MkAbs(filepath.Join("/", ts.Getenv("WORK"), ".remembered-"+strings.ReplaceAll(dir, "/", "-")))
}

func contentOf(ts *testscript.TestScript, dir string) []byte {
	all := map[string]string{}
	root := ts.MkAbs(dir)
	ts.Check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		text, err := described(path, d)
		all[strings.TrimPrefix(path, root)] = text
		return err
	}))
	content, err := json.MarshalIndent(all, "", " ")
	ts.Check(err)
	return content
}

func remember(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(remembered(ts, args[0]), contentOf(ts, args[0]), 0o644))
}

func stillSo(ts *testscript.TestScript, _ bool, args []string) {
	before, err := os.ReadFile(remembered(ts, args[0]))
	ts.Check(err)
	if after := contentOf(ts, args[0]); !bytes.Equal(before, after) {
		ts.Fatalf("%s changed:\n%s\nwas:\n%s", args[0], after, before)
	}
}
