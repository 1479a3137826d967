package define

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// tracker finds what hosts depend on outside of the workspace, from the text of all files their definitions reach.
type tracker struct {
	in    Input
	watch *watch
	home  string
	scans map[string]scan
}

func newTracker(in Input) *tracker {
	return &tracker{in: in, watch: &watch{known: map[string]seen{}}, home: home(), scans: map[string]scan{}}
}

func home() string { return cmp.Or(os.Getenv("HOME"), "/") }

// trail is what one host depends on.
type trail struct {
	files   map[string]bool // Nix files its definition reaches
	inputs  map[string]bool // paths outside of the workspace; true with all that is below
	env     map[string]bool
	doubt   string // why it cannot be tracked, the first reason
	rooted  string
	climbs  bool
	anyFile bool
	nodes   bool
}

// follow finds what a host depends on. more are files that Nix said it evaluated, beside those the definition names.
func (t *tracker) follow(s Source, more []string) *trail {
	tr := &trail{files: map[string]bool{}, inputs: map[string]bool{}, env: map[string]bool{}}
	queue := append(t.definition(s), more...)
	for len(queue) > 0 {
		file := queue[0]
		queue = queue[1:]
		if tr.files[file] {
			continue
		}
		tr.files[file] = true
		queue = append(queue, t.look(tr, s, file)...)
		if tr.nodes {
			for _, other := range t.in.Sources {
				queue = append(queue, t.definition(other)...)
			}
		}
	}
	if tr.rooted != "" && tr.climbs {
		tr.question(tr.rooted)
	}
	return tr
}

func (tr *trail) question(reason string) {
	if tr.doubt == "" {
		tr.doubt = reason
	}
}

// definition gives the files of a host that its evaluation starts with.
func (t *tracker) definition(s Source) []string {
	files := t.nixFiles(filepath.Join(t.in.Workspace, s.Definition), true)
	hardware := filepath.Join(t.in.Generated, s.Name, "hardware-configuration.nix")
	if exists(hardware) {
		files = append(files, hardware)
	}
	return files
}

// nixFiles are the Nix files that a path may stand for: itself, or all below a folder. Of a folder that is too large to
// look through it is none: such a folder is doubted where it is named.
func (t *tracker) nixFiles(path string, anyName bool) []string {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	if !info.IsDir() {
		if info.Mode().IsRegular() && (anyName || strings.HasSuffix(path, ".nix")) {
			return []string{path}
		}
		return nil
	}
	var files []string
	left := folderEntries
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if left--; err != nil || left < 0 {
			return cmp.Or(err, errUnwatched)
		}
		if d.IsDir() && p != path && slices.Contains(unwatched(), d.Name()) {
			return filepath.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(p, ".nix") {
			files = append(files, p)
		}
		return nil
	})
	if err != nil && !watched(t.in.Workspace, path) {
		return nil
	}
	return files
}

// look adds what one file says and returns the files it leads to.
func (t *tracker) look(tr *trail, s Source, file string) []string {
	found := t.scan(file)
	for _, name := range found.env {
		tr.env[name] = true
	}
	tr.nodes = tr.nodes || found.nodes
	if strings.HasPrefix(file, storeFolder) {
		t.fromLibrary(tr, s, file, found)
		return nil
	}
	tr.climbs = tr.climbs || found.climbs
	tr.anyFile = tr.anyFile || found.anyFile
	if len(found.rooted) > 0 && tr.rooted == "" {
		tr.rooted = t.at(file, found.rooted[0])
	}
	for _, d := range found.doubts {
		tr.question(t.at(file, d))
	}
	var next []string
	// Whoever gets a path of the environment may make others of it, as of a literal.
	for _, m := range slices.Concat(found.literals, found.passed) {
		next = append(next, t.literal(tr, s, file, m)...)
	}
	for _, m := range found.strings {
		next = append(next, t.text(tr, s, file, m)...)
	}
	for _, path := range found.imports {
		if filepath.IsAbs(path) && !t.fixed(s, path) {
			next = append(next, t.nixFiles(path, true)...)
		}
	}
	return next
}

// fromLibrary adds what a file of the immutable store says. It is somebody's code: which files it reads is said by whoever
// calls it, and that was looked at. What it asks the environment for, and files it names itself, count.
func (t *tracker) fromLibrary(tr *trail, s Source, file string, found scan) {
	for _, d := range found.doubts {
		if d.path == "uses currentTime" || strings.Contains(d.path, "environment") || strings.HasPrefix(d.path, "fetches") {
			tr.question(t.at(file, d))
		}
	}
	for _, m := range found.literals {
		if filepath.IsAbs(m.path) {
			t.literal(tr, s, file, m)
		}
	}
	// A home folder that a library offers as a setting is not searched by it.
	for _, m := range found.passed {
		tr.input(m.path, false)
	}
}

// fixed are paths whose content cannot change.
func (t *tracker) fixed(s Source, path string) bool {
	return slices.ContainsFunc([]string{s.Nixpkgs, s.Disko, t.in.CacheDir, "/nix/store"}, func(dir string) bool {
		return dir != "" && below(dir, path)
	})
}

// literal adds a path that is named to be read.
func (t *tracker) literal(tr *trail, s Source, file string, m mention) []string {
	if !filepath.IsAbs(m.path) || t.fixed(s, m.path) {
		return nil
	}
	if watched(t.in.Workspace, m.path) {
		if filepath.Clean(m.path) == filepath.Clean(t.in.Workspace) {
			t.listing(tr)
		}
		return t.nixFiles(m.path, false)
	}
	if _, err := t.watch.state(m.path, true); err != nil {
		tr.question(t.at(file, mention{fmt.Sprintf("names %s, which %s", m.path, unwatchedBecause(err)), m.line}))
		return nil
	}
	tr.inputs[m.path] = true
	return t.nixFiles(m.path, false)
}

func unwatchedBecause(err error) string {
	_, why, ok := strings.Cut(err.Error(), errUnwatched.Error()+": ")
	if !ok {
		return err.Error()
	}
	return "cannot be watched: " + why
}

// listing adds whether the unwatched entries exist: who lists the workspace sees that.
func (t *tracker) listing(tr *trail) {
	for _, name := range unwatched() {
		tr.input(filepath.Join(t.in.Workspace, name), false)
	}
}

func (tr *trail) input(path string, deep bool) {
	tr.inputs[path] = tr.inputs[path] || deep
}

// text adds a text that is an absolute path. One that ends with a slash begins a path that is computed.
func (t *tracker) text(tr *trail, s Source, file string, m mention) []string {
	path := filepath.Clean(m.path)
	if t.fixed(s, path) || volatile(path) {
		return nil
	}
	if strings.HasSuffix(m.path, "/") && m.path != "/" {
		return t.beginning(tr, file, mention{path, m.line})
	}
	if watched(t.in.Workspace, path) {
		return t.nixFiles(path, false)
	}
	tr.input(path, false)
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return t.nixFiles(path, false)
	}
	return nil
}

// beginning is the folder that computed paths start with. One that is not there holds nothing to read; its coming counts.
func (t *tracker) beginning(tr *trail, file string, m mention) []string {
	if watched(t.in.Workspace, m.path) {
		return t.nixFiles(m.path, false)
	}
	tr.input(m.path, false)
	if state, _ := t.watch.state(m.path, false); state != "absent" {
		tr.question(t.at(file, mention{"computes a path below " + m.path, m.line}))
	}
	return nil
}

// at says where, relative to the workspace if inside.
func (t *tracker) at(file string, m mention) string {
	if rel, err := filepath.Rel(t.in.Workspace, file); err == nil && below(t.in.Workspace, file) {
		file = rel
	}
	if m.line == 0 {
		return fmt.Sprintf("%s (%s)", m.path, file)
	}
	return fmt.Sprintf("%s (%s:%d)", m.path, file, m.line)
}

// scan scans a file once. Relative paths in a file that is reached by a link start where the link is or where it points
// to, depending on the version of Nix and on which part of the path is the link: both count.
func (t *tracker) scan(file string) scan {
	if s, ok := t.scans[file]; ok {
		return s
	}
	var all scan
	text, err := os.ReadFile(file)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			all.doubts = []mention{{path: "cannot be read"}}
		}
		t.scans[file] = all
		return all
	}
	bases := []string{filepath.Dir(file)}
	if real, err := filepath.EvalSymlinks(file); err == nil && filepath.Dir(real) != bases[0] {
		bases = append(bases, filepath.Dir(real))
	}
	for _, base := range bases {
		all = all.and(scanText(string(text), base, t.home, os.Getenv))
	}
	t.scans[file] = all
	return all
}

func (s scan) and(o scan) scan {
	return scan{
		literals: slices.Concat(s.literals, o.literals), strings: slices.Concat(s.strings, o.strings),
		passed:  slices.Concat(s.passed, o.passed),
		imports: slices.Concat(s.imports, o.imports), env: slices.Concat(s.env, o.env),
		doubts: slices.Concat(s.doubts, o.doubts), rooted: slices.Concat(s.rooted, o.rooted),
		climbs: s.climbs || o.climbs, anyFile: s.anyFile || o.anyFile, nodes: s.nodes || o.nodes,
	}
}

// trails follows all hosts, each with what Nix told of the evaluators that it was in.
//
// A file that no definition leads to was reached in a way the text does not show, by any host of its evaluator: it counts
// for all of them. So does each file of an evaluator for a host that imports computed paths. The content of outside files
// counts for all hosts of the evaluator in any case.
func (t *tracker) trails(sources []Source, evaluated func(host string) []string) map[string]*trail {
	trails := map[string]*trail{}
	reached := map[string]bool{}
	for _, s := range sources {
		trails[s.Name] = t.follow(s, nil)
		maps.Copy(reached, trails[s.Name].files)
	}
	for _, s := range sources {
		tr := trails[s.Name]
		var more, outside []string
		for _, file := range evaluated(s.Name) {
			if t.pinned(s, file) {
				continue
			}
			if tr.anyFile || !reached[file] {
				more = append(more, file)
			}
			if !watched(t.in.Workspace, file) && !t.fixed(s, file) {
				outside = append(outside, file)
			}
		}
		if len(more) > 0 {
			tr = t.follow(s, more)
			trails[s.Name] = tr
		}
		for _, file := range outside {
			tr.input(file, true)
		}
	}
	return trails
}

// pinned are files of the sources whose code is known: it reads nothing but what it is given and what common names.
func (t *tracker) pinned(s Source, file string) bool {
	return slices.ContainsFunc([]string{s.Nixpkgs, s.Disko, t.in.CacheDir}, func(dir string) bool {
		return dir != "" && below(dir, file)
	})
}
