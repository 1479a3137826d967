package summary

import (
	"strings"
	"unicode"
)

// clean replaces what no form of the summary can show: characters that XML forbids, line breaks and other control
// characters, and those that turn the direction of the text after them.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r), r == 0xFFFE, r == 0xFFFF:
			return unicode.ReplacementChar
		case r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// joins says that a rune belongs to the one before it and takes no room of its own.
func joins(r rune) bool {
	return unicode.In(r, unicode.Mn, unicode.Me) || r == 0x200D || (r >= 0xFE00 && r <= 0xFE0F)
}

// wide says that a rune takes two cells of a terminal: the East Asian and pictograph blocks.
func wide(r rune) bool {
	switch {
	case r < 0x1100:
		return false
	case r <= 0x115F, r >= 0x2E80 && r <= 0xA4CF, r >= 0xAC00 && r <= 0xD7A3, r >= 0xF900 && r <= 0xFAFF,
		r >= 0xFE30 && r <= 0xFE6F, r >= 0xFF00 && r <= 0xFF60, r >= 0xFFE0 && r <= 0xFFE6,
		r >= 0x1F300 && r <= 0x1FAFF, r >= 0x20000 && r <= 0x3FFFD:
		return true
	}
	return false
}

// A measure says how much room a rune takes.
type measure func(r rune) int

// cells measures in columns of a terminal.
func cells(r rune) int {
	switch {
	case joins(r):
		return 0
	case wide(r):
		return 2
	}
	return 1
}

// sans measures a proportional font of the given size in thousandths of a pixel. The fonts of a viewer are not known, so
// it reckons with a broad one (DejaVu Sans).
func sans(size int) measure {
	return func(r rune) int { return size * sansEm(r) }
}

// bold is sans in a heavy weight.
func bold(size int) measure {
	return func(r rune) int { return size * sansEm(r) * 112 / 100 }
}

func sansEm(r rune) int {
	switch {
	case joins(r):
		return 0
	case wide(r):
		return 1050
	case strings.ContainsRune("iIjl'|", r):
		return 290
	case strings.ContainsRune(".,:;!()[]{} /ftr-·", r):
		return 370
	case strings.ContainsRune("mwMW@%…", r):
		return 980
	case unicode.IsUpper(r), r == '_', r > unicode.MaxLatin1:
		return 760
	}
	return 630
}

// mono measures the font of fixed pitch that addresses are set in, see sans. It has one size.
func mono(r rune) int {
	const size = 12
	return size * 605 * min(cells(r), 2)
}

func (m measure) of(s string) int {
	n := 0
	for _, r := range s {
		n += m(r)
	}
	return n
}

const ellipsis = "…"

// end cuts s at its end to fit into limit.
func (m measure) end(s string, limit int) string {
	if m.of(s) <= limit {
		return s
	}
	room := limit - m.of(ellipsis)
	return strings.TrimRight(m.prefix(s, room), " \u200d") + ellipsis
}

// prefix is the longest start of s that fits, never splitting a letter from its accents.
func (m measure) prefix(s string, room int) string {
	for i, r := range s {
		room -= m(r)
		if room < 0 {
			return s[:i]
		}
	}
	return s
}

// middle cuts s in its middle: what tells devices apart is often at their end.
func (m measure) middle(s string, limit int) string {
	if m.of(s) <= limit {
		return s
	}
	room := limit - m.of(ellipsis)
	head := m.prefix(s, (room+1)/2)
	tail := m.suffix(s, room-m.of(head))
	return strings.TrimRight(head, " \u200d") + ellipsis + tail
}

func (m measure) suffix(s string, room int) string {
	runes := []rune(s)
	at, end := len(runes), len(runes)
	for at > 0 {
		room -= m(runes[at-1])
		if room < 0 {
			break
		}
		at--
		if !joins(runes[at]) {
			end = at
		}
	}
	return string(runes[end:])
}

// wrap breaks s at blanks into lines that fit. A word that is too long stands alone and sticks out.
func (m measure) wrap(s string, limit int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		longer := strings.TrimSpace(line + " " + word)
		if line != "" && m.of(longer) > limit {
			lines = append(lines, line)
			longer = word
		}
		line = longer
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
