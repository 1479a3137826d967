package rehearse

import (
	"context"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/vm"
)

// step is one thing that happens to a host. What it returns is its line in the timeline.
type step struct {
	stage   Stage // the stage it leads to
	name    string
	standIn bool // replaced by the product's own stage when that is there
	do      func(*guest, context.Context) (string, error)
}

// journey is the whole way of a host, in order. After the last step of a stage the machine is saved as that stage.
func journey() []step {
	return []step{
		{Medium, "start the medium, with blank disks", false, (*guest).startMedium},
		{Medium, "log in to the medium", false, (*guest).login},
		{Medium, "is it the medium of this host", false, (*guest).checkMedium},

		{Mini, "lay out the disks that are only mounted", false, (*guest).layOutKept},
		{Mini, "format and mount", true, (*guest).format},
		{Mini, "install the mini system", true, (*guest).install},
		{Mini, "power off, take the medium out, start from disk", false, (*guest).startInstalled},
		{Mini, "log in to the mini system", false, (*guest).login},
		{Mini, "is it the mini system, and well", false, (*guest).checkMini},

		{Hive, "copy the full system", true, (*guest).push},
		{Hive, "switch to it", true, (*guest).activate},
		{Hive, "is it the full system, and well", false, (*guest).checkFull},
		{Hive, "restart", false, (*guest).restart},
		{Hive, "log in to the full system", false, (*guest).login},
		{Hive, "is it still, and well", false, (*guest).checkRestarted},
	}
}

// rest are the steps between two stages, the first left out.
func rest(from, until Stage) []step {
	var steps []step
	for _, s := range journey() {
		if from.before(s.stage) && !until.before(s.stage) {
			steps = append(steps, s)
		}
	}
	return steps
}

func (g *guest) startMedium(ctx context.Context) (string, error) {
	if err := g.lab.Erase(g.machine.Name); err != nil {
		return "", fmt.Errorf("blank the disks: %w", err)
	}
	return "", g.start(ctx, true, vm.StartOptions{})
}

// checkMedium asks the medium whose it is: a mix-up here would format the disks of another host.
func (g *guest) checkMedium(ctx context.Context) (string, error) {
	m, err := run.JSON[manifest](ctx, g.shell, run.Command{Name: "cat", Args: []string{"/etc/nixos-staged-hive/manifest.json"}})
	if err != nil {
		return "", fmt.Errorf("read the manifest of the medium: %w", err)
	}
	if m.Name != g.host.Name || m.System != g.built.Mini {
		return "", fmt.Errorf("the medium is that of %s with %s, not of %s with %s", m.Name, m.System, g.host.Name, g.built.Mini)
	}
	if m.Disko == "" {
		return "", fmt.Errorf("the medium has no script that formats: disko lays out no disk of this host")
	}
	g.manifest = m
	return "", nil
}

// manifest is what the medium says of itself, see nix/stages/iso.nix.
type manifest struct {
	Name   string `json:"name"`
	System string `json:"system"`
	Disko  string `json:"diskoScript"`
	Mount  string `json:"mountScript"`
}

// layOutKept makes the disks that setup only mounts what they are in real life: full of something to keep.
func (g *guest) layOutKept(ctx context.Context) (string, error) {
	if g.built.Kept == "" {
		return "there are none", nil
	}
	if err := g.copy(ctx, g.built.Kept); err != nil {
		return "", err
	}
	for _, script := range []string{g.built.Kept, "umount -R /mnt"} {
		if err := g.sh(ctx, script); err != nil {
			return "", err
		}
	}
	return "", nil
}

// format stands in for setup's phases: the medium's own script of disko, and nothing of what proves and protects.
func (g *guest) format(ctx context.Context) (string, error) {
	if err := g.putSecrets(ctx); err != nil {
		return "", err
	}
	if err := g.sh(ctx, g.manifest.Disko); err != nil {
		return "", err
	}
	// disko mounts only what it formatted
	if err := g.sh(ctx, g.manifest.Mount); err != nil {
		return "", err
	}
	out, err := run.Output(ctx, g.shell, run.Command{Name: "findmnt", Args: []string{"-rno", "TARGET,FSTYPE", "-R", "/mnt"}})
	if err != nil {
		return "", fmt.Errorf("list what is mounted: %w", err)
	}
	return mounted(string(out)), nil
}

// putSecrets writes the passphrase of the rehearsal into each file that the script reads one from.
func (g *guest) putSecrets(ctx context.Context) error {
	if g.built.Secrets == "" {
		return nil
	}
	list, err := os.ReadFile(g.built.Secrets)
	if err != nil {
		return fmt.Errorf("read where passphrases are expected: %w", err)
	}
	for _, file := range strings.Split(strings.TrimSpace(string(list)), "\n") {
		write := run.Quote("mkdir", "-p", path.Dir(file)) + " && printf %s " + run.Quote(passphrase) + " >" + run.Quote(file)
		if err := g.sh(ctx, write); err != nil {
			return err
		}
	}
	return nil
}

// mounted turns findmnt's lines into one: "/ ext4, /boot vfat".
func mounted(lines string) string {
	var all []string
	for line := range strings.Lines(lines) {
		target, kind, _ := strings.Cut(strings.TrimSpace(line), " ")
		target = strings.TrimPrefix(target, "/mnt")
		if target == "" {
			target = "/"
		}
		all = append(all, target+" "+kind)
	}
	return strings.Join(all, ", ")
}

// install stands in for setup's installation.
func (g *guest) install(ctx context.Context) (string, error) {
	install := run.Quote("nixos-install", "--system", g.manifest.System, "--no-root-passwd", "--no-channel-copy", "--substituters", "")
	if err := g.sh(ctx, install); err != nil {
		return "", err
	}
	return "", g.sh(ctx, "mkdir -p /mnt/etc/nixos && cp -rL /etc/nixos/configuration.nix /etc/nixos/host.json /mnt/etc/nixos/ && umount -R /mnt")
}

func (g *guest) startInstalled(ctx context.Context) (string, error) {
	if err := g.off(ctx); err != nil {
		return "", err
	}
	if err := g.saveInstalled(ctx); err != nil {
		return "", err
	}
	return "", g.start(ctx, false, vm.StartOptions{})
}

func (g *guest) checkMini(ctx context.Context) (string, error) {
	return g.well(ctx, g.built.Mini, g.built.Mini)
}

// push stands in for Colmena's copying.
func (g *guest) push(ctx context.Context) (string, error) {
	return "", g.copy(ctx, g.built.Full)
}

// activate stands in for the guarded activation. It runs detached from the connection, as the real one does: a switch that restarts the network
// would end it half way.
func (g *guest) activate(ctx context.Context) (string, error) {
	profile := "/nix/var/nix/profiles/system"
	if err := g.sh(ctx, run.Quote("nix-env", "--profile", profile, "--set", g.built.Full)); err != nil {
		return "", err
	}
	unit := "rehearsal-switch"
	if err := g.sh(ctx, run.Quote("systemd-run", "--quiet", "--unit="+unit, "--service-type=exec", "--property=RemainAfterExit=yes",
		g.built.Full+"/bin/switch-to-configuration", "switch")); err != nil {
		return "", err
	}
	return g.outcomeOf(ctx, unit)
}

func (g *guest) checkFull(ctx context.Context) (string, error) {
	return g.well(ctx, g.built.Full, g.built.Mini)
}

func (g *guest) restart(ctx context.Context) (string, error) {
	if err := g.off(ctx); err != nil {
		return "", err
	}
	return "", g.start(ctx, false, vm.StartOptions{})
}

func (g *guest) checkRestarted(ctx context.Context) (string, error) {
	return g.well(ctx, g.built.Full, g.built.Full)
}

// pause waits between two looks at something that takes a while.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait: %w", context.Cause(ctx))
	case <-time.After(d):
		return nil
	}
}
