package summary

import (
	"cmp"
	"slices"
	"strings"
)

// Row is one host of the table. A slice is one line of the cell each.
type Row struct {
	Host     string
	Address  []string // CIDR notation, or dhcp
	Link     []string // interface name and MAC address, of each interface
	Disks    []string // a disk each
	Boot     []string // loader, firmware
	NixOS    string   // release
	Platform string
	Role     string
	Target   string
	Problems []string // errors, warnings, notes
	Facts    string   // the host's [Origin]
}

// Rows has a row for each host, by name. "-" says that there is nothing, "?" that it is not known.
func (s Summary) Rows() []Row {
	var rows []Row
	for _, h := range s.Hosts {
		if h.Broken {
			rows = append(rows, brokenRow(h))
			continue
		}
		rows = append(rows, h.row())
	}
	return rows
}

func (h Host) row() Row {
	r := Row{
		Host: clean(h.Name), Disks: dashes(cleanAll(h.diskTexts())), Boot: cleanAll(strings.SplitN(h.Boot.Text, ", ", 2)),
		NixOS: cmp.Or(clean(h.NixOS.Release), "-"), Platform: cmp.Or(clean(h.System), "-"),
		Role: cmp.Or(clean(roleText(h.Member)), "-"), Target: "-",
		Problems: dashes(problemLines(h.Problems)), Facts: cmp.Or(string(h.Origin), "-"),
	}
	for _, i := range h.Interfaces {
		r.Address = append(r.Address, cleanAll(i.addressTexts())...)
		r.Link = append(r.Link, cleanAll(present(i.Name, i.MAC))...)
	}
	r.Address, r.Link = dashes(r.Address), dashes(r.Link)
	if h.Target != nil {
		r.Target = clean(h.Target.Text)
	}
	return r
}

func brokenRow(h Host) Row {
	unknown := []string{"?"}
	return Row{
		Host: clean(h.Name), Address: unknown, Link: unknown, Disks: unknown, Boot: unknown, NixOS: "?", Platform: "?",
		Role: "?", Target: "?", Problems: dashes(append([]string{"broken"}, problemLines(h.Problems)...)),
		Facts: cmp.Or(string(h.Origin), "-"),
	}
}

func cleanAll(words []string) []string {
	out := slices.Clone(words)
	for i := range out {
		out[i] = clean(out[i])
	}
	return out
}

func dashes(lines []string) []string {
	if len(lines) == 0 {
		return []string{"-"}
	}
	return lines
}

// column is a column of the table in one of its arrangements.
type column struct {
	header string
	lines  func(Row) []string
}

// Table arranges the rows for a terminal of the given width in columns, and is nothing but strings: a host takes
// several rows of cells, all but the first with an empty host cell. A width of 0 asks for exactly one row per host with
// nothing shortened, for programs and files.
func (s Summary) Table(width int) (header []string, rows [][]string) {
	if width <= 0 {
		return s.flat()
	}
	for _, columns := range [][]column{s.spacious(), s.compact()} {
		header, rows = arrange(columns, s.Rows(), width)
		if tableWidth(header, rows) <= width {
			break
		}
	}
	return header, rows
}

// flat keeps every column, whatever the hosts are like: who reads it counts columns.
func (s Summary) flat() (header []string, rows [][]string) {
	header = []string{"HOST", "ADDRESS", "INTERFACE", "DISKS", "BOOT", "NIXOS", "PLATFORM", "ROLE", "TARGET", "PROBLEMS", "FACTS"}
	for _, r := range s.Rows() {
		comma := func(lines []string) string { return strings.Join(lines, ", ") }
		rows = append(rows, []string{
			r.Host, comma(r.Address), comma(r.Link), strings.Join(r.Disks, "; "), comma(r.Boot), r.NixOS, r.Platform,
			r.Role, r.Target, comma(r.Problems), r.Facts,
		})
	}
	return header, rows
}

func one(s string) []string { return []string{s} }

// spacious gives every fact its column. Platform and facts appear when they tell hosts apart.
func (s Summary) spacious() []column {
	columns := []column{
		{"HOST", func(r Row) []string { return one(r.Host) }},
		{"ADDRESS", func(r Row) []string { return r.Address }},
		{"INTERFACE", func(r Row) []string { return r.Link }},
		{"DISKS", func(r Row) []string { return r.Disks }},
		{"BOOT", func(r Row) []string { return r.Boot }},
		{"NIXOS", func(r Row) []string { return one(r.NixOS) }},
		{"PLATFORM", func(r Row) []string { return one(r.Platform) }},
		{"ROLE", func(r Row) []string { return one(r.Role) }},
		{"TARGET", func(r Row) []string { return one(r.Target) }},
		{"PROBLEMS", func(r Row) []string { return r.Problems }},
		{"FACTS", func(r Row) []string { return one(r.Facts) }},
	}
	return slices.DeleteFunc(columns, func(c column) bool {
		return (c.header == "PLATFORM" && s.alike(Row.platform)) || (c.header == "FACTS" && s.allTracked())
	})
}

func (r Row) platform() string { return r.Platform }

func (s Summary) alike(of func(Row) string) bool {
	seen := map[string]bool{}
	for _, r := range s.Rows() {
		seen[of(r)] = true
	}
	return len(seen) <= 1
}

// allTracked: fresh or cached is of little interest; a host that can never be cached is.
func (s Summary) allTracked() bool {
	return !slices.ContainsFunc(s.Hosts, func(h Host) bool { return h.Origin == Untracked })
}

// compact puts related facts into one column, below each other.
func (s Summary) compact() []column {
	platform := !s.alike(Row.platform)
	return []column{
		{"HOST", func(r Row) []string { return one(r.Host) }},
		{"ADDRESS, MAC", func(r Row) []string { return slices.Concat(r.Address, r.Link) }},
		{"DISKS", func(r Row) []string { return r.Disks }},
		{"BOOT, NIXOS", func(r Row) []string {
			lines := append(slices.Clone(r.Boot), r.NixOS)
			if platform {
				lines = append(lines, r.Platform)
			}
			return lines
		}},
		{"ROLE, TARGET", func(r Row) []string { return append(one(r.Role), splitTarget(r.Target)...) }},
		{"PROBLEMS", func(r Row) []string {
			if r.Facts == string(Untracked) {
				return append(slices.Clone(r.Problems), r.Facts)
			}
			return r.Problems
		}},
	}
}

// splitTarget breaks a long target after its user.
func splitTarget(t string) []string {
	const short = 16
	user, host, ok := strings.Cut(t, "@")
	if !ok || cellWidth(t) <= short {
		return one(t)
	}
	return []string{user + "@", "  " + host}
}

func cellWidth(s string) int { return measure(cells).of(s) }

const (
	gap       = 2  // blanks between columns, as ui prints them
	leastDisk = 20 // columns that a layout of disks needs to be read
)

// arrange gives the disks, which are text that can be broken, the room that all others leave.
func arrange(columns []column, hosts []Row, width int) (header []string, rows [][]string) {
	left := width
	for _, c := range columns {
		header = append(header, c.header)
		if c.header != "DISKS" {
			left -= columnWidth(c, hosts) + gap
		}
	}
	left = max(left, leastDisk)
	for _, h := range hosts {
		rows = append(rows, hostLines(columns, h, left)...)
	}
	return header, rows
}

func columnWidth(c column, hosts []Row) int {
	n := cellWidth(c.header)
	for _, h := range hosts {
		for _, line := range c.lines(h) {
			n = max(n, cellWidth(line))
		}
	}
	return n
}

func hostLines(columns []column, h Row, disks int) [][]string {
	var out [][]string
	for i, c := range columns {
		lines := c.lines(h)
		if c.header == "DISKS" {
			lines = wrapAll(lines, disks)
		}
		for len(out) < len(lines) {
			out = append(out, make([]string, len(columns)))
		}
		for n, line := range lines {
			out[n][i] = line
		}
	}
	return out
}

// wrapAll breaks lines to the width, with what follows set in, and shortens words that still stick out.
func wrapAll(lines []string, width int) []string {
	m := measure(cells)
	var out []string
	for _, line := range lines {
		for i, part := range m.wrap(line, width-gap) {
			if i > 0 {
				part = "  " + part
			}
			out = append(out, m.middle(part, width))
		}
	}
	return out
}

func tableWidth(header []string, rows [][]string) int {
	total := gap * (len(header) - 1)
	for i := range header {
		n := cellWidth(header[i])
		for _, r := range rows {
			n = max(n, cellWidth(r[i]))
		}
		total += n
	}
	return total
}
