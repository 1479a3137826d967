package summary

import (
	"cmp"
	"slices"
	"strings"
)

// Row is one host of the table. A slice is one line of the cell each.
type Row struct {
	Host     string
	Ports    []Port
	Disks    []string // a disk each
	Boot     []string // loader, firmware
	NixOS    string   // release
	Platform string
	Role     string
	Target   string
	Problems []string // errors, warnings, notes
	Facts    string   // the host's [Origin]
}

// Port is an interface in the table.
type Port struct {
	Address []string // CIDR notation, or dhcp
	Link    []string // interface name and MAC address
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
		r.Ports = append(r.Ports, Port{cleanAll(i.addressTexts()), dashes(cleanAll(present(i.Name, i.MAC)))})
	}
	if len(r.Ports) == 0 {
		r.Ports = []Port{{one("-"), one("-")}}
	}
	if h.Target != nil {
		r.Target = clean(h.Target.Text)
	}
	return r
}

func brokenRow(h Host) Row {
	return Row{
		Host: clean(h.Name), Ports: []Port{{one("?"), one("?")}}, Disks: one("?"), Boot: one("?"), NixOS: "?", Platform: "?",
		Role: "?", Target: "?", Problems: append([]string{"broken"}, problemLines(h.Problems)...),
		Facts: cmp.Or(string(h.Origin), "-"),
	}
}

// addresses and links are the lines of two columns side by side: an interface starts on the same line in both.
func (r Row) addresses() []string {
	return r.aligned(func(p Port) []string { return breakAddresses(p.Address) })
}

func (r Row) links() []string { return r.aligned(func(p Port) []string { return p.Link }) }

func (r Row) aligned(of func(Port) []string) []string {
	var out []string
	for _, p := range r.Ports {
		lines := of(p)
		out = append(out, lines...)
		for range max(len(breakAddresses(p.Address)), len(p.Link)) - len(lines) {
			out = append(out, "")
		}
	}
	return out
}

// breakAddresses breaks long IPv6 addresses after a colon, lest a single one widen the table for all.
func breakAddresses(addresses []string) []string {
	var out []string
	for _, a := range addresses {
		if cut := strings.LastIndex(a[:min(len(a), longAddress)], ":") + 1; len(a) > longAddress && cut > 0 {
			out = append(out, a[:cut], "  "+a[cut:])
			continue
		}
		out = append(out, a)
	}
	return out
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
	hosts := s.Rows()
	for _, columns := range [][]column{spacious(hosts), compact(hosts), narrow(hosts)} {
		header, rows = arrange(columns, hosts, width)
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
			r.Host, comma(r.ported(func(p Port) []string { return p.Address })), comma(r.ported(func(p Port) []string { return p.Link })),
			strings.Join(r.Disks, "; "), comma(r.Boot), r.NixOS, r.Platform, r.Role, r.Target, comma(r.Problems), r.Facts,
		})
	}
	return header, rows
}

func (r Row) ported(of func(Port) []string) []string {
	var out []string
	for _, p := range r.Ports {
		out = append(out, of(p)...)
	}
	return out
}

func one(s string) []string { return []string{s} }

// spacious gives every fact its column. Platform and facts appear when they tell hosts apart.
func spacious(hosts []Row) []column {
	columns := []column{
		{"HOST", func(r Row) []string { return one(r.Host) }},
		{"ADDRESS", Row.addresses},
		{"INTERFACE", Row.links},
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
		return (c.header == "PLATFORM" && onePlatform(hosts)) || (c.header == "FACTS" && allTracked(hosts))
	})
}

func onePlatform(hosts []Row) bool {
	return !slices.ContainsFunc(hosts, func(r Row) bool { return r.Platform != hosts[0].Platform })
}

// allTracked: fresh or cached is of little interest; a host that can never be cached is.
func allTracked(hosts []Row) bool {
	return !slices.ContainsFunc(hosts, func(r Row) bool { return r.Facts == string(Untracked) })
}

// compact puts related facts into one column, below each other.
func compact(hosts []Row) []column {
	return []column{
		{"HOST", func(r Row) []string { return one(r.Host) }},
		{"ADDRESS, MAC", Row.stacked},
		{"DISKS", func(r Row) []string { return r.Disks }},
		{"BOOT, NIXOS", bootLines(onePlatform(hosts))},
		{"ROLE, TARGET", Row.roleLines},
		{"PROBLEMS", Row.problemLines},
	}
}

// narrow is compact for the smallest terminals.
func narrow(hosts []Row) []column {
	boot := bootLines(onePlatform(hosts))
	return []column{
		{"HOST", func(r Row) []string {
			lines := one(measure(cells).middle(r.Host, leastDisk))
			for _, p := range r.problemLines() {
				if p != "-" {
					lines = append(lines, "  "+p)
				}
			}
			return lines
		}},
		{"ADDRESS, MAC", Row.stacked},
		{"DISKS", func(r Row) []string { return r.Disks }},
		{"BOOT, TARGET", func(r Row) []string { return append(boot(r), r.roleLines()...) }},
	}
}

func (r Row) stacked() []string {
	var out []string
	for _, p := range r.Ports {
		out = append(out, breakAddresses(p.Address)...)
		switch joined := strings.Join(p.Link, " "); {
		case p.Link[0] == p.Address[0]: // both "-" or "?"
		case cellWidth(joined) <= longAddress:
			out = append(out, joined)
		default:
			out = append(out, p.Link...)
		}
	}
	return out
}

// bootLines leaves out the platform if it is the same for all.
func bootLines(onePlatform bool) func(Row) []string {
	return func(r Row) []string {
		lines := slices.Clone(r.Boot)
		if r.NixOS != r.Boot[0] { // both "?"
			lines = append(lines, r.NixOS)
		}
		if !onePlatform && r.Platform != r.NixOS {
			lines = append(lines, r.Platform)
		}
		return lines
	}
}

func (r Row) roleLines() []string {
	if r.Role == "-" || r.Role == "?" {
		return splitTarget(r.Target)
	}
	return append(one(r.Role), splitTarget(r.Target)...)
}

func (r Row) problemLines() []string {
	if r.Facts == string(Untracked) {
		return append(slices.DeleteFunc(slices.Clone(r.Problems), func(p string) bool { return p == "-" }), r.Facts)
	}
	return r.Problems
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
	gap = 2 // blanks between columns, as ui prints them

	longAddress = 24 // an IPv6 address beyond this takes two lines
	leastDisk   = 18 // columns that a layout of disks needs to be read
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

// wrapAll breaks lines to the width, with what follows set in. Long words are shortened so far that a short one, as in
// "by-id virtio-OS:", has room beside them.
func wrapAll(lines []string, width int) []string {
	m := measure(cells)
	var out []string
	for _, line := range lines {
		words := strings.Fields(line)
		for i := range words {
			words[i] = m.middle(words[i], max(width-gap-len("by-id "), 1))
		}
		for i, part := range m.wrap(strings.Join(words, " "), width-gap) {
			if i > 0 {
				part = "  " + part
			}
			out = append(out, part)
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
