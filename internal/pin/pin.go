// Package pin fixes a source tree (nixpkgs, disko) to one content: it parses what a user asks for ("nixos-24.05", a URL, a folder),
// finds the revision that stands for today, brings the tree into the Nix store and says what its hash is. What was fixed is plain
// data (Locked); keeping it in a file, and deciding when it may change, is the business of the workspace.
//
// The store name of every tree is "source", as Nix itself names unpacked archives, so that the same content has the same store path
// wherever it came from. All programs are run without experimental features (Nix 2.8 or newer).
package pin

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// storeName is the name part of every store path of a pin.
const storeName = "source"

// Source is a tree that can be pinned.
type Source struct {
	Name       string // "nixos" or "disko"
	Host       string // set when the pin belongs to one host only
	Repository string // URL of the git repository that refs are looked up in
	Marker     string // a file every tree of this source has, relative to its top
}

// NixOS is nixpkgs, the source of NixOS.
func NixOS() Source {
	return Source{Name: "nixos", Repository: "https://github.com/NixOS/nixpkgs", Marker: "nixos/lib/eval-config.nix"}
}

// Disko is the partitioning tool whose modules lay out disks.
func Disko() Source {
	return Source{Name: "disko", Repository: "https://github.com/nix-community/disko", Marker: "module.nix"}
}

// For is the same source, pinned for one host.
func (s Source) For(host string) Source {
	s.Host = host
	return s
}

// Key is the name of the pin in the lock and on the command line: "nixos", or "nixos/web1" for a host's own.
func (s Source) Key() string {
	if s.Host == "" {
		return s.Name
	}
	return s.Name + "/" + s.Host
}

// archive is where GitHub and its relatives (Gitea, Forgejo) serve a revision as a tarball.
func (s Source) archive(rev string) string {
	return strings.TrimSuffix(s.Repository, ".git") + "/archive/" + rev + ".tar.gz"
}

// Locked is a pinned source: what was asked for and what it stands for. It is an entry of versions.lock.json.
type Locked struct {
	Spec      string `json:"spec"`      // as versions.json has it
	URL       string `json:"url"`       // archive the content came from, empty for a folder
	Path      string `json:"path"`      // absolute folder the content came from, empty for an archive
	Rev       string `json:"rev"`       // commit, 40 hexadecimal digits, empty where none is known
	NarHash   string `json:"narHash"`   // SHA-256 of the NAR serialisation, SRI form
	StorePath string `json:"storePath"` // follows from NarHash, the store's folder and the name "source"
}

// Check tells whether the entry agrees with itself. A lock that was edited or merged by hand may not.
func (l Locked) Check() error {
	if _, err := ParseSpec(l.Spec); err != nil {
		return err
	}
	want, err := StorePath(path.Dir(l.StorePath), l.NarHash)
	if err != nil {
		return err
	}
	if want != l.StorePath {
		return fmt.Errorf("store path %q does not belong to hash %s (that would be %s)", l.StorePath, l.NarHash, want)
	}
	return nil
}

// origin names where the content comes from, for messages.
func (l Locked) origin() string {
	if l.URL != "" {
		return l.URL
	}
	return l.Path
}

// MismatchError is a source whose content is no longer what the lock says.
type MismatchError struct {
	Pin  string // key of the pin
	Spec string
	From string // URL or folder
	Want string // SRI hash of the lock
	Got  string // SRI hash of what is there now
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("pin %s (%s): the content of %s changed: the lock has %s, it is now %s", e.Pin, e.Spec, e.From, e.Want, e.Got)
}

// Hint says how to go on.
func (e *MismatchError) Hint() string {
	return fmt.Sprintf("put the old content back, or accept the new one with: nixos-staged-hive versions update %s", e.Pin)
}

// TreeError is a fetched tree that is not what its pin is for, such as disko's archive for nixos.
type TreeError struct {
	Pin    string
	Spec   string
	Path   string // store path of what was fetched
	Marker string // the file that is not in it
}

func (e *TreeError) Error() string {
	return fmt.Sprintf("pin %s (%s): this is not the right source: %s has no %s", e.Pin, e.Spec, e.Path, e.Marker)
}

// Hint says how to go on.
func (e *TreeError) Hint() string { return fmt.Sprintf("correct %q in versions.json", e.Pin) }

var diskoVersion = regexp.MustCompile(`(?m)\bversion\s*=\s*"([^"\\$]*)"`)

// Release reads the version a fetched tree says it has: "24.05" for nixpkgs, "1.8.2" for disko. It is empty if the tree does not
// say, which development branches of disko do not.
func Release(tree string) string {
	// nixpkgs of 24.05 has it below lib, that of 20.09 at the top
	for _, name := range []string{filepath.Join("lib", ".version"), ".version"} {
		if b, err := os.ReadFile(filepath.Join(tree, name)); err == nil {
			return strings.TrimSpace(string(b))
		}
	}
	b, err := os.ReadFile(filepath.Join(tree, "version.nix"))
	if err != nil {
		return ""
	}
	if m := diskoVersion.FindSubmatch(b); m != nil {
		return string(m[1])
	}
	return ""
}
