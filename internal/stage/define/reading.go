package define

import (
	"slices"
	"strings"
)

// reads says what a function can do besides computing.
type reads int

const (
	harmless reads = iota
	impure         // what it gives is no function of anything that can be watched
	first          // reads the path that is its first argument
	second         // reads the path that is its second argument
	named          // reads the path or src of the set it is given
	fetches        // fetches; fixed only with a hash
	variable       // reads the environment
)

// function is something that reads, under the name a person knows it by.
type function struct {
	name  string
	reads reads
}

// readers are functions of Nix and of nixpkgs' lib that read when called, by the last part of their name: whoever calls
// something of his own the same is doubted without need, and nobody gets by with another way to write it.
func readers(name string) reads {
	switch name {
	case "readFile", "readDir", "pathExists", "readFileType", "storePath", "toPath", "fileContents", "importJSON", "importTOML",
		"pathIsDirectory", "pathIsRegularFile", "pathType", "pathIsGitRepo", "commitIdFromGitRepo", "listFilesRecursive",
		"cleanSource", "sourceByRegex", "sourceFilesBySuffices":
		return first
	case "hashFile", "filterSource":
		return second
	case "cleanSourceWith", "packagesFromDirectoryRecursive":
		return named
	case "currentTime", "scopedImport", "importNative", "findFile", "fetchMercurial", "getFlake", "fetchClosure",
		"readFilesystem", "locateDominatingFile":
		return impure
	case "fetchTarball", "fetchGit", "fetchTree":
		return fetches
	case "getEnv":
		return variable
	}
	return harmless
}

// ownWords are functions whose names are everyday words: they count only where they can be those of builtins.
func ownWords(name string) reads {
	switch name {
	case "path":
		return named
	case "exec":
		return impure
	case "fetchurl":
		return fetches
	}
	return harmless
}

// function tells what a name or selection stands for.
func (s *scanner) function(n *node, sc *scope) function {
	name := called(n)
	if r := readers(strings.TrimPrefix(name, "__")); r != harmless {
		return function{name, r}
	}
	r := ownWords(strings.TrimPrefix(name, "__"))
	if r == harmless {
		return function{name, harmless}
	}
	if n.form == nodeSelect {
		if base := n.parts[0]; base.form == nodeName && base.name == "builtins" {
			return function{name, r}
		}
		return function{name, harmless}
	}
	b, lexical := sc.lookup(name)
	if strings.HasPrefix(name, "__") || b.builtin || !lexical && sc.withBuiltins() {
		return function{name, r}
	}
	return function{name, harmless}
}

// called is the name of a function: the identifier, or the last one of a selection.
func called(n *node) string {
	switch n.form {
	case nodeName:
		return n.name
	case nodeSelect:
		if last := n.names[len(n.names)-1]; last.form == nodeText {
			return last.name
		}
	}
	return ""
}

// spread takes the calls of a curried function apart.
func spread(n *node) (head *node, args []*node) {
	for head = n; head.form == nodeApply; head = head.parts[0] {
		args = append(args, head.parts[1])
	}
	slices.Reverse(args)
	return head, args
}

// call judges a function with its arguments.
func (s *scanner) call(n *node, sc *scope) {
	head, args := spread(n)
	if imports(called(head)) {
		s.imported(args[0], sc)
	}
	if called(head) == "map" && s.mapped(args, sc) {
		return
	}
	f := s.function(head, sc)
	if f.reads == harmless {
		s.walk(head, sc)
	} else {
		s.reading(n, f, args, sc)
		if head.form == nodeSelect {
			s.scope(head.parts[0], sc)
		}
	}
	s.all(args, sc)
}

// mapped accepts `map readFile [ ./a ./b ]`.
func (s *scanner) mapped(args []*node, sc *scope) bool {
	if len(args) != 2 || args[1].form != nodeList || s.function(args[0], sc).reads != first {
		return false
	}
	for _, p := range args[1].parts {
		s.path(p, sc, "reads a file by a computed path")
		s.walk(p, sc)
	}
	return true
}

func (s *scanner) reading(n *node, f function, args []*node, sc *scope) {
	const computedPath = "reads a file by a computed path"
	switch {
	case f.reads == impure:
		s.doubt(n, "uses "+f.name)
	case f.reads == variable:
		s.doubt(n, "reads a variable of the environment by a computed name")
	case f.reads == fetches:
		if !fixed(args[0]) {
			s.doubt(n, "fetches without a hash")
		}
	case f.reads == second && len(args) < 2:
		s.doubt(n, "passes "+f.name+" on as a value")
	case f.reads == second:
		s.path(args[1], sc, computedPath)
	case f.reads == named:
		s.sourceOf(n, args[0], sc)
	default:
		s.path(args[0], sc, computedPath)
	}
}

// sourceOf judges `{ path = ...; }` and `{ src = ...; }`.
func (s *scanner) sourceOf(n, arg *node, sc *scope) {
	if arg.form == nodeSet && !arg.rec {
		for _, b := range arg.binds {
			if len(b.names) == 1 && slices.Contains([]string{"path", "src", "directory"}, b.names[0].name) {
				s.path(b.value, sc, "reads a folder by a computed path")
				return
			}
		}
	}
	s.doubt(n, "reads a folder by a computed path")
}

// fixed reports whether a fetcher is told what it must find.
func fixed(arg *node) bool {
	return arg.form == nodeSet && slices.ContainsFunc(arg.binds, func(b binding) bool {
		return len(b.names) == 1 && slices.Contains([]string{"sha256", "hash", "narHash", "rev", "outputHash", "sha512"}, b.names[0].name) ||
			slices.ContainsFunc(b.inherit, func(n string) bool { return n == "sha256" || n == "hash" || n == "rev" || n == "narHash" })
	})
}
