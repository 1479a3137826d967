package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/deploy/survey"
	"nixos-staged-hive/internal/ui"
)

type gcOptions struct {
	older          string
	keep           int
	yes, dry, json bool
	rule           survey.Rule
	password       passwordOptions
}

const usualAge = "30d"

func gcCommand(h *house) *cobra.Command {
	var o gcOptions
	cmd := &cobra.Command{
		Use:   "gc [HOST|@TAG...]",
		Short: "Delete old generations of hosts, and what nothing needs any more",
		Long: `Deletes generations of the system profile that are old, has the boot loader forget them, and collects garbage. What runs, what was
booted, what boots next and what the profile has always stays, and a host with a deployment that has not ended is left alone. Shows first
what would be deleted on each host and how much that frees, and asks.

Without a flag, generations older than ` + usualAge + ` are old. With both flags a generation has to be old and beyond the newest N.

` + exitCodes,
		ValidArgsFunction: completeHosts(h),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.parse(cmd.Flags().Changed("keep")); err != nil {
				return err
			}
			return h.gc(cmd.Context(), args, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.older, "older-than", "", "`AGE` in days (30d), weeks (4w) or hours (12h)")
	f.IntVar(&o.keep, "keep", 0, "keep the newest `N` generations")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	f.BoolVarP(&o.dry, "dry-run", "n", false, "only show what would be deleted")
	f.BoolVar(&o.json, "json", false, "print JSON")
	passwordFlags(&o.password, cmd)
	return cmd
}

func (o *gcOptions) parse(keeps bool) error {
	if o.keep < 0 {
		return &usageError{fmt.Errorf("--keep %d: a number of generations is wanted", o.keep)}
	}
	if o.older == "" && !keeps {
		o.older = usualAge
	}
	o.rule.Keep = o.keep
	if o.older == "" {
		return nil
	}
	age, err := parseAge(o.older)
	if err != nil {
		return &usageError{fmt.Errorf("--older-than %s: %w", o.older, err)}
	}
	o.rule.OlderThan = age
	return nil
}

// parseAge reads 30d, 4w or 12h.
func parseAge(s string) (time.Duration, error) {
	units := map[string]time.Duration{"h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}
	for unit, is := range units {
		number, found := strings.CutSuffix(s, unit)
		if n, err := strconv.Atoi(number); found && err == nil && n >= 0 && n < 100_000 {
			return time.Duration(n) * is, nil
		}
	}
	return 0, errors.New("an age such as 30d, 4w or 12h is wanted")
}

func (h *house) gc(ctx context.Context, patterns []string, o gcOptions) error {
	f, err := h.fleet(patterns)
	if err != nil {
		return err
	}
	defer f.access.Close() //nolint:errcheck // files of this run
	sudo, err := h.sudoFor(ctx, f.hosts, o.password)
	if err != nil {
		return err
	}
	root := f.rooted(sudo)
	var all, work []*survey.Sweep
	for _, host := range f.hosts {
		all = append(all, &survey.Sweep{Host: host.Name, Root: root(host)})
	}
	err = h.during(ctx, func(sink progress.Sink) { survey.FindOld(ctx, all, o.rule, time.Now(), sink) })
	if err == nil && !o.json {
		err = h.showSweeps(all)
	}
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.Work() {
			work = append(work, s)
		}
	}
	if !o.dry && len(work) > 0 {
		if err := h.agreeTo(ctx, fmt.Sprintf("Delete this on %s?", count(len(work), "host")), o.yes); err != nil {
			return err
		}
		if err := h.during(ctx, func(sink progress.Sink) { survey.DeleteOld(ctx, work, sink) }); err != nil {
			return err
		}
	}
	return h.gcDone(all, o)
}

// during shows the progress of f, and gives the reason if it was interrupted.
func (h *house) during(ctx context.Context, f func(sink progress.Sink)) error {
	sink, end := h.progress()
	f(sink)
	end()
	return context.Cause(ctx)
}

func (h *house) showSweeps(all []*survey.Sweep) error {
	var rows [][]string
	for _, c := range all {
		if c.Err != nil {
			continue
		}
		var gone, kept []string
		for _, g := range c.Delete {
			gone = append(gone, strconv.Itoa(g.Number))
		}
		for _, k := range c.Keep {
			kept = append(kept, fmt.Sprintf("%d %s", k.Number, k.Why))
		}
		rows = append(rows, []string{c.Host, strings.Join(gone, " "), strings.Join(kept, "\n"), strconv.Itoa(c.Paths), hive.Size(c.Bytes)})
	}
	if len(rows) == 0 {
		return nil
	}
	return h.ui.Table(ui.Table{Header: []string{"HOST", "DELETES GENERATIONS", "KEEPS", "STORE PATHS", "FREES AT MOST"}, Rows: rows})
}

// gcDone tells what was done, and what was not.
func (h *house) gcDone(all []*survey.Sweep, o gcOptions) error {
	failed := hostFailures{hosts: len(all)}
	for _, c := range all {
		if c.Err != nil {
			failed.add(c.Host, c.Err)
		}
	}
	if o.json {
		return errors.Join(h.ui.JSON(map[string]any{"schema": hive.Schema, "hosts": all}), failed.tell(h))
	}
	var text strings.Builder
	for _, c := range all {
		switch {
		case c.Err == nil && c.Done != nil:
			fmt.Fprintf(&text, "%s: %s deleted, %s freed\n", c.Host, count(len(c.Done.Deleted), "generation"), hive.Size(c.Done.Freed))
			if c.Done.Note != "" {
				fmt.Fprintf(&text, "  %s\n", c.Done.Note)
			}
		case c.Err == nil && !c.Work():
			fmt.Fprintf(&text, "%s: nothing to delete\n", c.Host)
		}
	}
	return errors.Join(h.ui.Text(text.String()), failed.tell(h))
}

// agreeTo asks a person who has seen what would happen. Without a terminal, only --yes agrees.
func (h *house) agreeTo(ctx context.Context, question string, yes bool) error {
	if yes {
		return nil
	}
	ok, err := h.ui.Confirm(ctx, question, false)
	if is[*ui.NotTerminalError](err) {
		return &refusal{errors.New("nobody is there to agree"), "--yes agrees", codeRefused}
	}
	if err == nil && !ok {
		return &refusal{errors.New("not agreed to: nothing was changed"), "", codeRefused}
	}
	return err
}

// count writes a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// rooted gives runners that are root on the hosts of a fleet.
func (f fleet) rooted(sudo func(name string) remote.Sudo) func(hive.Host) run.Runner {
	return func(host hive.Host) run.Runner { return f.access.Elevated(host.Name, sudo(host.Name)) }
}

// sudoFor says how commands become root on hosts, by what the facts say of sudo there. A person is asked for the password before progress is
// drawn on the terminal.
func (h *house) sudoFor(ctx context.Context, hosts []hive.Host, p passwordOptions) (func(name string) remote.Sudo, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	free := map[string]remote.Sudo{}
	asks := false
	for _, host := range hosts {
		switch host.Deployer.Sudo {
		case remote.SudoRoot, remote.SudoFree:
			free[host.Name] = remote.Sudo{Mode: host.Deployer.Sudo}
		case remote.SudoPassword:
			asks = true
		}
	}
	if asks {
		var err error
		if p, err = h.askBefore(ctx, p); err != nil {
			return nil, err
		}
	}
	sudo := h.sudo(p)
	return func(name string) remote.Sudo {
		if known, ok := free[name]; ok {
			return known
		}
		return sudo(name)
	}, nil
}
