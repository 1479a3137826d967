package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/generate"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/deploy"
	"nixos-staged-hive/internal/stage/deploy/survey"
	"nixos-staged-hive/internal/stage/workspace"
	"nixos-staged-hive/internal/ui"
)

type rollbackOptions struct {
	to                string
	yes, dry, json    bool
	checks, stopEarly bool
	reboot            bool
	password          passwordOptions
}

func rollbackCommand(h *house) *cobra.Command {
	var o rollbackOptions
	cmd := &cobra.Command{
		Use:   "rollback HOST|@TAG...",
		Short: "Take hosts back to an earlier generation, under the guard of a deployment",
		Long: `Takes hosts to the newest generation before the current one that is another system, or to the one that --to names. It is a
deployment in which nothing is built: the plan is shown and agreed to, each host is activated under its guard and comes back by itself to what it
ran if it cannot be reached afterwards, and the run is recorded. The system profile then leads to that generation; no new one is made, and
later ones stay.

The definitions are left as they are: the next ` + "`hive deploy`" + ` goes forward again. Keys are not uploaded. Health checks are those of the new
definitions, so they are asked only with --checks; that no unit fails which was fine before, is looked at in any case.

` + exitCodes,
		Args:              usage(cobra.MinimumNArgs(1)),
		ValidArgsFunction: completeHosts(h),
		RunE: func(cmd *cobra.Command, args []string) error {
			return h.rollback(cmd.Context(), args, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.to, "to", "", "a `SYSTEM`: the number of a generation, a store path, booted, profile or default")
	f.BoolVar(&o.checks, "checks", false, "ask the health checks of hive.deployment.checks, too")
	f.BoolVar(&o.stopEarly, "stop", false, "begin with no further host after one has failed")
	f.BoolVar(&o.reboot, "reboot", false, "reboot into it where kernel, kernel modules or initrd differ")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	f.BoolVarP(&o.dry, "dry-run", "n", false, "only show what would be done")
	f.BoolVar(&o.json, "json", false, "print the report as JSON")
	passwordFlags(&o.password, cmd)
	return cmd
}

func (h *house) rollback(ctx context.Context, patterns []string, o rollbackOptions) error {
	f, err := h.fleet(patterns)
	if err != nil {
		return err
	}
	defer f.access.Close() //nolint:errcheck // files of this run
	d, _, err := h.deployment(ctx, f, o.password)
	if err != nil {
		return err
	}
	show := h.screening()
	defer func() { show.end() }()
	back := survey.Rollback{Root: d.Fleet.Root, To: o.to, Generations: map[string]int{}}
	d.Hosts, d.Engine, d.Generations, d.Watch, d.Options = goingBack(f.hosts, o.checks), back, back.Generations, show.watch, o.deployment()
	d.Show = func(p deploy.Plan) {
		show.end()
		if !o.json || !o.yes {
			h.showGoingBack(p, back.Generations)
		}
	}
	d.Confirm = func(ctx context.Context, p deploy.Plan) error {
		defer show.begin()
		return h.agreeTo(ctx, fmt.Sprintf("Take %s back?", count(len(p.Work()), "host")), o.yes)
	}
	report, err := d.Run(ctx)
	show.end()
	if ctx.Err() != nil && err == nil {
		err = context.Cause(ctx)
	}
	return h.wentBack(report, err, o)
}

func (o rollbackOptions) deployment() deploy.Options {
	d := deploy.Options{OnFailure: deploy.Continue, SkipUnreachable: true, DryRun: o.dry}
	if o.stopEarly {
		d.OnFailure = deploy.Stop
	}
	if o.reboot {
		d.Reboots = deploy.WhereNeeded
	}
	return d
}

// goingBack leaves out of hosts what belongs to their new definitions. Their groups still bound how many are taken back at once.
func goingBack(hosts []hive.Host, checks bool) []hive.Host {
	all := make([]hive.Host, len(hosts))
	for i, host := range hosts {
		host.Deployment.Keys = nil
		host.Deployment.Rollout.After, host.Deployment.Rollout.Canary = nil, false
		if !checks {
			host.Deployment.Rollout.Checks = nil
		}
		all[i] = host
	}
	return all
}

// operator is who deploys, for the records on hosts.
func operator() (string, error) {
	me, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("find out who deploys: %w", err)
	}
	computer, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("find out who deploys: %w", err)
	}
	return me.Username + "@" + computer, nil
}

// reached is a fleet as a deployment wants it.
type reached struct {
	fleet
	root func(hive.Host) run.Runner
}

// User runs commands as who logs in.
func (r reached) User(name string) run.Runner { return r.access.Runner(name) }

// Root runs commands as root.
func (r reached) Root(_ context.Context, name string) (run.Runner, error) {
	for _, host := range r.hosts {
		if host.Name == name {
			return r.root(host), nil
		}
	}
	return nil, fmt.Errorf("%s: no such host", name)
}

// hostNames are what the hosts of the whole hive call themselves.
func (f fleet) hostNames() ([]string, error) {
	all, err := generate.ReadHosts(f.workspace.File(workspace.GeneratedName))
	var names []string
	for _, host := range all.Hosts {
		names = append(names, host.HostName)
	}
	return names, err
}

// screening shows a deployment's events, with breaks for questions.
type screening struct {
	h    *house
	sink progress.Sink
	end  func()
}

func (h *house) screening() *screening {
	s := &screening{h: h}
	s.begin()
	return s
}

func (s *screening) begin() { s.sink, s.end = s.h.progress() }

func (s *screening) watch(e deploy.Event) {
	shown := progress.Event{Task: e.Step, Host: e.Host, State: progress.State(e.State), Text: e.Text}
	if e.Error != "" {
		shown.Err = errors.New(e.Error)
	}
	s.sink.Send(shown)
}

func (h *house) showGoingBack(p deploy.Plan, generations map[string]int) {
	var rows [][]string
	for _, host := range p.Hosts {
		rows = append(rows, planRow(host, generations[host.Host]))
	}
	if len(rows) == 0 {
		return
	}
	if err := h.ui.Table(ui.Table{Header: []string{"HOST", "GOES BACK TO", "CHANGES", "UNITS", "REMARKS"}, Rows: rows}); err != nil {
		h.ui.Warn(err.Error())
	}
}

func planRow(p deploy.HostPlan, generation int) []string {
	to := survey.Choice{Path: p.To, Generation: generation}.String()
	if p.Nothing {
		return []string{p.Host, to, "nothing: it is there", "", ""}
	}
	changes := "not known"
	if p.Difference != nil {
		changes = survey.Summary(*p.Difference)
	}
	remarks := p.Warnings
	if p.RebootNeeded && !p.Reboot {
		remarks = append(remarks, "kernel, kernel modules or initrd change with its next boot (--reboot: now)")
	}
	if p.Reboot {
		remarks = append(remarks, "will be rebooted")
	}
	if cuts := p.Cuts(); len(cuts) > 0 {
		remarks = append(remarks, "the connection may go: "+strings.Join(cuts, ", "))
	}
	return []string{p.Host, to, changes, unitsOf(p.Units), strings.Join(remarks, "\n")}
}

func unitsOf(u deploy.Units) string {
	var lines []string
	for _, one := range []struct {
		verb  string
		units []string
	}{{"stop", u.Stop}, {"start", u.Start}, {"restart", u.Restart}, {"reload", u.Reload}} {
		if len(one.units) > 0 {
			lines = append(lines, one.verb+" "+strings.Join(one.units, ", "))
		}
	}
	return strings.Join(lines, "\n")
}

// wentBack tells how it ended for each host, and with which exit code.
func (h *house) wentBack(r deploy.Report, err error, o rollbackOptions) error {
	switch {
	case r.ID == "": // it did not even begin
		return err
	case o.json:
		err = errors.Join(err, h.ui.JSON(r))
	default:
		for _, one := range r.Hosts {
			text := fmt.Sprintf("%s: %s", one.Host, one.Outcome)
			if one.Outcome == deploy.Confirmed {
				text = fmt.Sprintf("%s: is back on generation %d (%s)", one.Host, one.Generation, one.Runs)
			}
			if one.Reason != "" {
				text += ": " + ui.OneLine(one.Reason)
			}
			err = errors.Join(err, h.ui.Text(text+"\n"))
		}
	}
	well, _, _ := r.Count()
	switch {
	case err != nil:
		return err
	case well == 0:
		return &exitError{codeFailed}
	case well < len(r.Hosts):
		return &exitError{codeSomeHosts}
	}
	return nil
}
