package colmena_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"nixos-staged-hive/internal/colmena"
	standin "nixos-staged-hive/internal/testbed/colmena"
)

// FuzzParse compares with the strict parser of the stand-in, which was written apart: where that accepts a line, both mean the same.
func FuzzParse(f *testing.F) {
	for _, line := range []string{
		"build", "apply push --on a", "apply -vp3 --on=a,@b", "exec --on a -- ls -h", "exec -v ls --on b", "build --nix-option a b --on c",
		"eval -E x", "eval -E=x --instantiate", "build -h", "apply-local --node a keys", "upload-keys --on", "build -f x", "build -p --on",
		"apply -- --on", "build --eval-node-limit 0", "repl --", "build --on - --color never", "build --on a --help",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words := strings.Split(line, " ")
		call, err := colmena.Parse(words[0], words[1:])
		if err != nil {
			if call.Subcommand != "" {
				t.Errorf("%q: %v and %+v", line, err, call)
			}
			return
		}
		if !slices.Equal(call.Words, words[1:]) {
			t.Fatalf("%q: words became %q", line, call.Words)
		}
		for _, version := range standin.Versions() {
			strict, err := standin.Read(version, append([]string{call.Subcommand}, words[1:]...))
			if err != nil {
				continue
			}
			if strict.Help != call.Help {
				t.Errorf("%q: help %v, Colmena %s takes it as %v", line, call.Help, version, strict.Help)
			}
			if strict.Help {
				continue
			}
			if call.Strange {
				t.Errorf("%q: strange, but Colmena %s accepts it", line, version)
			}
			goalMatters := strict.Subcommand == "apply" || strict.Subcommand == "apply-local"
			if strict.On != call.On || strict.HasOn != call.HasOn || strict.Node != call.Node || goalMatters && strict.Goal != call.Goal {
				t.Errorf("%q: read as %+v, Colmena %s means %+v", line, call, version, strict)
			}
			if strict.Config != "" {
				t.Errorf("%q: a second hive %q got through", line, strict.Config)
			}
		}
	})
}

// FuzzFilter compares with the stand-in's translation to regular expressions.
func FuzzFilter(f *testing.F) {
	for _, s := range [][3]string{
		{"web*", "web1", ""},
		{"@a,b", "c", "a"},
		{"[!a-c]?", "xy", ""},
		{"[]a]", "]", ""},
		{"**/b", "a/b", ""},
		{"a/**/b", "a/b", ""},
		{"**", "", ""},
		{"[a-", "a", ""},
		{"***", "", ""},
		{"a**", "", ""},
		{"[!]]", "x", ""},
		{"日?", "日本", ""},
		{"[z-a]", "z", ""},
		{"[--0]", ".", ""},
		{"a/**", "a/b/c", ""},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, on, name, tag string) {
		if !utf8.ValidString(on) || !utf8.ValidString(name) || !utf8.ValidString(tag) {
			return // Nix knows no such names
		}
		filter, err := colmena.ParseFilter(on)
		want := standin.Matches(on, name, []string{tag})
		if err != nil {
			return // Colmena panics or refuses the whole filter
		}
		node := colmena.Node{Name: name, Tags: []string{tag}}
		if got := len(filter.Select([]colmena.Node{node}, false).Nodes) == 1; got != want {
			t.Errorf("--on %q for %q @%q: selected %v, the stand-in says %v", on, name, tag, got, want)
		}
	})
}
