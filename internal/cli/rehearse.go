package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/stage/rehearse"
	"nixos-staged-hive/internal/stage/workspace"
	"nixos-staged-hive/internal/ui"
)

type rehearseOptions struct {
	hosts                          []string
	from, until                    string
	keep, stop, online, plan, json bool
	skip                           bool
	setup                          string
	machines                       int
	patience                       time.Duration
	generate                       generateOptions
}

func rehearseCommand(h *house) *cobra.Command {
	var o rehearseOptions
	cmd := &cobra.Command{
		Use:     "rehearse [HOST...]",
		GroupID: "hosts",
		Short:   "Take hosts from blank disks to the deployed hive in virtual machines",
		Long: `Builds the installation medium of each host, boots it in a virtual machine whose disks, firmware and network cards match
the definition, installs the mini system, restarts into it, deploys the full system, restarts again, and checks after each
stage that the machine is what the definition says. Ends with a timeline. Nothing outside of the virtual machines is
touched, and they reach nothing but each other (see --online).

What the virtual machines differ in from the real ones is told before they start; --plan tells only that.

` + exitCodes,
		ValidArgsFunction: completeHosts(h),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.hosts = append(o.hosts, args...)
			return h.rehearse(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringSliceVarP(&o.hosts, "name", "n", nil, "hosts to rehearse (default: all)")
	f.StringVar(&o.from, "from", "", "start from what an earlier rehearsal saved at the end of a stage: medium or mini")
	f.StringVar(&o.until, "until", "", "stop after a stage: medium, mini or hive")
	f.BoolVar(&o.keep, "keep", false, "leave the machines running, and say how to log in")
	f.BoolVar(&o.stop, "stop", false, "stop machines that were kept, and do nothing else")
	f.BoolVar(&o.online, "online", false, "let the machines reach what this computer reaches. Mind what the definitions would do there")
	f.BoolVar(&o.plan, "plan", false, "say what would be rehearsed on which machines, and do nothing")
	f.IntVar(&o.machines, "machines", 0, "virtual machines at once (0: as many as memory allows)")
	f.DurationVar(&o.patience, "patience", 0, "how long one step may take (default: 10m, without hardware virtualisation 40m)")
	f.StringVar(&o.setup, "setup-program", "", "the program for the media (default: this one)")
	f.BoolVarP(&o.skip, "skip-generate", "s", false, "use generated/ as it is")
	f.BoolVar(&o.json, "json", false, "print the timeline as JSON")
	writeFlags(&o.generate, cmd)
	evaluationFlags(h, cmd)
	return cmd
}

func (h *house) rehearse(ctx context.Context, o rehearseOptions) error {
	r, err := o.rehearsal(h)
	if err != nil {
		return err
	}
	if o.stop {
		return h.stopRehearsal(ctx)
	}
	sink, end := h.progress()
	defer end()
	l, err := h.load(ctx, false, sink)
	if err != nil {
		return err
	}
	r.Dir, r.Tree, r.States, r.Progress = rehearsalDir(l.workspace), l.workspace.File("generated"), l.States, sink
	if r.Hosts, err = l.chosen(o.hosts); err != nil {
		return err
	}
	plan, err := r.Plan()
	if err != nil {
		return err
	}
	if o.plan {
		end()
		return h.showPlan(plan, o.json)
	}
	if !o.skip {
		if _, err := h.write(ctx, l, o.generate, nil, sink); err != nil {
			return err
		}
	}
	for _, g := range plan.Guests {
		for _, d := range g.Differences {
			h.ui.Note(g.Host.Name + ": not as the real machine: " + d)
		}
	}
	if r.Setup, err = h.setupProgram(ctx, plan.Guests[0].Host.System, o.setup, filepath.Join(r.Dir, "setup")); err != nil {
		return err
	}
	report, err := r.Run(ctx, plan)
	end()
	if err != nil {
		return err
	}
	return h.tellRehearsal(report, o)
}

// rehearsal is what the flags say of it.
func (o rehearseOptions) rehearsal(h *house) (rehearse.Rehearsal, error) {
	r := rehearse.Rehearsal{
		Runner: h.run, Keep: o.keep, Online: o.online, Machines: o.machines, Patience: o.patience, Fresh: h.fresh,
		From: rehearse.Stage(o.from), Until: rehearse.Stage(o.until),
	}
	for flag, stage := range map[string]rehearse.Stage{"--from": r.From, "--until": r.Until} {
		if stage != rehearse.Blank && !slices.Contains(rehearse.Stages(), stage) {
			return r, &usageError{fmt.Errorf("%s %s: the stages are %v", flag, stage, rehearse.Stages())}
		}
	}
	if o.stop && (o.keep || o.plan) {
		return r, &usageError{errors.New("--stop does nothing else: leave --keep and --plan out")}
	}
	if o.machines < 0 || o.patience < 0 {
		return r, &usageError{errors.New("--machines and --patience want a number that is not below zero")}
	}
	return r, nil
}

func rehearsalDir(w *workspace.Workspace) string { return w.File(".staged-hive", "rehearsal") }

// chosen are the hosts that the words name, all without words. A host that does not evaluate cannot be among them.
func (l *loaded) chosen(words []string) ([]hive.Host, error) {
	if len(words) == 0 {
		words = l.workspace.Names()
	}
	for _, f := range l.Failures {
		if slices.Contains(words, f.Host) {
			return nil, f
		}
	}
	return hive.Select(l.Hive, words)
}

// stopRehearsal ends the machines of a workspace that were kept.
func (h *house) stopRehearsal(ctx context.Context) error {
	w, err := workspace.Open(h.path)
	if err != nil {
		return err
	}
	running, err := rehearse.Stop(ctx, rehearsalDir(w))
	if err != nil {
		return err
	}
	if !running {
		return h.ui.Text("nothing has been rehearsed here\n")
	}
	return h.ui.Text("no machine of a rehearsal runs any more\n")
}

// showPlan tells the machines of a rehearsal that is not run.
func (h *house) showPlan(plan rehearse.Plan, asJSON bool) error {
	if asJSON {
		return h.ui.JSON(plan)
	}
	table := ui.Table{Header: []string{"HOST", "FIRMWARE", "DISKS", "CARDS", "NETWORK", "NOT AS THE REAL MACHINE"}}
	for _, g := range plan.Guests {
		var disks, cards, networks []string
		for _, d := range g.Machine.Disks {
			disks = append(disks, fmt.Sprintf("%s, %d GiB", d.Bus, d.SizeBytes>>30))
		}
		for _, c := range g.Machine.Cards {
			cards = append(cards, strings.TrimSpace(c.Interface+" "+c.MAC))
			if !slices.Contains(networks, c.Network) {
				networks = append(networks, c.Network)
			}
		}
		lines := func(all []string) string { return strings.Join(all, "\n") }
		table.Rows = append(table.Rows, []string{g.Host.Name, string(g.Machine.Firmware), lines(disks), lines(cards), lines(networks), lines(g.Differences)})
	}
	return h.ui.Table(table)
}

// tellRehearsal shows the timeline, and what to do next.
func (h *house) tellRehearsal(r rehearse.Report, o rehearseOptions) error {
	failed := r.Failed()
	code := codeSomeHosts
	if len(failed) == len(r.Hosts) {
		code = codeFailed
	}
	if o.json {
		if err := h.ui.JSON(r); err != nil || len(failed) == 0 {
			return err
		}
		return &exitError{code}
	}
	if err := h.ui.Table(timeline(r)); err != nil {
		return err
	}
	text := fmt.Sprintf("%s with QEMU %s (%s) in %s: %s in virtual machines, %s outside; derivations built: %d\n",
		plural(len(r.Hosts), "host"), r.QEMU, r.Accelerator, r.Total, r.Machines, r.Total-r.Machines, r.Built)
	for _, host := range r.Hosts {
		if host.Login != "" {
			text += fmt.Sprintf("%s runs; log in with:\n  %s\n", host.Host, host.Login)
		}
	}
	if r.Kept {
		text += "`nixos-staged-hive rehearse --stop` ends them\n"
	}
	if err := h.ui.Text(text); err != nil || len(failed) == 0 {
		return err
	}
	for _, host := range failed {
		h.ui.Fail(ui.Failure{Err: fmt.Errorf("%s: %w", host.Host, host.Err()), Hints: hintsOf(host.Err()), Log: host.Console})
		if host.Screen != "" {
			h.ui.Note("its screen at that moment: " + host.Screen)
		}
	}
	return &exitError{code}
}

// timeline is the steps of all hosts, host by host.
func timeline(r rehearse.Report) ui.Table {
	t := ui.Table{Header: []string{"HOST", "STAGE", "STEP", "BEGAN", "TOOK", "REMARK"}}
	var tones []ui.Tone
	for _, host := range r.Hosts {
		for _, s := range host.Steps {
			name := s.Name
			if s.StandIn {
				name += " (stand-in)"
			}
			tone := ui.Plain
			if s.Failed {
				tone = ui.Bad
			}
			t.Rows = append(t.Rows, []string{host.Host, string(s.Stage), name, s.Began.String(), s.Took.String(), s.Text})
			tones = append(tones, tone)
		}
	}
	t.Tone = func(row, _ int) ui.Tone { return tones[row] }
	return t
}
