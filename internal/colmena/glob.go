package colmena

import (
	"errors"
	"strings"
)

// pattern is a glob as Colmena understands it in --on: `*` and `?` also match a slash, `[a-z]` and `[!a-z]` are sets in which `]` may
// come first, `**` must stand alone between slashes and matches any number of whole parts. There is no escape and no {a,b}; a
// backslash is an ordinary character. Case counts.
type pattern []token

// token matches a piece of a name.
type token struct {
	kind tokenKind
	char rune      // of one
	set  [][2]rune // of within and except: ranges, both ends included
}

type tokenKind int

const (
	one    tokenKind = iota // exactly char
	single                  // ?
	many                    // *
	parts                   // **, with the slash after it
	within                  // [...]
	except                  // [!...]
)

// parsePattern refuses what makes Colmena panic.
func parsePattern(s string) (pattern, error) {
	var p pattern
	rest := []rune(s)
	start := true // of the pattern or right after a slash
	for len(rest) > 0 {
		var t token
		n, err := 1, error(nil)
		switch rest[0] {
		case '?':
			t.kind = single
		case '*':
			t, n, err = parseStars(rest, start)
		case '[':
			t, n, err = parseSet(rest)
		default:
			t = token{kind: one, char: rest[0]}
		}
		if err != nil {
			return nil, err
		}
		start = rest[n-1] == '/'
		p = append(p, t)
		rest = rest[n:]
	}
	return p, nil
}

// parseStars reads a run of stars. start tells that a ** may stand here.
func parseStars(s []rune, start bool) (token, int, error) {
	n := 0
	for n < len(s) && s[n] == '*' {
		n++
	}
	switch {
	case n == 1:
		return token{kind: many}, 1, nil
	case n > 2:
		return token{}, 0, errors.New("more than two stars in a row")
	case !start || n < len(s) && s[n] != '/':
		return token{}, 0, errors.New("** must stand alone; use a single *")
	case n < len(s):
		n++ // the slash
	}
	return token{kind: parts}, n, nil
}

// parseSet reads [...] or [!...]. The first character after the opening is always a member, so []] is the set of ].
func parseSet(s []rune) (token, int, error) {
	t, from := token{kind: within}, 1
	if len(s) > 1 && s[1] == '!' {
		t.kind, from = except, 2
	}
	end := from + 1
	for end < len(s) && s[end] != ']' {
		end++
	}
	if end >= len(s) {
		return token{}, 0, errors.New("a [ without members or without its ]")
	}
	for members := s[from:end]; len(members) > 0; {
		if len(members) >= 3 && members[1] == '-' {
			t.set = append(t.set, [2]rune{members[0], members[2]})
			members = members[3:]
			continue
		}
		t.set = append(t.set, [2]rune{members[0], members[0]})
		members = members[1:]
	}
	return t, end + 1, nil
}

// match works on the set of positions that the tokens so far can have reached, so that no pattern takes exponential time.
func (p pattern) match(name string) bool {
	s := []rune(name)
	reached := make([]bool, len(s)+1)
	reached[0] = true
	for _, t := range p {
		reached = t.advance(s, reached)
	}
	return reached[len(s)]
}

func (t token) advance(s []rune, from []bool) []bool {
	to := make([]bool, len(from))
	for i := range from {
		switch {
		case t.kind == many:
			to[i] = from[i] || i > 0 && to[i-1]
		case t.kind == parts:
			to[i] = from[i] || i > 0 && anyOf(from[:i]) && (s[i-1] == '/' || i == len(s))
		case i > 0:
			to[i] = from[i-1] && t.takes(s[i-1])
		}
	}
	return to
}

func anyOf(set []bool) bool {
	for _, b := range set {
		if b {
			return true
		}
	}
	return false
}

// takes tells whether t matches the one character c.
func (t token) takes(c rune) bool {
	switch t.kind {
	case one:
		return c == t.char
	case single:
		return true
	}
	for _, r := range t.set {
		if r[0] <= c && c <= r[1] {
			return t.kind == within
		}
	}
	return t.kind == except
}

// plainName tells that a filter rule is a name and not a pattern.
func plainName(rule string) bool { return !strings.ContainsAny(rule, "*?[") }
