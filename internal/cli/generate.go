package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/generate"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
)

type generateOptions struct {
	force, dry, despite, skipBroken, json bool
}

// generateCommand fills o, which may be shared: `hive --force generate` and `hive generate --force` mean the same.
func generateCommand(h *house, o *generateOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "generate [HOST...]",
		GroupID: "hosts",
		Short:   "Write the files of every stage below generated/",
		Long: `Evaluates the definitions and writes generated/: for each host iso.nix and mini_sys.nix with its host.json, and the
Colmena hive. With HOSTs only their folders are written. The folder is the old one or the new one, never half of each.

Errors that check finds stop it before anything is written.

` + exitCodes,
		ValidArgsFunction: completeHosts(h),
		RunE:              func(cmd *cobra.Command, args []string) error { return h.generate(cmd.Context(), *o, args) },
	}
	evaluationFlags(h, cmd)
	generateFlags(o, cmd)
	cmd.Flags().BoolVar(&o.json, "json", false, "print what was written as JSON")
	return cmd
}

func generateFlags(o *generateOptions, cmd *cobra.Command) {
	writeFlags(o, cmd)
	cmd.Flags().BoolVarP(&o.dry, "dry-run", "n", false, "say what would be written, and write nothing")
}

// writeFlags are those of every command that writes generated/ before it does its own work.
func writeFlags(o *generateOptions, cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.force, "force", false, "overwrite files that were edited by hand; the edited versions are kept beside them")
	f.BoolVar(&o.despite, "despite-errors", false, "write also if check finds errors")
	f.BoolVar(&o.skipBroken, "skip-broken", false, "leave hosts that do not evaluate as they were, and write the others")
}

func (h *house) generate(ctx context.Context, o generateOptions, names []string) error {
	sink, end := h.progress()
	l, err := h.load(ctx, false, sink)
	if err == nil {
		var report generate.Report
		report, err = h.write(ctx, l, o, names, sink)
		end()
		if err == nil {
			return h.reportGenerated(l, report, o)
		}
	}
	end()
	return err
}

// write lays out the tree of what was loaded, unless something is wrong with it.
func (h *house) write(ctx context.Context, l *loaded, o generateOptions, names []string, sink progress.Sink) (generate.Report, error) {
	only, err := l.only(o, names)
	if err != nil {
		return generate.Report{}, err
	}
	if err := h.stopAtErrors(l, o); err != nil {
		return generate.Report{}, err
	}
	modules, err := generate.ReadModules(l.Hive)
	if err != nil {
		return generate.Report{}, err
	}
	tree, err := generate.Render(l.Hive, generate.Input{Entries: hive.HostsEntries(l.Hive), Modules: modules})
	if err != nil {
		return generate.Report{}, err
	}
	return generate.Write(ctx, l.workspace.File("generated"), tree, generate.Options{
		Only: only, Force: o.force, DryRun: o.dry, Progress: sink,
	})
}

// only names the hosts whose folders are written; nil is all of them.
func (l *loaded) only(o generateOptions, names []string) ([]string, error) {
	if len(names) == 0 && (len(l.Failures) == 0 || !o.skipBroken) {
		return nil, nil
	}
	hosts := l.Hive.Hosts
	if len(names) > 0 {
		var err error
		if hosts, err = hive.Select(l.Hive, names); err != nil {
			return nil, err
		}
	}
	only := make([]string, len(hosts))
	for i, host := range hosts {
		only[i] = host.Name
	}
	return only, nil
}

// stopAtErrors shows the problems, and refuses to go on with errors.
func (h *house) stopAtErrors(l *loaded, o generateOptions) error {
	counts := hive.Count(l.problems)
	if counts.Errors == 0 {
		return nil
	}
	blocking := counts.Errors
	if o.despite {
		blocking = len(l.Failures)
	}
	if o.skipBroken {
		blocking -= len(l.Failures)
		if len(l.Hive.Hosts) == 0 {
			blocking = 1
		}
	}
	errs := slices.DeleteFunc(slices.Clone(l.problems), func(p hive.Problem) bool { return p.Severity != hive.Error })
	h.ui.Note(strings.TrimRight(problemsText(errs), "\n"))
	if blocking <= 0 {
		return nil
	}
	hint := "`check` shows everything; --despite-errors writes nevertheless"
	code := codeFailed
	if len(l.Failures) > 0 {
		hint = "--skip-broken writes the hosts that evaluate and leaves the others as they were"
		if len(l.Hive.Hosts) > 0 {
			code = codeSomeHosts
		}
	}
	return &refusal{fmt.Errorf("generated/ was left as it was: %s", counts), hint, code}
}

// refusal is an error with its hint and exit code.
type refusal struct {
	error
	hint string
	code int
}

func (r *refusal) Hint() string  { return r.hint }
func (r *refusal) Unwrap() error { return r.error }

func (h *house) reportGenerated(l *loaded, r generate.Report, o generateOptions) error {
	if o.json {
		return h.ui.JSON(map[string]any{
			"schema": hive.Schema, "written": noNil(r.Written), "unchanged": noNil(r.Unchanged), "removed": noNil(r.Removed),
			"kept": noNil(r.Kept), "backups": noNil(r.Backups), "recovered": noNil(r.Recovered), "dryRun": o.dry,
		})
	}
	for _, list := range []struct {
		what  string
		files []string
	}{
		{"removed", r.Removed}, {"kept, with files of yours", r.Kept}, {"edited versions kept", r.Backups}, {"recovered from an interrupted run", r.Recovered},
	} {
		for _, f := range list.files {
			h.ui.Note(list.what + ": generated/" + f)
		}
	}
	if r.Problem != nil {
		h.ui.Warn(fmt.Sprintf("%s could not be cleaned up: %v", r.Leftover, r.Problem))
	}
	verb := "written"
	if o.dry {
		verb = "would be written"
	}
	text := fmt.Sprintf("generated/ of %s: %s %s, %d unchanged\n", plural(len(l.Hive.Hosts), "host"), plural(len(r.Written), "file"), verb, len(r.Unchanged))
	if c := hive.Count(l.problems); c.Errors+c.Warnings > 0 {
		text += fmt.Sprintf("%s; `check` shows them\n", c)
	}
	if err := h.ui.Text(text); err != nil {
		return err
	}
	if len(l.Failures) > 0 {
		return &exitError{codeSomeHosts}
	}
	return nil
}
