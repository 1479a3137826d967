package run

import (
	"os/exec"
	"strings"
	"testing"
)

func TestQuoteLeavesPlainWordsReadable(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, ""},
		{[]string{"nix-build", "/a/b.nix", "--argstr", "k=v", "-A", "web1.iso"}, "nix-build /a/b.nix --argstr k=v -A web1.iso"},
		{[]string{"echo", ""}, "echo ''"},
		{[]string{"echo", "it's"}, `echo 'it'\''s'`},
		{[]string{"A=b", "c"}, "'A=b' c"},
		{[]string{"echo", "=ls", "~", "a~"}, "echo '=ls' '~' 'a~'"},
		{[]string{"echo", "日本"}, "echo '日本'"},
	} {
		if got := Quote(tt.args...); got != tt.want {
			t.Errorf("Quote(%q) = %s, want %s", tt.args, got, tt.want)
		}
	}
}

func TestMaskHidesTheLongerSecretFirst(t *testing.T) {
	if got := newMask([]string{"abc", "abcdef"}).text("x abcdef y abc"); got != "x [secret] y [secret]" {
		t.Errorf("got %q", got)
	}
}

// FuzzQuoteSurvivesTheShell sends two words through a real shell and compares what a program receives, byte for byte.
func FuzzQuoteSurvivesTheShell(f *testing.F) {
	for _, seed := range [][2]string{
		{"", ""},
		{"a b", "c"},
		{"'", "''"},
		{`"`, `\`},
		{"$HOME", "${x}"},
		{"`id`", "$(id)"},
		{"\n", "\t\r"},
		{"*", "?[a]"},
		{"~", "~root"},
		{"#", "a#b"},
		{"!", "!!"},
		{"-n", "--"},
		{"A=b", "=x"},
		{";", "&|<>()"},
		{"日本", "\xff\xfe"},
		{"{a,b}", "\x01\x7f"},
		{`'\''`, `\'`},
		{"%s", "%%"},
		{"^", "[!a]"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if strings.ContainsRune(a+b, 0) {
			return // no argument holds a NUL
		}
		out, err := exec.Command("sh", "-c", "printf '%s\\0' "+Quote("word", a, b)).Output()
		if err != nil {
			t.Fatalf("sh: %v", err)
		}
		if want := "word\x00" + a + "\x00" + b + "\x00"; string(out) != want {
			t.Errorf("got %q, want %q", out, want)
		}
	})
}
