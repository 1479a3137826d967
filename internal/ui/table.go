package ui

import (
	"fmt"
	"strings"

	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/table"
)

// Table is rows of text under a header. A cell may have several lines.
type Table struct {
	Header []string
	Rows   [][]string // rows shorter than the header are filled up
	// Tone gives the meaning of a cell, counted from 0 without the header; nil means all are plain.
	Tone func(row, column int) Tone
}

// Table writes t to Out: framed and fitted to the width on a terminal; elsewhere aligned columns with the lines of a cell joined by
// ", ", so that one row is one line for grep and awk.
func (s *Streams) Table(t Table) error {
	text := ""
	if s.OutTerminal {
		text = s.framed(t)
	} else {
		text = aligned(t)
	}
	if _, err := fmt.Fprintln(s.Out, text); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// cells are the safe texts of all rows, each as long as the header.
func (t Table) cells() [][]string {
	rows := make([][]string, len(t.Rows))
	for i, row := range t.Rows {
		rows[i] = make([]string, len(t.Header))
		for j := range min(len(row), len(t.Header)) {
			rows[i][j] = strings.TrimRight(printable(row[j]), "\n ")
		}
	}
	return rows
}

func (s *Streams) framed(t Table) string {
	border := lipgloss.RoundedBorder()
	if s.Simple {
		border = lipgloss.NormalBorder()
	}
	draw := table.New().Border(border).Headers(t.Header...).Rows(t.cells()...).
		BorderStyle(s.tone(Faint)).
		StyleFunc(func(row, column int) lipgloss.Style {
			switch {
			case row == table.HeaderRow:
				return s.tone(Strong).Padding(0, 1)
			case t.Tone != nil:
				return s.tone(t.Tone(row, column)).Padding(0, 1)
			}
			return lipgloss.NewStyle().Padding(0, 1)
		})
	text := draw.Render()
	if width := s.columns(s.Out); lipgloss.Width(text) > width {
		text = draw.Width(width).Render()
	}
	return text
}

func (s *Streams) tone(t Tone) lipgloss.Style {
	if !s.Colour {
		return lipgloss.NewStyle()
	}
	return t.style()
}

func aligned(t Table) string {
	rows := append([][]string{t.Header}, t.cells()...)
	widths := make([]int, len(t.Header))
	for _, row := range rows {
		for j, cell := range row {
			row[j] = strings.ReplaceAll(cell, "\n", ", ")
			widths[j] = max(widths[j], lipgloss.Width(row[j]))
		}
	}
	lines := make([]string, len(rows))
	for i, row := range rows {
		var line strings.Builder
		for j, cell := range row {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[j]-lipgloss.Width(cell)+2))
		}
		lines[i] = strings.TrimRight(line.String(), " ")
	}
	return strings.Join(lines, "\n")
}

// Text writes text from definitions to Out: what a terminal could take for a command is left out.
func (s *Streams) Text(text string) error {
	if s.OutTerminal {
		text = printable(text)
	}
	if _, err := fmt.Fprint(s.Out, text); err != nil {
		return fmt.Errorf("write to stdout: %w", err)
	}
	return nil
}

// OutWidth is how many columns a table on Out may have; 0 where it is no terminal.
func (s *Streams) OutWidth() int {
	if !s.OutTerminal {
		return 0
	}
	return s.columns(s.Out)
}

// Clear empties a terminal on Out, for a table that takes the place of the last one. Elsewhere tables follow each other.
func (s *Streams) Clear() {
	if s.OutTerminal && !s.Dumb {
		_, _ = fmt.Fprint(s.Out, "\x1b[H\x1b[2J")
	}
}
