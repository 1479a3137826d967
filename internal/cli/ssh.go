package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/run"
)

func sshCommand(h *house) *cobra.Command {
	var tty bool
	cmd := &cobra.Command{
		Use:   "ssh HOST [-- COMMAND...]",
		Short: "Log in to a host, as deployments do",
		Long: `Runs ssh with the address, user, port and host key of the workspace, and whatever your own ssh_config adds. Behind the
name stands what ssh takes there: a command line for the host's shell. The exit code is ssh's.`,
		Args:              usage(cobra.MinimumNArgs(1)),
		ValidArgsFunction: completeHosts(h),
		RunE: func(cmd *cobra.Command, args []string) error {
			return h.ssh(cmd.Context(), args[0], args[1:], tty)
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false) // flags behind the host are the command's
	f.BoolVarP(&tty, "tty", "t", false, "give the command a terminal")
	return cmd
}

func (h *house) ssh(ctx context.Context, name string, words []string, tty bool) error {
	f, err := h.fleet([]string{name})
	if err != nil {
		return err
	}
	defer f.access.Close() //nolint:errcheck // files of this run
	if len(f.hosts) != 1 {
		return &usageError{fmt.Errorf("ssh %s: that is %d hosts", name, len(f.hosts))}
	}
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	// The shared file is for programs: nobody is there to answer, and nothing may stand between.
	args := []string{"-F", f.access.ConfigFile(), "-o", "EscapeChar=~", "-o", "RequestTTY=auto"}
	if h.ui.InTerminal {
		args = append(args, "-o", "BatchMode=no", "-o", "LogLevel=ERROR")
	}
	if tty {
		args = append(args, "-tt")
	}
	args = append(append(args, f.hosts[0].Name), words...)
	err = h.run.Run(ctx, run.Command{Name: "ssh", Args: args, Stdin: h.ui.In, Stdout: h.ui.Out, Stderr: h.ui.Err, Interactive: true})
	if ended, ok := errors.AsType[*run.Error](err); ok && ended.ExitCode > 0 {
		return &exitError{ended.ExitCode}
	}
	return err
}
