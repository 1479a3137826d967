package summary

import (
	"cmp"
	"fmt"
	"strings"
)

// Markdown is a page with the address plan, hosts entries, disks, versions and problems. Every value is escaped: a cell
// shows what the definition says and never becomes markup.
func (s Summary) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n", escapeMarkdown(s.title()), escapeMarkdown(strings.Join(append([]string{s.counts()}, problemLines(s.Totals)...), ", ")))
	s.markdownHosts(&b)
	s.markdownAddresses(&b)
	s.markdownEntries(&b)
	s.markdownDisks(&b)
	s.markdownVersions(&b)
	s.markdownProblems(&b)
	return b.String()
}

// title is the hive's name.
func (s Summary) title() string { return cmp.Or(s.Name, "hive") }

// counts is for example "12 hosts, 3 networks, 1 cluster".
func (s Summary) counts() string {
	nets := 0
	for _, n := range s.Networks {
		if n.ID != noneID {
			nets++
		}
	}
	clusters := map[string]bool{}
	for _, h := range s.Hosts {
		if h.Member != nil {
			clusters[h.Member.Cluster] = true
		}
	}
	words := present(cmp.Or(plural(len(s.Hosts), "host"), "no hosts"), plural(nets, "network"), plural(len(clusters), "cluster"))
	return strings.Join(words, ", ")
}

func (s Summary) markdownHosts(b *strings.Builder) {
	markdownHeading(b, "Hosts")
	var rows [][]string
	for _, r := range s.Rows() {
		rows = append(rows, []string{
			r.Host, strings.Join(r.ported(func(p Port) []string { return p.Address }), "\n"), strings.Join(r.Boot, ", "), r.NixOS, r.Platform, r.Role, r.Target,
			strings.Join(r.Problems, ", "),
		})
	}
	markdownTable(b, []string{"Host", "Address", "Boot", "NixOS", "Platform", "Role", "Deploy target", "Problems"}, rows)
}

func (s Summary) markdownAddresses(b *strings.Builder) {
	markdownHeading(b, "Address plan")
	macs := s.macs()
	for _, n := range s.Networks {
		fmt.Fprintf(b, "\n### %s\n", escapeMarkdown(strings.Join(strings.Fields(n.title()), ", ")))
		if len(n.Gateways) > 0 {
			fmt.Fprintf(b, "\nGateway: %s\n", escapeMarkdown(strings.Join(n.Gateways, ", ")))
		}
		var rows [][]string
		for _, m := range n.Members {
			rows = append(rows, []string{cmp.Or(m.Address, "-"), m.Host, cmp.Or(m.Interface, "-"), cmp.Or(macs[m.key()], "-")})
		}
		markdownTable(b, []string{"Address", "Host", "Interface", "MAC"}, rows)
	}
}

func (a Attachment) key() [2]string { return [2]string{a.Host, a.Interface} }

// macs finds the MAC address of an attachment by its host and interface.
func (s Summary) macs() map[[2]string]string {
	out := map[[2]string]string{}
	for _, h := range s.Hosts {
		for _, i := range h.Interfaces {
			out[[2]string{h.Name, cmp.Or(i.Name, i.MAC)}] = i.MAC
		}
	}
	return out
}

func (s Summary) markdownEntries(b *strings.Builder) {
	if len(s.Entries) == 0 {
		return
	}
	markdownHeading(b, "Hosts entries")
	b.WriteString("\n```\n")
	for _, e := range s.Entries {
		fmt.Fprintf(b, "%-15s %s\n", e.Address, clean(strings.Join(e.Names, " ")))
	}
	b.WriteString("```\n")
}

func (s Summary) markdownDisks(b *strings.Builder) {
	markdownHeading(b, "Disks")
	var rows [][]string
	for _, h := range s.Hosts {
		rows = append(rows, h.diskRows()...)
	}
	markdownTable(b, []string{"Host", "Disk", "Partition", "Size", "Content", "Mount point"}, rows)
}

func (h Host) diskRows() [][]string {
	var rows [][]string
	for _, d := range h.Disks {
		name := d.place()
		if d.Kept {
			name += " (kept)"
		}
		for _, p := range d.Partitions {
			rows = append(rows, []string{
				h.Name, name, cmp.Or(p.Name, "-"), cmp.Or(p.Size, "-"), cmp.Or(p.holds(), p.Use), cmp.Or(p.MountPoint, "-"),
			})
		}
		if len(d.Partitions) == 0 {
			rows = append(rows, []string{h.Name, name, "-", "-", cmp.Or(d.Table, "-"), "-"})
		}
	}
	if len(h.Disks) == 0 {
		for _, f := range h.FileSystems {
			rows = append(rows, []string{h.Name, shortDevice(f.Device), "-", "-", cmp.Or(f.Type, "-"), f.MountPoint})
		}
	}
	return rows
}

func (s Summary) markdownVersions(b *strings.Builder) {
	markdownHeading(b, "Versions")
	fmt.Fprintf(b, "\nPins: %s\n", escapeMarkdown(cmp.Or(s.Pins.text(), "none")))
	var rows [][]string
	for _, h := range s.Hosts {
		rows = append(rows, []string{h.Name, cmp.Or(h.NixOS.Version, "-"), cmp.Or(h.NixOS.Pin, "-"), cmp.Or(h.Boot.Kernel, "-")})
	}
	markdownTable(b, []string{"Host", "NixOS", "Pin", "Kernel"}, rows)
}

// text is for example "nixos-24.05, disko v1.8.2, k3s v1.27.4-k3s1".
func (p Pins) text() string {
	nixos := p.NixOS
	if !strings.HasPrefix(nixos, "nixos") {
		nixos = pinned("NixOS ", nixos)
	}
	return strings.Join(present(nixos, pinned("disko ", p.Disko), pinned("k3s ", p.K3s)), ", ")
}

func (s Summary) markdownProblems(b *strings.Builder) {
	markdownHeading(b, "Problems")
	if len(s.Problems) == 0 {
		b.WriteString("\nNone.\n")
		return
	}
	var rows [][]string
	for _, p := range s.Problems {
		rows = append(rows, []string{string(p.Severity), cmp.Or(p.Host, "-"), cmp.Or(p.Option, "-"), p.Message, cmp.Or(p.Way, "-")})
	}
	markdownTable(b, []string{"Severity", "Host", "Option", "Problem", "Way out"}, rows)
}

func markdownHeading(b *strings.Builder, text string) { fmt.Fprintf(b, "\n## %s\n", text) }

func markdownTable(b *strings.Builder, header []string, rows [][]string) {
	if len(rows) == 0 {
		b.WriteString("\nNone.\n")
		return
	}
	fmt.Fprintf(b, "\n| %s |\n|%s\n", strings.Join(header, " | "), strings.Repeat(" --- |", len(header)))
	for _, r := range rows {
		b.WriteString("|")
		for _, cell := range r {
			b.WriteString(" " + escapeMarkdown(cell) + " |")
		}
		b.WriteString("\n")
	}
}

// escapeMarkdown makes text literal in CommonMark and in the tables of GitHub's dialect. A line break becomes <br>, the
// one piece of markup that a cell may hold.
func escapeMarkdown(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(backslashed(clean(line)))
	}
	return strings.Join(lines, "<br>")
}

func backslashed(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune("\\`*_{}[]<>&#|~$!", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
