package rehearse

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
)

// well proves that the machine runs the system it should, was started with the one it should, and is what the definition says. All that is
// wrong is told at once. Units that failed are no failure of the rehearsal, since a virtual machine lacks much of what they may
// look for; they are told.
func (g *guest) well(ctx context.Context, current, booted string) (string, error) {
	state, failed, err := g.settled(ctx)
	if err != nil {
		return "", err
	}
	wrong := []error{
		g.link(ctx, "/run/current-system", current),
		g.link(ctx, "/run/booted-system", booted),
		g.link(ctx, "/nix/var/nix/profiles/system", current),
		g.named(ctx),
		g.mounts(ctx),
		g.addresses(ctx),
	}
	if state != "running" && state != "degraded" {
		wrong = append(wrong, fmt.Errorf("systemd is %s, not running", state))
	}
	if err := errors.Join(wrong...); err != nil {
		return "", err
	}
	if len(failed) > 0 {
		return "units that failed: " + strings.Join(failed, ", "), nil
	}
	return "", nil
}

// settled waits until systemd has started what it starts at boot, and names the units that failed.
func (g *guest) settled(ctx context.Context) (state string, failed []string, err error) {
	limit, cancel := context.WithTimeout(ctx, g.patience)
	defer cancel()
	for {
		// its exit status only repeats the word
		out, err := run.Output(limit, g.shell, run.Command{Name: "systemctl", Args: []string{"is-system-running"}})
		if state = strings.TrimSpace(string(out)); state == "" {
			return "", nil, fmt.Errorf("ask systemd how it is: %w", err)
		}
		if state != "starting" && state != "initializing" {
			break
		}
		if err := pause(limit, 2*time.Second); err != nil {
			return state, nil, fmt.Errorf("systemd is still %s: %w", state, err)
		}
	}
	out, err := run.Output(ctx, g.shell, run.Command{Name: "systemctl", Args: []string{"list-units", "--failed", "--plain", "--no-legend", "--full"}})
	if err != nil {
		return state, nil, fmt.Errorf("list the units that failed: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) > 0 {
			failed = append(failed, fields[0])
		}
	}
	return state, failed, nil
}

// link checks where a link of the machine leads in the end.
func (g *guest) link(ctx context.Context, name, want string) error {
	out, err := run.Output(ctx, g.shell, run.Command{Name: "readlink", Args: []string{"-f", name}})
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if got := strings.TrimSpace(string(out)); got != want {
		return fmt.Errorf("%s is %s, not %s", name, got, want)
	}
	return nil
}

func (g *guest) named(ctx context.Context) error {
	out, err := run.Output(ctx, g.shell, run.Command{Name: "cat", Args: []string{"/proc/sys/kernel/hostname"}})
	if err != nil {
		return fmt.Errorf("read the host name: %w", err)
	}
	// with networking.fqdn the kernel may have the full name
	if got := strings.TrimSpace(string(out)); got != g.host.HostName && got != g.host.FQDN() {
		return fmt.Errorf("the host is named %s, not %s", got, g.host.HostName)
	}
	return nil
}

// mounts compares what is mounted with the file systems of the definition.
func (g *guest) mounts(ctx context.Context) error {
	type mount struct {
		Target string `json:"target"`
		Type   string `json:"fstype"`
	}
	type mounts struct {
		All []mount `json:"filesystems"`
	}
	found, err := run.JSON[mounts](ctx, g.shell, run.Command{Name: "findmnt", Args: []string{"--json", "--list", "--output", "TARGET,FSTYPE"}})
	if err != nil {
		return fmt.Errorf("list what is mounted: %w", err)
	}
	var wrong []error
	for _, fs := range g.host.Storage.FileSystems {
		if optional(fs) {
			continue
		}
		at := path.Clean(fs.MountPoint)
		// the last one is on top
		i := len(found.All) - 1
		for i >= 0 && found.All[i].Target != at {
			i--
		}
		switch {
		case i < 0:
			wrong = append(wrong, fmt.Errorf("%s is not mounted", at))
		case fs.Type != "auto" && fs.Type != "none" && found.All[i].Type != fs.Type:
			wrong = append(wrong, fmt.Errorf("%s is mounted as %s, not %s", at, found.All[i].Type, fs.Type))
		}
	}
	return errors.Join(wrong...)
}

// optional reports whether a machine is well without the file system.
func optional(fs hive.FileSystem) bool {
	return slices.ContainsFunc(fs.Options, func(o string) bool {
		return o == "noauto" || o == "nofail" || o == "x-systemd.automount" || o == "bind"
	}) || fs.Type == "swap"
}

// addresses checks that the machine has all static addresses of its definition.
func (g *guest) addresses(ctx context.Context) error {
	type card struct {
		Name      string `json:"ifname"`
		Addresses []struct {
			Local  string `json:"local"`
			Prefix int    `json:"prefixlen"`
		} `json:"addr_info"`
	}
	cards, err := run.JSON[[]card](ctx, g.shell, run.Command{Name: "ip", Args: []string{"-json", "address"}})
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	has := map[netip.Prefix]bool{}
	for _, c := range cards {
		for _, a := range c.Addresses {
			if local, err := netip.ParseAddr(a.Local); err == nil {
				has[netip.PrefixFrom(local, a.Prefix)] = true
			}
		}
	}
	var wrong []error
	for _, i := range g.host.Network.Interfaces {
		for _, text := range i.Addresses {
			if p, err := netip.ParsePrefix(text); err == nil && !has[p] {
				wrong = append(wrong, fmt.Errorf("no interface has the address %s", p))
			}
		}
	}
	return errors.Join(wrong...)
}

// neighbours checks that the host reaches the others in its network, by address and by the names that hive.hosts gives.
func (g *guest) neighbours(ctx context.Context, all []*guest) (string, error) {
	var reached []string
	var wrong []error
	for _, other := range all {
		address, static := hive.PrimaryAddress(other.host)
		if other == g || other.reach.network != g.reach.network || other.outcome.err != nil || !static {
			continue
		}
		err := g.shell.Run(ctx, run.Command{Name: "ping", Args: []string{"-q", "-c", "1", "-w", "30", address.String()}})
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s does not answer at %s: %w", other.host.Name, address, err))
			continue
		}
		// an echo proves little: TCP takes other ways through a gateway
		if err := g.shell.Run(ctx, run.Command{Name: "bash", Args: []string{"-c", fmt.Sprintf("read -t 60 banner </dev/tcp/%s/%d", address, sshPort(other.host))}}); err != nil {
			wrong = append(wrong, fmt.Errorf("the SSH of %s does not answer at %s: %w", other.host.Name, address, err))
			continue
		}
		reached = append(reached, other.host.Name)
	}
	return strings.Join(reached, ", "), errors.Join(wrong...)
}
