package define

import (
	"fmt"
	"slices"
)

// form says what a node is.
type form int

const (
	nodeText   form = iota // literal piece of a string or path; also a static attribute name
	nodeString             // parts: pieces and interpolated expressions
	nodePath               // parts, the first one text
	nodeSearch             // <name>
	nodeNumber
	nodeName   // identifier
	nodeList   // parts
	nodeSet    // binds
	nodeLet    // binds, parts[0] the body
	nodeWith   // parts: set, body
	nodeAssert // parts: condition, body
	nodeIf     // parts: condition, then, else
	nodeLambda // formals, parts[0] the body
	nodeApply  // parts: function, argument
	nodeSelect // parts: base, perhaps the default; names
	nodeHas    // parts: base; names
	nodeOp     // name is the operator; parts: operands
)

// node is one expression of a Nix file. One type for all forms keeps walks short.
type node struct {
	form    form
	pos     int
	name    string
	parts   []*node
	names   []*node // attribute path: nodeText where static
	binds   []binding
	formals []formal
	rec     bool // of a set: names see each other
}

// binding is `a.b = value;` or `inherit (from) a b;`.
type binding struct {
	pos     int
	names   []*node
	value   *node // nil for inherit
	inherit []string
	from    *node // nil without parentheses
}

// formal is one argument of a function, with its default or nil.
type formal struct {
	name     string
	fallback *node
}

const deepest = 800 // nesting; no person writes more

// parser is a recursive descent over the grammar of Nix. What it does not know is an error, and an error makes a host
// untracked: it never guesses.
type parser struct {
	tokens []token
	at     int
	depth  int
}

// parse reads a whole file.
func parse(text string) (n *node, err error) {
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	defer p.catch(&err)
	n = p.expression()
	if p.peek().kind != tokEnd {
		p.fail("something follows the expression")
	}
	return n, nil
}

// syntaxError travels from the place it is found to parse.
type syntaxError struct{ error }

func (p *parser) fail(why string) {
	t := p.peek()
	panic(syntaxError{fmt.Errorf("%w at byte %d: %s, before %q", errLex, t.pos, why, t.text)})
}

func (p *parser) catch(err *error) {
	switch caught := recover().(type) {
	case nil:
	case syntaxError:
		*err = caught.error
	default:
		panic(caught)
	}
}

func (p *parser) peek() token { return p.ahead(0) }

func (p *parser) ahead(n int) token { return p.tokens[min(p.at+n, len(p.tokens)-1)] }

func (p *parser) next() token {
	t := p.peek()
	p.at = min(p.at+1, len(p.tokens)-1)
	return t
}

func (t token) sign(s string) bool { return t.kind == tokSign && t.text == s }
func (t token) word(s string) bool { return t.kind == tokWord && t.text == s }

// identifier: `or` is one too, for old files.
func (t token) identifier() bool {
	return t.kind == tokWord && !slices.Contains([]string{"if", "then", "else", "assert", "with", "let", "in", "rec", "inherit"}, t.text)
}

func (p *parser) sign(s string) {
	if !p.peek().sign(s) {
		p.fail("expected " + s)
	}
	p.next()
}

func (p *parser) keyword(s string) {
	if !p.peek().word(s) {
		p.fail("expected " + s)
	}
	p.next()
}

func (p *parser) enter() {
	if p.depth++; p.depth > deepest {
		p.fail("nested too deep")
	}
}

func (p *parser) leave() { p.depth-- }

// expression: functions, assert, with, let, if, operators.
func (p *parser) expression() *node {
	p.enter()
	defer p.leave()
	t := p.peek()
	switch {
	case t.word("assert"):
		return p.guarded(nodeAssert)
	case t.word("with"):
		return p.guarded(nodeWith)
	case t.word("let") && !p.ahead(1).sign("{"):
		p.next()
		n := &node{form: nodeLet, pos: t.pos, binds: p.bindings()}
		p.keyword("in")
		n.parts = []*node{p.expression()}
		return n
	case t.word("if"):
		return p.conditional()
	case p.isFunction():
		return p.function()
	}
	return p.operators(0)
}

func (p *parser) guarded(f form) *node {
	t := p.next()
	first := p.expression()
	p.sign(";")
	return &node{form: f, pos: t.pos, parts: []*node{first, p.expression()}}
}

func (p *parser) conditional() *node {
	t := p.next()
	condition := p.expression()
	p.keyword("then")
	yes := p.expression()
	p.keyword("else")
	return &node{form: nodeIf, pos: t.pos, parts: []*node{condition, yes, p.expression()}}
}

// isFunction looks ahead: `x:`, `x@{`, and a brace that opens arguments and no set.
func (p *parser) isFunction() bool {
	if p.peek().identifier() {
		return p.ahead(1).sign(":") || p.ahead(1).sign("@")
	}
	if !p.peek().sign("{") {
		return false
	}
	one, two := p.ahead(1), p.ahead(2)
	switch {
	case one.sign("..."):
		return true
	case one.sign("}"):
		return two.sign(":") || two.sign("@")
	case one.identifier():
		return two.sign(",") || two.sign("?") || two.sign("}")
	}
	return false
}

func (p *parser) function() *node {
	n := &node{form: nodeLambda, pos: p.peek().pos}
	if p.peek().identifier() {
		n.formals = append(n.formals, formal{name: p.next().text})
		if p.peek().sign("@") {
			p.next()
			n.formals = append(n.formals, p.arguments()...)
		}
	} else {
		n.formals = p.arguments()
		if p.peek().sign("@") {
			p.next()
			n.formals = append(n.formals, formal{name: p.name()})
		}
	}
	p.sign(":")
	n.parts = []*node{p.expression()}
	return n
}

func (p *parser) name() string {
	if !p.peek().identifier() {
		p.fail("expected a name")
	}
	return p.next().text
}

// arguments: `{ a, b ? 1, ... }`.
func (p *parser) arguments() []formal {
	var all []formal
	p.sign("{")
	for !p.peek().sign("}") {
		if p.peek().sign("...") {
			p.next()
		} else {
			f := formal{name: p.name()}
			if p.peek().sign("?") {
				p.next()
				f.fallback = p.expression()
			}
			all = append(all, f)
		}
		if !p.peek().sign("}") {
			p.sign(",")
		}
	}
	p.sign("}")
	return all
}

// level is how tightly an operator binds, and to which side.
type level struct {
	power int
	right bool
}

func binary(t token) (level, bool) {
	if t.kind != tokSign {
		return level{}, false
	}
	switch t.text {
	case "->":
		return level{1, true}, true
	case "||":
		return level{2, false}, true
	case "&&":
		return level{3, false}, true
	case "==", "!=":
		return level{4, false}, true
	case "<", ">", "<=", ">=":
		return level{5, false}, true
	case "//":
		return level{6, true}, true
	case "+", "-":
		return level{8, false}, true
	case "*", "/":
		return level{9, false}, true
	case "++":
		return level{10, true}, true
	case "?":
		return level{11, false}, true
	}
	return level{}, false
}

const (
	notPower    = 7
	negatePower = 12
)

// operators climbs: it takes operators that bind at least as tightly as power.
func (p *parser) operators(power int) *node {
	p.enter()
	defer p.leave()
	left := p.unary()
	for {
		t := p.peek()
		l, ok := binary(t)
		if !ok || l.power < power {
			return left
		}
		p.next()
		if t.text == "?" {
			left = &node{form: nodeHas, pos: t.pos, parts: []*node{left}, names: p.attributePath()}
			continue
		}
		above := l.power + 1
		if l.right {
			above = l.power
		}
		left = &node{form: nodeOp, pos: left.pos, name: t.text, parts: []*node{left, p.operators(above)}}
	}
}

func (p *parser) unary() *node {
	t := p.peek()
	switch {
	case t.sign("!"):
		p.next()
		return &node{form: nodeOp, pos: t.pos, name: "!", parts: []*node{p.operators(notPower)}}
	case t.sign("-"):
		p.next()
		return &node{form: nodeOp, pos: t.pos, name: "-", parts: []*node{p.operators(negatePower)}}
	}
	return p.application()
}

func (p *parser) application() *node {
	f := p.selection()
	for p.startsSimple() {
		f = &node{form: nodeApply, pos: f.pos, parts: []*node{f, p.selection()}}
	}
	return f
}

// startsSimple: whether an argument or an element of a list begins here.
func (p *parser) startsSimple() bool {
	t := p.peek()
	switch t.kind {
	case tokNumber, tokPath, tokSearch, tokURI, tokQuote:
		return true
	case tokWord:
		return t.identifier() || t.text == "rec" || t.text == "let" && p.ahead(1).sign("{")
	case tokSign:
		return t.text == "(" || t.text == "{" || t.text == "["
	}
	return false
}

// selection: `base.a.b or default`.
func (p *parser) selection() *node {
	p.enter()
	defer p.leave()
	base := p.simple()
	if !p.peek().sign(".") {
		return base
	}
	p.next()
	n := &node{form: nodeSelect, pos: base.pos, parts: []*node{base}, names: p.attributePath()}
	if p.peek().word("or") {
		p.next()
		n.parts = append(n.parts, p.selection())
	}
	return n
}

func (p *parser) attributePath() []*node {
	names := []*node{p.attribute()}
	for p.peek().sign(".") {
		p.next()
		names = append(names, p.attribute())
	}
	return names
}

// attribute: a name, a string, or `${...}`. A string without interpolation is as good as a name.
func (p *parser) attribute() *node {
	t := p.peek()
	switch {
	case t.identifier():
		p.next()
		return &node{form: nodeText, pos: t.pos, name: t.text}
	case t.kind == tokQuote:
		s := p.text()
		if name, ok := s.literal(); ok {
			return &node{form: nodeText, pos: t.pos, name: name}
		}
		return s
	case t.kind == tokInterpolate:
		return p.interpolation()
	}
	p.fail("expected an attribute name")
	return nil
}

// literal is the text of a string without interpolation.
func (n *node) literal() (string, bool) {
	if n.form != nodeString || len(n.parts) > 1 || len(n.parts) == 1 && n.parts[0].form != nodeText {
		return "", false
	}
	if len(n.parts) == 0 {
		return "", true
	}
	return n.parts[0].name, true
}

func (p *parser) interpolation() *node {
	p.next()
	n := p.expression()
	p.sign("}")
	return n
}

func (p *parser) simple() *node {
	t := p.peek()
	switch {
	case t.identifier():
		p.next()
		return &node{form: nodeName, pos: t.pos, name: t.text}
	case t.kind == tokNumber:
		p.next()
		return &node{form: nodeNumber, pos: t.pos, name: t.text}
	case t.kind == tokQuote:
		return p.text()
	case t.kind == tokPath:
		return p.path()
	case t.kind == tokSearch:
		p.next()
		return &node{form: nodeSearch, pos: t.pos, name: t.text[1 : len(t.text)-1]}
	case t.kind == tokURI:
		p.next()
		return &node{form: nodeString, pos: t.pos, parts: []*node{{form: nodeText, pos: t.pos, name: t.text}}}
	}
	return p.enclosed()
}

// enclosed: everything in brackets.
func (p *parser) enclosed() *node {
	t := p.peek()
	switch {
	case t.sign("("):
		p.next()
		n := p.expression()
		p.sign(")")
		return n
	case t.sign("["):
		return p.list()
	case t.word("rec") || t.word("let"):
		p.next()
		n := p.set()
		n.rec = true
		if t.text == "let" { // the old `let { body = ...; }`
			n = &node{form: nodeSelect, pos: t.pos, parts: []*node{n}, names: []*node{{form: nodeText, pos: t.pos, name: "body"}}}
		}
		return n
	case t.sign("{"):
		return p.set()
	}
	p.fail("expected an expression")
	return nil
}

func (p *parser) list() *node {
	n := &node{form: nodeList, pos: p.next().pos}
	for !p.peek().sign("]") {
		n.parts = append(n.parts, p.selection())
	}
	p.sign("]")
	return n
}

func (p *parser) set() *node {
	n := &node{form: nodeSet, pos: p.peek().pos}
	p.sign("{")
	n.binds = p.bindings()
	p.sign("}")
	return n
}

func (p *parser) bindings() []binding {
	var all []binding
	for {
		t := p.peek()
		switch {
		case t.word("inherit"):
			all = append(all, p.inherited())
		case t.identifier() || t.kind == tokQuote || t.kind == tokInterpolate:
			b := binding{pos: t.pos, names: p.attributePath()}
			p.sign("=")
			b.value = p.expression()
			p.sign(";")
			all = append(all, b)
		default:
			return all
		}
	}
}

func (p *parser) inherited() binding {
	b := binding{pos: p.next().pos}
	if p.peek().sign("(") {
		p.next()
		b.from = p.expression()
		p.sign(")")
	}
	for !p.peek().sign(";") {
		a := p.attribute()
		if a.form != nodeText {
			p.fail("a computed name is inherited")
		}
		b.inherit = append(b.inherit, a.name)
	}
	p.sign(";")
	return b
}

// text reads a string of either kind.
func (p *parser) text() *node {
	n := &node{form: nodeString, pos: p.next().pos}
	n.parts = p.pieces(tokQuoteEnd)
	return n
}

// path reads a path literal. Its first piece may be followed by text and interpolations.
func (p *parser) path() *node {
	t := p.next()
	n := &node{form: nodePath, pos: t.pos, parts: []*node{{form: nodeText, pos: t.pos, name: t.text}}}
	n.parts = append(n.parts, p.pieces(tokPathEnd)...)
	return n
}

func (p *parser) pieces(end kind) []*node {
	var parts []*node
	for {
		switch t := p.peek(); t.kind {
		case end:
			p.next()
			return parts
		case tokText:
			p.next()
			parts = append(parts, &node{form: nodeText, pos: t.pos, name: t.text})
		case tokInterpolate:
			parts = append(parts, p.interpolation())
		default:
			p.fail("a string or path does not end")
		}
	}
}
