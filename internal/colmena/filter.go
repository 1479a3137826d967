package colmena

import (
	"fmt"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// Node is a host as --on sees it.
type Node struct {
	Name       string
	Tags       []string
	Deployable bool // has a targetHost
}

// Nodes takes from a hive what --on needs.
func Nodes(h hive.Hive) []Node {
	nodes := make([]Node, 0, len(h.Hosts))
	for _, host := range h.Hosts {
		nodes = append(nodes, Node{Name: host.Name, Tags: host.Deployment.Tags, Deployable: host.Deployment.TargetHost != nil})
	}
	return nodes
}

// Filter is the value of --on: rules of which any one selects a host. There is neither "and" nor "not".
type Filter []rule

type rule struct {
	text string // as the user wrote it, without blanks around
	tag  bool   // @...
	glob pattern
}

// ParseFilter reads a value of --on as Colmena does: rules between commas, blanks around them dropped, a rule after @ is for tags. A
// blank value is a filter without rules and selects nothing. The error says which rule is wrong and why.
func ParseFilter(s string) (Filter, error) {
	if strings.TrimSpace(s) == "" {
		return Filter{}, nil
	}
	var f Filter
	for text := range strings.SplitSeq(s, ",") {
		text = strings.TrimSpace(text)
		if text == "" {
			return nil, fmt.Errorf("--on %q has an empty rule", s)
		}
		globText, tag := strings.CutPrefix(text, "@")
		glob, err := parsePattern(globText)
		if err != nil {
			return nil, fmt.Errorf("--on %q: rule %q: %w", s, text, err)
		}
		f = append(f, rule{text: text, tag: tag, glob: glob})
	}
	return f, nil
}

func (r rule) selects(n Node) bool {
	if r.tag {
		return slices.ContainsFunc(n.Tags, r.glob.match)
	}
	return r.glob.match(n.Name)
}

// Selection is what a filter picks.
type Selection struct {
	Nodes   []string // Colmena works on these
	Skipped []string // selected but not deployable, so Colmena leaves them out
	Unknown []string // rules that are plain names of no host; Colmena does not mind them
}

// Select applies f. With remote, hosts that are not deployable are left out, as Colmena does for everything but the goal build.
func (f Filter) Select(nodes []Node, remote bool) Selection {
	var s Selection
	for _, n := range nodes {
		if !slices.ContainsFunc(f, func(r rule) bool { return r.selects(n) }) {
			continue
		}
		s.add(n, remote)
	}
	for _, r := range f {
		if !r.tag && plainName(r.text) && !slices.ContainsFunc(nodes, r.selects) {
			s.Unknown = append(s.Unknown, r.text)
		}
	}
	return s
}

// selectAll is what Colmena does without --on.
func selectAll(nodes []Node, remote bool) Selection {
	var s Selection
	for _, n := range nodes {
		s.add(n, remote)
	}
	return s
}

func (s *Selection) add(n Node, remote bool) {
	if remote && !n.Deployable {
		s.Skipped = append(s.Skipped, n.Name)
		return
	}
	s.Nodes = append(s.Nodes, n.Name)
}

// known lists what --on could have named.
func known(nodes []Node) string {
	var names, tags []string
	for _, n := range nodes {
		names = append(names, n.Name)
		for _, t := range n.Tags {
			tags = append(tags, "@"+t)
		}
	}
	if len(names) == 0 {
		return "the hive has no hosts"
	}
	slices.Sort(names)
	slices.Sort(tags)
	text := "hosts: " + strings.Join(names, ", ")
	if tags = slices.Compact(tags); len(tags) > 0 {
		text += "; tags: " + strings.Join(tags, ", ")
	}
	return text
}

// Hosts are the names of the hosts that Colmena will work on; none where that is not known.
func (c Call) Hosts(nodes []Node) []string {
	s, refused := Job{Call: c, Nodes: nodes}.preflight()
	if s == nil || refused != nil {
		return nil
	}
	return s.Nodes
}

// BecomesRoot tells that Colmena runs commands as root on the hosts. Without that it copies to them at most.
func (c Call) BecomesRoot() bool {
	switch c.Subcommand {
	case "apply":
		return c.Goal != "build" && c.Goal != "push"
	case "exec", "upload-keys":
		return true
	}
	return false
}
