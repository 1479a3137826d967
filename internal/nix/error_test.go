package nix

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What Nix prints, as 2.8 and 2.26 print it.
const (
	syntax28 = `error: syntax error, unexpected ';'

       at /ws/nixConfigs/web1.nix:1:7:

            1| { a = ; }
             |       ^
`
	option28 = "error: The option `services.nosuch' does not exist. Definition values:\n" +
		"       - In `/ws/nixConfigs/web1.nix':\n" +
		"           {\n" +
		"             enable = true;\n" +
		"           }\n" +
		"(use '--show-trace' to show detailed location information)\n"
	trace28 = `error: attribute 'match' missing

       at /nix/store/aaa-source/lib/default.nix:12:5:

           11|   x =
           12|     lib.match
             |     ^

       … while evaluating 'f'

       at /ws/nixConfigs/web1.nix:3:9:

            2| {
            3|   a = f 1;
             |         ^
`
	newer = `error:
       … while calling the 'head' builtin
         at /nix/store/aaa-source/lib/attrsets.nix:1575:11:
         1574|         || pred here (elemAt values 1) (head values) then
         1575|           head values
             |           ^

       … while evaluating the module argument ` + "`pkgs' in \"/ws/nixConfigs/web1.nix\":" + `

       (stack trace truncated; use '--show-trace' to show the full, detailed trace)

       error: The option ` + "`a' is used but not defined." + `
`
)

func TestTheMessageIsTheCauseInEveryVersionsOrder(t *testing.T) {
	for _, c := range []struct{ name, text, message string }{
		{"syntax", syntax28, "syntax error, unexpected ';'"},
		{"several lines", option28, "The option `services.nosuch' does not exist. Definition values:\n- In `/ws/nixConfigs/web1.nix':\n    {\n      enable = true;\n    }"},
		{"frames behind", trace28, "attribute 'match' missing"},
		{"frames before", newer, "The option `a' is used but not defined."},
		{"no error line", "something odd\n\n", "something odd"},
		{"a crash", "", "nix-instantiate ended without a message (signal)"},
		{"a stack overflow", "error: stack overflow (possible infinite recursion)\n", "stack overflow (possible infinite recursion)"},
	} {
		got := parseError(c.text, errors.New("signal"))
		if d := cmp.Diff(c.message, got.Message); d != "" {
			t.Errorf("%s:\n%s", c.name, d)
		}
	}
}

func TestPlacesAreNamedInnermostFirst(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []Position
	}{
		{"syntax", syntax28, []Position{{"/ws/nixConfigs/web1.nix", 1, 7}}},
		{"a definition's file", option28, []Position{{"/ws/nixConfigs/web1.nix", 0, 0}}},
		{"frames behind", trace28, []Position{{"/nix/store/aaa-source/lib/default.nix", 12, 5}, {"/ws/nixConfigs/web1.nix", 3, 9}}},
		{"frames before", newer, []Position{{"/nix/store/aaa-source/lib/attrsets.nix", 1575, 11}}},
		{"a missing file", "error: getting status of '/ws/nope.nix': No such file or directory\n", []Position{{"/ws/nope.nix", 0, 0}}},
	} {
		if d := cmp.Diff(c.want, parseError(c.text, nil).Positions); d != "" {
			t.Errorf("%s:\n%s", c.name, d)
		}
	}
}

func TestTheInnermostOptionIsNamed(t *testing.T) {
	behind := "error: infinite recursion encountered\n\n       … while evaluating the option `networking.domain':\n\n       … while evaluating the option `system.build':\n"
	before := "error:\n       … while evaluating the option `system.build':\n\n       … while evaluating the option `networking.domain':\n\n       error: infinite recursion encountered\n"
	for _, text := range []string{behind, before} {
		if got := parseError(text, nil).Option; got != "networking.domain" {
			t.Errorf("%q names %q", text, got)
		}
	}
	if got := parseError(syntax28, nil).Option; got != "" {
		t.Errorf("a syntax error names option %q", got)
	}
}

func TestReadOnlyEvaluationKnowsWhenItNeedsABuild(t *testing.T) {
	for message, want := range map[string]bool{
		"path '/nix/store/aaa-x.drv' is not valid":                                     true,
		"cannot build '/nix/store/aaa-x.drv' during evaluation: read-only mode":        true,
		"cannot substitute path '/nix/store/aaa-x' - no write access to the Nix store": true,
		"The option `a' does not exist":                                                false,
	} {
		if got := (&EvalError{Message: message}).NeedsBuild(); got != want {
			t.Errorf("%s: %v", message, got)
		}
	}
}

func TestEveryAdviceIsReachable(t *testing.T) {
	for i, a := range advice() {
		if strings.TrimSpace(a.hint) == "" {
			t.Errorf("%q has no hint", a.part)
		}
		for _, earlier := range advice()[:i] {
			if strings.Contains(a.part, earlier.part) {
				t.Errorf("%q is hidden by %q", a.part, earlier.part)
			}
		}
		if got := Hint("x " + a.part + " y"); got != a.hint {
			t.Errorf("%q gets %q", a.part, got)
		}
	}
	if got := Hint("nobody knows this"); got != "" {
		t.Errorf("an unknown message gets %q", got)
	}
}

func FuzzParseError(f *testing.F) {
	for _, text := range []string{syntax28, option28, trace28, newer, "", "error: ", "error: \x00\n\xff at /a:1:2"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e := parseError(text, errors.New("end"))
		if strings.TrimSpace(e.Message) == "" {
			t.Errorf("%q has no message", text)
		}
		for _, p := range e.Positions {
			if !strings.HasPrefix(p.File, "/") || p.Line < 0 || p.Column < 0 {
				t.Errorf("%q: position %+v", text, p)
			}
		}
	})
}

func TestTheMessageOfALongTraceIsKeptAtEitherEnd(t *testing.T) {
	frames := slices.Repeat([]string{"       … from call site", "", "       at /nix/store/aaa-source/lib/x.nix:1:1:"}, 20_000)
	for name, text := range map[string][]string{
		"message first": append([]string{"error: on purpose", ""}, frames...),
		"message last":  append(append([]string{"error:"}, frames...), "", "       error: on purpose"),
	} {
		var lines errorLines
		for _, l := range text {
			lines.add(l)
		}
		if got := parseError(lines.text(), nil).Message; got != "on purpose" {
			t.Errorf("%s: %q", name, got)
		}
		if kept := len(lines.head) + len(lines.tail); kept > 3*keptLines {
			t.Errorf("%s: %d lines kept", name, kept)
		}
	}
}
