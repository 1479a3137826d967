// Package workspace is the user's folder: it creates it (Init), finds the definitions of hosts in it and reads versions.json (Open),
// and keeps versions.lock.json, by which everything that is evaluated is fixed (Pinner). It does not evaluate anything: what a
// definition says is the business of package define.
//
// Layout of a workspace:
//
//	nixConfigs/            definitions: every *.nix file and every folder with a default.nix is a host
//	versions.json          wanted versions of NixOS, disko and K3s
//	versions.lock.json     what they stood for when they were first used or last updated
//	generated/             the generated tree
//	.staged-hive/          state of this machine that belongs to no version control
//	nixos-staged-hive      runs the program on this folder
package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// Names of a workspace's own files and folders.
const (
	DefinitionsName = "nixConfigs"
	VersionsName    = "versions.json"
	LockName        = "versions.lock.json"
	GeneratedName   = "generated"
	StateName       = ".staged-hive"
)

// Workspace is an opened folder.
type Workspace struct {
	Dir         string       // absolute
	Definitions string       // name of the folder of definitions below Dir
	Hosts       []Definition // sorted by name
	Versions    Versions
	Warnings    []string // what a person should know and can go on with
}

// Definition is the file or folder that describes one host.
type Definition struct {
	Name string // file name without .nix, or name of the folder
	Path string // relative to the workspace, with slashes: nixConfigs/web1.nix or nixConfigs/web1
}

// Error is something about the workspace that a person has to put right.
type Error struct {
	What string // the problem
	Way  string // the way out
	Err  error  // what caused it; may be nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", e.What, e.Err)
	}
	return e.What
}

// Hint says how to go on.
func (e *Error) Hint() string { return e.Way }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Open reads the workspace at dir. The error joins all problems found; each is an *Error.
func Open(dir string) (*Workspace, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open workspace %s: %w", dir, err)
	}
	w := &Workspace{Dir: abs}
	if w.Definitions, err = findDefinitions(abs); err != nil {
		return nil, err
	}
	var hostsErr, versionsErr error
	w.Hosts, w.Warnings, hostsErr = listDefinitions(abs, w.Definitions)
	w.Versions, versionsErr = readVersions(abs)
	if err := errors.Join(hostsErr, versionsErr); err != nil {
		return nil, err
	}
	w.Warnings = append(w.Warnings, w.strayVersions()...)
	return w, nil
}

// File is the absolute path of something in the workspace.
func (w *Workspace) File(elem ...string) string {
	return filepath.Join(append([]string{w.Dir}, elem...)...)
}

// Names are the names of all hosts, sorted.
func (w *Workspace) Names() []string {
	names := make([]string, len(w.Hosts))
	for i, h := range w.Hosts {
		names[i] = h.Name
	}
	return names
}

// strayVersions warns about entries of versions.json for hosts that do not exist.
func (w *Workspace) strayVersions() []string {
	var warnings []string
	names := w.Names()
	for _, name := range sortedKeys(w.Versions.Hosts) {
		if !slices.Contains(names, name) {
			warnings = append(warnings, fmt.Sprintf("%s has an entry for host %s, which has no definition%s", VersionsName, name, didYouMean(name, names)))
		}
	}
	return warnings
}

// findDefinitions looks for the folder by the patterns of the original project, whose users may have called it my-nixconfigs.
func findDefinitions(dir string) (string, error) {
	found, err := definitionFolders(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", &Error{What: fmt.Sprintf("there is no folder %s", dir), Way: "name an existing folder with -p, or create a workspace with: nixos-staged-hive init"}
	}
	if err != nil {
		return "", fmt.Errorf("open workspace: %w", err)
	}
	switch {
	case slices.Contains(found, DefinitionsName):
		return DefinitionsName, nil
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", &Error{
			What: fmt.Sprintf("%s has several folders of definitions: %s", dir, strings.Join(found, ", ")),
			Way:  fmt.Sprintf("keep one, or name one of them %s", DefinitionsName),
		}
	}
	return "", &Error{
		What: fmt.Sprintf("%s is not a workspace: it has no folder %s", dir, DefinitionsName),
		Way:  "create one with: nixos-staged-hive init (or name another folder with -p)",
	}
}

// definitionFolders lists the visible folders, or links to one, that match *[nN]ix[cC]onfigs.
func definitionFolders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		match, err := filepath.Match("*[nN]ix[cC]onfigs", e.Name())
		if err != nil || !match || hidden(e.Name()) {
			continue
		}
		if st, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && st.IsDir() {
			found = append(found, e.Name())
		}
	}
	return found, nil
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// listDefinitions finds the hosts; links are followed.
func listDefinitions(dir, folder string) (hosts []Definition, warnings []string, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, folder))
	if err != nil {
		return nil, nil, fmt.Errorf("list definitions: %w", err)
	}
	var problems []error
	taken := make(map[string]string)
	for _, e := range entries {
		if hidden(e.Name()) {
			continue
		}
		d, warning, err := definition(dir, folder, e.Name())
		if other, double := taken[d.Name]; double && d.Name != "" {
			err = &Error{What: fmt.Sprintf("host %s has two definitions: %s and %s", d.Name, other, d.Path), Way: "rename or remove one of them"}
		}
		switch {
		case err != nil:
			problems = append(problems, err)
		case warning != "":
			warnings = append(warnings, warning)
		case d.Name != "":
			taken[d.Name] = d.Path
			hosts = append(hosts, d)
		}
	}
	if len(hosts) == 0 && len(problems) == 0 {
		problems = append(problems, &Error{
			What: fmt.Sprintf("folder %s has no definitions", filepath.Join(dir, folder)),
			Way:  fmt.Sprintf("put a NixOS configuration there, %s/NAME.nix or %s/NAME/default.nix for host NAME; init writes an example into an empty one", folder, folder),
		})
	}
	slices.SortFunc(hosts, func(a, b Definition) int { return strings.Compare(a.Name, b.Name) })
	return hosts, warnings, errors.Join(problems...)
}

// definition judges one visible entry of the folder. The zero Definition without warning and error is a file of another kind.
func definition(dir, folder, name string) (Definition, string, error) {
	path := folder + "/" + name
	st, err := os.Stat(filepath.Join(dir, path))
	isFile := strings.HasSuffix(name, ".nix")
	switch {
	case err != nil && !isFile:
		return Definition{}, "", nil // a broken link is no business of ours unless it stands for a definition
	case err != nil:
		return Definition{}, "", &Error{What: "read definition " + path, Way: "if it is a link, it leads nowhere", Err: err}
	case !utf8.ValidString(name) && (st.IsDir() || isFile):
		return Definition{}, "", &Error{What: fmt.Sprintf("the name of definition %q is not valid UTF-8", path), Way: "rename it"}
	case st.IsDir():
		if inner, err := os.Stat(filepath.Join(dir, path, "default.nix")); err != nil || inner.IsDir() {
			return Definition{}, fmt.Sprintf("folder %s is ignored: it has no default.nix", path), nil
		}
		return Definition{Name: name, Path: path}, "", nil
	case !isFile:
		return Definition{}, "", nil
	case !st.Mode().IsRegular():
		return Definition{}, "", &Error{What: fmt.Sprintf("definition %s is not a file", path), Way: "rename or remove it"}
	}
	return Definition{Name: strings.TrimSuffix(name, ".nix"), Path: path}, "", nil
}
