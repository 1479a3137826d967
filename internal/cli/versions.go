package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/stage/workspace"
	"nixos-staged-hive/internal/ui"
)

func versionsCommand(h *house) *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:     "versions",
		GroupID: "workspace",
		Short:   "Show the pinned versions, or update them",
		Long: `Shows what versions.json asks for and what versions.lock.json holds. Everything that is evaluated uses the lock.

` + exitCodes,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return h.showVersions(cmd.Context(), json) },
	}
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	update := &cobra.Command{
		Use:   "update [nixos|disko|k3s|HOST]...",
		Short: "Look the versions up again, fetch them, and write the lock",
		Long: `Looks up what the tags, branches and folders in versions.json stand for now, fetches them and writes versions.lock.json.
Without arguments all are updated; HOST updates the NixOS version of a host that has its own.

` + exitCodes,
		ValidArgs: []string{"nixos", "disko", "k3s"},
		RunE:      func(cmd *cobra.Command, args []string) error { return h.updateVersions(cmd.Context(), args, json) },
	}
	update.Flags().BoolVar(&json, "json", false, "print JSON")
	cmd.AddCommand(update)
	return cmd
}

func (h *house) showVersions(ctx context.Context, json bool) error {
	w, err := workspace.Open(h.path)
	if err != nil {
		return err
	}
	rows, err := workspace.Pinner{Workspace: w, Run: h.run}.Show(ctx)
	if err != nil {
		return err
	}
	if json {
		return h.ui.JSON(map[string]any{"schema": hive.Schema, "pins": noNil(rows)})
	}
	t := ui.Table{Header: []string{"PIN", "WANTED", "STATE", "LOCKED", "VERSION", "IN STORE"}}
	for _, r := range rows {
		t.Rows = append(t.Rows, []string{r.Pin, r.Spec, string(r.State), r.Identity(), r.Release, inStore(r)})
	}
	if err := h.ui.Table(t); err != nil {
		return err
	}
	if slices.ContainsFunc(rows, func(r workspace.Row) bool { return r.State == workspace.Outdated }) {
		h.ui.Warn("versions.json and the lock differ: `versions update` takes over what versions.json says")
	}
	return nil
}

func inStore(r workspace.Row) string {
	switch {
	case r.StorePath == "":
		return "-"
	case r.Present:
		return "yes"
	}
	return "no, will be fetched"
}

func (h *house) updateVersions(ctx context.Context, which []string, json bool) error {
	w, err := workspace.Open(h.path)
	if err != nil {
		return err
	}
	sink, end := h.progress()
	changes, err := workspace.Pinner{Workspace: w, Run: h.run, Progress: sink}.Update(ctx, which...)
	end()
	if err != nil {
		return err
	}
	if json {
		return h.ui.JSON(map[string]any{"schema": hive.Schema, "changes": noNil(changes)})
	}
	t := ui.Table{Header: []string{"PIN", "WANTED", "BEFORE", "NOW", ""}}
	for _, c := range changes {
		verdict := "unchanged"
		if c.Changed() {
			verdict = "updated"
		}
		t.Rows = append(t.Rows, []string{c.New.Pin, c.New.Spec, named(c.Old), named(c.New), verdict})
	}
	return h.ui.Table(t)
}

func named(r workspace.Row) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s", r.Release, r.Identity()))
}
