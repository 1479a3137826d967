package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/stage/summary"
	"nixos-staged-hive/internal/ui"
)

type summaryOptions struct {
	format, output string
	json           bool
}

func summaryCommand(h *house) *cobra.Command {
	var o summaryOptions
	cmd := &cobra.Command{
		Use:     "summary [HOST...]",
		GroupID: "hosts",
		Short:   "Show what the hive is: addresses, disks, boot, versions, problems",
		Long: `Shows all hosts as a table, or everything about the named ones. Formats: table, json, markdown, mermaid, svg
(a picture of the network).

` + exitCodes,
		ValidArgsFunction: completeHosts(h),
		RunE:              func(cmd *cobra.Command, args []string) error { return h.summary(cmd.Context(), o, args) },
	}
	evaluationFlags(h, cmd)
	f := cmd.Flags()
	f.StringVarP(&o.format, "format", "f", "table", "table, json, markdown, mermaid or svg")
	f.BoolVar(&o.json, "json", false, "the same as --format json")
	f.StringVarP(&o.output, "output", "o", "", "write to this `FILE` instead of the terminal")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formats(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func formats() []string { return []string{"table", "json", "markdown", "mermaid", "svg"} }

func (h *house) summary(ctx context.Context, o summaryOptions, names []string) error {
	if o.json {
		o.format = "json"
	}
	if !slices.Contains(formats(), o.format) {
		return &usageError{fmt.Errorf("--format %s: there are %s", o.format, strings.Join(formats(), ", "))}
	}
	if len(names) > 0 && o.format != "table" && o.format != "json" {
		return &usageError{fmt.Errorf("--format %s shows the whole hive: leave out the names of hosts", o.format)}
	}
	sink, end := h.progress()
	l, err := h.load(ctx, false, sink)
	end()
	if err != nil {
		return err
	}
	if err := h.show(l, o, names); err != nil {
		return err
	}
	if len(l.Failures) > 0 {
		for _, f := range l.Failures {
			h.ui.Fail(ui.Failure{Err: f, Hints: slices.DeleteFunc([]string{f.Hint}, func(s string) bool { return s == "" })})
		}
		if len(l.Hive.Hosts) == 0 {
			return &exitError{codeFailed}
		}
		return &exitError{codeSomeHosts}
	}
	return nil
}

func (h *house) show(l *loaded, o summaryOptions, names []string) error {
	in := l.summaryInput()
	if len(names) > 0 {
		return h.details(l, in, o, names)
	}
	s := summary.New(in)
	if o.format == "table" && o.output == "" {
		header, rows := s.Table(h.tableWidth())
		return h.ui.Table(ui.Table{Header: header, Rows: rows})
	}
	text, err := render(s, o.format)
	if err != nil {
		return err
	}
	if o.output == "" {
		return h.ui.Text(text)
	}
	if err := os.WriteFile(o.output, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	return nil
}

// tableWidth is what is left for the cells and the blanks between them once the frame is drawn; 0 where nothing is framed.
func (h *house) tableWidth() int {
	const frame = 10 // two more for each of seven columns than the blanks, as a frame of lines and padding takes
	if w := h.ui.OutWidth(); w > 0 {
		return max(w-frame, 40)
	}
	return 0
}

func render(s summary.Summary, format string) (string, error) {
	switch format {
	case "markdown":
		return s.Markdown(), nil
	case "mermaid":
		return s.Mermaid(), nil
	case "svg":
		return string(s.SVG()), nil
	case "json":
		b, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			return "", fmt.Errorf("write the summary as JSON: %w", err)
		}
		return string(b) + "\n", nil
	}
	header, rows := s.Table(0)
	lines := []string{strings.Join(header, "\t")}
	for _, r := range rows {
		lines = append(lines, strings.ReplaceAll(strings.Join(r, "\t"), "\n", ", "))
	}
	return strings.Join(lines, "\n") + "\n", nil
}

// details shows everything about the named hosts.
func (h *house) details(l *loaded, in summary.Input, o summaryOptions, names []string) error {
	hosts, err := hive.Select(l.Hive, names)
	if err != nil {
		return err
	}
	if o.format == "json" {
		return h.ui.JSON(map[string]any{"schema": hive.Schema, "hosts": hosts})
	}
	for i, host := range hosts {
		text := summary.Text(summary.Detail(host, in))
		if i > 0 {
			text = "\n" + text
		}
		if err := h.ui.Text(text); err != nil {
			return err
		}
	}
	return nil
}

func (l *loaded) summaryInput() summary.Input {
	origins := map[string]summary.Origin{}
	for _, host := range l.Hive.Hosts {
		switch {
		case l.Cached[host.Name]:
			origins[host.Name] = summary.Cached
		case l.Uncached[host.Name] != "":
			origins[host.Name] = summary.Untracked
		default:
			origins[host.Name] = summary.Fresh
		}
	}
	v := l.workspace.Versions
	pins := summary.Pins{NixOS: v.NixOS.Text, Disko: v.Disko.Text, K3s: v.K3sText, Hosts: map[string]string{}}
	for name, own := range v.Hosts {
		if own.NixOS != nil {
			pins.Hosts[name] = own.NixOS.Text
		}
	}
	return summary.Input{
		Name: filepath.Base(l.workspace.Dir), Hive: l.Hive, Broken: l.broken(), Problems: l.problems, Pins: pins, Origins: origins, Reasons: l.Uncached,
	}
}
