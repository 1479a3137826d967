package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/colmena"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/workspace"
)

func hiveCommand(h *house) *cobra.Command {
	var skip bool
	var o generateOptions
	var p passwordOptions
	cmd := &cobra.Command{
		Use:     "hive",
		GroupID: "hosts",
		Short:   "Build and deploy the full systems through Colmena",
		Long: `Generates the hive and hands everything behind the subcommand to Colmena, for example
  nixos-staged-hive hive deploy --on web1
Our own flags stand before the subcommand.

` + exitCodes,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.Flags().BoolVarP(&skip, "skip-generate", "s", false, "use generated/ as it is")
	generateFlags(&o, cmd)
	evaluationFlags(h, cmd)
	passwordFlags(&p, cmd)
	generate := generateCommand(h, &o)
	generate.GroupID = ""
	cmd.AddCommand(generate, deployCommand(h, &skip, &o), statusCommand(h), diffCommand(h), sshCommand(h), gcCommand(h), rollbackCommand(h))
	for _, s := range colmena.Subcommands() {
		cmd.AddCommand(&cobra.Command{
			Use:                s.Name + " [COLMENA ARGUMENTS]",
			Short:              s.Short,
			DisableFlagParsing: true,
			RunE: func(cmd *cobra.Command, words []string) error {
				return h.colmena(cmd.Context(), s.Name, words, skip, o, p)
			},
		})
	}
	return cmd
}

// colmena generates, unless told not to, and hands the words over.
func (h *house) colmena(ctx context.Context, subcommand string, words []string, skip bool, o generateOptions, p passwordOptions) error {
	if o.dry {
		return &usageError{errors.New("hive --dry-run is for generate: it would not keep Colmena from doing its work")}
	}
	call, err := colmena.Parse(subcommand, words)
	if err != nil {
		return err
	}
	if !call.NeedsHive() {
		return h.colmenaAlone(ctx, call)
	}
	if err := p.check(); err != nil {
		return err
	}
	if !skip {
		if err := h.generateQuietly(ctx, o); err != nil {
			return err
		}
	}
	w, err := workspace.Open(h.path)
	if err != nil {
		return err
	}
	hosts, err := generatedHive(w)
	if err != nil {
		return err
	}
	access, err := h.access(w, hosts.Hosts...)
	if err != nil {
		return err
	}
	defer access.Close() //nolint:errcheck // a temporary folder that stays is swept by the next run
	if asksForPassword(call, hosts) {
		if p, err = h.askBefore(ctx, p); err != nil {
			return err
		}
	}
	e, err := h.engine(ctx, w, hosts, access, h.sudo(p))
	if err != nil {
		return err
	}
	defer e.Close() //nolint:errcheck // as before
	outcome, err := e.passed(ctx, h, call)
	if err != nil {
		return err
	}
	return h.ended(outcome)
}

// askBefore asks a person for the password before Colmena draws on the terminal. Where nobody sits, it is asked for when it is needed.
func (h *house) askBefore(ctx context.Context, p passwordOptions) (passwordOptions, error) {
	if p.command != "" || p.file != "" || !h.ui.InTerminal || !h.ui.ErrTerminal {
		return p, nil
	}
	word, err := h.ui.AskSecret(ctx, askPassword)
	p.typed = word
	return p, err
}

// colmenaAlone is for what Colmena answers without a hive, such as --help.
func (h *house) colmenaAlone(ctx context.Context, call colmena.Call) error {
	tool, err := colmena.Find(ctx, h.run, "")
	if err != nil {
		return err
	}
	job := colmena.Job{Call: call}
	h.streams(&job)
	outcome, err := tool.Run(ctx, h.run, job)
	if err != nil {
		return err
	}
	return h.ended(outcome)
}

// generateQuietly is generate without its closing words on stdout, which belongs to Colmena here.
func (h *house) generateQuietly(ctx context.Context, o generateOptions) error {
	sink, end := h.progress()
	defer end()
	l, err := h.load(ctx, false, sink)
	if err != nil {
		return err
	}
	_, err = h.write(ctx, l, o, nil, sink)
	return err
}

// ended turns Colmena's outcome into ours.
func (h *house) ended(o colmena.Outcome) error {
	if o.Code == codeDone {
		return nil
	}
	if o.Problem != "" {
		return &refusal{errors.New(o.Problem), "", o.Code}
	}
	if len(o.Failed) > 0 {
		return &refusal{fmt.Errorf("colmena: failed on %s", strings.Join(o.Failed, ", ")), "", o.Code}
	}
	return &exitError{o.Code}
}

// evaluatorEnv is for the Nix that Colmena starts: <nixpkgs> is the pinned one, and the heap starts large enough that a
// few hosts need no garbage collection. Nix 2.8 crashes (signal 11) when it collects while it filters a source, as
// evaluating a system with Colmena's own nodes does; newer ones do not, and are only faster.
func evaluatorEnv(nixpkgs string) []string {
	env := []string{"NIX_PATH=nixpkgs=" + nixpkgs}
	if os.Getenv("GC_INITIAL_HEAP_SIZE") == "" {
		env = append(env, "GC_INITIAL_HEAP_SIZE=2G")
	}
	return env
}

// withEnv adds to the environment of every command.
type withEnv struct {
	run.Runner
	variables []string
}

// Run runs c with the variables.
func (w withEnv) Run(ctx context.Context, c run.Command) error {
	c.Env = slices.Concat(w.variables, c.Env)
	return w.Runner.Run(ctx, c)
}
