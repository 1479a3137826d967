package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/discovery"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/secret"
	"nixos-staged-hive/internal/stage/setup"
	"nixos-staged-hive/internal/stage/setup/disks"
	"nixos-staged-hive/internal/stage/setup/machine"
	"nixos-staged-hive/internal/ui"
)

func setupDisksCommand(h *house, o *mediumOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disks",
		Short: "List the disks of this machine, with lines for its definition and a disko tree to start from",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := machine.Probe(cmd.Context(), h.run)
			if err != nil {
				return err
			}
			if o.json {
				return h.ui.JSON(found.Devices)
			}
			return h.showMachine(found, "disks")
		},
	}
	o.jsonFlag(cmd)
	return cmd
}

func setupHardwareCommand(h *house, o *mediumOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hardware",
		Short: "Say what this machine is: disks, network cards, firmware, memory",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := machine.Probe(cmd.Context(), h.run)
			if err != nil {
				return err
			}
			if o.json {
				return h.ui.JSON(found)
			}
			return h.showMachine(found, "")
		},
	}
	o.jsonFlag(cmd)
	return cmd
}

// showMachine shows what a machine is, and what to write into a definition. only is the title of the one table wanted; empty is all.
func (h *house) showMachine(m hive.Machine, only string) error {
	for _, t := range machine.Tables(m) {
		if only != "" && !strings.EqualFold(t.Title, only) {
			continue
		}
		if err := h.ui.Text(t.Title + "\n"); err != nil {
			return err
		}
		if err := h.ui.Table(ui.Table{Header: t.Columns, Rows: t.Rows}); err != nil {
			return err
		}
	}
	var text strings.Builder
	text.WriteString("\nlines for the definition\n")
	for _, l := range machine.Lines(m) {
		fmt.Fprintf(&text, "  # %s\n  %s\n", l.About, l.Text)
	}
	if usable := machine.Usable(m); len(usable) > 0 {
		largest := slices.MaxFunc(usable, func(a, b hive.Device) int { return cmp.Compare(a.Bytes, b.Bytes) })
		tree, err := machine.Definition(m, largest)
		if err != nil {
			return err
		}
		text.WriteString("\na whole definition to start from\n")
		text.WriteString(tree)
	}
	return h.ui.Text(text.String())
}

func setupUndoCommand(h *house, o *mediumOptions) *cobra.Command {
	var confirm string
	cmd := &cobra.Command{
		Use:   "undo [DISK]",
		Short: "Write back the partition tables and signatures that an installation wiped, as long as the medium runs",
		Long: `undo lists what was saved before disks were wiped. With a disk it writes that back. What was formatted or written
since is not restored; what only lost its table and signatures is there again.`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := h.installer(o)
			if err != nil {
				return err
			}
			kits, err := in.Undo()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				table := ui.Table{Header: []string{"DISK", "DEVICE", "MODEL", "SERIAL"}}
				for _, k := range kits {
					table.Rows = append(table.Rows, []string{k.Disk, k.Device, k.Model, k.Serial})
				}
				return h.ui.Table(table)
			}
			at := slices.IndexFunc(kits, func(k disks.Kit) bool { return k.Disk == args[0] })
			if at < 0 {
				return &refusal{fmt.Errorf("nothing was saved of a disk %s", args[0]), "`setup undo` lists what was", codeUsage}
			}
			serial := kits[at].Serial
			if serial == "" {
				serial = kits[at].Device
			}
			if err := h.typed(cmd.Context(), fmt.Sprintf("what was written to %s since is destroyed; type %s to go on", kits[at].Device, serial), serial, confirm); err != nil {
				return err
			}
			return in.Restore(cmd.Context(), kits[at])
		},
	}
	cmd.Flags().StringVar(&confirm, "confirm", "", "the serial number of the disk, instead of typing it")
	return cmd
}

// typed wants one word, from the flag or from a person.
func (h *house) typed(ctx context.Context, question, word, given string) error {
	if given == "" {
		answer, err := h.ui.Ask(ctx, question, "", nil)
		if err != nil {
			return err
		}
		given = answer
	}
	if given != word {
		return &refusal{fmt.Errorf("%q is not %s: nothing was changed", given, word), "", codeRefused}
	}
	return nil
}

func setupAnnounceCommand(h *house, o *mediumOptions) *cobra.Command {
	return &cobra.Command{
		Use:    "announce",
		Short:  "Say on the network that the medium is here, until it is ended; done by the medium itself",
		Hidden: true,
		Args:   usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, err := h.installer(o)
			if err != nil {
				return err
			}
			return discovery.Announce(cmd.Context(), func() discovery.Medium { return announcement(in) })
		},
	}
}

// announcement is what the medium says of itself now.
func announcement(in setup.Installer) discovery.Medium {
	name, _ := os.Hostname()
	m := discovery.Medium{Name: name, State: in.State(), Fingerprint: hostKeyFingerprint(), Port: 22}
	for _, host := range in.Manifest.Hosts {
		m.Hosts = append(m.Hosts, host.Name)
		if len(host.Plan.SSHPorts) > 0 {
			m.Port = host.Plan.SSHPorts[0]
		}
	}
	if len(in.Manifest.Hosts) > 1 {
		m.Port = 22
	}
	return m
}

// hostKeyFingerprint is that of this machine's SSH host key; empty while there is none.
func hostKeyFingerprint() string {
	public, err := os.ReadFile("/etc/ssh/ssh_host_ed25519_key.pub")
	if err != nil {
		return ""
	}
	fingerprint, err := secret.Fingerprint(strings.TrimSpace(string(public)))
	if err != nil {
		return ""
	}
	return fingerprint
}

// setupFormatCommand is the original project's command: it lays out and mounts the disks, and installs nothing.
func setupFormatCommand(h *house, o *mediumOptions) *cobra.Command {
	var r setupRun
	cmd := &cobra.Command{
		Use:   "disko-format",
		Short: "Lay out, format and mount the disks, and install nothing",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r.order.Until = "mount"
			r.then = string(setup.Stay)
			if err := r.complete(); err != nil {
				return err
			}
			if len(r.order.Confirm) == 0 {
				in, err := h.installer(o)
				if err != nil {
					return err
				}
				if r.order.Confirm, err = h.confirmIntent(cmd.Context(), in, r.order); err != nil {
					return err
				}
			}
			return h.setupRun(cmd.Context(), o, r)
		},
	}
	r.flags(cmd)
	cmd.Flags().StringSliceVar(&r.order.Confirm, "confirm", nil, "serial numbers of the disks whose contents may be destroyed")
	return cmd
}

// confirmIntent shows what would be done and asks for each serial number.
func (h *house) confirmIntent(ctx context.Context, in setup.Installer, o setup.Order) ([]string, error) {
	intent, err := in.Intent(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := h.showIntent(intent); err != nil {
		return nil, err
	}
	if intent.Refused() {
		return nil, &setup.RefusedError{Intent: intent}
	}
	return h.typeSerials(ctx, intent)
}

// typeSerials asks for the serial number of each disk that would be destroyed.
func (h *house) typeSerials(ctx context.Context, intent hive.Intent) ([]string, error) {
	var typed []string
	for _, t := range intent.Targets {
		if t.Fate != machine.FateDestroy {
			continue
		}
		word := setup.Confirmation(t.Device)
		question := fmt.Sprintf("everything on disk %s (%s %s) is destroyed: %s; type %s to agree", t.Disk.Name, t.Device.Path, t.Device.Model, strings.Join(t.Contents, ", "), word)
		if err := h.typed(ctx, question, word, ""); err != nil {
			return nil, err
		}
		typed = append(typed, word)
	}
	return typed, nil
}

// converse installs in a dialogue on an ordinary terminal: what is not known is asked.
func (h *house) converse(ctx context.Context, o *mediumOptions) error {
	in, err := h.installer(o)
	if err != nil {
		return err
	}
	order := setup.Order{Mode: hive.Fresh, Terminal: h.ui.InTerminal}
	var choice *machine.NeedsChoiceError
	if _, err := in.Host(ctx, ""); errors.As(err, &choice) {
		if order.Host, err = h.ui.Choose(ctx, "which host is this machine to become", choice.Hosts, choice.Hosts[0]); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	mode, err := h.ui.Choose(ctx, "how", []string{
		"fresh: wipe and lay out the disks", "keep: format nothing, install beside the data", "add: format blank disks alone",
	}, "fresh: wipe and lay out the disks")
	if err != nil {
		return err
	}
	word, _, _ := strings.Cut(mode, ":")
	order.Mode = hive.Mode(word)
	if order.Confirm, err = h.confirmIntent(ctx, in, order); err != nil {
		return err
	}
	if len(order.Confirm) == 0 {
		begin, err := h.ui.Confirm(ctx, "begin", false)
		if err != nil || !begin {
			return err
		}
	}
	return h.setupRun(ctx, o, setupRun{order: order})
}
