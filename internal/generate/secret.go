package generate

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// SecretError says that generated files would hold secrets. It never shows them. The generated tree is read by everyone on this
// machine and is meant for git.
type SecretError struct {
	Findings []Finding
}

// Finding is one secret in a generated file.
type Finding struct {
	Host string // empty in a file that all hosts share
	File string // path below the generated folder
	Path string // place in the JSON document, for example carried[3].value; empty in a file that is no JSON
	Kind string // what it looks like
}

func (f Finding) String() string {
	where := f.File
	if f.Path != "" {
		where += ": " + f.Path
	}
	if f.Host != "" {
		where = fmt.Sprintf("host %q: ", f.Host) + where
	}
	return where + " looks like " + f.Kind
}

func (e *SecretError) Error() string {
	lines := make([]string, len(e.Findings))
	for i, f := range e.Findings {
		lines[i] = f.String()
	}
	return "the generated tree would hold secrets: " + strings.Join(lines, "; ")
}

// What crypt(5) and key files look like. Lengths are those of a real hash, so that a text about hashes passes.
var (
	yescrypt     = regexp.MustCompile(`\$y\$[./A-Za-z0-9]+\$[./A-Za-z0-9]{1,86}\$[./A-Za-z0-9]{43}`)
	gostYescrypt = regexp.MustCompile(`\$gy\$[./A-Za-z0-9]+\$[./A-Za-z0-9]{1,86}\$[./A-Za-z0-9]{43}`)
	scrypt       = regexp.MustCompile(`\$7\$[./A-Za-z0-9]{11,97}\$[./A-Za-z0-9]{43}`)
	sha512Crypt  = regexp.MustCompile(`\$6\$(rounds=\d+\$)?[^$:\s]{0,16}\$[./A-Za-z0-9]{86}`)
	sha256Crypt  = regexp.MustCompile(`\$5\$(rounds=\d+\$)?[^$:\s]{0,16}\$[./A-Za-z0-9]{43}`)
	bcrypt       = regexp.MustCompile(`\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}`)
	md5Crypt     = regexp.MustCompile(`\$1\$[^$:\s]{0,8}\$[./A-Za-z0-9]{22}`)
	argon2       = regexp.MustCompile(`\$argon2(id|i|d)\$v=\d+\$[^$\s]+\$[+/A-Za-z0-9]+\$[+/A-Za-z0-9]{16}`)
	privateKey   = regexp.MustCompile(`PRIVATE KEY`)
	ageIdentity  = regexp.MustCompile(`AGE-SECRET-KEY-1[0-9A-Z]{50}`)
	wireGuardKey = regexp.MustCompile(`(?m)^\s*(PrivateKey|PresharedKey)\s*=\s*[+/A-Za-z0-9]{43}=`)
)

type secretForm struct {
	kind, hint string // hint is part of every match, quick to look for, and has a $ or a K in it
	form       *regexp.Regexp
}

func secretForms() []secretForm {
	return []secretForm{
		{"a yescrypt password hash", "$y$", yescrypt},
		{"a yescrypt password hash", "$gy$", gostYescrypt},
		{"an scrypt password hash", "$7$", scrypt},
		{"a SHA-512 password hash", "$6$", sha512Crypt},
		{"a SHA-256 password hash", "$5$", sha256Crypt},
		{"a bcrypt password hash", "$2", bcrypt},
		{"an MD5 password hash", "$1$", md5Crypt},
		{"an Argon2 password hash", "$argon2", argon2},
		{"a private key", "PRIVATE KEY", privateKey},
		{"an age identity", "AGE-SECRET-KEY-1", ageIdentity},
		{"a WireGuard key", "Key", wireGuardKey},
	}
}

// secretKind says what secret text holds, empty if it seems to hold none.
func secretKind(text string) string {
	if !strings.ContainsAny(text, "$K") { // a letter of every hint: most text, and there is much, ends here
		return ""
	}
	for _, s := range secretForms() {
		if strings.Contains(text, s.hint) && s.form.MatchString(text) {
			return s.kind
		}
	}
	return ""
}

// checkText looks at every string and key of a document: JSON replaces what is not UTF-8, Nix cannot hold NUL, and a secret must
// not be written at all.
func checkText(file string, document map[string]any) error {
	var found []Finding
	var problems []error
	walk(document, nil, func(place []any, text string) {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			problems = append(problems, fmt.Errorf("%s: %s: the text is not UTF-8 or holds NUL, which Nix cannot read", file, show(place)))
		}
		if kind := secretKind(text); kind != "" {
			found = append(found, Finding{Host: hostOf(file), File: file, Path: show(place), Kind: kind})
		}
	})
	if len(found) > 0 {
		problems = append(problems, &SecretError{Findings: found})
	}
	return errors.Join(problems...)
}

// walk visits strings and keys in a fixed order. A place is the keys (string) and indexes (int) on the way to it.
func walk(value any, place []any, visit func(place []any, text string)) {
	switch v := value.(type) {
	case string:
		visit(place, v)
	case []any:
		for i, element := range v {
			walk(element, append(place, i), visit)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			below := append(place, key) // a stack: what is deeper is done before the next key
			visit(below, key)
			walk(v[key], below, visit)
		}
	}
}

// plainKey is a key that needs no quotes in a path.
var plainKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// show spells a place as a person would: carried[3].value["a b"].
func show(place []any) string {
	var b strings.Builder
	for _, step := range place {
		switch key, isKey := step.(string); {
		case !isKey:
			fmt.Fprintf(&b, "[%d]", step)
		case secretKind(key) != "":
			b.WriteString("[a key]") // the key itself is not to be shown
		case !plainKey.MatchString(key):
			fmt.Fprintf(&b, "[%q]", key)
		case b.Len() > 0:
			b.WriteString("." + key)
		default:
			b.WriteString(key)
		}
	}
	return b.String()
}

// joinSecrets makes one SecretError of several, so that a caller sees them all; other problems come with it.
func joinSecrets(problems []error) error {
	var all SecretError
	var rest []error
	var split func(err error)
	split = func(err error) {
		if secret, ok := err.(*SecretError); ok { //nolint:errorlint // the tree of joined errors is walked here
			all.Findings = append(all.Findings, secret.Findings...)
		} else if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, one := range joined.Unwrap() {
				split(one)
			}
		} else if err != nil {
			rest = append(rest, err)
		}
	}
	for _, err := range problems {
		split(err)
	}
	if len(all.Findings) > 0 {
		rest = append(rest, &all)
	}
	return errors.Join(rest...)
}
