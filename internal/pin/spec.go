package pin

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind says how a Spec names its source.
type Kind string

// The three ways to name a source.
const (
	Path Kind = "path" // a folder on this machine
	URL  Kind = "url"  // an archive
	Ref  Kind = "ref"  // a branch, tag or commit of the source's repository
)

// Spec is what a user asks for in versions.json.
type Spec struct {
	Text string // as written
	Kind Kind
}

// SpecError is a text that cannot be a spec.
type SpecError struct {
	Text string
	Why  string
	Way  string // what to write instead
	Err  error  // what the file system said, if it was asked
}

func (e *SpecError) Error() string { return fmt.Sprintf("version %q: %s", e.Text, e.Why) }

// Hint says what to write instead.
func (e *SpecError) Hint() string { return e.Way }

// Unwrap gives what the file system said.
func (e *SpecError) Unwrap() error { return e.Err }

// ParseSpec tells path, URL and ref apart: a path starts with "/", "./" or "../" (or is "." or ".."), a URL has "://", anything else
// is a ref. The error is a *SpecError.
func ParseSpec(text string) (Spec, error) {
	kind, why, way := classify(text)
	if why != "" {
		return Spec{}, &SpecError{Text: text, Why: why, Way: way}
	}
	return Spec{Text: text, Kind: kind}, nil
}

func classify(text string) (kind Kind, why, way string) {
	const example = "write a branch, tag or commit (nixos-24.05), a URL of an archive, or a folder (/path, ./path)"
	switch {
	case text == "":
		return "", "it is empty", example
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return "", "it has characters that cannot be written in a line of text", example
	case isPath(text):
		return Path, "", ""
	case strings.Contains(text, "://"):
		why, way = refuseURL(text)
		return URL, why, way
	case strings.HasPrefix(text, "~"):
		return "", "~ is not expanded here", "write the whole path, or one relative to the workspace: ./path"
	case strings.HasPrefix(text, "<"):
		return "", "a search path differs from machine to machine, so it cannot be pinned", example
	}
	return Ref, refuseRef(text), example
}

func isPath(s string) bool {
	return s == "." || s == ".." || strings.HasPrefix(s, "/") || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../")
}

// refuseURL also keeps passwords out: the lock is meant to be committed.
func refuseURL(text string) (why, way string) {
	u, err := url.Parse(text)
	if err != nil || strings.ContainsFunc(text, unicode.IsSpace) {
		return "it is not a valid URL", "blanks and other special characters are written like %20"
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "file":
		return fmt.Sprintf("archives are not fetched by %q", u.Scheme), "use https://, http:// or file://"
	case u.User != nil:
		return "a user name or password in a URL would end up in the lock file", "put it into ~/.netrc or the netrc-file of nix.conf"
	case u.Fragment != "" || strings.HasSuffix(text, "#"):
		return "the part from # on has no meaning for an archive", "use the URL of the revision's archive"
	case u.Scheme != "file" && u.Host == "":
		return "it has no host", "a URL reads https://host/path"
	case u.Scheme == "file" && (u.Host != "" || !strings.HasPrefix(u.Path, "/")):
		return "it is not an absolute path", "a file URL reads file:///path"
	}
	return "", ""
}

// refuseRef follows git-check-ref-format(1), git 2.39.
func refuseRef(s string) (why string) {
	switch {
	case strings.HasPrefix(s, "-"):
		return "the name of a branch or tag does not start with -"
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("~^:?*[\\", r) }):
		return "the name of a branch or tag has no blanks and none of ~ ^ : ? * [ \\"
	case strings.Contains(s, "..") || strings.Contains(s, "@{") || strings.Contains(s, "//") || s == "@":
		return "the name of a branch or tag does not contain .. @{ or //"
	case strings.HasSuffix(s, "/") || strings.HasSuffix(s, "."):
		return "the name of a branch or tag does not end with / or ."
	}
	for part := range strings.SplitSeq(s, "/") {
		if strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock") {
			return "no part of the name of a branch or tag starts with . or ends with .lock"
		}
	}
	return ""
}

// In is the folder a path spec means, with dir as the place relative ones start from.
func (s Spec) In(dir string) string {
	if filepath.IsAbs(s.Text) {
		return filepath.Clean(s.Text)
	}
	return filepath.Join(dir, s.Text)
}

// commit is the full commit id in lower case, or empty if the spec is something else.
func (s Spec) commit() string {
	if s.Kind != Ref || len(s.Text) != 40 || !isHex(s.Text) {
		return ""
	}
	return strings.ToLower(s.Text)
}

// shortened reports a ref that looks like the beginning of a commit id.
func (s Spec) shortened() bool {
	return s.Kind == Ref && len(s.Text) >= 7 && len(s.Text) < 40 && isHex(s.Text)
}

func isHex(s string) bool {
	return strings.Trim(s, "0123456789abcdefABCDEF") == ""
}
