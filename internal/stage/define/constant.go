package define

import (
	"path/filepath"
	"strings"
)

// constant is the value of an expression that its text alone tells, with the environment.
type constant struct {
	text string
	path bool // a path and not a text
	env  bool // made from a variable of the environment
}

const (
	deepConstant = 400
	longestText  = 1 << 16
	mostSteps    = 1 << 21 // for one file; the largest file of nixpkgs that is not a list of packages takes a hundredth
)

// constant evaluates literals, their sums and interpolations, names bound to such, toString, and getEnv of a literal.
func (s *scanner) constant(n *node, sc *scope, depth int) (constant, bool) {
	if s.left--; depth > deepConstant || s.left <= 0 {
		s.left = 0 // names that are missed make the whole file doubtful
		return constant{}, false
	}
	switch n.form {
	case nodeString:
		return s.joined(n.parts, sc, depth)
	case nodePath:
		v, ok := s.joined(n.parts, sc, depth)
		return constant{text: s.absolute(v.text), path: true, env: v.env}, ok
	case nodeName:
		b, ok := sc.lookup(n.name)
		if !ok || b.value == nil {
			return constant{}, false
		}
		return s.constant(b.value, b.scope, depth+1)
	case nodeOp:
		return s.sum(n, sc, depth)
	case nodeApply:
		return s.applied(n, sc, depth)
	}
	return constant{}, false
}

// joined is a text or path of pieces. A path that is interpolated into a text is copied to the store: not known here.
func (s *scanner) joined(parts []*node, sc *scope, depth int) (constant, bool) {
	var all constant
	for _, p := range parts {
		v := constant{text: p.name}
		if p.form != nodeText {
			var ok bool
			if v, ok = s.constant(p, sc, depth+1); !ok || v.path {
				return constant{}, false
			}
		}
		all.text += v.text
		all.env = all.env || v.env
		if len(all.text) > longestText {
			return constant{}, false
		}
	}
	return all, true
}

func (s *scanner) sum(n *node, sc *scope, depth int) (constant, bool) {
	if n.name != "+" {
		return constant{}, false
	}
	left, ok := s.constant(n.parts[0], sc, depth+1)
	if !ok {
		return constant{}, false
	}
	right, ok := s.constant(n.parts[1], sc, depth+1)
	if !ok || right.path && !left.path || len(left.text)+len(right.text) > longestText {
		return constant{}, false
	}
	v := constant{text: left.text + right.text, path: left.path, env: left.env || right.env}
	if v.path {
		v.text = filepath.Clean(v.text)
	}
	return v, true
}

func (s *scanner) applied(n *node, sc *scope, depth int) (constant, bool) {
	name := s.builtin(n.parts[0], sc)
	if name != "getEnv" && name != "toString" && name != "toPath" {
		return constant{}, false
	}
	v, ok := s.constant(n.parts[1], sc, depth+1)
	if !ok {
		return constant{}, false
	}
	switch name {
	case "getEnv":
		if v.path {
			return constant{}, false
		}
		s.variable(v.text)
		return constant{text: s.env(v.text), env: true}, true
	case "toPath":
		return constant{text: filepath.Clean(v.text), path: true, env: v.env}, filepath.IsAbs(v.text)
	}
	v.path = false
	return v, true
}

// builtin is the name of a function that is certainly the one of Nix; empty for any other.
func (s *scanner) builtin(n *node, sc *scope) string {
	name := called(n)
	if n.form == nodeSelect {
		if base := n.parts[0]; base.form == nodeName && (base.name == "builtins" || base.name == "lib") && len(n.names) == 1 {
			return name
		}
		return ""
	}
	b, lexical := sc.lookup(name)
	if lexical && !b.builtin {
		return ""
	}
	return strings.TrimPrefix(name, "__")
}

// absolute makes a path literal absolute, as Nix does: relative ones start at the folder of the file, `~` at HOME.
func (s *scanner) absolute(literal string) string {
	if rest, ok := strings.CutPrefix(literal, "~"); ok {
		s.variable("HOME")
		return filepath.Join(s.home, rest)
	}
	if filepath.IsAbs(literal) {
		return filepath.Clean(literal)
	}
	return filepath.Join(s.base, literal)
}
