package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/stage/setup"
)

// installOptions are the flags of `install`.
type installOptions struct {
	name       string
	all        bool
	device     string
	remote     string
	dry, skip  bool
	mbr, json  bool
	confirm    []string
	noVerify   bool
	overwrite  bool
	wait       bool
	noSecrets  bool
	passphrase string // file
	program    string
	mode, then string
	finger     string
	patience   time.Duration
	generate   generateOptions
}

func installCommand(h *house) *cobra.Command {
	var o installOptions
	cmd := &cobra.Command{
		Use:     "install (-n NAME | --all) [-d DEVICE|FILE] | -n NAME --remote ADDRESS",
		GroupID: "hosts",
		Short:   "Build the installation medium of a host and write it, or install a host over SSH",
		Long: `Stage 0 builds the installation image of a host (-n NAME), or one for all of them (--all), and writes it to a medium
(-d DEVICE) or a file. Without -d it lists the devices that may be meant. A device is written only if it looks like a medium,
nothing uses it, and its serial number is typed (or given as --confirm).

Stage 1 installs the host: at the machine, unattended where its definition says so (hive.setup.unattended), or from here over
SSH (--remote ADDRESS; --remote find looks on the local network). Then it waits until the host answers as its mini system.

` + exitCodes,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return h.install(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.name, "name", "n", "", "the host")
	f.BoolVar(&o.all, "all", false, "one medium for all hosts of this computer's platform")
	f.StringVarP(&o.device, "device", "d", "", "the device to write, or a file")
	f.StringVar(&o.remote, "remote", "", "install the machine at this address, which was started from the host's medium (find: look for it)")
	f.BoolVar(&o.dry, "dry-run", false, "print what would be run")
	f.BoolVar(&o.dry, "dry", false, "the same, as the original project spelled it")
	f.BoolVarP(&o.mbr, "mbr-boot", "e", false, "of the original project: without a meaning, every image starts on BIOS and UEFI")
	f.StringSliceVar(&o.confirm, "confirm", nil, "serial numbers of what may be overwritten: of the medium, and with --remote of the machine's disks")
	f.BoolVar(&o.noVerify, "no-verify", false, "do not read the medium back")
	f.BoolVar(&o.overwrite, "overwrite", false, "replace a file that exists")
	f.BoolVar(&o.wait, "wait", false, "wait until the host answers as its mini system")
	f.BoolVar(&o.noSecrets, "no-secrets", false, "put no host keys and no password onto the medium")
	f.StringVar(&o.passphrase, "passphrase-file", "", "with --all: seal the hosts' secrets with the first line of this file (default: they are left out)")
	f.StringVar(&o.program, "setup-program", "", "the program for the medium (default: this one)")
	f.StringVar(&o.mode, "mode", string(hive.Fresh), "with --remote: fresh, keep or add; see docs/install.md")
	f.StringVar(&o.then, "then", string(setup.Boot), "with --remote, afterwards: boot, poweroff or stay")
	f.StringVar(&o.finger, "fingerprint", "", "with --remote: the fingerprint on the machine's screen, where its key is not known")
	f.DurationVar(&o.patience, "patience", 0, "with --remote or --wait: how long to wait for the machine (default 10m)")
	f.BoolVarP(&o.skip, "skip-generate", "s", false, "use generated/ as it is")
	f.BoolVar(&o.json, "json", false, "print JSON: with --remote the events, else what was written")
	_ = f.MarkHidden("dry")
	writeFlags(&o.generate, cmd)
	evaluationFlags(h, cmd)
	return cmd
}

// check tells all that makes no sense.
func (o installOptions) check() error {
	var problems []error
	add := func(wrong bool, text string) {
		if wrong {
			problems = append(problems, &usageError{errors.New(text)})
		}
	}
	add(o.name == "" && !o.all, "which host? -n NAME, or --all")
	add(o.name != "" && o.all, "-n and --all exclude each other")
	add(o.remote != "" && o.all, "--remote installs one host: name it with -n")
	add(o.remote != "" && o.device != "", "--remote and -d exclude each other: the machine was started from its medium already")
	add(o.passphrase != "" && !o.all, "--passphrase-file is for --all: the medium of one host is opened by nobody but the machine")
	add(o.wait && o.all, "--wait waits for one host")
	add(!slices.Contains(hive.Modes(), hive.Mode(o.mode)), fmt.Sprintf("--mode %s: the modes are %v", o.mode, hive.Modes()))
	add(!slices.Contains([]setup.Then{setup.Boot, setup.PowerOff, setup.Stay}, setup.Then(o.then)), fmt.Sprintf("--then %s: boot, poweroff or stay", o.then))
	add(o.patience < 0, "--patience wants a duration that is not below zero")
	return errors.Join(problems...)
}

func (h *house) install(ctx context.Context, o installOptions) error {
	if o.mbr {
		h.ui.Note("-e has no meaning any more: every image starts on BIOS and on UEFI, from a stick and from a disc")
	}
	sink, end := h.progress()
	defer end()
	l, err := h.load(ctx, false, sink)
	if err != nil {
		return err
	}
	hosts, err := l.installable(o)
	if err != nil {
		return err
	}
	if !o.skip && !o.dry {
		if _, err := h.write(ctx, l, o.generate, nil, sink); err != nil {
			return err
		}
	}
	if o.remote != "" {
		return h.installRemote(ctx, l, hosts[0], o, sink, end)
	}
	return h.makeMedium(ctx, l, hosts, o, sink, end)
}

// installable are the hosts that are meant; with --all those of one platform, since a medium starts on one kind of processor.
func (l *loaded) installable(o installOptions) ([]hive.Host, error) {
	if !o.all {
		return l.chosen([]string{o.name})
	}
	hosts, err := l.chosen(nil)
	if err != nil {
		return nil, err
	}
	platform := thisPlatform()
	var fitting, others []string
	hosts = slices.DeleteFunc(slices.Clone(hosts), func(h hive.Host) bool {
		if h.System == platform {
			fitting = append(fitting, h.Name)
			return false
		}
		others = append(others, h.Name+" ("+h.System+")")
		return true
	})
	if len(fitting) == 0 {
		return nil, &refusal{fmt.Errorf("no host is of this computer's platform %s: %s", platform, strings.Join(others, ", ")), "make a medium of each with -n", codeUsage}
	}
	return hosts, nil
}

// attribute is what of the generated tree is built for hosts.
func (o installOptions) attribute(hosts []hive.Host) (path []string, isCard bool) {
	if o.all {
		return []string{"_all", hosts[0].System, "iso"}, false
	}
	if hosts[0].Boot.Firmware == "board" {
		return []string{hosts[0].Name, "sd"}, true
	}
	return []string{hosts[0].Name, "iso"}, false
}

func (l *loaded) stateDir(names ...string) string {
	return l.workspace.File(append([]string{".staged-hive"}, names...)...)
}

// imageIn finds the one image file in what was built.
func imageIn(output string, isCard bool) (string, error) {
	pattern := filepath.Join(output, "iso", "*.iso")
	if isCard {
		pattern = filepath.Join(output, "sd-image", "*.img*")
	}
	images, err := filepath.Glob(pattern)
	if err != nil || len(images) != 1 {
		return "", fmt.Errorf("%s holds %d images, not one", output, len(images))
	}
	return images[0], nil
}

// task is an event of this command itself.
func task(sink progress.Sink, name string, state progress.State, text string) {
	sink.Send(progress.Event{Task: name, State: state, Text: text})
}
