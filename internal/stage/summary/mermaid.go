package summary

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Mermaid is a flow chart: the uplink, the networks with their gateways, and the hosts in them. Identifiers are ours and
// not made from names, so no name can break the graph.
func (s Summary) Mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart TD\n")
	if slices.ContainsFunc(s.Networks, Network.leads) {
		b.WriteString("  uplink([\"uplink\"])\n")
	}
	for i, n := range s.Networks {
		s.mermaidNetwork(&b, i, n)
	}
	for i, h := range s.Hosts {
		fmt.Fprintf(&b, "  host%d[\"%s\"]:::%s\n", i, h.mermaidLabel(), h.state())
	}
	s.mermaidLinks(&b)
	b.WriteString(mermaidClasses)
	return b.String()
}

const mermaidClasses = `  classDef net fill:#dbeafe,stroke:#3b82f6,color:#1e293b
  classDef gateway fill:#e2e8f0,stroke:#64748b,color:#1e293b
  classDef ok fill:#f8fafc,stroke:#64748b,color:#1e293b
  classDef warning fill:#fef3c7,stroke:#d97706,color:#1e293b
  classDef error fill:#fee2e2,stroke:#dc2626,color:#1e293b
`

func (s Summary) mermaidNetwork(b *strings.Builder, i int, n Network) {
	fmt.Fprintf(b, "  net%d{{\"%s\"}}:::net\n", i, mermaidLines(strings.Split(n.title(), "  ")...))
	switch {
	case len(n.Gateways) > 0:
		fmt.Fprintf(b, "  gateway%d([\"%s\"]):::gateway\n", i, mermaidLines(append([]string{"gateway"}, n.Gateways...)...))
		fmt.Fprintf(b, "  %s --- gateway%d\n  gateway%d --- net%d\n", s.mermaidWayOut(n), i, i, i)
	case n.leads():
		fmt.Fprintf(b, "  uplink --- net%d\n", i)
	}
}

// mermaidWayOut is the node behind a gateway.
func (s Summary) mermaidWayOut(n Network) string {
	if i := slices.IndexFunc(s.Hosts, func(h Host) bool { return h.Name == n.Via }); n.Via != "" && i >= 0 {
		return fmt.Sprintf("host%d", i)
	}
	return "uplink"
}

func (h Host) mermaidLabel() string {
	lines := []string{h.Name}
	for _, i := range h.Interfaces {
		lines = append(lines, i.addressTexts()...)
	}
	return mermaidLines(append(lines, present(roleText(h.Member))...)...)
}

// state is the worst that is known of the host.
func (h Host) state() string {
	switch {
	case h.Broken || h.Problems.Errors > 0:
		return "error"
	case h.Problems.Warnings > 0:
		return "warning"
	}
	return "ok"
}

// mermaidLinks draws a solid line to the network a host stands in and a dotted one to the others.
func (s Summary) mermaidLinks(b *strings.Builder) {
	at := map[string]int{}
	for i, h := range s.Hosts {
		at[h.Name] = i
	}
	for i, n := range s.Networks {
		seen := map[string]bool{}
		for _, m := range n.Members {
			if seen[m.Host] {
				continue
			}
			seen[m.Host] = true
			if m.Host == n.Via { // drawn as the way out
				continue
			}
			line := "---"
			if s.Hosts[at[m.Host]].Network != n.ID {
				line = "-.-"
			}
			fmt.Fprintf(b, "  net%d %s host%d\n", i, line, at[m.Host])
		}
	}
}

func mermaidLines(lines ...string) string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = escapeMermaid(l)
	}
	return cmp.Or(strings.Join(out, "<br>"), "-")
}

// escapeMermaid writes all that Mermaid, Markdown or HTML could read as syntax as Mermaid's entity codes. The label
// stands between double quotes.
func escapeMermaid(s string) string {
	var b strings.Builder
	for _, r := range clean(s) {
		if strings.ContainsRune("\"#&<>`%;\\*_~$'[]{}()|", r) {
			fmt.Fprintf(&b, "#%d;", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
