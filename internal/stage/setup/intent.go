package setup

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/stage/setup/disks"
	"nixos-staged-hive/internal/stage/setup/machine"
)

// Intent says what an installation would do, and all that stands in its way. It only looks.
func (in Installer) Intent(ctx context.Context, o Order) (hive.Intent, error) {
	intent, _, err := in.intend(ctx, o)
	return intent, err
}

func (in Installer) intend(ctx context.Context, o Order) (hive.Intent, hive.MediumHost, error) {
	intent := hive.Intent{Schema: hive.ManifestSchema, Mode: o.Mode}
	if intent.Mode == "" {
		intent.Mode = hive.Fresh
	}
	if !slices.Contains(hive.Modes(), intent.Mode) {
		return intent, hive.MediumHost{}, fmt.Errorf("there is no mode %q: the modes are %v", intent.Mode, hive.Modes())
	}
	found, err := machine.Probe(ctx, in.Runner)
	if err != nil {
		return intent, hive.MediumHost{}, err
	}
	found.Devices = disks.Unknown(found.Devices)
	host, why, err := machine.Recognise(in.Manifest, found, o.Host)
	if err != nil {
		return intent, host, err
	}
	if intent.Running, intent.After, err = in.Standing(); err != nil {
		return intent, host, err
	}
	intent.Machine, intent.Host, intent.Why, intent.PlanHash, intent.Toplevel = found, host.Name, why, host.PlanHash, host.Toplevel
	if o.Unattended && !host.Plan.Unattended {
		return intent, host, &NobodyThereError{host.Name, "its definition does not say so (hive.setup.unattended)"}
	}
	if o.Unattended {
		// what the disks are decides the mode
		targets, _ := machine.Resolve(host.Plan, hive.Fresh, found)
		if d, err := decide(host.Name, targets); err == nil {
			intent.Mode = d.mode
		}
	}
	if err := in.judge(ctx, &intent, host, o); err != nil {
		return intent, host, err
	}
	if err := in.resumable(&intent, host); err != nil {
		return intent, host, err
	}
	return intent, host, in.furnished(&intent, host)
}

// Standing says whether an installation goes on, and the number of the event to follow it from, or the next one.
func (in Installer) Standing() (running bool, after int, err error) {
	running = in.Running()
	last, ended, err := in.lastEvents()
	if running {
		return running, ended, err
	}
	return running, last, err
}

// Host gives what the medium carries for a host, or for the one that the machine is recognised as.
func (in Installer) Host(ctx context.Context, name string) (hive.MediumHost, error) {
	found, err := machine.Probe(ctx, in.Runner)
	if err != nil {
		return hive.MediumHost{}, err
	}
	host, _, err := machine.Recognise(in.Manifest, found, name)
	return host, err
}

// judge finds the disks, and everything that is wrong.
func (in Installer) judge(ctx context.Context, intent *hive.Intent, host hive.MediumHost, o Order) error {
	targets, problems := machine.Resolve(host.Plan, intent.Mode, intent.Machine)
	for i, t := range targets {
		targets[i].Contents = disks.Contents(t.Device)
		if t.Fate == machine.FateDestroy {
			intent.Confirm = append(intent.Confirm, Confirmation(t.Device))
		}
	}
	intent.Targets = targets
	problems = append(problems, machine.OtherHosts(in.Manifest, intent.Machine, host.Name)...)
	problems = append(problems, machine.Fits(host.Plan, intent.Machine)...)
	members, err := (disks.Site{Run: in.Runner}).Members(ctx, intent.Machine.Devices)
	if err != nil {
		return err
	}
	problems = append(problems, disks.Collisions(host.Plan, targets, intent.Machine, members)...)
	problems = append(problems, disks.Spanning(host.Plan, targets, members)...)
	problems = append(problems, disks.MatchTables(host.Plan, intent.Mode, targets)...)
	problems = append(problems, machine.Drivers(host, targets)...)
	if host.Scripts.Mount == "" {
		problems = append(problems, hive.Problem{
			Host: host.Name, Option: "hive.partitioning.format", Severity: hive.Error, Rule: "no-disks",
			Message: "the definition lays out no disk, so setup does not know where to install",
			Way:     "declare the disks in hive.partitioning.format; `setup disks` prints a tree to start from",
		})
	}
	problems = append(problems, in.unanswered(host, o)...)
	if os.Geteuid() != 0 {
		problems = append(problems, hive.Problem{
			Host: host.Name, Severity: hive.Error, Rule: "not-root", Message: "only root can install", Way: "run it with sudo",
		})
	}
	if owner := in.installedOn(); owner != "" {
		problems = append(problems, hive.Problem{
			Host: host.Name, Severity: hive.Error, Rule: "not-the-medium",
			Message: fmt.Sprintf("the system that runs is installed on %s, and is no installation medium", owner),
			Way:     "start the machine from the medium",
		})
	}
	hive.SortProblems(problems)
	intent.Problems = problems
	return nil
}

// unanswered are questions of disko's scripts for which nobody is there. They ask for the passphrase of each LUKS device without a key file.
func (in Installer) unanswered(host hive.MediumHost, o Order) []hive.Problem {
	script, err := os.ReadFile(host.Scripts.Format)
	if err != nil || o.Terminal || !bytes.Contains(script, []byte("Enter password for")) {
		return nil
	}
	if _, err := os.Stat(in.file(passphraseFile)); err == nil {
		return nil
	}
	return []hive.Problem{{
		Host: host.Name, Severity: hive.Error, Rule: "no-passphrase",
		Message: "the passphrase of an encrypted disk has to be typed, and nobody is there to ask",
		Way: fmt.Sprintf("run `setup` in a shell on the machine, which asks; or keep the passphrase with the secrets of the host: `nixos-staged-hive secret set %s %s`",
			host.Name, filepath.Join(DefaultDir, passphraseFile)),
	}}
}

// Confirmation is what somebody types to agree that a disk is destroyed: its serial number, or its name where it has none.
func Confirmation(d hive.Device) string {
	if d.Serial != "" {
		return d.Serial
	}
	return filepath.Base(d.Path)
}

// installedOn is the device of a root file system that is none of a medium's: those are in RAM (tmpfs, overlay) or read-only images.
func (in Installer) installedOn() string {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return ""
	}
	root := ""
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) > 2 && fields[1] == "/" && !slices.Contains([]string{"tmpfs", "overlay", "rootfs", "ramfs", "squashfs"}, fields[2]) {
			root = fields[0]
		}
	}
	return root
}

// resumable says whether an earlier run of this very installation was interrupted while the medium ran on. One that a restart of the medium came
// after is found when the disks are mounted (take-up).
func (in Installer) resumable(intent *hive.Intent, host hive.MediumHost) error {
	j, err := in.Journal()
	if err != nil {
		return err
	}
	if of(j, host) && !j.Done && j.Mode == intent.Mode {
		intent.Resume = j
	}
	return nil
}

// furnished adds what the host cannot be installed without and the medium does not have.
func (in Installer) furnished(intent *hive.Intent, host hive.MediumHost) error {
	b, _, err := in.bundle(host.Name)
	if err != nil {
		return err
	}
	intent.Problems = append(intent.Problems, missingSecrets(host, b)...)
	return nil
}
