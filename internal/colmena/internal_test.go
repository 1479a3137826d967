package colmena

import (
	"context"
	"errors"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
)

func TestParseReadsOnlyWhatMatters(t *testing.T) {
	for _, tt := range []struct {
		line string
		want Call
	}{
		{"build", Call{Subcommand: "build"}},
		{"apply", Call{Subcommand: "apply"}},
		{"deploy-local --node a --sudo", Call{Subcommand: "apply-local", Node: "a"}},
		{"apply push --on a,b", Call{Subcommand: "apply", Goal: "push", On: "a,b", HasOn: true}},
		{"apply --on=a -- boot", Call{Subcommand: "apply", Goal: "boot", On: "a", HasOn: true}},
		{"apply -vp3 --on=", Call{Subcommand: "apply", HasOn: true}},
		{"apply -p=3 -p3 -p 3 push", Call{Subcommand: "apply", Goal: "push"}},
		{"build --nix-option --on x --on a", Call{Subcommand: "build", On: "a", HasOn: true, Strange: true}},
		{"build --nix-option a --on", Call{Subcommand: "build", HasOn: true, Strange: true}},
		{"build --nix-option x y --on a", Call{Subcommand: "build", On: "a", HasOn: true}},
		{"build --nix-option=x y", Call{Subcommand: "build", Strange: true}},
		{"build --eval-node-limit 0 --on -", Call{Subcommand: "build", NodeLimit: "0", On: "-", HasOn: true}},
		{"build --on -h", Call{Subcommand: "build", HasOn: true, Help: true, Strange: true}},
		{"build --on a --on b", Call{Subcommand: "build", On: "b", HasOn: true, Strange: true}},
		{"build --frobnicate", Call{Subcommand: "build", Strange: true}},
		{"build -x", Call{Subcommand: "build", Strange: true}},
		{"build --verbose=1", Call{Subcommand: "build", Strange: true}},
		{"build -vh", Call{Subcommand: "build", Help: true}},
		{"build -V", Call{Subcommand: "build", Help: true}},
		{"build --help -f x", Call{Subcommand: "build", Help: true}},
		{"exec --on a ls -f --on b --help", Call{Subcommand: "exec", On: "a", HasOn: true}},
		{"exec --on a -- -f x", Call{Subcommand: "exec", On: "a", HasOn: true}},
		{"exec -- --on a", Call{Subcommand: "exec"}},
		{"eval -E -f", Call{}}, // an error
		{"eval -E x", Call{Subcommand: "eval"}},
		{"eval -E=--on=a", Call{Subcommand: "eval"}},
		{"build -f x", Call{}},
		{"build -fx", Call{}},
		{"build -vf", Call{}},
		{"build --config x", Call{}},
		{"build --config=x", Call{}},
		{"push", Call{}},
	} {
		words := strings.Fields(tt.line)
		got, err := Parse(words[0], words[1:])
		if tt.want.Subcommand == "" {
			if usage := (*UsageError)(nil); !errors.As(err, &usage) {
				t.Errorf("%s: got %+v, %v, want a UsageError", tt.line, got, err)
			}
			continue
		}
		tt.want.Words = words[1:]
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, %v\nwant %+v", tt.line, got, err, tt.want)
		}
	}
}

func TestCommandKeepsTheWordsAndAddsTheHiveOnce(t *testing.T) {
	words := []string{"--on", "a b", "", "--", "x;y", "-f"}
	call, err := Parse("exec", words)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Tool{Path: "colmena"}.command(Job{Call: call, Hive: "/h/hive.nix", SSHConfig: "/r/ssh_config", Color: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := append([]string{"-f", "/h/hive.nix", "exec"}, words...); !slices.Equal(c.Args, want) {
		t.Errorf("got %q, want %q", c.Args, want)
	}
	if want := []string{"RUST_LOG=info", "SSH_CONFIG_FILE=/r/ssh_config", "CLICOLOR_FORCE=1"}; !slices.Equal(c.Env, want) {
		t.Errorf("got %q, want %q", c.Env, want)
	}
	help := Call{Subcommand: "build", Words: []string{"-h"}, Help: true}
	if c, err = (Tool{Path: "colmena"}).command(Job{Call: help}); err != nil || !slices.Equal(c.Args, []string{"build", "-h"}) {
		t.Errorf("got %q, %v", c.Args, err)
	}
	for _, bad := range []Job{{Call: call, Hive: "hive.nix"}, {Call: call, Hive: "/h", SSHConfig: "/a b"}} {
		if c, err := (Tool{}).command(bad); err == nil {
			t.Errorf("%+v was accepted: %v", bad, c)
		}
	}
}

func TestLogLevelOfTheUserStaysUnlessItHidesFailures(t *testing.T) {
	for level, want := range map[string]bool{"": true, "off": true, "nix=debug": true, "info": false, "error": false, "DEBUG": false} {
		env := Job{Getenv: func(string) string { return level }}.env()
		if got := slices.Contains(env, "RUST_LOG=info"); got != want {
			t.Errorf("RUST_LOG=%s: replaced %v, want %v", level, got, want)
		}
	}
}

// recorder is a Runner that remembers the command and does nothing.
type recorder struct{ got run.Command }

func (r *recorder) Run(_ context.Context, c run.Command) error {
	r.got = c
	return nil
}

func TestTerminalIsGivenAwayOnlyWhereTheExitCodeIsEnough(t *testing.T) {
	nodes := []Node{{Name: "a", Deployable: true}, {Name: "b", Deployable: true}}
	for _, tt := range []struct {
		line     string
		family   Family
		terminal bool
		want     bool
	}{
		{"build --on a", V05, true, true},
		{"apply --on a", V04, true, true},
		{"exec --on a -- x", V05, true, true},
		{"exec --on a -- x", V04, true, false},
		{"build --on *", V05, true, false},
		{"build", V05, true, false},
		{"build --help", V04, true, true},
		{"eval -E x", V04, true, true},
		{"nix-info", V04, true, true},
		{"build --on a", V05, false, false},
		{"eval -E x", V05, false, false},
		{"deploy-local --node a", V05, false, false},
		{"deploy-local --node a", V05, true, true},
		{"repl", V05, false, true},
	} {
		words := strings.Fields(tt.line)
		call, err := Parse(words[0], words[1:])
		if err != nil {
			t.Fatal(err)
		}
		r := &recorder{}
		o, err := Tool{Path: "colmena", Family: tt.family}.Run(t.Context(), r, Job{Call: call, Hive: "/h", Nodes: nodes, Out: os.Stdout, Err: os.Stderr, Terminal: tt.terminal})
		if err != nil || o.Code != 0 {
			t.Errorf("%s: %+v, %v", tt.line, o, err)
		}
		if r.got.Interactive != tt.want {
			t.Errorf("%s of %v, terminal %v: interactive %v, want %v", tt.line, tt.family, tt.terminal, r.got.Interactive, tt.want)
		}
		if _, file := r.got.Stdout.(*os.File); file {
			t.Errorf("%s: colmena would draw spinners into a pipe", tt.line)
		}
		wantsInput := slices.Contains([]string{"repl", "eval", "apply-local"}, call.Subcommand)
		if tt.want && !wantsInput && r.got.Stdin == nil {
			t.Errorf("%s: stdin is the terminal", tt.line)
		}
	}
}

func TestGlobIsNotExponential(t *testing.T) {
	p, err := parsePattern(strings.Repeat("*a", 200) + "b")
	if err != nil {
		t.Fatal(err)
	}
	if p.match(strings.Repeat("a", 5000)) {
		t.Error("matched")
	}
}

func TestNodesAreTakenFromTheHive(t *testing.T) {
	target := "a.lan"
	got := Nodes(hive.Hive{Hosts: []hive.Host{
		{Name: "a", Deployment: hive.Deployment{TargetHost: &target, Tags: []string{"x"}}}, {Name: "b"},
	}})
	if want := []Node{{Name: "a", Tags: []string{"x"}, Deployable: true}, {Name: "b"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

// TestWatcher holds lines as the binaries print them, in colour too, cut at every place.
func TestWatcherReadsTheSummaryHoweverItArrives(t *testing.T) {
	for name, text := range map[string]string{
		"0.4": "[INFO ] Selected 2 out of 4 hosts (1 skipped).\nweb1 | [ERROR] Failed to build db - Last 3 lines of logs:\n" +
			"[ERROR] Failed to push system closure to web1 - Last 4 lines of logs:\n[ERROR]   stdout) [ERROR] Failed to build x - Last 1 lines of logs:\n" +
			"[ERROR] Operation failed with error: Child process exited with error code: 1\n",
		"0.5 in colour": "\x1b[32m INFO\x1b[0m Selected 2 out of 4 hosts.\n\x1b[31mERROR\x1b[0m Failed to push system closure to web1 - Last 4 lines of logs:\n" +
			"\x1b[31mERROR\x1b[0m Operation failed with error: Child process exited with error code: 1",
		"0.4 in colour": "\x1b[0m\x1b[38;5;8m[\x1b[0m\x1b[0m\x1b[32mINFO \x1b[0m\x1b[0m\x1b[38;5;8m]\x1b[0m Selected all 2 nodes.\n" +
			"\x1b[0m\x1b[38;5;8m[\x1b[0m\x1b[0m\x1b[1m\x1b[31mERROR\x1b[0m\x1b[0m\x1b[38;5;8m]\x1b[0m Failed to push system closure to web1 - Last 4 lines of logs:\n" +
			"[ERROR] Operation failed with error: Child process exited with error code: 1\n",
	} {
		want := report{selected: 2, failures: []failure{{step: "push", hosts: []string{"web1"}}}, reason: "Child process exited with error code: 1"}
		for cut := range len(text) {
			var passed strings.Builder
			w := newWatcher(&passed)
			_, _ = io.WriteString(w, text[:cut])
			_, _ = io.WriteString(w, text[cut:])
			if got := w.end(); !reflect.DeepEqual(got, want) || passed.String() != text {
				t.Fatalf("%s cut at %d: got %+v, want %+v", name, cut, got, want)
			}
		}
	}
}

func TestFailedHostsAreReadFromEveryForm(t *testing.T) {
	for text, want := range map[string]failure{
		"a":                                  {hosts: []string{"a"}},
		"a and b":                            {hosts: []string{"a", "b"}},
		"a, b, and c":                        {hosts: []string{"a", "b", "c"}},
		"a, node.dots, b, and 4 other nodes": {hosts: []string{"a", "node.dots", "b"}, more: 4},
		"a and 1 other nodes":                {hosts: []string{"a"}, more: 1},
	} {
		w := newWatcher(nil)
		_, _ = io.WriteString(w, "ERROR Failed to evaluate "+text+" - Last 5 lines of logs:\n")
		want.step = "evaluate"
		if got := w.end().failures; len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("%s: got %+v, want %+v", text, got, want)
		}
	}
}

func TestLongLinesTakeNoMemory(t *testing.T) {
	w := newWatcher(nil)
	for range 100 {
		_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
	}
	if len(w.line) > lineLimit {
		t.Errorf("kept %d bytes", len(w.line))
	}
}

func TestEndingsOfTheProgram(t *testing.T) {
	for _, tt := range []struct {
		script string
		want   ending
	}{
		{"exit 0", ending{}},
		{"exit 7", ending{exit: 7}},
		{"exit 130", ending{exit: 130, interrupted: true}},
		{"kill -INT $$", ending{exit: -1, interrupted: true}},
		{"kill -KILL $$", ending{exit: -1}},
	} {
		err := run.Local{}.Run(t.Context(), run.Command{Name: "sh", Args: []string{"-c", tt.script}})
		if got, err := endingOf(t.Context(), err); err != nil || got != tt.want {
			t.Errorf("%s: got %+v, %v", tt.script, got, err)
		}
	}
	if _, err := endingOf(t.Context(), &run.MissingError{Program: "colmena"}); err == nil {
		t.Error("a missing program counts as a run")
	}
}

func TestVersionsAreRead(t *testing.T) {
	for text, want := range map[string]version{
		"Colmena 0.4.0\n":        {text: "0.4.0", minor: 4},
		"colmena 0.5.0":          {text: "0.5.0", minor: 5},
		"Colmena 0.5.0-pre":      {text: "0.5.0-pre", minor: 5, pre: true},
		"colmena 1.0.0+20260101": {text: "1.0.0+20260101", major: 1},
	} {
		if got, ok := parseVersion(text); !ok || got != want {
			t.Errorf("%q: got %+v", text, got)
		}
	}
	for _, text := range []string{"", "unknown option", "99999999999999999999.1.1"} {
		if got, ok := parseVersion(text); ok {
			t.Errorf("%q: got %+v", text, got)
		}
	}
}

func TestADeploymentWithoutNamesIsOneOfAllThatCanBeDeployedTo(t *testing.T) {
	nodes := []Node{{Name: "a", Deployable: true}, {Name: "b", Deployable: true}, {Name: "local"}}
	for _, c := range []struct {
		name  string
		words []string
		nodes []Node
		want  []string
	}{
		{"apply", nil, nodes, []string{"--on", "a,b"}},
		{"apply", []string{"push", "-v"}, nodes, []string{"--on", "a,b", "push", "-v"}},
		{"apply", []string{"build"}, nodes, []string{"--on", "a,b,local", "build"}},
		{"apply", []string{"--on", "b"}, nodes, []string{"--on", "b"}},
		{"apply", []string{"--help"}, nodes, []string{"--help"}},
		{"apply", []string{"--nosuch"}, nodes, []string{"--nosuch"}},
		{"apply", nil, nodes[2:], nil},
		{"apply", nil, []Node{{Name: "a*", Deployable: true}}, nil},
		{"build", nil, nodes, nil},
		{"exec", []string{"true"}, nodes, []string{"true"}},
	} {
		call, err := Parse(c.name, c.words)
		if err != nil {
			t.Fatal(err)
		}
		if got := call.Everywhere(c.nodes).Words; !slices.Equal(got, c.want) {
			t.Errorf("%s %q: words %q, want %q", c.name, c.words, got, c.want)
		}
	}
}
