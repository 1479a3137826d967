package colmena_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	standin "nixos-staged-hive/internal/testbed/colmena"
)

func TestMain(m *testing.M) {
	standin.MainIfAsked()
	os.Exit(m.Run())
}

// family tells what a program says it is.
func family(t *testing.T, program string) string {
	t.Helper()
	out, _, code := standin.Call(t, program, "--version")
	switch {
	case code == 0 && strings.HasPrefix(out, "Colmena 0.4."), code == 0 && strings.HasPrefix(out, "colmena 0.4."):
		return "0.4"
	case code == 0 && strings.Contains(out, " 0.5."):
		return "0.5"
	}
	t.Fatalf("%s --version: %q, exit code %d", program, out, code)
	return ""
}

const threeNodes = `
  defaults = { };
  web1 = { name, nodes, ... }: { deployment.tags = [ "web" name nodes.db.config.networking.hostName ]; };
  "web.2" = [ { deployment.tags = [ "web" ]; } ];
  db = { deployment.targetHost = null; deployment.keys.k.text = "x"; };
`

func TestCommandLineIsAcceptedOrRefusedAsByColmena(t *testing.T) {
	standin.Lab(t)
	hive := standin.Hive(t, "", threeNodes)
	standin.Each(t, func(t *testing.T, program string) {
		old := family(t, program) == "0.4"
		standin.Side([]acceptance{
			{"-f HIVE build --on nope", 0, -1},
			{"-f HIVE build -vp3 --on=nope", 0, -1},
			{"-f HIVE build -p=3 --on nope --nix-option cores 1", 0, -1},
			{"-f HIVE build --no-substitutes --no-build-on-target --on nope", 0, -1},
			{"-f HIVE build --eval-node-limit auto --on nope --", 0, -1},
			{"-f HIVE build --color never --on nope -f HIVE", 0, -1},
			{"-f HIVE build --on nope --legacy-flake-eval", 2, 0},
			{"-f HIVE apply keys --on nope", 0, 2},
			{"-f HIVE apply upload-keys --on nope", 2, 0},
			{"-f HIVE apply -- push", 0, -1},
			{"-f HIVE build build --on nope", 0, 2},
			{"-f HIVE build --help", 0, -1},
			{"-f HIVE exec --on nope hostname -f", 0, -1},
			{"-f HIVE introspect -E {...}:1", 0, -1},
			{"--version build", 0, -1},
			{"build --on nope -f /no/such/hive.nix", 1, 2},
			{"build -f HIVE -f HIVE", 2, -1},
			{"-f HIVE build --on a --on b", 2, -1},
			{"-f HIVE build -v -v", 2, -1},
			{"-f HIVE build --on", 2, -1},
			{"-f HIVE build --on -x", 2, -1},
			{"-f HIVE build --o nope", 2, -1},
			{"-f HIVE build -V", 2, -1},
			{"-f HIVE build --verbose=1", 2, -1},
			{"-f HIVE build --nix-option=a b", 2, -1},
			{"-f HIVE build -p x", 2, -1},
			{"-f HIVE build --eval-node-limit x", 2, -1},
			{"-f HIVE build --evaluator x", 2, -1},
			{"-f HIVE build --color x", 2, -1},
			{"-f HIVE build extra", 2, -1},
			{"-f HIVE apply bogus", 2, -1},
			{"-f HIVE apply -- push --on nope", 2, -1},
			{"-f HIVE exec", 2, -1},
			{"-f HIVE exec -E 1", 2, -1},
			{"-f HIVE repl x", 2, -1},
			{"-f HIVE push", 2, -1},
			{"-f HIVE", 0, 2},
			{"--on nope build", 2, -1},
		}, func(tt acceptance) {
			words := strings.Fields(strings.ReplaceAll(tt.args, "HIVE", hive))
			want := tt.code
			if !old && tt.codeFrom >= 0 {
				want = tt.codeFrom
			}
			if _, errOut, code := standin.Call(t, program, words...); code != want {
				t.Errorf("colmena %s: exit code %d, want %d\n%s", tt.args, code, want, errOut)
			}
		})
	})
}

type acceptance struct {
	args     string
	code     int // of 0.4
	codeFrom int // from 0.5 on; -1 is the same
}

// TestContract is the hive.nix side: what evaluates, and what is refused with which complaint.
func TestContract(t *testing.T) {
	standin.Lab(t)
	t.Setenv("NIX_PATH", "")
	const nixpkgs = "meta.nixpkgs = NIXPKGS; "
	standin.Each(t, func(t *testing.T, program string) {
		old := family(t, program) == "0.4"
		standin.Side([]clause{
			{"nodes", "{ " + nixpkgs + threeNodes + "}", "", ""},
			{"a function", "{ ... }: { " + nixpkgs + "a = { }; }", "", ""},
			{"network instead of meta", "{ network = { nixpkgs = NIXPKGS; description = \"x\"; }; a = { }; }", "", ""},
			{"nixpkgs as a function", "{ meta.nixpkgs = _: NIXPKGS; a = { }; }", "", ""},
			{"no node", "{ " + nixpkgs + "}", "", ""},
			{"all of meta", "{ meta = { nixpkgs = NIXPKGS; name = \"h\"; allowApplyAll = false; specialArgs.x = 1; nodeSpecialArgs.a.y = 2; " +
				"nodeNixpkgs.a = NIXPKGS; machinesFile = null; }; a = { x, y, ... }: { deployment.tags = [ (toString (x + y)) ]; }; }", "", ""},
			{"all of deployment", "{ " + nixpkgs + "a.deployment = { targetHost = \"h\"; targetPort = 22; targetUser = null; tags = [ \"t\" ]; " +
				"allowLocalDeployment = true; buildOnTarget = false; replaceUnknownProfiles = false; privilegeEscalationCommand = [ \"doas\" ]; " +
				"keys.k = { text = \"x\"; destDir = \"/d\"; user = \"u\"; group = \"g\"; permissions = \"0400\"; uploadAt = \"post-activation\"; }; }; }", "", ""},
			{"meta and network", "{ " + nixpkgs + "network = { }; a = { }; }", "Only one of `network` and `meta`", ""},
			{"unknown meta key", "{ meta = { nixpkgs = NIXPKGS; foo = 1; }; a = { }; }", "The option `foo' does not exist", ""},
			{"wrong type in meta", "{ meta = { nixpkgs = NIXPKGS; allowApplyAll = 1; }; a = { }; }", "allowApplyAll", ""},
			{"defaults as a list", "{ " + nixpkgs + "defaults = [ { } { } ]; a = { }; }", "list", ""},
			{"unknown deployment key", "{ " + nixpkgs + "a.deployment.foo = 1; }", "deployment.foo' does not exist", ""},
			{"wrong type of tags", "{ " + nixpkgs + "a.deployment.tags = \"x\"; }", "deployment.tags' is not of type", ""},
			{"sshOptions", "{ " + nixpkgs + "a.deployment.sshOptions = [ \"-v\" ]; }", "deployment.sshOptions' does not exist", "0.4"},
			{"a port that is too high", "{ " + nixpkgs + "a.deployment.targetPort = 70000; }", "Nix returned invalid response", ""},
			{"a key without a source", "{ " + nixpkgs + "a.deployment.keys.k = { }; }", "Nix returned invalid response", ""},
			{"a key with two sources", "{ " + nixpkgs + "a.deployment.keys.k = { text = \"x\"; keyCommand = [ \"y\" ]; }; }", "Nix returned invalid response", ""},
			{"a key with a slash", "{ " + nixpkgs + "a.deployment.keys.\"a/b\" = { text = \"x\"; }; }", "Validation error", ""},
			{"a key of _chrony", "{ " + nixpkgs + "a.deployment.keys.k = { text = \"x\"; user = \"_chrony\"; }; }", "Validation error", ""},
			{"no nixpkgs anywhere", "{ a = { }; }", "nixpkgs", ""},
			{"a syntax error", "{ a = ", "syntax error", ""},
		}, func(tt clause) {
			hive := standin.HiveFile(t, strings.ReplaceAll(tt.hive, "NIXPKGS", "(import "+standin.Nixpkgs(t)+" { })"))
			_, errOut, code := standin.Call(t, program, "-f", hive, "build")
			refused := tt.says != "" && (tt.only == "" || (tt.only == "0.4") == old)
			switch {
			case !refused && code != 0:
				t.Errorf("%s: refused with %d\n%s", tt.name, code, errOut)
			case refused && (code != 1 || !strings.Contains(errOut, tt.says)):
				t.Errorf("%s: exit code %d, want 1 and %q in\n%s", tt.name, code, tt.says, errOut)
			}
		})
	})
}

type clause struct {
	name, hive string
	says       string // on stderr of a refusal; empty is accepted
	only       string // family that refuses, empty is both
}

func TestEvalPrintsJSON(t *testing.T) {
	standin.Lab(t)
	hive := standin.Hive(t, "", threeNodes)
	standin.Each(t, func(t *testing.T, program string) {
		out, errOut, code := standin.Call(t, program, "-f", hive, "eval", "-E",
			"{ nodes, lib, pkgs, ... }: [ (lib.attrNames nodes) nodes.web1.config.deployment.tags nodes.db.config.deployment.keys.k.path (pkgs ? lib) ]")
		if want := `[["db","web.2","web1"],["web","web1","db"],"/run/keys/k",true]` + "\n"; code != 0 || out != want {
			t.Errorf("got %q, exit code %d, want %q\n%s", out, code, want, errOut)
		}
		for _, bad := range []string{"{ nodes, ... }: nodes.nope", "{ nodes, ... }: ("} {
			if out, _, code := standin.Call(t, program, "-f", hive, "eval", "-E", bad); code != 1 || out != "" {
				t.Errorf("%s: exit code %d, stdout %q", bad, code, out)
			}
		}
		if _, errOut, code := standin.Call(t, program, "-f", hive, "eval", "/no/such/file.nix"); code != 101 || !strings.Contains(errOut, "panicked at") {
			t.Errorf("a missing file: exit code %d\n%s", code, errOut)
		}
	})
}

func TestFilterSelectsAsColmena(t *testing.T) {
	standin.Lab(t)
	hive := standin.Hive(t, "", strings.ReplaceAll(threeNodes, "targetHost = null", `tags = [ ]`))
	standin.Each(t, func(t *testing.T, program string) {
		rules := map[string]string{
			"web1": "1 out of 3", "web*": "2 out of 3", "*": "all 3", "**": "all 3", "@web": "2 out of 3", "web1,@db": "1 out of 3",
			" web1 , db ": "2 out of 3", "web.?": "1 out of 3", "[dw]*": "all 3", "[!w]*": "1 out of 3", "[^w]*": "2 out of 3",
			"[]d]b": "1 out of 3", "**/db": "1 out of 3", "**/**": "all 3", "[*]b": "", "[c-e]b": "1 out of 3",
			"Web1": "", "@": "", "@ web": "", "web{1,.2}": "", `\web1`: "", "[z-a]b": "", "we?": "", "": "", "]": "", "web1/**": "",
			"[a": "panicked at", "a**": "panicked at", "***": "panicked at", "[!]": "panicked at", "[]": "panicked at",
		}
		standin.Side(slices.Collect(maps.Keys(rules)), func(on string) {
			want := rules[on]
			_, errOut, code := standin.Call(t, program, "-f", hive, "exec", "--on", on, "true")
			switch {
			case want == "panicked at":
				if code != 101 || !strings.Contains(errOut, want) {
					t.Errorf("--on %q: exit code %d, want a panic\n%s", on, code, errOut)
				}
			case want == "":
				if code != 0 || !strings.Contains(errOut, "No hosts selected (0 skipped)") {
					t.Errorf("--on %q: exit code %d, want no host\n%s", on, code, errOut)
				}
			case code != 0 || !strings.Contains(errOut, "Selected "+want):
				t.Errorf("--on %q: exit code %d, want %q\n%s", on, code, want, errOut)
			}
		})
	})
}
