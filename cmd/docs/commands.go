package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

const commandsHead = `<!-- generated from the program's commands by "make docs" -->
# Commands

Every command says the same with ` + "`--help`" + `. Results go to stdout, progress and messages to stderr.

`

// commandsPage is one page for all commands, the program itself first.
func commandsPage(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString(commandsHead)
	all := below(root)
	for _, c := range all {
		fmt.Fprintf(&b, "- [%s](#%s): %s\n", c.CommandPath(), strings.ReplaceAll(c.CommandPath(), " ", "-"), c.Short)
	}
	for _, c := range all {
		b.WriteString(commandText(c))
	}
	return b.String()
}

// below lists a command and all its subcommands, each behind its parent. Of Colmena's subcommands the hive command tells enough.
func below(c *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		if !sub.Hidden && !sub.DisableFlagParsing {
			list = append(list, below(sub)...)
		}
	}
	return list
}

func commandText(c *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\n", c.CommandPath())
	fmt.Fprintf(&b, "%s\n\n```\n%s\n```\n", about(c), c.UseLine())
	if len(c.Aliases) > 0 {
		fmt.Fprintf(&b, "\nAlso called: %s\n", strings.Join(c.Aliases, ", "))
	}
	b.WriteString(handedOver(c))
	if flags := c.LocalFlags().FlagUsages(); flags != "" {
		fmt.Fprintf(&b, "\n```\n%s```\n", flags)
	}
	return b.String()
}

// about is the help of a command as Markdown: indented lines are examples. The exit codes, which end every help, are told once.
func about(c *cobra.Command) string {
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	if c.HasParent() {
		text, _, _ = strings.Cut(text, exitCodes)
	}
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if example, ok := strings.CutPrefix(line, "  "); ok {
			line = "\n```\n" + example + "\n```\n"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// exitCodes begins the table of exit codes in a help text.
const exitCodes = "Exit codes: "

// handedOver lists the subcommands whose words all go to another program.
func handedOver(c *cobra.Command) string {
	var rows []string
	for _, sub := range c.Commands() {
		if sub.DisableFlagParsing {
			rows = append(rows, fmt.Sprintf("| `%s` | %s |\n", sub.Name(), sub.Short))
		}
	}
	if len(rows) == 0 {
		return ""
	}
	return "\n| Colmena | |\n|---|---|\n" + strings.Join(rows, "")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
