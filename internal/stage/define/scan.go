package define

import (
	"path/filepath"
	"slices"
	"strings"
)

// scan is what the text of one Nix file says about what its evaluation may read, beside the files it evaluates: those
// Nix tells itself.
type scan struct {
	literals []mention // path literals, and paths given to something that reads: folders with all that is in them
	strings  []mention // texts that are absolute paths. Most are settings for the machine and are read by nobody here
	passed   []mention // paths made from the environment that are passed on
	imports  []string  // what import and imports name, Nix files whatever they are called
	env      []string  // variables asked for
	doubts   []mention // why this file cannot be tracked; path is the reason
	rooted   []mention // computed paths that stay below a literal unless a text holds ".."
	climbs   bool      // a text holds ".." or names of folders that are not watched
	anyFile  bool      // imports something computed
	nodes    bool      // looks at other hosts
}

// mention is a path or reason, and where it stands.
type mention struct {
	path string
	line int
}

// scanner walks the expressions of one file.
type scanner struct {
	scan
	breaks []int  // where lines end
	base   string // folder that relative paths start from
	home   string
	env    func(string) string
	left   int // steps of constant evaluation left
}

// scope is the names that are visible at a place, innermost first.
type scope struct {
	up    *scope
	names map[string]bound
	with  []*node // set of `with`, instead of names
}

// bound is the value of a name. Arguments of functions have none.
type bound struct {
	value   *node
	scope   *scope
	builtin bool // by `inherit (builtins)`
}

// scanText scans a file that stands in folder base. In a file of the immutable store, which is code and not somebody's
// configuration, computed paths come from its callers and are their business.
func scanText(text, base, home string, env func(string) string) scan {
	s := &scanner{breaks: breaks(text), base: base, home: home, env: env, left: mostSteps}
	n, err := parse(text)
	if err != nil {
		s.doubts = append(s.doubts, mention{path: "is not understood", line: 0})
		return s.scan
	}
	s.walk(n, nil)
	if s.left <= 0 {
		s.doubts = append(s.doubts, mention{path: "is too intricate to follow", line: 0})
	}
	return s.scan
}

func (s *scanner) line(n *node) int {
	i, _ := slices.BinarySearch(s.breaks, n.pos)
	return 1 + i
}

// breaks are the positions of line breaks, in the text as the lexer counts it.
func breaks(text string) []int {
	text = unix(text)
	var all []int
	for i := range len(text) {
		if text[i] == '\n' {
			all = append(all, i)
		}
	}
	return all
}

func (s *scanner) doubt(n *node, why string) {
	s.doubts = append(s.doubts, mention{why, s.line(n)})
}

func (s *scanner) variable(name string) {
	if !slices.Contains(s.scan.env, name) {
		s.scan.env = append(s.scan.env, name)
	}
}

// lookup finds a name; ok is false for globals and for what a `with` may provide.
func (sc *scope) lookup(name string) (bound, bool) {
	for ; sc != nil; sc = sc.up {
		if b, ok := sc.names[name]; ok {
			return b, true
		}
	}
	return bound{}, false
}

// withBuiltins reports whether a name may come from `with builtins`.
func (sc *scope) withBuiltins() bool {
	for ; sc != nil; sc = sc.up {
		if slices.ContainsFunc(sc.with, func(n *node) bool { return n.form == nodeName && n.name == "builtins" }) {
			return true
		}
	}
	return false
}

// nested is the scope inside of a set or let. Names of sets that do not see each other are not in it.
func nested(binds []binding, up *scope) *scope {
	sc := &scope{up: up, names: map[string]bound{}}
	for _, b := range binds {
		for _, name := range b.inherit {
			if b.from == nil {
				outer, _ := up.lookup(name)
				sc.names[name] = outer
			} else {
				sc.names[name] = bound{builtin: b.from.form == nodeName && b.from.name == "builtins"}
			}
		}
		if len(b.names) == 0 || b.names[0].form != nodeText {
			continue
		}
		if name := b.names[0].name; len(b.names) == 1 {
			sc.names[name] = bound{value: b.value, scope: sc}
		} else {
			sc.names[name] = bound{}
		}
	}
	return sc
}

// walk looks at an expression and all within it.
func (s *scanner) walk(n *node, sc *scope) {
	if v, ok := s.constant(n, sc, 0); ok {
		s.value(n, v)
		return
	}
	switch n.form {
	case nodeText:
		s.words(n.name)
	case nodeName:
		s.reference(n, n.name, sc)
	case nodeSelect:
		s.selection(n, sc)
	case nodeApply:
		s.call(n, sc)
	case nodeLet, nodeSet:
		s.bindings(n, sc)
	case nodeWith:
		s.scope(n.parts[0], sc)
		s.walk(n.parts[1], &scope{up: sc, with: n.parts[:1]})
	case nodeLambda:
		s.lambda(n, sc)
	case nodeString, nodePath:
		s.computed(n, sc)
	case nodeHas:
		s.scope(n.parts[0], sc)
		s.all(n.names, sc)
	case nodeOp:
		s.operation(n, sc)
	default:
		s.all(n.parts, sc)
	}
}

// operation: of a constant that is compared, nothing but yes or no goes on.
func (s *scanner) operation(n *node, sc *scope) {
	if n.name == "+" {
		s.prefix(n, sc)
	}
	for _, p := range n.parts {
		if _, ok := s.constant(p, sc, 0); ok && (n.name == "==" || n.name == "!=") {
			continue
		}
		s.walk(p, sc)
	}
}

func (s *scanner) all(parts []*node, sc *scope) {
	for _, p := range parts {
		s.walk(p, sc)
	}
}

// words remembers texts that lead out of where a path starts.
func (s *scanner) words(text string) {
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '/' || r == '\n' }) {
		if part == ".." || slices.Contains(unwatched(), part) {
			s.climbs = true
		}
	}
}

// scope walks the set of `with`, `?` and `inherit (...)`, where builtins itself is no value that is passed on.
func (s *scanner) scope(n *node, sc *scope) {
	if n.form == nodeName && n.name == "builtins" {
		return
	}
	s.walk(n, sc)
}

// value registers a constant that is not part of a greater one.
func (s *scanner) value(n *node, v constant) {
	m := mention{v.text, s.line(n)}
	switch {
	case v.path:
		s.literals = append(s.literals, m)
	case v.env && filepath.IsAbs(v.text):
		s.passed = append(s.passed, m)
	case strings.HasPrefix(v.text, "/") && !strings.ContainsAny(v.text, "\n\x00"):
		s.strings = append(s.strings, m)
	}
	if !v.path {
		s.words(v.text)
	}
}

// reference is a name that stands for a value and is not called.
func (s *scanner) reference(n *node, name string, sc *scope) {
	if name == "builtins" {
		s.doubt(n, "passes builtins on as a value")
		return
	}
	if name == "nodes" {
		s.nodes = true
	}
	if f := s.function(n, sc); f.reads != harmless {
		s.used(n, f)
	}
}

// used judges a function that reads and is not called with an argument.
func (s *scanner) used(n *node, f function) {
	if f.reads == impure {
		s.doubt(n, "uses "+f.name)
		return
	}
	s.doubt(n, "passes "+f.name+" on as a value")
}

func (s *scanner) selection(n *node, sc *scope) {
	base := n.parts[0]
	if base.form == nodeName && (base.name == "builtins" || base.name == "lib") && n.names[0].form != nodeText {
		s.doubt(n, "chooses a function of "+base.name+" by a computed name")
	}
	if f := s.function(n, sc); f.reads != harmless {
		s.used(n, f)
	}
	s.scope(base, sc)
	s.all(n.names, sc)
	s.all(n.parts[1:], sc)
}

func (s *scanner) lambda(n *node, sc *scope) {
	inner := &scope{up: sc, names: map[string]bound{}}
	for _, f := range n.formals {
		inner.names[f.name] = bound{}
		if f.name == "nodes" {
			s.nodes = true
		}
	}
	for _, f := range n.formals {
		if f.fallback != nil {
			s.walk(f.fallback, inner)
		}
	}
	s.walk(n.parts[0], inner)
}

func (s *scanner) bindings(n *node, sc *scope) {
	inner := sc
	if n.form == nodeLet || n.rec {
		inner = nested(n.binds, sc)
	}
	for _, b := range n.binds {
		s.all(b.names, inner)
		if b.from != nil {
			s.scope(b.from, inner)
		}
		s.inherits(n, b, sc)
		if b.value != nil {
			s.bindingValue(n, b, inner)
		}
	}
	s.all(n.parts, inner)
}

// inherits judges `inherit a b;`: each name is used as if it stood there. What it takes out of a set keeps its name, by
// which it is known wherever it is called.
func (s *scanner) inherits(n *node, b binding, outer *scope) {
	if b.from != nil {
		return
	}
	for _, name := range b.inherit {
		if n.form == nodeLet {
			if name == "builtins" {
				s.doubt(n, "passes builtins on as a value")
			}
			continue
		}
		s.walk(&node{form: nodeName, pos: b.pos, name: name}, outer)
	}
}

func (s *scanner) bindingValue(n *node, b binding, sc *scope) {
	last := b.names[len(b.names)-1].name
	switch {
	case slices.Contains([]string{"imports", "modules", "extraModules", "sharedModules"}, last):
		s.importsOf(b.value, sc)
	case slices.Contains(readOptions(), last):
		s.readBy(b.value, last, sc)
	}
	// What a name of `let` holds counts where it is used, in the greater constant that it is part of there.
	if v, ok := s.constant(b.value, sc, 0); ok && !v.path && n.form == nodeLet && len(b.names) == 1 {
		s.words(v.text)
		return
	}
	s.walk(b.value, sc)
}

// readOptions are the options of NixOS whose files modules read while they are evaluated (nixpkgs 23.05 to 24.05), and
// those whose files facts.nix reads.
func readOptions() []string {
	return []string{"keyFiles", "authorizedKeyFiles", "publicKeyFile", "rulesetFile", "_secret"}
}

// readBy judges the value of an option that modules read: every path in it must be known.
func (s *scanner) readBy(n *node, option string, sc *scope) {
	if n.form == nodeList {
		for _, p := range n.parts {
			s.readBy(p, option, sc)
		}
		return
	}
	s.path(n, sc, "gives "+option+" a computed path")
}

// importsOf judges the modules of an `imports`.
func (s *scanner) importsOf(n *node, sc *scope) {
	if n.form != nodeList {
		s.anyFile = true
		return
	}
	for _, p := range n.parts {
		s.imported(p, sc)
	}
}

// imported judges one module. Modules that are written in place, or imported from a known file, are looked at as such.
func (s *scanner) imported(n *node, sc *scope) {
	if v, ok := s.constant(n, sc, 0); ok {
		s.imports = append(s.imports, v.text)
		return
	}
	switch n.form {
	case nodeSet, nodeLambda, nodeSearch:
	case nodeApply:
		head, args := spread(n)
		_, known := s.constant(args[0], sc, 0)
		s.anyFile = s.anyFile || !imports(called(head)) || !known
	default:
		s.anyFile = s.anyFile || !s.ofPins(n, sc)
	}
}

// imports are functions of Nix and nixpkgs that evaluate the file they are given.
func imports(name string) bool {
	return slices.Contains([]string{"import", "callPackage", "callPackages", "importApply"}, name)
}

// path judges an argument that is read: a constant is an input, what stays below a literal is one with it.
func (s *scanner) path(n *node, sc *scope, reason string) {
	if v, ok := s.constant(n, sc, 0); ok {
		s.literals = append(s.literals, mention{v.text, s.line(n)})
		return
	}
	switch {
	case s.ofPins(n, sc):
	case s.below(n, sc, 0):
		s.rooted = append(s.rooted, mention{reason, s.line(n)})
	default:
		s.doubt(n, reason)
	}
}

// computed is a text or path with interpolations whose value is not known.
func (s *scanner) computed(n *node, sc *scope) {
	if n.form == nodePath {
		first := n.parts[0].name
		s.literals = append(s.literals, mention{s.absolute(first[:strings.LastIndex(first, "/")+1]), s.line(n)})
		s.rooted = append(s.rooted, mention{"computes a path", s.line(n)})
	} else {
		s.prefix(n, sc)
	}
	s.all(n.parts, sc)
}

// prefix registers the folder that a computed text starts with, as a text with a slash at its end.
func (s *scanner) prefix(n *node, sc *scope) {
	var known strings.Builder
	for _, p := range n.parts {
		v := constant{text: p.name}
		if p.form != nodeText {
			var ok bool
			if v, ok = s.constant(p, sc, 0); !ok {
				break
			}
		}
		if v.path {
			return // below a literal
		}
		known.WriteString(v.text)
	}
	folder := known.String()
	folder = folder[:strings.LastIndex(folder, "/")+1]
	if strings.HasPrefix(folder, "/") && !strings.Contains(folder, "\n") && !ordinary(folder) {
		s.strings = append(s.strings, mention{folder, s.line(n)})
	}
}

// ordinary are folders of the machine that is described. A text that starts like this is a setting, not a file to read.
func ordinary(folder string) bool {
	if strings.Count(strings.TrimRight(folder, "/"), "/") < 2 {
		return true // "/home/" and "/srv/": what follows decides
	}
	return volatile(folder) || slices.ContainsFunc([]string{"/var/", "/boot/", "/nix/", "/tmp/", "/usr/", "/etc/ssh/"}, func(p string) bool {
		return strings.HasPrefix(folder, p)
	})
}

// noFile are paths that the kernel makes up.
func noFile(path string) bool {
	return slices.ContainsFunc([]string{"/proc/", "/sys/", "/dev/"}, func(p string) bool {
		return strings.HasPrefix(path+"/", p)
	})
}

// volatile are paths that only a running machine has.
func volatile(path string) bool { return noFile(path) || strings.HasPrefix(path+"/", "/run/") }

// below reports whether a computed path starts at a path literal: then it stays there, unless some text holds "..".
func (s *scanner) below(n *node, sc *scope, depth int) bool {
	if depth > deepConstant {
		return false
	}
	switch n.form {
	case nodePath:
		return true
	case nodeString:
		return len(n.parts) > 0 && n.parts[0].form != nodeText && s.below(n.parts[0], sc, depth+1)
	case nodeOp:
		return n.name == "+" && s.below(n.parts[0], sc, depth+1)
	case nodeApply:
		return called(n.parts[0]) == "toString" && s.below(n.parts[1], sc, depth+1)
	case nodeName:
		b, ok := sc.lookup(n.name)
		return ok && b.value != nil && s.below(b.value, b.scope, depth+1)
	}
	return false
}

// ofPins reports whether a path starts in the pinned NixOS or in a package: <nixpkgs>, modulesPath, pkgs.path, pkgs.x.
func (s *scanner) ofPins(n *node, sc *scope) bool {
	switch n.form {
	case nodeSearch:
		return true
	case nodeName:
		b, ok := sc.lookup(n.name)
		if ok && b.value != nil {
			return b.value != n && b.value.form != nodeName && s.ofPins(b.value, b.scope)
		}
		return n.name == "modulesPath"
	case nodeSelect:
		return n.parts[0].form == nodeName && n.parts[0].name == "pkgs"
	case nodeOp:
		return n.name == "+" && s.ofPins(n.parts[0], sc)
	case nodeString:
		return len(n.parts) > 0 && n.parts[0].form != nodeText && s.ofPins(n.parts[0], sc)
	}
	return false
}
