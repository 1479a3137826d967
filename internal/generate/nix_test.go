package generate

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/testbed/need"
)

// The values cross into Nix and come back as they were: D1's promise, with the real evaluator.
func TestNixReadsWhatWasWritten(t *testing.T) {
	program := need.Program(t, "nix-instantiate")
	nasty := map[string]string{
		"quote": `"`, "two": `''`, "interpolation": `${builtins.abort "x"}`, "newlines": "a\nb\r\n\tc", "backslash": `\n\\`,
		"unicode": "größe 漢字 🙂\u2028", "blank": "  a  b  ", "empty": "", "html": "<&>", "long": strings.Repeat("long ${x} ", 20000),
		`key "with" ''${everything}`: "x",
	}
	raw, err := json.Marshal(map[string]any{"texts": nasty, "int": json.Number("9223372036854775807"), "no": nil, "yes": true, "list": []any{[]any{}, map[string]any{}}})
	if err != nil {
		t.Fatal(err)
	}
	h := web("web1")
	h.Network.Units = nasty
	h.Carried = []hive.Carried{{Path: []string{"a.b", `"`}, Value: raw}}
	dir := workspace(t)
	mustWrite(t, dir, render(t, h), Options{})

	command := exec.Command(program, "--eval", "--strict", "--json", "--expr",
		`{ dir }: builtins.mapAttrs (_: f: builtins.fromJSON (builtins.readFile f)) { host = dir + "/web1/host.json"; hive = dir + "/hive.json"; }`,
		"--argstr", "dir", dir)
	command.Env = append(os.Environ(), "NIX_REMOTE=local", "NIX_STATE_DIR="+t.TempDir(), "NIX_STORE_DIR="+t.TempDir())
	out, err := command.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Logf("%s", exit.Stderr)
		}
		t.Fatal(err)
	}
	for key, name := range map[string]string{"host": "web1/host.json", "hive": "hive.json"} {
		var read map[string]json.RawMessage
		if err := json.Unmarshal(out, &read); err != nil {
			t.Fatal(err)
		}
		written, err := os.ReadFile(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := plain(t, read[key]), plain(t, written); !reflect.DeepEqual(got, want) {
			t.Errorf("%s became %.2000v", name, got)
		}
	}
}

func plain(t *testing.T, raw []byte) (value any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}
