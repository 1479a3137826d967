package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/stage/deploy/survey"
	"nixos-staged-hive/internal/ui"
)

type diffOptions struct {
	from, to string
	json     bool
}

func diffCommand(h *house) *cobra.Command {
	var o diffOptions
	cmd := &cobra.Command{
		Use:   "diff [HOST|@TAG...]",
		Short: "Show which packages differ between what hosts run and what was built for them",
		Long: `Compares two systems of each host, package by package, with their sizes. Nothing is built: run ` + "`hive build`" + ` before, to
compare with what the definitions say now.

--from and --to take the number of a generation, a store path, or one of
  current   what runs (the default of --from)
  built     what was built for the host last (the default of --to)
  booted    what was booted
  profile   what the system profile has
  default   what boots next

` + exitCodes,
		ValidArgsFunction: completeHosts(h),
		RunE: func(cmd *cobra.Command, args []string) error {
			return h.diff(cmd.Context(), args, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.from, "from", "current", "a `SYSTEM`: generation, store path, current, built, booted, profile or default")
	f.StringVar(&o.to, "to", "built", "the `SYSTEM` to compare it with")
	f.BoolVar(&o.json, "json", false, "print JSON")
	for _, name := range []string{"from", "to"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions([]string{"current", "built", "booted", "profile", "default"}, cobra.ShellCompDirectiveNoFileComp))
	}
	return cmd
}

func (h *house) diff(ctx context.Context, patterns []string, o diffOptions) error {
	f, err := h.fleet(patterns)
	if err != nil {
		return err
	}
	defer f.access.Close() //nolint:errcheck // files of this run
	all := survey.Compare(ctx, h.run, f.subjects(), o.from, o.to)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	good, failed := []survey.Comparison{}, hostFailures{hosts: len(all)}
	for _, c := range all {
		if c.Err != nil {
			failed.add(c.Host, c.Err)
			continue
		}
		good = append(good, c)
	}
	if o.json {
		err = h.ui.JSON(map[string]any{"schema": hive.Schema, "hosts": good})
	} else {
		err = h.showComparisons(good)
	}
	return errors.Join(err, failed.tell(h))
}

func (h *house) showComparisons(all []survey.Comparison) error {
	for i, c := range all {
		text := fmt.Sprintf("%s: %s -> %s\n", c.Host, c.From, c.To)
		if i > 0 {
			text = "\n" + text
		}
		if err := h.ui.Text(text); err != nil {
			return err
		}
		if header, rows := survey.Changes(c.Difference); len(rows) > 0 {
			if err := h.ui.Table(ui.Table{Header: header, Rows: rows}); err != nil {
				return err
			}
		}
		if err := h.ui.Text(survey.Summary(c.Difference) + "\n"); err != nil {
			return err
		}
	}
	return nil
}

// hostFailures collects what did not work for single hosts.
type hostFailures struct {
	hosts    int // all of them
	failures []error
}

func (o *hostFailures) add(host string, err error) {
	o.failures = append(o.failures, fmt.Errorf("%s: %w", host, err))
}

// tell shows each failure with its hint, and gives the exit code: some hosts failed, or all.
func (o *hostFailures) tell(h *house) error {
	for _, err := range o.failures {
		h.ui.Fail(ui.Failure{Err: err, Hints: hintsOf(err)})
	}
	switch len(o.failures) {
	case 0:
		return nil
	case o.hosts:
		return &exitError{codeFailed}
	}
	return &exitError{codeSomeHosts}
}
