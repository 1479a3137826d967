package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/colmena"
	"nixos-staged-hive/internal/generate"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/stage/deploy"
	"nixos-staged-hive/internal/stage/deploy/survey"
	"nixos-staged-hive/internal/stage/workspace"
	"nixos-staged-hive/internal/ui"
)

type statusOptions struct {
	json, watch, evaluate bool
	every, timeout        time.Duration
}

func statusCommand(h *house) *cobra.Command {
	var o statusOptions
	cmd := &cobra.Command{
		Use:   "status [HOST|@TAG...]",
		Short: "Show what each host runs, and whether that is what was built for it",
		Long: `Asks all hosts at once, over SSH and without changing anything: which system runs, which was built for it last, which
it boots next, failed units, room on the disk. The hive is not generated and nothing is evaluated, unless --evaluate wants to know what the
definitions say now.

  in sync         it runs what was built for it, and boots it
  outdated        another system was built for it
  pending reboot  it is up to date but for its kernel, kernel modules or initrd
  drifted         it runs something else than its next boot will, or what was not deployed from here
  unfinished      a deployment has begun and not ended
  unreachable     it cannot be asked
  unknown         nothing was built for it here

What only root may read, often which system boots next, is asked where sudo wants no password.

` + exitCodes + `
3: a host is unreachable, drifted or unfinished.`,
		ValidArgsFunction: completeHosts(h),
		RunE: func(cmd *cobra.Command, args []string) error {
			return h.status(cmd.Context(), args, o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "print JSON; with --watch a line for each look")
	f.BoolVarP(&o.watch, "watch", "w", false, "look again and again, until Ctrl-C")
	f.DurationVar(&o.every, "every", 5*time.Second, "with --watch: time between two looks")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "for each host")
	f.BoolVar(&o.evaluate, "evaluate", false, "compare with what the definitions say now: evaluates the generated hive with Colmena")
	return cmd
}

// statusDocument is the JSON of `hive status`.
type statusDocument struct {
	Schema int              `json:"schema"`
	Time   time.Time        `json:"time"`
	Hosts  []survey.Finding `json:"hosts"`
}

func (h *house) status(ctx context.Context, patterns []string, o statusOptions) error {
	f, err := h.fleet(patterns)
	if err != nil {
		return err
	}
	defer f.access.Close() //nolint:errcheck // files of this run
	subjects := f.subjects()
	if o.evaluate {
		if err := h.declare(ctx, f, subjects); err != nil {
			return err
		}
	}
	for {
		findings := survey.Look(ctx, subjects, survey.Options{Timeout: o.timeout})
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := h.showStatus(findings, o); err != nil || !o.watch {
			return errors.Join(err, alarm(findings))
		}
		select {
		case <-ctx.Done():
			return nil // that is how watching ends
		case <-time.After(o.every):
		}
	}
}

// alarm is the exit code of a status that somebody should look at.
func alarm(findings []survey.Finding) error {
	if slices.ContainsFunc(findings, func(f survey.Finding) bool { return f.Condition.Alarms() }) {
		return &exitError{codeSomeHosts}
	}
	return nil
}

func (h *house) showStatus(findings []survey.Finding, o statusOptions) error {
	document := statusDocument{Schema: hive.Schema, Time: time.Now().UTC().Truncate(time.Second), Hosts: findings}
	switch {
	case o.json && o.watch:
		return h.jsonLine(document)
	case o.json:
		return h.ui.JSON(document)
	}
	if o.watch {
		h.ui.Clear()
	}
	header, rows := survey.Table(findings)
	err := h.ui.Table(ui.Table{Header: header, Rows: rows, Tone: func(row, column int) ui.Tone {
		if column != 1 {
			return ui.Plain
		}
		return toneOf(findings[row].Condition)
	}})
	for _, f := range findings {
		if f.Hint != "" {
			h.ui.Note(f.Host + ": " + f.Hint)
		}
	}
	return err
}

// jsonLine writes a document in one line, for programs that read along.
func (h *house) jsonLine(v any) error {
	if err := json.NewEncoder(h.ui.Out).Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

func toneOf(c survey.Condition) ui.Tone {
	switch c {
	case survey.InSync:
		return ui.Good
	case survey.Outdated, survey.PendingReboot, survey.Unknown:
		return ui.Doubtful
	default:
		return ui.Bad
	}
}

// fleet is hosts of the generated hive and how they are reached. Nothing is evaluated for it.
type fleet struct {
	workspace *workspace.Workspace
	hosts     []hive.Host
	access    *remote.Access
}

// fleet selects hosts of the generated hive. Close its access.
func (h *house) fleet(patterns []string) (fleet, error) {
	w, err := workspace.Open(h.path)
	if err != nil {
		return fleet{}, err
	}
	all, err := generate.ReadHosts(w.File("generated"))
	if errors.Is(err, generate.ErrNotGenerated) {
		return fleet{}, &refusal{err, "run `nixos-staged-hive hive generate`", codeFailed}
	}
	if err != nil {
		return fleet{}, err
	}
	hosts, err := hive.Select(all, patterns)
	if err != nil {
		return fleet{}, err
	}
	access, err := h.access(w, hosts...)
	if err != nil {
		return fleet{}, err
	}
	return fleet{workspace: w, hosts: hosts, access: access}, nil
}

func (f fleet) subjects() []survey.Subject {
	var all []survey.Subject
	runs, _ := records(f.workspace).All() // what cannot be read is as good as no record
	for _, host := range f.hosts {
		s := survey.Subject{Name: host.Name, User: f.access.Runner(host.Name), Known: deployed(runs, host.Name)}
		if s.Declared = f.built(host.Name); s.Declared == "" && len(s.Known) > 0 {
			s.Declared = s.Known[0]
		}
		if host.Deployer.Sudo == remote.SudoFree {
			s.Root = f.access.Elevated(host.Name, remote.Sudo{Mode: remote.SudoFree})
		}
		all = append(all, s)
	}
	return all
}

// records are the deployments of a workspace.
func records(w *workspace.Workspace) deploy.Records {
	return deploy.Records{Dir: w.File(workspace.StateName, "runs")}
}

// deployed are the systems that runs have brought to a host or found on it, the newest first.
func deployed(runs []deploy.Report, name string) []string {
	var all []string
	for _, r := range runs {
		if one, ok := r.Host(name); ok {
			all = append(all, one.To, one.Runs, one.From)
		}
	}
	return slices.DeleteFunc(all, func(path string) bool { return path == "" })
}

// built is the system that was built for a host last. Empty where there is none.
func (f fleet) built(name string) string { return builtSystem(f.workspace, name) }

// systemsOf evaluates to the systems of the hosts that the variable names, by name. Nothing is built for it.
const (
	systemsOf   = `{ nodes, lib, ... }: lib.genAttrs (builtins.fromJSON (builtins.getEnv "` + selectedEnv + `")) (name: nodes.${name}.config.system.build.toplevel.outPath)`
	selectedEnv = "NIXOS_STAGED_HIVE_SELECTED"
)

// declare replaces what was built last by what the definitions say now.
func (h *house) declare(ctx context.Context, f fleet, subjects []survey.Subject) error {
	names := make([]string, len(subjects))
	for i, s := range subjects {
		names[i] = s.Name
	}
	selected, err := json.Marshal(names)
	if err != nil {
		return fmt.Errorf("evaluate the hive: %w", err)
	}
	var out bytes.Buffer
	if err := h.evaluateHive(ctx, f.workspace, systemsOf, []string{selectedEnv + "=" + string(selected)}, &out); err != nil {
		return fmt.Errorf("evaluate the hive: %w", err)
	}
	var systems map[string]string
	if err := json.Unmarshal(out.Bytes(), &systems); err != nil {
		return fmt.Errorf("evaluate the hive: read what Colmena says: %w", err)
	}
	for i, s := range subjects {
		subjects[i].Declared = systems[s.Name]
	}
	return nil
}

// evaluateHive has Colmena evaluate an expression on the hive as it is generated.
func (h *house) evaluateHive(ctx context.Context, w *workspace.Workspace, expression string, env []string, out io.Writer) error {
	tool, err := colmena.Find(ctx, h.run, "colmena")
	if err != nil {
		return err
	}
	pins, err := workspace.Pinner{Workspace: w, Run: h.run}.Pins(ctx, w.Names()...)
	if err != nil {
		return err
	}
	call, err := colmena.Parse("eval", []string{"-E", expression})
	if err != nil {
		return err
	}
	job := colmena.Job{Call: call, Hive: w.File("generated", "hive.nix"), Out: out, Err: h.ui.Err, Getenv: os.Getenv}
	ended, err := tool.Run(ctx, withEnv{h.run, append(evaluatorEnv(pins.NixOS.StorePath), env...)}, job)
	if err != nil {
		return err
	}
	return h.ended(ended)
}
