// Package generate lays out the generated folder of a workspace: the stage files of every host, the Colmena hive, and the Nix
// tree they import.
//
// The Nix files are static and copied as they are. What differs from host to host crosses into Nix as JSON, so no value of a
// definition is ever pasted into Nix text. [Render] is pure: facts in, a [Tree] of files out, byte for byte the same for the same
// facts. [Write] brings the tree to disk, whole or not at all: the complete new folder is built beside the old one and the two
// change places in one step. recover.go says what a killed run leaves behind and why nothing of the user's is lost.
package generate

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"nixos-staged-hive/internal/hive"
	nixfiles "nixos-staged-hive/nix"
)

// Tree is a generated folder as [Render] wants it, without what the user keeps in it.
type Tree struct {
	Files map[string][]byte // content by path below the generated folder, with slashes
	Hosts []string          // sorted; each has a folder of its name
}

// Input is what [Render] needs besides the facts.
type Input struct {
	// Entries are the lines of /etc/hosts: names by address, the same for all hosts.
	Entries map[string][]string
	// Modules are the files of hive.mini.modules by absolute path, see [ReadModules].
	Modules map[string][]byte
}

// Names in the generated folder that several files agree on.
const (
	nixFolder    = "_hive"          // our Nix tree
	manifestName = ".manifest.json" // what we wrote, to tell hand edits from our own text
	hiveJSON     = "hive.json"
	deployJSON   = "deploy.json" // for the deployer alone, see deploymentDocument
	hostJSON     = "host.json"
	mediumJSON   = "medium.json" // of one host: what an installation makes of its machine
	allFolder    = "_all"        // the medium of all hosts of a platform
	modulesName  = "modules"     // of one host: its hive.mini.modules
)

// Render lays out the files of h. It fails with all problems at once: host names that cannot be folders, modules that cannot be
// copied, values that JSON cannot carry without loss, and secrets ([SecretError]).
func Render(h hive.Hive, in Input) (Tree, error) {
	t := Tree{Files: map[string][]byte{}}
	if err := t.addNix(); err != nil {
		return Tree{}, fmt.Errorf("render the Nix tree: %w", err)
	}
	problems := []error{t.addHosts(h.Hosts)}
	if err := errors.Join(problems...); err != nil {
		return Tree{}, err
	}
	for _, host := range h.Hosts {
		problems = append(problems, t.addHost(host, in.Modules))
	}
	document, err := deploymentDocument(h.Hosts)
	problems = append(problems, t.addJSON(hiveJSON, hiveDocument(h.Hosts, in.Entries)), err, t.addJSON(deployJSON, document))
	if err := joinSecrets(problems); err != nil {
		return Tree{}, err
	}
	return t, nil
}

// addNix copies the embedded tree, and the entry points to where users and Colmena find them.
func (t *Tree) addNix() error {
	return fs.WalkDir(nixfiles.FS, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(nixfiles.FS, name)
		if err != nil {
			return err
		}
		switch {
		case name == "entry/iso.nix": // one for each host, see addHost
		case name == "entry/all.nix":
			t.Files[path.Join(allFolder, "iso.nix")] = content
		case path.Dir(name) == "entry":
			t.Files[path.Base(name)] = content
		default:
			t.Files[path.Join(nixFolder, name)] = content
		}
		return nil
	})
}

// addHosts settles the names first, because everything else writes below them.
func (t *Tree) addHosts(hosts []hive.Host) error {
	var problems []error
	for _, host := range hosts {
		if err := t.checkName(host.Name); err != nil {
			problems = append(problems, err)
		}
		t.Hosts = append(t.Hosts, host.Name)
	}
	slices.Sort(t.Hosts)
	for i := 1; i < len(t.Hosts); i++ {
		if t.Hosts[i] == t.Hosts[i-1] {
			problems = append(problems, fmt.Errorf("host %q: two definitions have this name", t.Hosts[i]))
		}
	}
	return errors.Join(problems...)
}

// checkName refuses what would not be a folder of its own right below the generated one. hive.Check tells the user what to do
// about a bad name; this only keeps a name from reaching anywhere else.
func (t *Tree) checkName(name string) error {
	_, taken := t.Files[name]
	switch {
	case name == "":
		return errors.New("a host has no name")
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("host %q: the name holds signs that no folder should have", name)
	case strings.Contains(name, "/") || name[0] == '.':
		return fmt.Errorf("host %q: the name is a path or a hidden file", name)
	case name[0] == '_' || taken || name == hiveJSON || name == deployJSON:
		return fmt.Errorf("host %q: the name belongs to the generated tree itself", name)
	case len(name) > 255-len(".edited-99"):
		return fmt.Errorf("host %.20q...: the name is too long for a folder", name)
	}
	return nil
}

func (t *Tree) addHost(h hive.Host, modules map[string][]byte) error {
	names, problems := t.addModules(h, modules)
	iso, err := nixfiles.FS.ReadFile("entry/iso.nix")
	problems = append(problems, err)
	mini, err := nixfiles.FS.ReadFile("stages/mini_sys.nix")
	problems = append(problems, err)
	t.Files[path.Join(h.Name, "iso.nix")] = iso
	t.Files[path.Join(h.Name, "mini_sys.nix")] = mini
	document, err := hostDocument(h, names)
	problems = append(problems, err, t.addJSON(path.Join(h.Name, hostJSON), document))
	document, err = mediumDocument(h)
	problems = append(problems, err, t.addJSON(path.Join(h.Name, mediumJSON), document))
	return joinSecrets(problems)
}

func (t *Tree) addJSON(name string, document map[string]any) error {
	if err := checkText(name, document); err != nil {
		return err
	}
	content, err := encode(document)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	t.Files[name] = content
	return nil
}

// host gives the host a path of the tree belongs to, empty for what all hosts share.
func hostOf(name string) string {
	first, _, below := strings.Cut(name, "/")
	if !below || strings.HasPrefix(first, "_") {
		return ""
	}
	return first
}

func (t Tree) sorted() []string { return slices.Sorted(maps.Keys(t.Files)) }
