package ui

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

const ctrlL Key = 0x0c

// decode reads one key off what was typed: the key, which may be NoKey for something without meaning, and how many bytes it took. None
// means that the key is not complete; with final it is taken for what there is.
func decode(typed []byte, final bool) (Key, int) {
	if len(typed) == 0 {
		return NoKey, 0
	}
	switch b := typed[0]; {
	case b == 0x1b:
		return decodeEscape(typed, final)
	case b == '\r' && bytes.HasPrefix(typed, []byte("\r\n")):
		return Enter, 2
	case b == '\r', b == '\n':
		return Enter, 1
	case b == 0x7f, b == '\b':
		return Backspace, 1
	case b == byte(Interrupt), b == byte(ctrlL):
		return Key(b), 1
	case b < ' ':
		return Other, 1
	}
	if !utf8.FullRune(typed) && !final {
		return NoKey, 0
	}
	r, n := utf8.DecodeRune(typed)
	if r == utf8.RuneError || unicode.IsControl(r) {
		return NoKey, n
	}
	return Key(r), n
}

// decodeEscape reads what begins with an escape: the key of that name, or a sequence as ECMA-48 and the console of Linux have them.
func decodeEscape(typed []byte, final bool) (Key, int) {
	unfinished := func() (Key, int) {
		if final {
			return Escape, len(typed)
		}
		return NoKey, 0
	}
	if len(typed) == 1 {
		return unfinished()
	}
	if typed[1] != '[' && typed[1] != 'O' {
		return Escape, 1
	}
	start := 2
	if bytes.HasPrefix(typed, []byte("\x1b[[")) { // F1 to F5 of the Linux console
		start = 3
	}
	for i := start; i < len(typed); i++ {
		if typed[i] >= '@' && typed[i] <= '~' {
			return named(string(typed[start:i+1]), start == 3), i + 1
		}
		if typed[i] < ' ' {
			return Other, i // no sequence after all
		}
	}
	return unfinished()
}

func named(sequence string, function bool) Key {
	if function {
		return Other
	}
	switch sequence {
	case "A":
		return Up
	case "B":
		return Down
	case "5~":
		return PageUp
	case "6~":
		return PageDown
	}
	return Other
}
