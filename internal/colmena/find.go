package colmena

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/run"
)

// Program is the name Colmena is looked up by.
const Program = "colmena"

// howToGet is the hint for a machine without Colmena.
const howToGet = "nix-shell -p colmena starts a shell with it, nix-env -iA nixpkgs.colmena (nixos.colmena on NixOS) installs it, and on NixOS " +
	"environment.systemPackages = [ pkgs.colmena ]; keeps it"

// Family is a line of versions that behave alike.
type Family int

// The families this package was tried with. Whatever is newer counts as V05.
const (
	V04 Family = iota + 1
	V05
)

// String is the family as its versions begin.
func (f Family) String() string {
	switch f {
	case V04:
		return "0.4"
	case V05:
		return "0.5"
	}
	return "unknown"
}

// Tool is a Colmena that was found.
type Tool struct {
	Path    string // how to call it: a name on PATH or a path
	Version string // as it says itself, for example 0.5.0-pre; empty if it says nothing that looks like a version
	Family  Family
}

// Find asks program, a name or a path, for its version; empty is Colmena on PATH. A Colmena that is missing or older than 0.4.0 is a
// *run.MissingError that says how to get one.
func Find(ctx context.Context, r run.Runner, program string) (Tool, error) {
	if program == "" {
		program = Program
	}
	out, err := run.Output(ctx, r, run.Command{Name: program, Args: []string{"--version"}})
	if missing := (*run.MissingError)(nil); errors.As(err, &missing) {
		return Tool{}, &run.MissingError{Program: program, Hint: howToGet}
	}
	if err != nil {
		return Tool{}, fmt.Errorf("ask colmena for its version: %w", err)
	}
	tool := Tool{Path: program}
	v, ok := parseVersion(string(out))
	tool.Version = v.text
	if ok && v.before04() {
		return Tool{}, &run.MissingError{Program: "colmena 0.4.0 or newer (found " + v.text + ")", Hint: howToGet}
	}
	if ok && !v.pre {
		tool.Family = v.family()
		return tool, nil
	}
	tool.Family, err = probe(ctx, r, program)
	return tool, err
}

// probe tells the families apart where the number does not: a pre-release of 0.5 may be from long before it. 0.5 renamed the goal
// `keys` of apply to `upload-keys`.
func probe(ctx context.Context, r run.Runner, program string) (Family, error) {
	help, err := run.Output(ctx, r, run.Command{Name: program, Args: []string{"apply", "--help"}})
	if err != nil {
		return 0, fmt.Errorf("ask colmena what apply can do: %w", err)
	}
	if goalRenamed().Match(help) {
		return V05, nil
	}
	return V04, nil
}

// goalRenamed finds the goal in either layout of the help. The bare word does not do: 0.4 mentions `colmena upload-keys` in prose.
func goalRenamed() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^\s*- upload-keys:|possible values:[^\]]*\bupload-keys\b`)
}

type version struct {
	text         string
	major, minor int
	pre          bool
}

// parseVersion reads "Colmena 0.4.0", "colmena 0.5.0" and "Colmena 0.5.0-pre".
func parseVersion(out string) (version, bool) {
	m := regexp.MustCompile(`([0-9]+)\.([0-9]+)\.[0-9]+([-+][0-9A-Za-z.+-]*)?`).FindStringSubmatch(out)
	if m == nil {
		return version{}, false
	}
	major, err1 := strconv.Atoi(m[1])
	minor, err2 := strconv.Atoi(m[2])
	if err1 != nil || err2 != nil { // more digits than an int holds
		return version{}, false
	}
	return version{text: m[0], major: major, minor: minor, pre: strings.HasPrefix(m[3], "-")}, true
}

func (v version) before04() bool { return v.major == 0 && v.minor < 4 }

func (v version) family() Family {
	if v.major == 0 && v.minor == 4 {
		return V04
	}
	return V05
}
