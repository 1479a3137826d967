package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/secret"
	"nixos-staged-hive/internal/stage/install"
	"nixos-staged-hive/internal/stage/setup/machine"
	"nixos-staged-hive/internal/stage/workspace"
)

type hardwareOptions struct {
	host, user, finger string
	json, override, no bool
}

func hardwareCommand(h *house) *cobra.Command {
	var o hardwareOptions
	cmd := &cobra.Command{
		Use:     "hardware NAME|ADDRESS",
		GroupID: "hosts",
		Short:   "Ask a machine what it is: disks, cards, firmware, and what to write into its definition",
		Long: `Asks a machine over SSH: one that runs an installation medium, a host of the workspace, or any other Linux, which gets this
program for that moment. Prints tables, lines to paste and a whole definition to start from. For a host of the workspace it also writes
generated/NAME/hardware-configuration.nix, which the hive picks up.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return h.hardware(cmd.Context(), args[0], o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.host, "name", "n", "", "write hardware-configuration.nix for this host (default: NAME)")
	f.StringVar(&o.user, "user", "root", "who logs in")
	f.StringVar(&o.finger, "fingerprint", "", "of the machine's key, where that is not known")
	f.BoolVar(&o.override, "overwrite", false, "replace a hardware-configuration.nix that was written by hand")
	f.BoolVar(&o.no, "no-write", false, "write no hardware-configuration.nix")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

func (h *house) hardware(ctx context.Context, where string, o hardwareOptions) error {
	w, err := workspace.Open(h.path)
	inside := err == nil
	name := o.host
	if inside && name == "" && slices.Contains(w.Names(), where) {
		name = where
	}
	if o.host != "" && (!inside || !slices.Contains(w.Names(), o.host)) {
		return &usageError{fmt.Errorf("--name %s: there is no such definition in nixConfigs/", o.host)}
	}
	target := remote.Target{Name: where, User: o.user, FirstContact: remote.Pinned}
	if strings.Contains(where, ":") { // with a port, or of IPv6: no name that ssh_config could have, nor one that the user's own has
		target.Name = "machine"
		if target.Address, target.Port, err = install.ParseAddress(where); err != nil {
			return &usageError{err}
		}
	}
	if inside && name != "" {
		h.place(ctx, w, name, &target)
	}
	if len(target.HostKeys) == 0 {
		if err := h.meet(ctx, &target, where, o.finger); err != nil {
			return err
		}
	}
	access, err := remote.Open(h.run, []remote.Target{target}, remote.Options{UserConfig: userSSHConfig()})
	if err != nil {
		return err
	}
	defer access.Close() //nolint:errcheck // files of this run
	report, err := install.Hardware(ctx, access.Runner(target.Name), h.exe)
	if err != nil {
		return err
	}
	if o.json {
		err = h.ui.JSON(report)
	} else {
		err = h.showMachine(report.Machine, "")
	}
	if err != nil || name == "" || o.no {
		return err
	}
	return h.keepHardware(w, name, report, o)
}

// keepHardware writes what was found beside what is generated.
func (h *house) keepHardware(w *workspace.Workspace, name string, r install.Report, o hardwareOptions) error {
	text := r.Configuration
	if text == "" {
		text = machine.HardwareConfiguration(r.Machine)
	}
	folder := w.File("generated", name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	changed, err := install.KeepConfiguration(install.Keep{Folder: folder, Text: text, Host: name, Machine: r.Machine, Now: time.Now(), Override: o.override})
	if err != nil {
		return err
	}
	file := filepath.Join("generated", name, "hardware-configuration.nix")
	if changed {
		h.ui.Note(file + " written: the hive picks it up")
	} else {
		h.ui.Note(file + " is as it was")
	}
	return nil
}

// place fills in what the workspace knows of a host: address, port and key. A host that does not evaluate is reached by its name.
func (h *house) place(ctx context.Context, w *workspace.Workspace, name string, t *remote.Target) {
	if v, err := h.vault(w.Dir); err == nil {
		if key, err := v.HostKey(name); err == nil && key != "" {
			t.HostKeys = []string{strings.Join(strings.Fields(key)[:2], " ")} // without its comment
		}
	}
	if t.Name != name || t.Address != "" { // it is at the address that was given
		return
	}
	sink, end := h.progress()
	defer end()
	l, err := h.load(ctx, false, sink)
	if err != nil {
		return
	}
	hosts, err := hive.Select(l.Hive, []string{name})
	if err != nil || len(hosts) != 1 {
		return
	}
	if to := hosts[0].Deployment.TargetHost; to != nil {
		t.Address = *to
	}
	if len(hosts[0].SSH.Ports) > 0 {
		t.Port = hosts[0].SSH.Ports[0]
	}
}

// meet learns the key of a machine that nothing is known of, and has a person compare it with the machine's screen.
func (h *house) meet(ctx context.Context, t *remote.Target, where, finger string) error {
	first := *t
	first.FirstContact = remote.AcceptNew
	access, err := remote.Open(h.run, []remote.Target{first}, remote.Options{UserConfig: userSSHConfig()})
	if err != nil {
		return err
	}
	defer access.Close() //nolint:errcheck // files of this run
	if err := access.Runner(first.Name).Run(ctx, run.Command{Name: "true"}); err != nil {
		return err
	}
	keys, err := access.Learned(first.Name)
	if err != nil || len(keys) == 0 {
		return errors.Join(err, fmt.Errorf("%s showed no host key", where))
	}
	shown, err := secret.Fingerprint(keys[0])
	if err != nil {
		return err
	}
	if finger == "" {
		ok, err := h.ui.Confirm(ctx, fmt.Sprintf("%s shows a key that is not known here: %s. Is it the machine's?", where, shown), false)
		if err != nil {
			return &refusal{fmt.Errorf("%s shows a key that is not known here: %s", where, shown), "compare it with the machine's screen, and give it as --fingerprint", codeRefused}
		}
		if ok {
			finger = shown
		}
	}
	if finger != shown {
		return &refusal{fmt.Errorf("%s shows the key %s, and not %s: another machine has its address", where, shown, finger), "look at the machine's screen", codeRefused}
	}
	t.HostKeys = keys
	return nil
}

// userSSHConfig is the user's own ssh_config, if there is one.
func userSSHConfig() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	file := filepath.Join(home, ".ssh", "config")
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}
