package cli

import (
	"context"
	"fmt"
	"os"
	"os/user"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/workspace"
)

type initOptions struct {
	workspace.Options
	yes, json bool
}

func initCommand(h *house) *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use:     "init [FOLDER]",
		Aliases: []string{"setup"},
		GroupID: "workspace",
		Short:   "Create a workspace with a commented example",
		Long: `Creates the folders of a workspace, pins, a commented definition to start from, and the wrapper ./nixos-staged-hive.
What is there already is never overwritten. On a terminal it asks; flags answer beforehand, --yes takes the defaults.

` + exitCodes,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				h.path = args[0]
			}
			return h.init(cmd.Context(), o, cmd.Flags().Changed)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.HostName, "host", "", "name of the first host")
	f.StringVar(&o.AdminName, "admin", "", "login name of the administrator")
	f.StringArrayVar(&o.Keys, "key", nil, "public SSH key of the administrator, a line as in id_ed25519.pub (repeatable)")
	f.StringVar(&o.System, "system", "", "platform of the first host: x86_64-linux or aarch64-linux")
	f.StringVar(&o.NixOS, "nixos", "", "version of NixOS: branch, tag, commit, URL or folder")
	f.StringVar(&o.Disko, "disko", "", "version of disko, likewise")
	f.StringVar(&o.K3s, "k3s", "", "version of K3s, for example v1.30.1-k3s1")
	f.BoolVarP(&o.yes, "yes", "y", false, "ask nothing")
	f.BoolVar(&o.json, "json", false, "print what was created as JSON")
	return cmd
}

func (h *house) init(ctx context.Context, o initOptions, given func(string) bool) error {
	home, _ := os.UserHomeDir()
	login := ""
	if u, err := user.Current(); err == nil {
		login = u.Username
	}
	o.Options = filled(o.Options, workspace.Defaults(ctx, h.run, home, login))
	o.Dir, o.Binary = h.path, h.exe
	if err := h.askInit(ctx, &o, given); err != nil {
		return err
	}
	report, err := workspace.Init(ctx, o.Options)
	if err != nil {
		return err
	}
	if o.json {
		return h.ui.JSON(report)
	}
	return h.reportInit(report, o)
}

// filled takes the user's answers and the defaults for the rest.
func filled(o, d workspace.Options) workspace.Options {
	for _, f := range []struct{ value, preset *string }{
		{&o.HostName, &d.HostName},
		{&o.AdminName, &d.AdminName},
		{&o.System, &d.System},
		{&o.NixOS, &d.NixOS},
		{&o.Disko, &d.Disko},
		{&o.K3s, &d.K3s},
	} {
		if *f.value == "" {
			*f.value = *f.preset
		}
	}
	if o.Keys == nil {
		o.Keys = d.Keys
	}
	return o
}

// askInit asks on a terminal for what no flag has said.
func (h *house) askInit(ctx context.Context, o *initOptions, given func(string) bool) error {
	if o.yes || !h.ui.InTerminal || !h.ui.ErrTerminal {
		return nil
	}
	for _, q := range []struct {
		flag, question string
		answer         *string
	}{
		{"host", "Name of the first host?", &o.HostName},
		{"admin", "Login name of the administrator?", &o.AdminName},
		{"nixos", "Version of NixOS (branch, tag, commit, URL or folder)?", &o.NixOS},
	} {
		if given(q.flag) {
			continue
		}
		answer, err := h.ui.Ask(ctx, q.question, *q.answer, nil)
		if err != nil {
			return err
		}
		*q.answer = answer
	}
	return nil
}

func (h *house) reportInit(r workspace.Report, o initOptions) error {
	text := ""
	for _, e := range r.Entries {
		word := "created"
		if e.Kept {
			word = "kept   "
		}
		text += fmt.Sprintf("%s  %s\n", word, e.Path)
	}
	if err := h.ui.Text(text); err != nil {
		return err
	}
	for _, n := range r.Notes {
		h.ui.Note(n)
	}
	if len(o.Keys) == 0 {
		h.ui.Warn("no public SSH key was found: put one into the definition, or nobody can log in; `ssh-keygen -t ed25519` makes one")
	}
	h.ui.Note("next: edit the definition, then `nixos-staged-hive -p " + run.Quote(r.Dir) + " summary`")
	return nil
}
