package pin

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseSpecTellsPathURLAndRefApart(t *testing.T) {
	for text, want := range map[string]Kind{
		"nixos-24.05":      Ref,
		"v1.8.2":           Ref,
		"feature/x":        Ref,
		"refs/heads/main":  Ref,
		"63dacb46bf93":     Ref,
		"/nix/my nixpkgs":  Path,
		"./nixpkgs":        Path,
		"../nixpkgs":       Path,
		".":                Path,
		"..":               Path,
		"/with://in/it":    Path,
		"https://host/a.x": URL,
		"http://host/a":    URL,
		"file:///a%20b.gz": URL,
	} {
		got, err := ParseSpec(text)
		if err != nil || got.Kind != want || got.Text != text {
			t.Errorf("ParseSpec(%q) = %+v, %v; want kind %s", text, got, err, want)
		}
	}
}

func TestParseSpecRefusesWithAWayOut(t *testing.T) {
	for text, why := range map[string]string{
		"":                           "empty",
		"~/nixpkgs":                  "not expanded",
		"<nixpkgs>":                  "search path",
		"a b":                        "blanks",
		"a\nb":                       "line of text",
		"--upload-pack=x":            "start with -",
		"a..b":                       "..",
		"a~1":                        "~",
		"x.lock":                     ".lock",
		"a/":                         "end with",
		"https://user:secret@host/x": "password",
		"https:///x":                 "no host",
		"https://host/x#y":           "#",
		"ftp://host/x":               "not fetched by",
		"git+ssh://host/x":           "not fetched by",
		"file://relative/x":          "absolute",
		"https://host/a b":           "valid URL",
	} {
		_, err := ParseSpec(text)
		refused, ok := errors.AsType[*SpecError](err)
		if !ok || !strings.Contains(refused.Why, why) || refused.Hint() == "" {
			t.Errorf("ParseSpec(%q): %v, want a SpecError about %q with a hint", text, err, why)
		}
	}
}

func TestRelativePathSpecStartsFromTheWorkspace(t *testing.T) {
	for text, want := range map[string]string{"./a": "/ws/a", "../a": "/a", ".": "/ws", "/b/../c": "/c"} {
		if got := (Spec{Text: text, Kind: Path}).In("/ws"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzParseSpec(f *testing.F) {
	for _, s := range []string{"nixos-24.05", "./x", "https://h/x", "file:///x", "-x", "a@{b", "::", "\xff", "refs/tags/v1^{}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		spec, err := ParseSpec(text)
		if err != nil {
			if _, ok := errors.AsType[*SpecError](err); !ok {
				t.Fatalf("%q: error of another type: %v", text, err)
			}
			return
		}
		if strings.ContainsAny(text, "\n\r\x00") {
			t.Errorf("%q was accepted, it does not fit in a line", text)
		}
		switch spec.Kind {
		case Ref:
			if text[0] == '-' || strings.ContainsAny(text, " ^:*?[\\~") {
				t.Errorf("%q was accepted as a ref, git could take it for an option or a pattern", text)
			}
		case URL:
			if !strings.HasPrefix(strings.ToLower(text), "http") && !strings.HasPrefix(strings.ToLower(text), "file") {
				t.Errorf("%q was accepted as a URL", text)
			}
		case Path:
			if !filepath.IsAbs(spec.In("/ws")) {
				t.Errorf("%q does not become an absolute path", text)
			}
		default:
			t.Errorf("%q has kind %q", text, spec.Kind)
		}
	})
}
