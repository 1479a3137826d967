package define

import (
	"errors"
	"fmt"
	"strings"
)

// kind says what a token is.
type kind int

const (
	tokEnd         kind = iota
	tokWord             // identifier or keyword
	tokNumber           // integer or float
	tokPath             // first piece of a path literal; pieces and interpolations follow up to tokPathEnd
	tokPathEnd          // nothing more of the path
	tokSearch           // <nixpkgs>
	tokURI              // unquoted https://...
	tokQuote            // opens a string of either kind
	tokQuoteEnd         // closes it
	tokText             // literal piece of a string or path, escapes resolved
	tokInterpolate      // ${
	tokSign             // operators and brackets
)

// token is one word of a Nix file.
type token struct {
	kind kind
	text string
	pos  int // byte offset
}

// mode is where the lexer is: in plain code, or in one of the things that code is interpolated into.
type mode int

const (
	inCode mode = iota
	inString
	inIndented
	inPath
)

// lexer splits a Nix file into tokens by the rules of Nix' own lexer: the longest match wins, and interpolation nests.
type lexer struct {
	text   string
	at     int
	modes  []mode
	tokens []token
}

// errLex is a text that Nix would not accept either, or that this lexer does not know.
var errLex = errors.New("not understood as Nix")

// lex gives all tokens of a text, the last one tokEnd.
func lex(text string) ([]token, error) {
	l := &lexer{text: unix(text), modes: []mode{inCode}}
	for l.at < len(l.text) || l.mode() == inPath {
		if err := l.step(); err != nil {
			return nil, err
		}
	}
	if len(l.modes) != 1 {
		return nil, l.fail("it ends too early")
	}
	l.emit(tokEnd, "", l.at)
	return l.tokens, nil
}

// unix: Nix counts a line break of Windows as one, too.
func unix(text string) string { return strings.ReplaceAll(text, "\r\n", "\n") }

func (l *lexer) mode() mode { return l.modes[len(l.modes)-1] }

func (l *lexer) step() error {
	switch l.mode() {
	case inString:
		return l.inString()
	case inIndented:
		return l.inIndented()
	case inPath:
		return l.inPath()
	default:
		return l.inCode()
	}
}

func (l *lexer) fail(why string) error {
	return fmt.Errorf("%w at byte %d: %s", errLex, l.at, why)
}

func (l *lexer) emit(k kind, text string, pos int) {
	l.tokens = append(l.tokens, token{k, text, pos})
}

func (l *lexer) push(m mode) { l.modes = append(l.modes, m) }
func (l *lexer) pop()        { l.modes = l.modes[:len(l.modes)-1] }

func (l *lexer) has(prefix string) bool { return strings.HasPrefix(l.text[l.at:], prefix) }

// sign emits an operator or bracket.
func (l *lexer) sign(text string) {
	l.emit(tokSign, text, l.at)
	l.at += len(text)
}

func (l *lexer) interpolate() {
	l.emit(tokInterpolate, "${", l.at)
	l.at += 2
	l.push(inCode)
}

// inCode reads one token of plain code, or skips blanks and comments.
func (l *lexer) inCode() error {
	c := l.text[l.at]
	switch {
	case c == ' ' || c == '\t' || c == '\n' || c == '\r':
		l.at++
	case c == '#':
		l.skipLine()
	case l.has("/*"):
		end := strings.Index(l.text[l.at+2:], "*/")
		if end < 0 {
			return l.fail("a comment does not end")
		}
		l.at += end + 4
	case c == '"':
		l.emit(tokQuote, `"`, l.at)
		l.at++
		l.push(inString)
	case l.has("''"):
		l.openIndented()
	case l.has("${"):
		l.interpolate()
	default:
		return l.wordOrSign()
	}
	return nil
}

func (l *lexer) skipLine() {
	for l.at < len(l.text) && l.text[l.at] != '\n' && l.text[l.at] != '\r' {
		l.at++
	}
}

// openIndented skips blanks up to the first line break, as Nix does.
func (l *lexer) openIndented() {
	l.emit(tokQuote, "''", l.at)
	l.at += 2
	rest := strings.TrimLeft(l.text[l.at:], " ")
	if strings.HasPrefix(rest, "\n") {
		l.at = len(l.text) - len(rest) + 1
	}
	l.push(inIndented)
}

// wordOrSign takes the longest of everything that can start here.
func (l *lexer) wordOrSign() error {
	rest := l.text[l.at:]
	best, length := tokEnd, 0
	for _, candidate := range []token{
		{kind: tokWord, pos: word(rest)},
		{kind: tokNumber, pos: number(rest)},
		{kind: tokPath, pos: max(path(rest), pathStart(rest), homePath(rest))},
		{kind: tokSearch, pos: searchPath(rest)},
		{kind: tokURI, pos: uri(rest)},
	} {
		if candidate.pos > length { // here: where the token would end
			best, length = candidate.kind, candidate.pos
		}
	}
	for _, s := range signs() {
		if len(s) > length && strings.HasPrefix(rest, s) {
			l.bracket(s)
			return nil
		}
	}
	if length == 0 {
		return l.fail(fmt.Sprintf("unexpected %q", rest[:1]))
	}
	if best == tokPath {
		length -= dollar(rest[:length])
		l.push(inPath)
	}
	l.emit(best, rest[:length], l.at)
	l.at += length
	return nil
}

// bracket emits a sign and follows the nesting of braces, which ends interpolations.
func (l *lexer) bracket(s string) {
	switch s {
	case "{":
		l.push(inCode)
	case "}":
		if len(l.modes) > 1 {
			l.pop()
		}
	}
	l.sign(s)
}

// signs, the longer ones first.
func signs() []string {
	return []string{
		"...", "==", "!=", "<=", ">=", "&&", "||", "->", "//", "++",
		"{", "}", "[", "]", "(", ")", ":", ";", ",", ".", "=", "@", "?", "!", "<", ">", "+", "-", "*", "/",
	}
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isPath(c byte) bool {
	return isLetter(c) || isDigit(c) || c == '.' || c == '_' || c == '-' || c == '+'
}

// span counts the leading bytes that satisfy ok.
func span(s string, ok func(byte) bool) int {
	for i := range len(s) {
		if !ok(s[i]) {
			return i
		}
	}
	return len(s)
}

func word(s string) int {
	if s == "" || !isLetter(s[0]) && s[0] != '_' {
		return 0
	}
	return span(s, func(c byte) bool { return isLetter(c) || isDigit(c) || c == '_' || c == '\'' || c == '-' })
}

// number: 12, 1.5, .5, 1.5e3.
func number(s string) int {
	whole := span(s, isDigit)
	if whole >= len(s) || s[whole] != '.' {
		return whole
	}
	fraction := span(s[whole+1:], isDigit)
	leadingZero := whole > 0 && s[0] == '0'
	if whole == 0 && fraction == 0 || leadingZero && (whole > 1 || fraction == 0) {
		return whole
	}
	n := whole + 1 + fraction
	if n < len(s) && (s[n] == 'e' || s[n] == 'E') {
		m := n + 1
		if m < len(s) && (s[m] == '+' || s[m] == '-') {
			m++
		}
		if digits := span(s[m:], isDigit); digits > 0 {
			n = m + digits
		}
	}
	return n
}

// segments matches (/CHARS+)+ and an optional slash behind.
func segments(s string) int {
	n := 0
	for n < len(s) && s[n] == '/' {
		chars := span(s[n+1:], isPath)
		if chars == 0 {
			break
		}
		n += 1 + chars
	}
	if n > 0 && n < len(s) && s[n] == '/' {
		n++
	}
	return n
}

// path: a/b, ./b, /b.
func path(s string) int {
	first := span(s, isPath)
	if rest := segments(s[first:]); rest > 0 {
		return first + rest
	}
	return 0
}

// pathStart: `./${` and `~/${`; the interpolation counts to the length, so that it wins over what is shorter.
func pathStart(s string) int {
	first := span(s, isPath)
	if s[0] == '~' {
		first = 1
	}
	if strings.HasPrefix(s[first:], "/${") {
		return first + len("/${")
	}
	return 0
}

// dollar is what a path start has too much.
func dollar(s string) int {
	if strings.HasSuffix(s, "${") {
		return 2
	}
	return 0
}

func homePath(s string) int {
	if s[0] != '~' {
		return 0
	}
	if rest := segments(s[1:]); rest > 0 {
		return 1 + rest
	}
	return 0
}

// searchPath: <a/b>.
func searchPath(s string) int {
	if s[0] != '<' {
		return 0
	}
	n := 1 + span(s[1:], isPath)
	if n == 1 {
		return 0
	}
	for n < len(s) && s[n] == '/' {
		chars := span(s[n+1:], isPath)
		if chars == 0 {
			return 0
		}
		n += 1 + chars
	}
	if n < len(s) && s[n] == '>' {
		return n + 1
	}
	return 0
}

func uri(s string) int {
	if !isLetter(s[0]) {
		return 0
	}
	scheme := span(s, func(c byte) bool { return isLetter(c) || isDigit(c) || c == '+' || c == '-' || c == '.' })
	if scheme >= len(s) || s[scheme] != ':' {
		return 0
	}
	rest := span(s[scheme+1:], func(c byte) bool {
		return isLetter(c) || isDigit(c) || strings.IndexByte("%/?:@&=+$,-_.!~*'", c) >= 0
	})
	if rest == 0 {
		return 0
	}
	return scheme + 1 + rest
}

// inString reads a literal piece of "..." up to its end or an interpolation.
func (l *lexer) inString() error {
	start := l.at
	var b strings.Builder
	for l.at < len(l.text) {
		switch c := l.text[l.at]; {
		case c == '"' || l.has("${"):
			l.piece(b.String(), start)
			if c == '"' {
				l.emit(tokQuoteEnd, `"`, l.at)
				l.at++
				l.pop()
			} else {
				l.interpolate()
			}
			return nil
		case c == '\\':
			if l.at+1 >= len(l.text) {
				return l.fail("a string does not end")
			}
			b.WriteByte(unescape(l.text[l.at+1]))
			l.at += 2
		case c == '$':
			l.dollarIn(&b, `"\`)
		default:
			b.WriteByte(c)
			l.at++
		}
	}
	return l.fail("a string does not end")
}

// dollarIn takes a `$` that opens no interpolation together with what follows: `$${` is text.
func (l *lexer) dollarIn(b *strings.Builder, special string) {
	b.WriteByte('$')
	l.at++
	if l.at < len(l.text) && strings.IndexByte(special, l.text[l.at]) < 0 {
		b.WriteByte(l.text[l.at])
		l.at++
	}
}

func (l *lexer) piece(text string, pos int) {
	if text != "" {
		l.emit(tokText, text, pos)
	}
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// inIndented reads a literal piece of an indented string. Indentation is kept: it matters to no path.
func (l *lexer) inIndented() error {
	start := l.at
	var b strings.Builder
	for l.at < len(l.text) {
		switch c := l.text[l.at]; {
		case l.has("''$"):
			b.WriteByte('$')
			l.at += 3
		case l.has("'''"):
			b.WriteString("''")
			l.at += 3
		case l.has(`''\`):
			if l.at+3 >= len(l.text) {
				return l.fail("a string does not end")
			}
			b.WriteByte(unescape(l.text[l.at+3]))
			l.at += 4
		case l.has("''"):
			l.piece(b.String(), start)
			l.emit(tokQuoteEnd, "''", l.at)
			l.at += 2
			l.pop()
			return nil
		case l.has("${"):
			l.piece(b.String(), start)
			l.interpolate()
			return nil
		case c == '$':
			l.dollarIn(&b, "'")
		default:
			b.WriteByte(c)
			l.at++
		}
	}
	return l.fail("a string does not end")
}

// inPath reads what follows the first piece of a path.
func (l *lexer) inPath() error {
	rest := l.text[l.at:]
	if strings.HasPrefix(rest, "${") {
		l.interpolate()
		return nil
	}
	n := max(path(rest), span(rest, isPath))
	if n == 0 && strings.HasPrefix(rest, "/") {
		n = 1 // PATH_SEG: a slash before an interpolation
	}
	if n > 0 {
		l.emit(tokText, rest[:n], l.at)
		l.at += n
		return nil
	}
	if l.at > 0 && l.text[l.at-1] == '/' {
		return l.fail("a path ends with a slash")
	}
	l.emit(tokPathEnd, "", l.at)
	l.pop()
	return nil
}
