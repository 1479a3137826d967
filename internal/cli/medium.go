package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/secret"
	"nixos-staged-hive/internal/stage/setup"
	"nixos-staged-hive/internal/ui"
)

// mediumNames are the names under which this program is the one on the medium; all but the first are a single command of it, which the original
// project had.
var mediumNames = []string{"setup", "disko-format", "pre-setup", "post-setup"} //nolint:gochecknoglobals // constant

// onMedium is the name by which the program on the medium can be called anywhere: on machines that have no medium, and in tests.
const onMedium = "on-medium"

// mediumOptions are what all commands of the medium share. The paths are those of every medium, unless a test says otherwise.
type mediumOptions struct {
	manifest, dir, root string
	json                bool
}

// medium is the tree of commands of the program on the medium.
func mediumCommand(h *house, name string) *cobra.Command {
	o := &mediumOptions{}
	root := &cobra.Command{
		Use:   name,
		Short: "Install this machine from the medium that it was started from",
		Long: `setup makes the machine that it runs on a host of the hive: it lays out the disks, installs the mini system, and proves
that the machine will start it. Without a command it asks everything it has to know, shows what would be destroyed, and
begins once that is confirmed.

` + exitCodes,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return h.converse(cmd.Context(), o)
		},
	}
	f := root.PersistentFlags()
	f.StringVar(&o.manifest, "manifest", hive.ManifestFile, "what the medium says of itself")
	f.StringVar(&o.dir, "dir", setup.DefaultDir, "where it remembers, in RAM")
	f.StringVar(&o.root, "root", setup.DefaultRoot, "where the new system is mounted")
	for _, hidden := range []string{"manifest", "dir", "root"} {
		_ = f.MarkHidden(hidden)
	}
	root.AddCommand(
		setupRunCommand(h, o), setupPlanCommand(h, o), setupFollowCommand(h, o), setupStatusCommand(h, o), setupStopCommand(h, o), setupPhasesCommand(h),
		setupDisksCommand(h, o), setupHardwareCommand(h, o), setupManifestCommand(h, o), setupUndoCommand(h, o),
		setupKeysCommand(h, o), setupSecretsCommand(h, o), setupUnlockCommand(h, o), setupAnnounceCommand(h, o), setupConsoleCommand(h, o),
		scriptCommand(h, o, "pre-setup", "Run hive.setup.preScript", func(m hive.MediumHost) string { return m.PreScript }),
		scriptCommand(h, o, "post-setup", "Run hive.setup.postScript", func(m hive.MediumHost) string { return m.PostScript }),
		setupFormatCommand(h, o),
	)
	return root
}

// installer reads what the medium carries.
func (h *house) installer(o *mediumOptions) (setup.Installer, error) {
	in := setup.Installer{Runner: h.run, Root: o.root, Dir: o.dir}
	text, err := os.ReadFile(o.manifest)
	if errors.Is(err, os.ErrNotExist) {
		return in, &refusal{
			fmt.Errorf("this is no installation medium: there is no %s", o.manifest),
			"start the machine from a medium that `nixos-staged-hive install` wrote", codeRefused,
		}
	}
	if err != nil {
		return in, err
	}
	if err := json.Unmarshal(text, &in.Manifest); err != nil {
		return in, fmt.Errorf("read %s: %w", o.manifest, err)
	}
	if in.Manifest.Schema != hive.ManifestSchema {
		return in, &refusal{
			fmt.Errorf("%s has schema %d, and this program knows %d", o.manifest, in.Manifest.Schema, hive.ManifestSchema),
			"the program and the medium are of different versions: write the medium again", codeRefused,
		}
	}
	return in, os.MkdirAll(o.dir, 0o755)
}

func (o *mediumOptions) jsonFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
}

// setupRun are the flags of an installation.
type setupRun struct {
	order      setup.Order
	mode, then string
	noReboot   bool
	detach     bool
	countdown  time.Duration
}

func (r *setupRun) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&r.order.Host, "name", "n", "", "the host that this machine becomes (default: the one that it is recognised as)")
	f.StringVar(&r.mode, "mode", string(hive.Fresh), "fresh: wipe and lay out the disks; keep: format nothing, install beside the data; add: format blank disks alone")
}

func (r *setupRun) complete() error {
	r.order.Mode, r.order.Then = hive.Mode(r.mode), setup.Then(r.then)
	if r.noReboot {
		r.order.Then = setup.Stay
	}
	if !slices.Contains(hive.Modes(), r.order.Mode) {
		return &usageError{fmt.Errorf("--mode %s: the modes are %v", r.mode, hive.Modes())}
	}
	if then := []setup.Then{"", setup.Boot, setup.PowerOff, setup.Stay}; !slices.Contains(then, r.order.Then) {
		return &usageError{fmt.Errorf("--then %s: boot, poweroff or stay", r.then)}
	}
	return nil
}

func setupRunCommand(h *house, o *mediumOptions) *cobra.Command {
	var r setupRun
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Install without asking: what would be destroyed has to be named with --confirm",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.complete(); err != nil {
				return err
			}
			return h.setupRun(cmd.Context(), o, r)
		},
	}
	r.flags(cmd)
	o.jsonFlag(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&r.order.Confirm, "confirm", nil, "serial numbers of the disks whose contents may be destroyed (the name of one without: sda)")
	f.StringVar(&r.order.PlanHash, "plan-hash", "", "refuse if the medium has another plan than this one")
	f.StringVar(&r.then, "then", string(setup.Boot), "afterwards: boot the installed system, poweroff, or stay on the medium")
	f.BoolVar(&r.noReboot, "no-reboot", false, "the same as --then stay")
	f.BoolVar(&r.order.Unattended, "unattended", false, "decide by the rules for unattended installation (hive.setup.unattended)")
	f.DurationVar(&r.countdown, "countdown", setup.DefaultCountdown, "with --unattended: how long somebody has to stop it, with a key or `setup stop`")
	f.BoolVar(&r.detach, "detach", false, "go on in a unit of its own, which outlives this connection; `setup follow` shows it")
	return cmd
}

func (h *house) setupRun(ctx context.Context, o *mediumOptions, r setupRun) error {
	in, err := h.installer(o)
	if err != nil {
		return err
	}
	if r.detach {
		return h.detach(ctx, in, o, r)
	}
	if o.json {
		in.Watch = h.jsonLines()
		_, err := in.Run(ctx, r.order)
		return silently(err)
	}
	if r.order.Unattended {
		if err := in.Count(ctx, r.order, r.countdown); err != nil {
			return err
		}
	}
	sink, end := h.progress()
	in.Watch = shown(sink)
	intent, err := in.Run(ctx, r.order)
	end()
	if err != nil {
		return err
	}
	return h.ui.Text(fmt.Sprintf("%s is installed (mode %s)\n", intent.Host, intent.Mode))
}

// silently ends with the code of an error that was told as JSON already.
func silently(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{codeOf(err)}
}

// jsonLines writes events as they come, a line each.
func (h *house) jsonLines() func(hive.SetupEvent) {
	return func(e hive.SetupEvent) {
		if line, err := json.Marshal(e); err == nil {
			_, _ = h.ui.Out.Write(append(line, '\n'))
		}
	}
}

// shown turns the events of an installation into those that progress bars understand: a phase is a task.
func shown(sink progress.Sink) func(hive.SetupEvent) {
	return func(e hive.SetupEvent) {
		if e.State == "finished" {
			return
		}
		event := progress.Event{Task: e.Phase, State: progress.State(e.State), Done: e.Done, Total: e.Total, Text: e.Text}
		if e.Error != "" {
			event.Err = errors.New(e.Error)
		}
		sink.Send(event)
	}
}

// detachedUnit is the systemd unit of an installation that outlives the connection that began it.
const detachedUnit = "nixos-staged-hive-setup"

// detach refuses at once what would be refused, and leaves the rest to a unit. It returns when the unit runs.
func (h *house) detach(ctx context.Context, in setup.Installer, o *mediumOptions, r setupRun) error {
	if err := in.Allowed(ctx, r.order); err != nil {
		var refused *setup.RefusedError
		if o.json && errors.As(err, &refused) {
			return errors.Join(h.ui.JSON(refused.Intent), &exitError{codeRefused})
		}
		return err
	}
	args := []string{
		"--unit=" + detachedUnit, "--collect", "--quiet", "--service-type=exec", "--property=KillMode=mixed",
		"--setenv=PATH=" + os.Getenv("PATH"), "--description=installation of this machine",
		h.exe, onMedium, "run", "--manifest", o.manifest, "--dir", o.dir, "--root", o.root, "--json",
		"--name", r.order.Host, "--mode", string(r.order.Mode), "--then", string(r.order.Then), "--plan-hash", r.order.PlanHash,
	}
	if len(r.order.Confirm) > 0 {
		args = append(args, "--confirm", strings.Join(r.order.Confirm, ","))
	}
	if err := h.run.Run(ctx, run.Command{Name: "systemd-run", Args: args}); err != nil {
		return fmt.Errorf("begin the installation in a unit of its own: %w", err)
	}
	return nil
}

func setupPlanCommand(h *house, o *mediumOptions) *cobra.Command {
	var r setupRun
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Say what an installation would do and what stands in its way, and touch nothing",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.complete(); err != nil {
				return err
			}
			in, err := h.installer(o)
			if err != nil {
				return err
			}
			intent, err := in.Intent(cmd.Context(), r.order)
			if err != nil {
				return err
			}
			if o.json {
				err = h.ui.JSON(intent)
			} else {
				err = h.showIntent(intent)
			}
			if err == nil && intent.Refused() {
				err = &exitError{codeRefused}
			}
			return err
		},
	}
	r.flags(cmd)
	o.jsonFlag(cmd)
	cmd.Flags().BoolVar(&r.order.Unattended, "unattended", false, "decide by the rules for unattended installation")
	return cmd
}

// showIntent shows what an installation would do.
func (h *house) showIntent(i hive.Intent) error {
	table := ui.Table{Header: []string{"DISK", "DEVICE", "MODEL", "SERIAL", "SIZE", "IT IS", "WHAT HAPPENS", "ON IT NOW"}}
	var fates []string
	for _, t := range i.Targets {
		d := t.Device
		table.Rows = append(table.Rows, []string{t.Disk.Name, d.Path, d.Model, d.Serial, hive.Size(d.Bytes), t.State, fateText(t), strings.Join(t.Contents, "\n")})
		fates = append(fates, t.Fate)
	}
	table.Tone = func(row, column int) ui.Tone {
		if fates[row] == "destroy" && column >= 6 {
			return ui.Bad
		}
		return ui.Plain
	}
	if err := h.ui.Text(fmt.Sprintf("%s (%s), mode %s\n", i.Host, i.Why, i.Mode)); err != nil {
		return err
	}
	if err := h.ui.Table(table); err != nil {
		return err
	}
	for _, p := range i.Problems {
		text := p.String()
		if p.Way != "" {
			text += "\n  " + p.Way
		}
		if err := h.ui.Text(text + "\n"); err != nil {
			return err
		}
	}
	if len(i.Confirm) > 0 && !i.Refused() {
		return h.ui.Text("to go on: --confirm " + strings.Join(i.Confirm, ",") + "\n")
	}
	return nil
}

func fateText(t hive.Target) string {
	switch t.Fate {
	case "destroy":
		return "EVERYTHING ON IT IS DESTROYED"
	case "format":
		return "laid out and formatted"
	case "mount":
		return "mounted, nothing is formatted"
	}
	return t.Fate
}

func setupFollowCommand(h *house, o *mediumOptions) *cobra.Command {
	after := 0
	cmd := &cobra.Command{
		Use:   "follow",
		Short: "Show an installation that goes on, until it ends",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, err := h.installer(o)
			if err != nil {
				return err
			}
			if o.json {
				return in.Follow(cmd.Context(), after, h.jsonLines())
			}
			sink, end := h.progress()
			defer end()
			show, code := shown(sink), 0
			var last hive.SetupEvent
			err = in.Follow(cmd.Context(), after, func(e hive.SetupEvent) {
				show(e)
				last, code = e, e.Code
			})
			end()
			if err != nil {
				return err
			}
			if code != 0 {
				h.ui.Fail(ui.Failure{Err: errors.New(last.Error), Hints: hintLines(last.Way)})
				return &exitError{code}
			}
			return h.ui.Text(last.Text + "\n")
		},
	}
	o.jsonFlag(cmd)
	cmd.Flags().IntVar(&after, "after", 0, "leave out events up to this number")
	return cmd
}

func hintLines(way string) []string {
	if way == "" {
		return nil
	}
	return strings.Split(way, "\n")
}

func setupStatusCommand(h *house, o *mediumOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how far the last installation came since the medium was started",
		Args:  usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			in, err := h.installer(o)
			if err != nil {
				return err
			}
			j, err := in.Journal()
			switch {
			case err != nil:
				return err
			case o.json:
				return h.ui.JSON(j)
			case j == nil:
				return h.ui.Text("nothing was begun since the medium was started\n")
			}
			text := fmt.Sprintf("%s, mode %s, begun %s ago, finished: %s\n", j.Host, j.Mode, time.Since(j.Began).Round(time.Second), strings.Join(j.Finished, ", "))
			switch {
			case in.Running():
				text += "it goes on: `setup follow` shows it\n"
			case j.Done:
				text += "it is installed\n"
			default:
				text += "it was interrupted: run setup again to go on from there\n"
			}
			return h.ui.Text(text)
		},
	}
	o.jsonFlag(cmd)
	return cmd
}

func setupStopCommand(h *house, o *mediumOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "stop",
		Short: "Stop the countdown of an unattended installation",
		Args:  usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			in, err := h.installer(o)
			if err != nil {
				return err
			}
			return in.StopCountdown()
		},
	}
}

func setupPhasesCommand(h *house) *cobra.Command {
	return &cobra.Command{
		Use:   "phases",
		Short: "List the phases of an installation",
		Args:  usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			table := ui.Table{Header: []string{"PHASE", "WHAT IT DOES"}}
			for _, p := range setup.Phases() {
				table.Rows = append(table.Rows, p[:])
			}
			return h.ui.Table(table)
		},
	}
}

func setupManifestCommand(h *house, o *mediumOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "manifest",
		Short: "Say what the medium carries",
		Args:  usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			in, err := h.installer(o)
			if err != nil {
				return err
			}
			if o.json {
				return h.ui.JSON(in.Manifest)
			}
			table := ui.Table{Header: []string{"HOST", "PLATFORM", "FIRMWARE", "DISKS", "UNATTENDED", "MINI SYSTEM"}}
			for _, m := range in.Manifest.Hosts {
				var names []string
				for _, d := range m.Plan.Storage.Disks {
					names = append(names, d.Name)
				}
				unattended := "no"
				if m.Plan.Unattended {
					unattended = "yes"
				}
				table.Rows = append(table.Rows, []string{m.Name, m.Plan.Platform, m.Plan.Boot.Firmware, strings.Join(names, ", "), unattended, m.Toplevel})
			}
			return h.ui.Table(table)
		},
	}
	o.jsonFlag(cmd)
	return cmd
}

func setupSecretsCommand(h *house, o *mediumOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "secrets",
		Short: "Take the secrets of a host from standard input, as `nixos-staged-hive install --remote` sends them",
		Args:  usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			in, err := h.installer(o)
			if err != nil {
				return err
			}
			b, err := secret.DecodeBundle(h.ui.In)
			if err != nil {
				return err
			}
			return in.Take(b)
		},
	}
}

func setupUnlockCommand(h *house, o *mediumOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "unlock",
		Short: "Open the secrets of a medium of several hosts with their passphrase, a line on standard input",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, err := h.installer(o)
			if err != nil {
				return err
			}
			passphrase, err := h.passphrase(cmd.Context())
			if err != nil {
				return err
			}
			region, err := os.Open(setup.RegionFile)
			if err != nil {
				return err
			}
			defer region.Close() //nolint:errcheck // it was only read
			return in.Unlock(region, passphrase)
		},
	}
}

// passphrase asks on a terminal, and reads a line elsewhere.
func (h *house) passphrase(ctx context.Context) (string, error) {
	if h.ui.InTerminal {
		return h.ui.AskSecret(ctx, "passphrase of the medium")
	}
	text, err := io.ReadAll(io.LimitReader(h.ui.In, 64<<10))
	if err != nil {
		return "", fmt.Errorf("read the passphrase: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line, nil
}

func setupKeysCommand(h *house, o *mediumOptions) *cobra.Command {
	return &cobra.Command{
		Use:    "keys",
		Short:  "Take the secrets that were put onto the medium; done when it starts, before sshd",
		Hidden: true,
		Args:   usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			in, err := h.installer(o)
			if err != nil {
				return err
			}
			region, err := os.Open(setup.RegionFile)
			if errors.Is(err, os.ErrNotExist) {
				h.ui.Note("the medium has no place for secrets")
				return nil
			}
			if err != nil {
				return err
			}
			defer region.Close() //nolint:errcheck // it was only read
			sealed, err := in.TakeFromMedium(region)
			if err != nil {
				return err
			}
			if len(sealed) > 0 {
				h.ui.Note("the secrets of " + strings.Join(sealed, ", ") + " are sealed: `setup unlock` opens them")
			}
			return in.ShowHostKey("/etc")
		},
	}
}

// scriptCommand is one of the definition's own scripts as a command of the medium, as the original project had them.
func scriptCommand(h *house, o *mediumOptions, name, short string, script func(hive.MediumHost) string) *cobra.Command {
	var host string
	cmd := &cobra.Command{
		Use:   name,
		Short: short,
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, err := h.installer(o)
			if err != nil {
				return err
			}
			m, err := in.Host(cmd.Context(), host)
			if err != nil {
				return err
			}
			if script(m) == "" {
				return h.ui.Text(m.Name + " has none\n")
			}
			return h.run.Run(cmd.Context(), run.Command{
				Name: script(m), Interactive: true, Env: []string{"HIVE_HOST=" + m.Name, "HIVE_ROOT=" + o.root},
			})
		},
	}
	cmd.Flags().StringVarP(&host, "name", "n", "", "the host (default: the one that the machine is recognised as)")
	return cmd
}

// isMedium reports whether the program was called by a name of the medium's, and as which of its commands.
func isMedium(argv0 string) (string, bool) {
	name := filepath.Base(argv0)
	if !slices.Contains(mediumNames, name) {
		return "", false
	}
	if name == mediumNames[0] {
		return "", true
	}
	return name, true
}
