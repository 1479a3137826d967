package workspace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// reader walks a JSON file a person wrote and collects every problem with line and column. encoding/json alone stops at the first,
// gives no place for an unknown key, and silently lets the last of two equal keys win.
type reader struct {
	name     string
	data     []byte
	d        *json.Decoder
	problems []error
}

// field reads the value of a key.
type field func(name string)

// newReader checks that text is one JSON value, so that walking it cannot fail.
func newReader(name string, text []byte) (*reader, error) {
	r := &reader{name: name, data: text, d: json.NewDecoder(bytes.NewReader(text))}
	if !utf8.Valid(text) {
		return nil, &Error{What: fmt.Sprintf("%s: the file is not valid UTF-8", r.place(firstInvalid(text))), Way: "save it as UTF-8"}
	}
	var all any
	err := json.Unmarshal(text, &all)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		at := max(0, min(syntax.Offset-1, int64(len(text))))
		return nil, &Error{What: fmt.Sprintf("%s: not valid JSON", r.place(at)), Way: "see the place before it too: a comma or a quote may be missing", Err: err}
	}
	if err != nil {
		return nil, &Error{What: r.name + ": not valid JSON", Err: err}
	}
	return r, nil
}

func firstInvalid(b []byte) int64 {
	for i := 0; i < len(b); {
		c, n := utf8.DecodeRune(b[i:])
		if c == utf8.RuneError && n == 1 {
			return int64(i)
		}
		i += n
	}
	return int64(len(b))
}

// place is FILE:LINE:COLUMN of a byte offset; both count from one, columns are characters.
func (r *reader) place(offset int64) string {
	before := r.data[:offset]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Sprintf("%s:%d:%d", r.name, line, column)
}

func (r *reader) fail(at int64, way, format string, args ...any) {
	r.problems = append(r.problems, &Error{What: r.place(at) + ": " + fmt.Sprintf(format, args...), Way: way})
}

// at is where the next token starts.
func (r *reader) at() int64 {
	i := r.d.InputOffset()
	for i < int64(len(r.data)) && bytes.IndexByte([]byte(" \t\r\n,:"), r.data[i]) >= 0 {
		i++
	}
	return i
}

// next is the next value if it is a scalar or an opening bracket.
func (r *reader) next() json.Token {
	t, err := r.d.Token()
	if err != nil {
		return nil // newReader has read it all once
	}
	return t
}

func (r *reader) skip() {
	var dropped json.RawMessage
	_ = r.d.Decode(&dropped) // newReader has read it all once
}

// expect opens an object or list, or notes that the value is something else and skips it.
func (r *reader) expect(open byte, name, kind string) bool {
	at := r.at()
	if at < int64(len(r.data)) && r.data[at] == open {
		r.next()
		return true
	}
	r.skip()
	r.fail(at, "", "%s: expected %s", name, kind)
	return false
}

// members calls each for every key of an object; each reads the value.
func (r *reader) members(name string, each func(key string, at int64)) {
	if !r.expect('{', name, "an object in braces") {
		return
	}
	seen := make(map[string]bool)
	for r.d.More() {
		at := r.at()
		key, _ := r.next().(string)
		if seen[key] {
			r.fail(at, "keep one of them", "%s: key %q is there twice", name, key)
			r.skip()
			continue
		}
		seen[key] = true
		each(key, at)
	}
	r.next()
}

// object reads an object with known keys.
func (r *reader) object(name string, fields map[string]field) {
	r.members(name, func(key string, at int64) {
		if read, known := fields[key]; known {
			read(key)
			return
		}
		r.skip()
		known := sortedKeys(fields)
		r.fail(at, fmt.Sprintf("known keys are %s", strings.Join(known, ", ")), "%s: unknown key %q%s", name, key, didYouMean(key, known))
	})
}

// text reads a string.
func (r *reader) text(name string) (s string, at int64, ok bool) {
	at = r.at()
	if r.data[at] != '"' {
		r.skip()
		r.fail(at, "", "%s: expected text in quotes", name)
		return "", at, false
	}
	s, ok = r.next().(string)
	return s, at, ok
}

// texts reads a list of strings.
func (r *reader) texts(name string) []string {
	if !r.expect('[', name, "a list in brackets") {
		return nil
	}
	words := []string{}
	for r.d.More() {
		if s, _, ok := r.text(name); ok {
			words = append(words, s)
		}
	}
	r.next()
	return words
}
