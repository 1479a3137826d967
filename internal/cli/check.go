package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/stage/workspace"
)

type checkOptions struct {
	json, strict bool
	writeHostID  []string
}

func checkCommand(h *house) *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:     "check [HOST...]",
		GroupID: "hosts",
		Short:   "Report everything that is wrong with the hive at once",
		Long: `Evaluates every host, NixOS' own assertions and warnings included, and reports everything wrong with each of them
and between them. Hosts may be named by name, pattern or @tag; what concerns the hive as a whole is always reported.

Exits 1 when there are errors, with --strict also when there are warnings.

` + exitCodes,
		ValidArgsFunction: completeHosts(h),
		RunE:              func(cmd *cobra.Command, args []string) error { return h.check(cmd.Context(), o, args) },
	}
	evaluationFlags(h, cmd)
	cmd.Flags().BoolVar(&o.json, "json", false, "print the problems as JSON")
	cmd.Flags().BoolVar(&o.strict, "strict", false, "exit 1 for warnings too")
	cmd.Flags().StringSliceVar(&o.writeHostID, "write-host-id", nil, "write a new networking.hostId into the definition of this `HOST`")
	return cmd
}

func (h *house) check(ctx context.Context, o checkOptions, names []string) error {
	if len(o.writeHostID) > 0 {
		return h.writeHostIDs(ctx, o.writeHostID)
	}
	sink, end := h.progress()
	l, err := h.load(ctx, true, sink)
	end()
	if err != nil {
		return err
	}
	problems, err := l.problemsOf(names)
	if err != nil {
		return err
	}
	if o.json {
		err = h.ui.JSON(map[string]any{"schema": hive.Schema, "problems": noNil(problems)})
	} else {
		err = h.printProblems(problems, len(l.Hive.Hosts)+len(l.Failures))
	}
	if err != nil {
		return err
	}
	if !o.json {
		if err := h.offerHostIDs(ctx, problems); err != nil {
			return err
		}
	}
	counts := hive.Count(problems)
	if counts.Errors > 0 || o.strict && counts.Warnings > 0 {
		return &exitError{codeFailed}
	}
	return nil
}

// problemsOf narrows the problems to the named hosts and the hive as a whole.
func (l *loaded) problemsOf(names []string) ([]hive.Problem, error) {
	if len(names) == 0 {
		return l.problems, nil
	}
	known := hive.Hive{Hosts: slices.Clone(l.Hive.Hosts)}
	for _, f := range l.Failures {
		known.Hosts = append(known.Hosts, hive.Host{Name: f.Host})
	}
	wanted, err := hive.Select(known, names)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(l.problems), func(p hive.Problem) bool {
		return p.Host != "" && !slices.ContainsFunc(wanted, func(h hive.Host) bool { return h.Name == p.Host })
	}), nil
}

// printProblems shows problems and how many there are.
func (h *house) printProblems(problems []hive.Problem, hosts int) error {
	text := fmt.Sprintf("%s: nothing is wrong\n", plural(hosts, "host"))
	if len(problems) > 0 {
		text = problemsText(problems) + fmt.Sprintf("%s: %s\n", plural(hosts, "host"), hive.Count(problems))
	}
	return h.ui.Text(text)
}

// problemsText groups problems by host, each with its way out.
func problemsText(problems []hive.Problem) string {
	var b strings.Builder
	last := "\x00"
	for _, p := range problems {
		if p.Host != last {
			last = p.Host
			fmt.Fprintf(&b, "%s\n", cmp.Or(p.Host, "the hive"))
		}
		b.WriteString(problemText(p))
	}
	return b.String()
}

func problemText(p hive.Problem) string {
	text := p.Message
	if p.Option != "" {
		text = p.Option + " " + text
		if strings.HasPrefix(p.Message, p.Option) {
			text = p.Message
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  %-8s %s", p.Severity+":", indent(text, "           "))
	if p.File != "" {
		fmt.Fprintf(&b, "  (%s)", p.File)
	}
	b.WriteString("\n")
	if p.Way != "" {
		fmt.Fprintf(&b, "           -> %s\n", indent(p.Way, "              "))
	}
	return b.String()
}

func indent(text, by string) string {
	return strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+by)
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

func noNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// ruleHostID is the rule of hive.Check that finds ZFS without a host id.
const ruleHostID = "host-id-missing"

// offerHostIDs asks on a terminal whether missing host ids shall be written.
func (h *house) offerHostIDs(ctx context.Context, problems []hive.Problem) error {
	var names []string
	for _, p := range problems {
		if p.Rule == ruleHostID {
			names = append(names, p.Host)
		}
	}
	if len(names) == 0 || !h.ui.InTerminal || !h.ui.ErrTerminal {
		return nil
	}
	yes, err := h.ui.Confirm(ctx, fmt.Sprintf("write a new host id into the definition of %s?", strings.Join(names, ", ")), false)
	if err != nil || !yes {
		return err
	}
	return h.writeHostIDs(ctx, names)
}

// writeHostIDs adds networking.hostId to definitions and keeps each change only if evaluation shows that it took effect.
func (h *house) writeHostIDs(ctx context.Context, names []string) error {
	w, err := workspace.Open(h.path)
	if err != nil {
		return err
	}
	var failed error
	for _, name := range names {
		failed = errors.Join(failed, h.writeHostID(ctx, w, name))
	}
	return failed
}

func (h *house) writeHostID(ctx context.Context, w *workspace.Workspace, name string) error {
	i := slices.IndexFunc(w.Hosts, func(d workspace.Definition) bool { return d.Name == name })
	if i < 0 {
		return &usageError{fmt.Errorf("--write-host-id %s: no such host; there are %s", name, strings.Join(w.Names(), ", "))}
	}
	id, err := hive.NewHostID(rand.Reader)
	if err != nil {
		return err
	}
	before, err := h.hostID(ctx, name)
	if err != nil {
		return err
	}
	if before != "" {
		return fmt.Errorf("%s has the host id %s already; it was left as it is", name, before)
	}
	edit, err := w.AddSetting(w.Hosts[i], fmt.Sprintf("networking.hostId = %q;", id))
	if err != nil {
		return err
	}
	after, err := h.hostID(ctx, name)
	if err != nil || after != id {
		return errors.Join(
			fmt.Errorf("write a host id for %s: %s could not take it, and is as it was; add this line yourself: networking.hostId = %q", name, edit.File, id),
			err, edit.Undo())
	}
	h.ui.Note(fmt.Sprintf("%s: networking.hostId = %q in %s", name, id, edit.File))
	return nil
}

// hostID evaluates one host for its id.
func (h *house) hostID(ctx context.Context, name string) (string, error) {
	sink, end := h.progress()
	l, err := h.load(ctx, false, sink)
	end()
	if err != nil {
		return "", err
	}
	for _, f := range l.Failures {
		if f.Host == name {
			return "", f
		}
	}
	for _, host := range l.Hive.Hosts {
		if host.Name == name {
			return host.HostID, nil
		}
	}
	return "", fmt.Errorf("%s was not evaluated", name)
}
