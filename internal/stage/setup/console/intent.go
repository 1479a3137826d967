package console

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/ui"
)

// intentPage shows what is about to happen: what is lost first, and in red.
func intentPage(in hive.Intent, look Look) page {
	p := page{title: fmt.Sprintf("Install %s, %s", ui.OneLine(in.Host), in.Mode)}
	if in.Refused() {
		p.title = fmt.Sprintf("%s cannot be installed (%s)", ui.OneLine(in.Host), in.Mode)
	}
	p.body = append(p.body, problemLines(in.Problems, hive.Error, look)...)
	if in.Resume != nil {
		p.body = append(p.body, earlierLines(in.Resume, look)...)
		p.body = append(p.body, nil)
	}
	for _, fate := range []struct {
		is, head string
		tone     ui.Tone
	}{
		{"destroy", "EVERYTHING ON THIS WILL BE DESTROYED", ui.Bad},
		{"format", "Holds nothing to lose, and will be formatted", ui.Plain},
		{"mount", "Is kept: checked and mounted, not formatted", ui.Good},
	} {
		first := true
		for _, t := range in.Targets {
			if t.Fate != fate.is {
				continue
			}
			if first {
				p.body = append(p.body, ui.Line{{Tone: fate.tone, Text: fate.head}})
			}
			first = false
			p.body = append(p.body, targetLines(t, fate.tone, look)...)
		}
		if !first {
			p.body = append(p.body, nil)
		}
	}
	p.body = append(p.body, problemLines(in.Problems, hive.Warning, look)...)
	return p
}

func targetLines(t hive.Target, tone ui.Tone, look Look) []ui.Line {
	what := t.Device.Path + "  " + deviceText(t.Device)
	head := ui.Span{Tone: ui.Strong, Text: "  " + pad(ui.OneLine(t.Disk.Name), 8)}
	lines := look.hang(head, tone, what)
	if t.State == "own" || t.State == "interrupted" {
		lines = append(lines, look.hang(ui.Span{Text: strings.Repeat(" ", 10)}, ui.Plain, map[string]string{
			"own":         "an earlier installation of this host",
			"interrupted": "an installation of this host that did not end",
		}[t.State])...)
	}
	for _, c := range t.Contents {
		lines = append(lines, look.hang(ui.Span{Text: strings.Repeat(" ", 10) + "- "}, ui.Plain, c)...)
	}
	return lines
}

func deviceText(d hive.Device) string {
	parts := []string{}
	if d.Model != "" {
		parts = append(parts, d.Model)
	}
	parts = append(parts, hive.Size(d.Bytes))
	if d.Serial != "" {
		parts = append(parts, "serial "+d.Serial)
	} else {
		parts = append(parts, "no serial number")
	}
	return strings.Join(parts, ", ")
}

func problemLines(all []hive.Problem, severity hive.Severity, look Look) []ui.Line {
	tone, mark := ui.Bad, look.mark(false)+" "
	if severity == hive.Warning {
		tone, mark = ui.Doubtful, "! "
	}
	var lines []ui.Line
	for _, p := range all {
		if p.Severity != severity {
			continue
		}
		lines = append(lines, look.hang(ui.Span{Tone: tone, Text: mark}, tone, p.Message)...)
		if p.Option != "" {
			lines = append(lines, look.hang(ui.Span{Text: "  "}, ui.Faint, "option "+p.Option)...)
		}
		for row := range strings.Lines(p.Way) {
			lines = append(lines, look.hang(ui.Span{Text: "  "}, ui.Plain, row)...)
		}
		lines = append(lines, nil)
	}
	return lines
}

// consent is what a person has to type for one disk.
type consent struct {
	serial string      // of Intent.Confirm
	target hive.Target // the disk
	short  string      // what suffices: the end of a long serial, if no other disk has the same
}

// shortFrom is the length from which the end of a serial suffices, shortLength how much of it.
const (
	shortFrom   = 7
	shortLength = 4
)

// consents are what has to be typed: for each disk that will be destroyed, and for whatever else the intent wants confirmed.
func consents(in hive.Intent) []consent {
	var all []consent
	left := slices.Clone(in.Confirm)
	for _, t := range in.Targets {
		if t.Fate != "destroy" {
			continue
		}
		serial := cmp.Or(t.Device.Serial, trimDev(t.Device.Path))
		all = append(all, consent{serial: serial, target: t})
		if i := slices.Index(left, serial); i >= 0 {
			left = slices.Delete(left, i, i+1)
		}
	}
	for _, serial := range left {
		all = append(all, consent{serial: serial, target: hive.Target{Device: hive.Device{Path: serial}}})
	}
	shorten(all)
	return all
}

// shorten lets the end of a long serial suffice where it is one disk's alone. Never that of a kernel name: sda and sdb differ in one letter.
func shorten(all []consent) {
	ends := map[string]int{}
	end := func(c consent) string {
		if s := c.target.Device.Serial; len(s) >= shortFrom {
			return s[len(s)-shortLength:]
		}
		return ""
	}
	for _, c := range all {
		ends[strings.ToUpper(end(c))]++
	}
	for i, c := range all {
		if ends[strings.ToUpper(end(c))] == 1 {
			all[i].short = end(c)
		}
	}
}

func trimDev(path string) string { return strings.TrimPrefix(path, "/dev/") }

// given reports whether what was typed is consent to lose this disk. Case is forgiven, nothing else.
func (c consent) given(typed string) bool {
	typed = strings.TrimSpace(typed)
	if typed == "" {
		return false
	}
	return strings.EqualFold(typed, c.serial) || c.short != "" && strings.EqualFold(typed, c.short) ||
		c.target.Device.Serial == "" && trimDev(typed) == trimDev(c.serial)
}

// wanted says what to type.
func (c consent) wanted() string {
	switch {
	case c.short != "":
		return fmt.Sprintf("To lose all that is on this disk, type its serial number or the last %d characters of it.", shortLength)
	case c.target.Device.Serial != "":
		return "To lose all that is on this disk, type its serial number."
	}
	return "To lose all that is on this disk, which has no serial number, type its name: " + trimDev(c.serial)
}

// consentPage has the question above the disk: of a disk that holds a great deal, the end may be cut off here. It was shown before.
func consentPage(c consent, typed, complaint string, look Look) page {
	p := page{title: "The last question"}
	p.body = append(look.paragraph(ui.Strong, c.wanted()), nil)
	p.body = append(p.body, targetLines(c.target, ui.Bad, look)...)
	return p.asking(ui.Line{{Tone: ui.Strong, Text: "> " + typed + "_"}}, complaint, look)
}

// asking adds a line to type in, with what was wrong with the last above it.
func (p page) asking(line ui.Line, complaint string, look Look) page {
	if complaint != "" {
		p.input = look.paragraph(ui.Bad, complaint)
	}
	p.input = append(p.input, line)
	return p.with([]choice{{name: "Enter", what: "done"}, {name: "Esc", what: "back, and nothing is changed"}})
}
