package colmena_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nixos-staged-hive/internal/colmena"
	"nixos-staged-hive/internal/run"
	standin "nixos-staged-hive/internal/testbed/colmena"
)

func TestMain(m *testing.M) {
	standin.MainIfAsked()
	os.Exit(m.Run())
}

// lab is a hive, and the programs that play its hosts.
type lab struct {
	tool  colmena.Tool
	hive  string
	nodes []colmena.Node
	calls string
}

// each gives a test every Colmena there is. The hive's nodes are the Nix text of standin.Hive; the names in nodes are what the wall is
// told of them.
func each(t *testing.T, meta, text string, nodes []colmena.Node, test func(t *testing.T, l lab)) {
	t.Helper()
	calls := standin.Lab(t)
	hive := standin.Hive(t, meta, text)
	standin.Each(t, func(t *testing.T, program string) {
		tool, err := colmena.Find(t.Context(), run.Local{}, program)
		if err != nil {
			t.Fatal(err)
		}
		test(t, lab{tool: tool, hive: hive, nodes: nodes, calls: calls})
	})
}

// run runs a line of words as the user types it after `hive`. The result has the outcome and what went to the two streams.
func (l lab) run(t testing.TB, words ...string) (colmena.Outcome, string, string) {
	t.Helper()
	return l.job(t, colmena.Job{Nodes: l.nodes}, words...)
}

func (l lab) job(t testing.TB, j colmena.Job, words ...string) (colmena.Outcome, string, string) {
	t.Helper()
	call, err := colmena.Parse(words[0], words[1:])
	if err != nil {
		t.Errorf("parse %q: %v", words, err)
		return colmena.Outcome{Code: -1}, "", ""
	}
	var out, errOut strings.Builder
	j.Call, j.Hive, j.Out, j.Err = call, l.hive, &out, &errOut
	o, err := l.tool.Run(t.Context(), run.Local{}, j)
	if err != nil {
		t.Errorf("run %q: %v", words, err)
	}
	return o, out.String(), errOut.String()
}

const fourNodes = `
  good = { deployment.tags = [ "up" "all" ]; };
  good2 = { deployment.tags = [ "up" "all" ]; deployment.targetUser = "admin"; };
  down = { deployment.tags = [ "all" ]; };
  hidden = { deployment.targetHost = null; };
  nobuild = { broken = "build"; };
  noswitch = { broken = "activate"; };
`

func fourNodesKnown() []colmena.Node {
	return []colmena.Node{
		{Name: "good", Tags: []string{"up", "all"}, Deployable: true},
		{Name: "good2", Tags: []string{"up", "all"}, Deployable: true},
		{Name: "down", Tags: []string{"all"}, Deployable: true},
		{Name: "hidden"},
		{Name: "nobuild", Deployable: true},
		{Name: "noswitch", Deployable: true},
	}
}

// ends is a command line, and how it has to end.
type ends struct {
	words  string
	code   int
	failed string // hosts, with blanks
	says   string // in Problem
	output string // on stderr
}

func TestExitCodesTellTheTruth(t *testing.T) {
	each(t, "allowApplyAll = false;", fourNodes, fourNodesKnown(), func(t *testing.T, l lab) {
		standin.Side([]ends{
			{"build --on good", 0, "", "", "Built "},
			{"apply --on good,good2", 0, "", "", "switch"},
			{"apply push --on @up", 0, "", "", "Pushed system closure"},
			{"exec --on good -- echo hello", 0, "", "", "good | hello"},
			{"build --on hidden", 0, "", "", "Built "},
			{"build --help", 0, "", "", ""},
			{"build --on good,nobuild", 3, "nobuild", "1 of 2 hosts failed: build nobuild", "Failed to build nobuild"},
			{"build --on nobuild", 1, "nobuild", "1 of 1 host failed: build nobuild", ""},
			{"apply --on good,down", 3, "down", "1 of 2 hosts failed: push down", "Connection refused"},
			{"apply push --on down,nobuild", 1, "down nobuild", "2 of 2 hosts failed", ""},
			{"apply --on good,noswitch", 3, "noswitch", "activate noswitch", ""},
			{"exec --on good,down -- true", 3, "down", "1 of 2 hosts failed: run the command down", "Succeeded"},
			{"exec --on down -- true", 1, "down", "1 of 1 host failed", ""},
			{"exec --on @up -- exit 7", 1, "good good2", "2 of 2 hosts failed", ""},
			{"exec --on @all -- true", 3, "down", "1 of 3 hosts failed", ""},
			{"exec --on good -- echo [ERROR] Failed to complete job on good2 - Last 3 lines of logs:", 0, "", "", "Failed to complete job on good2"},
			{"apply", 4, "", "--on '*'", "allowApplyAll"},
			{"apply --on nope", 2, "", "no host is named nope (hosts: down, good, good2, hidden, nobuild, noswitch; tags: @all, @up)", ""},
			{"apply --on good,nope", 2, "", "no host is named nope", ""},
			{"build --on @nope", 2, "", `--on "@nope" selects no host`, ""},
			{"exec --on web* -- true", 2, "", `--on "web*" selects no host`, ""},
			{"build --on=", 2, "", "selects no host", ""},
			{"build --on [a", 2, "", `rule "[a"`, ""},
			{"build --on good,,down", 2, "", "empty rule", ""},
			{"apply --on hidden", 2, "", "selects only hidden", ""},
			{"upload-keys --on hidden", 2, "", "selects only hidden", ""},
			{"build --bogus", 2, "", "", "unexpected argument"},
			{"build --on good --on down", 2, "", "", "cannot be used multiple times"},
			{"apply bogus --on good", 2, "", "", "invalid value"},
			{"eval -E {nodes,...}:nodes.nope", 1, "", "", "nope"},
			{"eval /no/such/file.nix", 1, "", "the file with the expression does not exist", "panicked"},
			{"deploy-local", 1, "", "does not run NixOS", ""},
			{"deploy-local --node nope", 2, "", "--node nope is no host of the hive", ""},
			{"nix-info", 0, "", "", "Nix Version"},
		}, func(tt ends) {
			o, _, errOut := l.run(t, strings.Fields(tt.words)...)
			if o.Code != tt.code || strings.Join(o.Failed, " ") != tt.failed || !strings.Contains(o.Problem, tt.says) || (tt.says == "") != (o.Problem == "") {
				t.Errorf("%s: got %+v, want code %d, failed %q, problem %q\n%s", tt.words, o, tt.code, tt.failed, tt.says, errOut)
			}
			if !strings.Contains(errOut, tt.output) {
				t.Errorf("%s: no %q on stderr:\n%s", tt.words, tt.output, errOut)
			}
		})
	})
}

func TestOneBrokenHostOfAChunkIsExplained(t *testing.T) {
	nodes := []colmena.Node{
		{Name: "bad", Deployable: true},
		{Name: "a-long-name-of-a-host", Deployable: true},
		{Name: "another-long-name", Deployable: true},
		{Name: "one-more-long-name", Deployable: true},
		{Name: "the-last-long-name", Deployable: true},
	}
	each(t, "", `bad.broken = "eval"; a-long-name-of-a-host = { }; another-long-name = { }; one-more-long-name = { }; the-last-long-name = { };`, nodes,
		func(t *testing.T, l lab) {
			o, _, errOut := l.run(t, "build")
			if o.Code != 1 || !strings.Contains(o.Problem, "5 of 5 hosts failed: evaluate ") || !strings.Contains(o.Problem, "--eval-node-limit 1 tells") {
				t.Errorf("got %+v\n%s", o, errOut)
			}
			o, _, errOut = l.run(t, "build", "--eval-node-limit", "1")
			if o.Code != 3 || !slices.Equal(o.Failed, []string{"bad"}) || o.Problem != "1 of 5 hosts failed: evaluate bad" {
				t.Errorf("got %+v\n%s", o, errOut)
			}
			o, _, errOut = l.run(t, "build", "--eval-node-limit", "0", "--on", "another*")
			if l.tool.Family == colmena.V04 && (o.Code != 1 || !strings.Contains(o.Problem, "--eval-node-limit 0")) || l.tool.Family == colmena.V05 && o.Code != 0 {
				t.Errorf("got %+v\n%s", o, errOut)
			}
		})
}

func TestHiveThatColmenaCannotReadIsExplained(t *testing.T) {
	each(t, "", `port.deployment.targetPort = 70000; key.deployment.keys."a/b".text = "x"; deep = { x = throw "a thrown word"; };`, nil,
		func(t *testing.T, l lab) {
			for on, says := range map[string]string{"port": "at most 65535", "key": "must not contain a slash"} {
				if o, _, errOut := l.run(t, "build", "--on", on); o.Code != 1 || !strings.Contains(o.Problem, says) {
					t.Errorf("%s: got %+v\n%s", on, o, errOut)
				}
			}
		})
}

func TestUnknownHostsAreJudgedByWhatColmenaSays(t *testing.T) {
	each(t, "", fourNodes, nil, func(t *testing.T, l lab) {
		if o, _, errOut := l.run(t, "build", "--on", "nope"); o.Code != 2 || o.Problem != "colmena selected no host" {
			t.Errorf("got %+v\n%s", o, errOut)
		}
		if o, _, errOut := l.run(t, "exec", "--", "true"); o.Code != 3 || o.Problem != "1 of 5 hosts failed: run the command down" {
			t.Errorf("got %+v\n%s", o, errOut)
		}
	})
}

func TestEvalWritesItsResultToStdoutOnly(t *testing.T) {
	each(t, "", fourNodes, fourNodesKnown(), func(t *testing.T, l lab) {
		o, out, _ := l.run(t, "eval", "-E", "{ nodes, ... }: builtins.length (builtins.attrNames nodes)")
		if o.Code != 0 || out != "6\n" {
			t.Errorf("got %+v, stdout %q", o, out)
		}
	})
}

func TestEnvironmentReachesColmena(t *testing.T) {
	each(t, "", fourNodes, fourNodesKnown(), func(t *testing.T, l lab) {
		o, _, errOut := l.job(t, colmena.Job{Nodes: l.nodes, SSHConfig: "/run/hive/ssh_config", Getenv: func(key string) string {
			return map[string]string{"RUST_LOG": "off"}[key]
		}}, "exec", "--on", "down,good", "--", "true")
		if o.Code != 3 {
			t.Errorf("failures are not seen with RUST_LOG=off: %+v\n%s", o, errOut)
		}
		calls, err := os.ReadFile(l.calls)
		if err != nil || !strings.Contains(string(calls), " -F /run/hive/ssh_config -- true") {
			t.Errorf("calls %s, %v", calls, err)
		}
	})
}

func TestInterruptGives130(t *testing.T) {
	each(t, "", fourNodes, fourNodesKnown(), func(t *testing.T, l lab) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		started := filepath.Join(t.TempDir(), "started")
		go func() {
			for range 200 {
				if _, err := os.Stat(started); err == nil {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			cancel()
		}()
		call, err := colmena.Parse("exec", []string{"--on", "good", "--", "touch " + started + "; sleep 30"})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		o, err := l.tool.Run(ctx, run.Local{}, colmena.Job{Call: call, Hive: l.hive, Nodes: l.nodes})
		if err != nil || o.Code != 130 || time.Since(begin) > 8*time.Second {
			t.Errorf("got %+v, %v after %v", o, err, time.Since(begin))
		}
		if _, err := os.Stat(started); err != nil {
			t.Errorf("the command never ran: %v", err)
		}
	})
}

func TestFindTellsVersionsApart(t *testing.T) {
	standin.Each(t, func(t *testing.T, program string) {
		tool, err := colmena.Find(t.Context(), run.Local{}, program)
		if err != nil {
			t.Fatal(err)
		}
		want := colmena.V05
		if strings.HasPrefix(tool.Version, "0.4.") {
			want = colmena.V04
		}
		if tool.Path != program || tool.Family != want || !strings.HasPrefix(tool.Version, want.String()) {
			t.Errorf("got %+v", tool)
		}
	})
}

func TestFindSaysHowToGetAMissingOrTooOldColmena(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	old := filepath.Join(t.TempDir(), "colmena")
	if err := os.WriteFile(old, []byte("#!/bin/sh\necho Colmena 0.3.2\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"", "/no/such/colmena", old} {
		_, err := colmena.Find(t.Context(), run.Local{}, program)
		missing := (*run.MissingError)(nil)
		if !errors.As(err, &missing) || !strings.Contains(missing.Hint, "nix-shell -p colmena") {
			t.Errorf("Find(%q): %v", program, err)
		}
	}
}
