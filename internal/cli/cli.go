// Package cli is the roof: commands and flags, the wiring of the house, messages with their hints, and exit codes. It holds
// no logic of its own.
package cli

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/ui"
)

// Exit codes, as every help text has them.
const (
	codeDone        = 0
	codeFailed      = 1
	codeUsage       = 2
	codeSomeHosts   = 3
	codeRefused     = 4
	codeMissing     = 5
	codeInterrupted = 130
)

const exitCodes = `Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some hosts failed, 4 refused for safety,
5 a needed program is missing, 130 interrupted.`

// house is what all commands share, built once from the command line.
type house struct {
	ui      *ui.Streams
	environ []string
	exe     string // absolute path of this program
	run     run.Runner

	path    string
	verbose bool
	quiet   bool
	jobs    int
	memory  string
	fresh   bool
}

// Main runs the program and returns its exit code. argv is the whole command line: called as `setup` it is the program on the medium, and
// as `ssh`, with Colmena above it, it stands before the real one.
func Main(argv []string, in, out, err *os.File, environ []string) int {
	if remote.IsShim(argv, os.Getenv) {
		return remote.Shim(argv, environ, os.Getenv)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// a second Ctrl-C ends the program at once
	context.AfterFunc(ctx, stop)

	h := &house{ui: ui.New(in, out, err, environ), environ: environ}
	h.exe, _ = os.Executable()
	root, args := h.called(argv)
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(err)
	failed := root.ExecuteContext(ctx)
	if failed != nil && ctx.Err() != nil && !errors.Is(failed, context.Canceled) {
		failed = errors.Join(context.Canceled, failed)
	}
	return h.report(failed)
}

// called is the program that the name on the command line means.
func (h *house) called(argv []string) (*cobra.Command, []string) {
	if command, ok := isMedium(argv[0]); ok {
		args := argv[1:]
		if command != "" {
			args = append([]string{command}, args...)
		}
		return h.program(mediumCommand(h, mediumNames[0])), args
	}
	return rootCommand(h), argv[1:]
}

// program gives a tree of commands what each run needs.
func (h *house) program(root *cobra.Command) *cobra.Command {
	root.PersistentPreRun = func(*cobra.Command, []string) { h.run = run.Local{Log: h.logger()} }
	f := root.PersistentFlags()
	f.BoolVarP(&h.verbose, "verbose", "v", false, "show each command that is run")
	f.BoolVarP(&h.quiet, "quiet", "q", false, "show no progress")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	return root
}

// Commands is the tree of commands, for the reference in docs/commands.md. It is not for running.
func Commands() *cobra.Command { return rootCommand(&house{}) }

func rootCommand(h *house) *cobra.Command {
	root := &cobra.Command{
		Use:   "nixos-staged-hive",
		Short: "From a folder of NixOS definitions to installed, deployed machines",
		Long: `nixos-staged-hive reads a folder nixConfigs/ with one NixOS definition per file or folder and takes the hosts
through stages: an installation medium that knows the host, a mini system, and a Colmena hive.

` + exitCodes,
		Version:          cmp.Or(programVersion(), "(built without one)"),
		SilenceUsage:     true,
		SilenceErrors:    true,
		TraverseChildren: true, // so that flags before `hive deploy` are ours and those behind it are Colmena's
		Args:             cobra.NoArgs,
		RunE:             func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	h.program(root)
	root.PersistentFlags().StringVarP(&h.path, "path", "p", ".", "the workspace: the folder that holds nixConfigs/")
	root.AddGroup(&cobra.Group{ID: "workspace", Title: "Workspace:"}, &cobra.Group{ID: "hosts", Title: "Hosts:"})
	root.AddCommand(
		initCommand(h), versionsCommand(h),
		checkCommand(h), generateCommand(h, &generateOptions{}), summaryCommand(h), rehearseCommand(h), installCommand(h), hardwareCommand(h), hiveCommand(h), secretCommand(h), openDeviceCommand(h),
	)
	medium := mediumCommand(h, onMedium)
	medium.Hidden = true
	root.AddCommand(medium)
	return root
}

// evaluationFlags are the flags of every command that evaluates definitions.
func evaluationFlags(h *house, cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&h.jobs, "jobs", 0, "evaluators at once (0: one for each processor)")
	f.StringVar(&h.memory, "memory", "", "memory for all evaluators together, for example 4G (default: half of what is free)")
	f.BoolVar(&h.fresh, "fresh", false, "evaluate again even if nothing changed")
}

func (h *house) logger() *slog.Logger {
	if !h.verbose {
		return slog.New(slog.DiscardHandler)
	}
	return h.ui.Logger(h.ui.Err, slog.LevelDebug, false)
}

// usageError is a command line that makes no sense.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// exitError ends the program with a code; what there is to say has been said.
type exitError struct{ code int }

func (e *exitError) Error() string { return "" }

// usage wraps what cobra finds wrong with positional arguments.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &usageError{err}
		}
		return nil
	}
}
