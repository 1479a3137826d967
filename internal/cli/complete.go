package cli

import (
	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/stage/workspace"
)

// completeHosts offers the names of definitions: a look at the folder, no evaluation.
func completeHosts(h *house) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		w, err := workspace.Open(h.path)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return w.Names(), cobra.ShellCompDirectiveNoFileComp
	}
}
