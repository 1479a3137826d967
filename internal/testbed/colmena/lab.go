package colmena

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
)

// Each runs a test with every version of the stand-in and with every real binary that STAGED_HIVE_COLMENA names. Which one it was is in
// the name of the subtest. The test binary's TestMain must call MainIfAsked.
func Each(t *testing.T, test func(t *testing.T, program string)) {
	t.Helper()
	for _, version := range Versions() {
		t.Run("stand-in "+version, func(t *testing.T) { test(t, Install(t, version)) })
	}
	t.Run("real", func(t *testing.T) {
		for _, path := range need.Colmena(t) {
			t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
				t.Logf("with %s", path)
				test(t, path)
			})
		}
	})
}

// Install writes a program named colmena that is the stand-in for a version, and gives its path.
func Install(t testing.TB, version string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return script(t, t.TempDir(), "colmena", "exec env "+run.Quote(Variable+"="+version, self)+` "$@"`)
}

// Hive writes a hive.nix with these nodes (Nix text) on the least nixpkgs there is, and gives its absolute path. A node's option
// `broken` names the step that fails: "eval", "build" or "activate". meta is Nix text inside of meta = { ... }.
func Hive(t testing.TB, meta, nodes string) string {
	t.Helper()
	return HiveFile(t, "{\n  meta = { nixpkgs = import "+Nixpkgs(t)+" { }; "+meta+" };\n"+nodes+"\n}\n")
}

// Nixpkgs is the absolute path of that nixpkgs.
func Nixpkgs(t testing.TB) string {
	t.Helper()
	return filepath.Join(need.Module(t), "internal", "testbed", "colmena", "testdata", "nixpkgs")
}

// HiveFile writes any text as a hive.nix.
func HiveFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hive.nix")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Lab puts nix in order and programs on PATH that play the hosts: ssh and nix-copy-closure carry out here what a host would do, for
// hosts whose name begins with "down" they fail as for a machine that is off. It gives the file with the calls, one a line.
func Lab(t testing.TB) (calls string) {
	t.Helper()
	need.Program(t, "nix-instantiate")
	if os.Geteuid() == 0 && os.Getenv("NIX_CONFIG") == "" && os.Getenv("NIX_REMOTE") == "" {
		t.Setenv("NIX_REMOTE", "local")
		t.Setenv("NIX_CONFIG", "substituters =\nbuild-users-group =\nsandbox = false")
	}
	t.Setenv("RUST_BACKTRACE", "0")
	dir := t.TempDir()
	calls = filepath.Join(dir, "calls")
	note := "printf '%s\\n' \"$(basename \"$0\") $*\" >> " + run.Quote(calls) + "\n"
	off := `case "$*" in *@down*) echo "ssh: connect to host down port 22: Connection refused" >&2; exit `
	script(t, dir, "ssh", note+off+`255;; esac
while [ "$1" != -- ]; do shift; done
shift
exec sh -c "$*"`)
	script(t, dir, "nix-copy-closure", note+off+`1;; esac`)
	for _, name := range []string{"nix-env", "reboot"} {
		script(t, dir, name, note)
	}
	script(t, dir, "sudo", note+`while [ "$1" != -- ]; do shift; done; shift; exec "$@"`)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return calls
}

func script(t testing.TB, dir, name, text string) string {
	t.Helper()
	sh := need.Program(t, "sh")
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("#!"+sh+"\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// Call runs a program as it is, without any of our own reading of it, and gives its streams and its exit code.
func Call(t testing.TB, program string, args ...string) (out, errOut string, code int) {
	t.Helper()
	var o, e strings.Builder
	c := exec.CommandContext(t.Context(), program, args...)
	c.Stdout, c.Stderr = &o, &e
	c.Env = append(os.Environ(), "RUST_LOG=info")
	err := c.Run()
	if c.ProcessState == nil {
		t.Errorf("%s: %v", run.Quote(append([]string{program}, args...)...), err)
		return "", "", -1
	}
	return o.String(), e.String(), c.ProcessState.ExitCode()
}

// Side runs test for every case, a few at a time: Colmena takes a second for nothing. Test must not stop t, only report to it.
func Side[C any](cases []C, test func(C)) {
	var all sync.WaitGroup
	room := make(chan struct{}, 8)
	for _, c := range cases {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			test(c)
		})
	}
	all.Wait()
}
