package nix

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// EvalError is an evaluation that Nix gave up, with what its message says.
type EvalError struct {
	Message   string     // the innermost message, without "error:"
	Positions []Position // every place the message and its trace name, innermost first
	Option    string     // the option that was being evaluated, innermost; empty if the trace names none
	Text      string     // all of it, as Nix printed it
	Err       error      // how the program ended
}

// Position is a place in a Nix file. Line and Column are 0 when Nix names the file alone.
type Position struct {
	File         string
	Line, Column int
}

// Error is the message alone: whoever shows it knows host and file.
func (e *EvalError) Error() string { return e.Message }

// Unwrap gives the end of the program.
func (e *EvalError) Unwrap() error { return e.Err }

// NeedsBuild reports that evaluation wanted something built, which read-only evaluation cannot.
func (e *EvalError) NeedsBuild() bool {
	return isNotValid.MatchString(e.Message) || strings.Contains(e.Message, "import from derivation") ||
		strings.Contains(e.Message, "read-only mode") || strings.Contains(e.Message, "readonly mode") ||
		strings.Contains(e.Message, "no write access to the Nix store")
}

var (
	isNotValid  = regexp.MustCompile(`path '/nix/store/[^']*' (is not valid|does not exist)`)
	errorLine   = regexp.MustCompile(`^\s*error: ?(.*)$`)
	atPosition  = regexp.MustCompile(`\bat (?:«[^»]*»)?(/[^\n:]+?):(\d+):(\d+)`)
	inFile      = regexp.MustCompile("[Ii]n `(/[^'\n]+)'")
	noSuchFile  = regexp.MustCompile(`(?:getting status of|opening file|path) '(/[^']+)'`)
	whileOption = regexp.MustCompile("while evaluating the option `([^'$]+)'")
	frame       = regexp.MustCompile(`^\s*(at |…|\(use '--show-trace'|[0-9]+\| |\| )`)
	sourceLine  = regexp.MustCompile(`^\s*\d*\|`)
	stackSuffix = regexp.MustCompile(`(?i)stack overflow|infinite recursion`)
)

// parseError reads what Nix printed. Nix 2.8 puts the message first and the frames behind it, Nix 2.20 and later the frames
// first and the message last: the last "error:" that has text is the cause in both.
func parseError(text string, err error) *EvalError {
	lines := strings.Split(text, "\n")
	start := -1
	for i, l := range lines {
		if m := errorLine.FindStringSubmatch(l); m != nil && strings.TrimSpace(m[1]) != "" {
			start = i
		}
	}
	e := &EvalError{Text: strings.TrimSpace(text), Err: err}
	if start < 0 {
		e.Message = lastLine(lines, err)
		e.Positions = positions(text)
		return e
	}
	e.Message = message(lines[start:])
	inner, outer := strings.Join(lines[start:], "\n"), strings.Join(lines[:start], "\n")
	e.Positions = append(positions(inner), positions(outer)...)
	e.Option = option(inner, outer)
	return e
}

// option is the innermost option the frames name: frames behind the message begin with it, frames before end with it.
func option(inner, outer string) string {
	if m := whileOption.FindStringSubmatch(inner); m != nil {
		return m[1]
	}
	if all := whileOption.FindAllStringSubmatch(outer, -1); len(all) > 0 {
		return all[len(all)-1][1]
	}
	return ""
}

// message is the text of an error up to its first frame, its own line breaks kept.
func message(lines []string) string {
	first := errorLine.FindStringSubmatch(lines[0])[1]
	kept := []string{strings.TrimSpace(first)}
	for _, l := range lines[1:] {
		if frame.MatchString(l) || sourceLine.MatchString(l) {
			break
		}
		kept = append(kept, strings.TrimRight(strings.TrimPrefix(l, "       "), " "))
	}
	return strings.TrimSpace(strings.Join(kept, "\n"))
}

func lastLine(lines []string, err error) string {
	for i := len(lines) - 1; i >= 0; i-- {
		if l := strings.TrimSpace(lines[i]); l != "" {
			if stackSuffix.MatchString(l) {
				return "infinite recursion encountered (stack overflow)"
			}
			return l
		}
	}
	return fmt.Sprintf("nix-instantiate ended without a message (%v)", err)
}

func positions(text string) []Position {
	var found []Position
	for _, m := range atPosition.FindAllStringSubmatch(text, -1) {
		line, _ := strconv.Atoi(m[2])
		column, _ := strconv.Atoi(m[3])
		found = append(found, Position{File: m[1], Line: line, Column: column})
	}
	for _, re := range []*regexp.Regexp{inFile, noSuchFile} {
		for _, m := range re.FindAllStringSubmatch(text, -1) {
			found = append(found, Position{File: m[1]})
		}
	}
	return found
}

// advice maps a part of a message to what to do about it. The messages are Nix' and nixpkgs' own (2.8 to 2.34, 23.05 to 24.05).
func advice() []struct{ part, hint string } {
	return []struct{ part, hint string }{
		{"syntax error", "the file is not valid Nix at this place; a missing `;` or `}` is often one line above"},
		{"infinite recursion", "a value needs itself: often `imports` or `mkIf` that depends on `config`, or `pkgs` used in `imports`"},
		{"stack overflow", "a value needs itself: often `imports` or `mkIf` that depends on `config`, or `pkgs` used in `imports`"},
		{"does not exist. Definition values", "no such option: check its spelling, and that the module that declares it is imported"},
		{"' defined in `", "no such option: check its spelling, and whether this NixOS version has it"}, // before 21.05
		{"is already declared in", "two modules declare one option: leave one of them out"},
		{"option `networking.hostName' is not of type", "a host is called as its file is: rename that to letters, digits and inner hyphens, or set networking.hostName"},
		{"is not of type", "the option wants another kind of value; the type in the message says which"},
		{"is used but not defined", "the option has no default: set it in the definition"},
		{"has conflicting definition values", "two modules set one option: use lib.mkForce at the one that shall win"},
		{"undefined variable", "the name is not known here: is it in the function's arguments, `{ config, lib, pkgs, ... }:`?"},
		{"already defined at", "one set has it twice: join the two, or remove one"},
		{"attribute '", "the set has no such attribute: check its spelling, and whether this NixOS version has it"},
		{"was not found in the Nix search path", "only <nixpkgs> is known, as the pinned one; import other sources by path or by fetchTarball with sha256"},
		{"does not look like a module", "a definition is an attribute set, or a function to one: `{ config, lib, pkgs, ... }: { }`"},
		{"Expected a module, but found", "a definition is an attribute set, or a function to one: `{ config, lib, pkgs, ... }: { }`"},
		{"Permission denied", "you may not read this file: its rights decide (ls -l), and those of the folders above it"},
		{"No such file or directory", "the file is not there: check the path that the message names"},
		{"does not exist", "the file is not there: check the path that the message names"},
		{"unable to download", "the definition fetches something and the network does not answer; pin it with sha256 to fetch it once"},
		{"hash mismatch", "the fetched content is not what its sha256 says"},
		{"has an unfree license", "set nixpkgs.config.allowUnfree = true in the definition"},
		{"is required to build", "this machine cannot build for that platform: set up binfmt emulation for it, or a remote builder (nix.conf: builders)"},
		{"platform mismatch", "this machine cannot build for that platform: set up binfmt emulation for it, or a remote builder (nix.conf: builders)"}, // 2.34
		{"lacks a valid signature", "the user may not push unsigned paths there: log in as root, name the user in the host's nix.settings.trusted-users, or sign them"},
		{"lacks a signature by a trusted key", "the user may not push unsigned paths there: log in as root, name the user in the host's nix.settings.trusted-users, or sign them"}, // 2.26
		{"No space left on device", "the disk is full: nix-collect-garbage removes what nothing uses, or move the store's disk"},
		{"out of memory", "evaluation needs more memory: close programs, or evaluate fewer hosts at once with --jobs 1"},
	}
}

// Hint says what to do about a message of Nix; empty when nothing certain can be said.
func Hint(message string) string {
	for _, a := range advice() {
		if strings.Contains(message, a.part) {
			return a.hint
		}
	}
	return ""
}
