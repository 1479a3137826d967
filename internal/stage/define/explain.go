package define

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"nixos-staged-hive/internal/nix"
)

// explain turns Nix' message into a failure of one host, with the place its owner should look at.
func (ev *evaluation) explain(s Source, failed *nix.EvalError) Failure {
	f := Failure{Host: s.Name, File: s.Definition, Message: failed.Message, Hint: nix.Hint(failed.Message), Trace: failed.Text}
	if p, ok := ev.place(s, failed); ok {
		f.Line, f.Column = p.Line, p.Column
		f.File = p.File
		if rel, err := filepath.Rel(ev.in.Workspace, p.File); err == nil && below(ev.in.Workspace, p.File) {
			f.File = rel
		}
	}
	if f.Line == 0 && failed.Option != "" && !strings.Contains(f.Message, failed.Option) {
		f.Message += fmt.Sprintf(" (while evaluating the option `%s')", failed.Option) // the only clue there is
	}
	if strings.Contains(failed.Message, filepath.Join(ev.in.Workspace, "bin", "modules")) {
		f.Hint = "definitions of the original project import ../bin/modules: `nixos-staged-hive init` lays it out"
	}
	return f
}

// place prefers the host's own definition, then the workspace, then whatever Nix names outside of the pinned sources.
func (ev *evaluation) place(s Source, failed *nix.EvalError) (nix.Position, bool) {
	definition := filepath.Join(ev.in.Workspace, s.Definition)
	for _, folder := range []string{definition, ev.in.Workspace, "/"} {
		for _, p := range failed.Positions {
			if below(folder, p.File) && !ev.ours(p.File, s) && exists(p.File) {
				return p, true
			}
		}
	}
	return nix.Position{}, false
}

// below reports whether file is folder or lies in it.
func below(folder, file string) bool {
	rel, err := filepath.Rel(folder, file)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// exists: a message about a missing file names a place nobody can look at.
func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func (ev *evaluation) ours(file string, s Source) bool {
	return slices.ContainsFunc([]string{ev.folder, s.Nixpkgs, s.Disko}, func(dir string) bool {
		return dir != "" && below(dir, file)
	})
}

// declared matches nixpkgs' message about an option with two declarations; both names of files differ by who came first.
var declared = regexp.MustCompile("The option `([^']+)' in `[^']*' is already declared in `[^']*'")

// clashingPart is the part of our modules that a definition declares itself, by the message about it; empty if the message
// is about something else. It is the first component of the option's path, as nix/lib/aliases.nix lists them.
func clashingPart(message string) string {
	m := declared.FindStringSubmatch(message)
	if m == nil {
		return ""
	}
	part, _, _ := strings.Cut(m[1], ".")
	if slices.Contains(parts(), part) {
		return part
	}
	return ""
}

// parts are the names in nix/lib/aliases.nix and the two that are no aliases; a test compares them.
func parts() []string {
	return []string{
		"_disko_source", "admin", "colmena", "gateway", "interface", "ip", "k3s", "netmask", "partitioning", "setup", "subnet",
		"deployment", "disko",
	}
}
