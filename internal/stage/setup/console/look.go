package console

import (
	"strings"
	"unicode/utf8"

	"nixos-staged-hive/internal/ui"
)

// Look is what a page is laid out for.
type Look struct {
	Columns, Rows int  // Rows 0: any number
	Plain         bool // ASCII alone
	Simple        bool // the glyphs of a console's font alone
	Colour        bool
}

// page is a screen before it is laid out: the title stays at the top, the choices at the bottom, and what is between can be scrolled.
type page struct {
	title   string
	body    []ui.Line
	choices []choice
	first   int       // line of the body that is at the top
	input   []ui.Line // stays above the choices
}

func (p page) with(choices []choice) page {
	p.choices = choices
	return p
}

// room is how many lines of the body fit.
func (p page) room(look Look) int {
	if look.Rows == 0 {
		return len(p.body)
	}
	room := look.Rows - len(footer(p.choices, look))
	if p.title != "" {
		room -= 2
	}
	if p.input != nil {
		room -= 1 + len(p.input)
	}
	return max(room, 1)
}

// scrolled keeps the first line within what makes sense, and tells whether there is more above or below.
func (p page) scrolled(look Look) (first int, more bool) {
	room := p.room(look)
	return max(0, min(p.first, len(p.body)-room)), len(p.body) > room
}

func (p page) lines(look Look) []ui.Line {
	var all []ui.Line
	if p.title != "" {
		all = append(all, ui.Line{{Tone: ui.Strong, Text: look.cut(p.title, look.Columns)}}, nil)
	}
	first, _ := p.scrolled(look)
	room := p.room(look)
	all = append(all, p.body[first:min(first+room, len(p.body))]...)
	if p.input != nil {
		all = append(append(all, nil), p.input...)
	}
	foot := footer(p.choices, look)
	for len(all) < look.Rows-len(foot) {
		all = append(all, nil)
	}
	return append(all, foot...)
}

// footer writes the choices, over as many lines as it takes.
func footer(choices []choice, look Look) []ui.Line {
	var lines []ui.Line
	var line ui.Line
	width := 0
	for _, c := range choices {
		name := c.name
		if name == "" {
			name = string(rune(c.key))
		}
		text := name + " " + c.what
		if n := utf8.RuneCountInString(text) + 3; width+n > look.Columns+3 && line != nil {
			lines, line, width = append(lines, line), nil, 0
		}
		if line != nil {
			line = append(line, ui.Span{Text: "   "})
		}
		line = append(line, ui.Span{Tone: ui.Strong, Text: name}, ui.Span{Text: " " + c.what})
		width += utf8.RuneCountInString(text) + 3
	}
	if line != nil {
		lines = append(lines, line)
	}
	return lines
}

// labelWidth is the left column of fields.
const labelWidth = 11

// field is a label with its text beside it, wrapped within its own column.
func (l Look) field(label string, tone ui.Tone, text string) []ui.Line {
	return l.hang(ui.Span{Tone: ui.Faint, Text: pad(label, labelWidth)}, tone, text)
}

// hang puts text beside a head, and further lines below its beginning.
func (l Look) hang(head ui.Span, tone ui.Tone, text string) []ui.Line {
	indent := utf8.RuneCountInString(head.Text)
	var lines []ui.Line
	for i, part := range wrap(text, l.Columns-indent) {
		if i > 0 {
			head = ui.Span{Text: strings.Repeat(" ", indent)}
		}
		lines = append(lines, ui.Line{head, {Tone: tone, Text: part}})
	}
	return lines
}

// paragraph is text of several lines, each wrapped.
func (l Look) paragraph(tone ui.Tone, text string) []ui.Line {
	var lines []ui.Line
	for row := range strings.Lines(text) {
		for _, part := range wrap(row, l.Columns) {
			lines = append(lines, ui.Line{{Tone: tone, Text: part}})
		}
	}
	return lines
}

// wrap breaks a line between words where it can. Text from outside is made safe by it.
func wrap(text string, width int) []string {
	width = max(width, 8)
	var lines []string
	line := ""
	for _, word := range strings.Fields(ui.OneLine(text)) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
		for r := []rune(line); len(r) > width; r = []rune(line) { // a word that is too long
			lines, line = append(lines, string(r[:width])), string(r[width:])
		}
	}
	return append(lines, line)
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(1, width-utf8.RuneCountInString(text)))
}

// cut shortens text to a width.
func (l Look) cut(text string, width int) string {
	r := []rune(text)
	switch {
	case len(r) <= width:
		return text
	case width < 4:
		return string(r[:max(width, 0)])
	}
	return string(r[:width-3]) + "..."
}

// Marks of phases and of menus. The console's font has no check marks.
func (l Look) mark(good bool) string {
	switch {
	case good && (l.Plain || l.Simple):
		return "+"
	case good:
		return "✓"
	case l.Plain || l.Simple:
		return "x"
	}
	return "✗"
}

// verbatim is a text whose lines are kept as they are, for tables and logs.
func verbatim(text string) []ui.Line {
	var lines []ui.Line
	for row := range strings.Lines(text) {
		lines = append(lines, ui.Line{{Text: strings.TrimRight(row, "\r\n")}})
	}
	return lines
}
