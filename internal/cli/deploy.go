package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nixos-staged-hive/internal/colmena"
	"nixos-staged-hive/internal/generate"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/stage/deploy"
	"nixos-staged-hive/internal/stage/workspace"
	"nixos-staged-hive/internal/ui"
)

type deployOptions struct {
	on              []string
	engine          string
	reboot          string
	onFailure       string
	parallel        int
	skipUnreachable bool
	resume          bool
	yes, dry, json  bool
	password        passwordOptions
	words           []string // Colmena's
}

const (
	guarded   = "guarded"
	byColmena = "colmena"
)

func deployCommand(h *house, skip *bool, generate *generateOptions) *cobra.Command {
	var o deployOptions
	cmd := &cobra.Command{
		Use:   "deploy [HOST|@TAG...] [-- COLMENA ARGUMENTS]",
		Short: "Bring hosts to the systems of their definitions, and back where they do not come up well",
		Long: `Brings hosts, all without names, to the systems that their definitions describe. Colmena evaluates, builds and pushes; what would change
is shown and agreed to; then each host is activated under a guard of its own. It keeps the new system only if a new connection reaches it
and its health checks pass: else it goes back by itself to exactly what it had, also when nobody can reach it any more. Nothing that survives a
reboot is written before.

Flags that are not ours, and all words after --, go to ` + "`colmena apply`" + `, for example --no-substitute or --build-on-target.

` + exitCodes,
		DisableFlagParsing: true, // to tell our flags from Colmena's
		ValidArgsFunction:  completeHosts(h),
		RunE: func(cmd *cobra.Command, words []string) error {
			ours, theirs, err := sortWords(cmd.Flags(), words)
			if err != nil {
				return err
			}
			if err := cmd.Flags().Parse(ours); err != nil {
				if errors.Is(err, pflag.ErrHelp) {
					return cmd.Help()
				}
				return &usageError{err}
			}
			if wanted, _ := cmd.Flags().GetBool("help"); wanted {
				return cmd.Help()
			}
			o.words = theirs
			if err := o.check(); err != nil {
				return err
			}
			return h.deploy(cmd.Context(), append(cmd.Flags().Args(), o.on...), o, *skip, *generate)
		},
	}
	deployFlags(&o, cmd.Flags())
	cmd.Flags().BoolP("help", "h", false, "show this")
	passwordFlags(&o.password, cmd)
	return cmd
}

func deployFlags(o *deployOptions, f *pflag.FlagSet) {
	f.StringSliceVar(&o.on, "on", nil, "the same as naming hosts and @tags")
	f.StringVar(&o.engine, "engine", guarded, "who activates: guarded, or colmena, which goes back from nothing")
	f.StringVar(&o.reboot, "reboot", "", "reboot under the guard: needed (where kernel, modules or initrd differ) or always")
	f.Lookup("reboot").NoOptDefVal = string(deploy.WhereNeeded)
	f.StringVar(&o.onFailure, "on-failure", string(deploy.Stop), "after a failed host: stop (begin with no other) or continue")
	f.IntVarP(&o.parallel, "parallel", "P", 0, "hosts in activation at once (0: 10)")
	f.BoolVar(&o.skipUnreachable, "skip-unreachable", false, "leave hosts that do not answer alone, instead of refusing the run")
	f.BoolVar(&o.resume, "resume", false, "go on with the hosts that the last run left behind")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	f.BoolVarP(&o.dry, "dry-run", "n", false, "build and push, show what would change, and change nothing")
	f.BoolVar(&o.json, "json", false, "print events, plan and report as lines of JSON")
}

// check finds values that no flag has.
func (o deployOptions) check() error {
	var problems []error
	one := func(flag, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			problems = append(problems, &usageError{fmt.Errorf("--%s %q: it is %s", flag, value, strings.Join(allowed, " or "))})
		}
	}
	one("engine", o.engine, guarded, byColmena)
	if o.reboot != "" {
		one("reboot", o.reboot, string(deploy.WhereNeeded), string(deploy.AlwaysReboot))
	}
	one("on-failure", o.onFailure, string(deploy.Stop), string(deploy.Continue))
	if o.parallel < 0 {
		problems = append(problems, &usageError{fmt.Errorf("--parallel %d: it is a number of hosts", o.parallel)})
	}
	return errors.Join(problems...)
}

func (o deployOptions) deployment() deploy.Options {
	return deploy.Options{
		Reboots: deploy.Reboots(o.reboot), OnFailure: deploy.OnFailure(o.onFailure), Parallel: o.parallel,
		SkipUnreachable: o.skipUnreachable, DryRun: o.dry,
	}
}

// sortWords tells our words from Colmena's, which are flags that we do not have, with their values, and all behind --.
func sortWords(ours *pflag.FlagSet, words []string) (mine, theirs []string, err error) {
	for len(words) > 0 {
		word := words[0]
		if word == "--" {
			return mine, append(theirs, words[1:]...), nil
		}
		count, known := 1, true
		if len(word) > 1 && word[0] == '-' {
			count, known = flagWords(ours, word)
		}
		count = min(count, len(words))
		if known {
			mine = append(mine, words[:count]...)
		} else {
			if count = colmena.FlagWords(word); count == 0 {
				return nil, nil, &usageError{fmt.Errorf("%s is neither a flag of deploy nor one of colmena apply", word)}
			}
			count = min(count, len(words))
			theirs = append(theirs, words[:count]...)
		}
		words = words[count:]
	}
	return mine, theirs, nil
}

// flagWords tells whether a word is one of the flags, and how many words it takes with its value.
func flagWords(flags *pflag.FlagSet, word string) (count int, known bool) {
	name, long := strings.CutPrefix(word, "--")
	name, _, attached := strings.Cut(name, "=")
	var f *pflag.Flag
	if long {
		f = flags.Lookup(name)
	} else {
		f = flags.ShorthandLookup(word[1:2])
		attached = len(word) > 2
	}
	switch {
	case f == nil:
		return 1, false
	case attached || f.NoOptDefVal != "":
		return 1, true
	}
	return 2, true
}

func (h *house) deploy(ctx context.Context, patterns []string, o deployOptions, skip bool, g generateOptions) error {
	if g.dry {
		return &usageError{errors.New("hive --dry-run is for generate: `hive deploy --dry-run` shows what a deployment would change")}
	}
	if o.resume && len(patterns) > 0 {
		return &usageError{errors.New("--resume takes the hosts of the last run: name none")}
	}
	if !skip {
		if err := h.generateQuietly(ctx, g); err != nil {
			return err
		}
	}
	if o.resume {
		left, err := h.leftBehind()
		if err != nil || len(left) == 0 {
			return err
		}
		patterns = left
	}
	f, err := h.fleet(patterns)
	if err != nil {
		return err
	}
	defer f.access.Close() //nolint:errcheck // files of this run
	if f.hosts, err = deployable(f.hosts, len(patterns) > 0); err != nil {
		return err
	}
	if o.engine == byColmena {
		return h.colmena(ctx, "apply", append([]string{"--on", strings.Join(namesOf(f.hosts), ",")}, o.words...), true, g, o.password)
	}
	return h.guarded(ctx, f, o)
}

// deployable leaves out hosts that cannot be reached, unless they were asked for by their names.
func deployable(hosts []hive.Host, named bool) ([]hive.Host, error) {
	var left []hive.Host
	var local []string
	for _, host := range hosts {
		if host.Deployment.TargetHost == nil {
			local = append(local, host.Name)
			continue
		}
		left = append(left, host)
	}
	if len(local) > 0 && (named || len(left) == 0) {
		return nil, &refusal{fmt.Errorf("%s: deployment.targetHost is null, so there is nowhere to deploy to", strings.Join(local, ", ")), "`hive apply-local` on the machine itself deploys it", codeUsage}
	}
	return left, nil
}

func namesOf(hosts []hive.Host) []string {
	names := make([]string, len(hosts))
	for i, host := range hosts {
		names[i] = host.Name
	}
	return names
}

// leftBehind are the hosts that the last run did not bring to their systems. It says what is to be said about it.
func (h *house) leftBehind() ([]string, error) {
	w, err := workspace.Open(h.path)
	if err != nil {
		return nil, err
	}
	last, err := records(w).Last()
	if errors.Is(err, deploy.ErrNoRun) {
		return nil, &refusal{err, "name hosts, or none for all", codeUsage}
	}
	if err != nil {
		return nil, err
	}
	left := last.Left()
	if len(left) == 0 {
		h.ui.Note("the last run (" + last.ID + ") left nothing behind")
		return nil, nil
	}
	how := "ended"
	if !last.Finished() {
		how = "was interrupted"
	}
	h.ui.Note(fmt.Sprintf("run %s by %s %s; it left %s", last.ID, last.By, how, strings.Join(left, ", ")))
	return left, nil
}

// guarded deploys with our own activation.
func (h *house) guarded(ctx context.Context, f fleet, o deployOptions) error {
	all, err := generate.ReadHosts(f.workspace.File(workspace.GeneratedName))
	if err != nil {
		return err
	}
	d, sudo, err := h.deployment(ctx, f, o.password)
	if err != nil {
		return err
	}
	e, err := h.engine(ctx, f.workspace, all, f.access, sudo)
	if err != nil {
		return err
	}
	defer e.Close() //nolint:errcheck // a temporary folder that stays is swept by the next run
	e.words = o.words
	shown := h.deploymentScreen(o)
	defer shown.end()
	d.Engine, d.Watch, d.Show, d.Options = e, shown.watch, shown.plan, o.deployment()
	d.Confirm = func(ctx context.Context, p deploy.Plan) error {
		return shown.agree(ctx, fmt.Sprintf("Deploy to %s?", count(len(p.Work()), "host")), o.yes)
	}
	report, err := d.Run(ctx)
	shown.end()
	if ctx.Err() != nil && err == nil {
		err = context.Cause(ctx)
	}
	return shown.closing(report, err)
}

// deployment is a run over a fleet, as far as all runs are alike, and how commands become root on its hosts.
func (h *house) deployment(ctx context.Context, f fleet, p passwordOptions) (deploy.Deployment, func(string) remote.Sudo, error) {
	names, err := f.hostNames()
	if err != nil {
		return deploy.Deployment{}, nil, err
	}
	by, err := operator()
	if err != nil {
		return deploy.Deployment{}, nil, err
	}
	sudo, err := h.sudoFor(ctx, f.hosts, p)
	if err != nil {
		return deploy.Deployment{}, nil, err
	}
	return deploy.Deployment{
		Hosts: f.hosts, Hive: names, Local: h.run, Fleet: reached{fleet: f, root: f.rooted(sudo)}, Records: records(f.workspace), By: by,
	}, sudo, nil
}

// deploymentScreen is what a person, or with --json a program, sees of a deployment.
type deploymentScreen struct {
	*screening
	json bool
}

func (h *house) deploymentScreen(o deployOptions) *deploymentScreen {
	return &deploymentScreen{screening: h.screening(), json: o.json}
}

func (s *deploymentScreen) watch(e deploy.Event) {
	if s.json {
		s.line("event", e)
		return
	}
	s.screening.watch(e)
}

// line writes one line of JSON: an object with what it is as its only name.
func (s *deploymentScreen) line(what string, v any) {
	text, err := json.Marshal(map[string]any{what: v})
	if err == nil {
		err = s.h.ui.Text(string(text) + "\n")
	}
	if err != nil {
		s.h.ui.Warn(err.Error())
	}
}

func (s *deploymentScreen) plan(p deploy.Plan) {
	if s.json {
		s.line("plan", p)
		return
	}
	s.end()
	defer s.begin()
	s.h.showDeployment(p)
}

func (s *deploymentScreen) agree(ctx context.Context, question string, yes bool) error {
	s.end()
	defer s.begin()
	return s.h.agreeTo(ctx, question, yes)
}

// showDeployment lays out what would change.
func (h *house) showDeployment(p deploy.Plan) {
	var rows [][]string
	for _, host := range p.Hosts {
		row := planRow(host, 0)
		row[1] = host.To
		rows = append(rows, row)
	}
	var err error
	if len(rows) > 0 {
		err = h.ui.Table(ui.Table{Header: []string{"HOST", "NEW SYSTEM", "CHANGES", "UNITS", "REMARKS"}, Rows: rows})
	}
	if len(p.Waves) > 1 && len(p.Work()) > 1 {
		var waves []string
		for _, wave := range p.Waves {
			waves = append(waves, strings.Join(wave, ", "))
		}
		err = errors.Join(err, h.ui.Text("in this order: "+strings.Join(waves, "; then ")+"\n"))
	}
	if err != nil {
		h.ui.Warn(err.Error())
	}
}

// closing tells how it ended for each host, and with which exit code.
func (s *deploymentScreen) closing(r deploy.Report, err error) error {
	if r.ID == "" { // it did not even begin
		return err
	}
	if s.json {
		s.line("report", r)
	} else {
		err = errors.Join(err, s.h.tell(r))
	}
	if refused, ok := errors.AsType[*deploy.PreflightError](err); ok { // the hosts' own errors would be told one by one, without what they mean
		err = &refusal{refused, preflightHint(refused), codeFailed}
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

// preflightHint is the run's way out, or else that of the first host which has one.
func preflightHint(e *deploy.PreflightError) string {
	if hint := e.Hint(); hint != "" {
		return hint
	}
	for _, p := range e.Problems {
		if hinted, ok := errors.AsType[interface {
			error
			Hint() string
		}](p.Err); ok && hinted.Hint() != "" {
			return hinted.Hint()
		}
	}
	return ""
}

// tell has a line for each host, and the last lines of the log of those that failed.
func (h *house) tell(r deploy.Report) error {
	var problems []error
	for _, one := range r.Hosts {
		text := fmt.Sprintf("%s: %s", one.Host, one.Outcome)
		if one.Outcome == deploy.Confirmed {
			text = fmt.Sprintf("%s: confirmed on generation %d (%s)", one.Host, one.Generation, one.Runs)
		}
		if one.Reason != "" {
			text += ": " + ui.OneLine(one.Reason)
		}
		if one.RebootNeeded && one.Outcome.Well() {
			text += "; parts of the system change with its next boot (--reboot)"
		}
		problems = append(problems, h.ui.Text(text+"\n"))
		for _, line := range one.Tail {
			h.ui.Note("    " + ui.OneLine(line))
		}
		if len(one.Tail) > 0 {
			h.ui.Note("    the whole log: " + one.Log)
		}
	}
	return errors.Join(problems...)
}

var _ deploy.Engine = (*engine)(nil)
