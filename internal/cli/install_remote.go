package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/discovery"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/nix"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/secret"
	"nixos-staged-hive/internal/stage/install"
	"nixos-staged-hive/internal/stage/setup"
)

// anywhere is the address that means: look for it.
const anywhere = "find"

// installRemote installs the machine that was started from the host's medium, and waits until it is the host.
func (h *house) installRemote(ctx context.Context, l *loaded, host hive.Host, o installOptions, sink progress.Sink, end func()) error {
	bundle, err := h.remoteBundle(ctx, l, host, o, sink)
	if err != nil {
		return err
	}
	m, err := install.Reach(ctx, h.quest(host, o, bundle, sink))
	if err != nil {
		return err
	}
	defer m.Close() //nolint:errcheck // files of this run
	order := install.Order{
		Host: host, Mode: hive.Mode(o.mode), Then: o.then, Secrets: bundle, Patience: o.patience,
		Watch: shown(sink), Connection: func(text string) { task(sink, "connection", progress.Running, text) },
		Confirm: func(ctx context.Context, i hive.Intent) ([]string, error) { return h.agree(ctx, i, o) },
	}
	if o.json {
		order.Watch = h.jsonLines()
	}
	if o.dry {
		return h.dryRemote(ctx, m, host, o)
	}
	result, err := install.Install(ctx, m, order)
	end()
	if err != nil {
		return err
	}
	if setup.Then(o.then) != setup.Boot {
		return h.ui.Text(fmt.Sprintf("%s is installed\n", host.Name))
	}
	again, finish := h.progress()
	defer finish()
	e := h.expect(l, host, o, again)
	// the second is where a forwarded port leads to, behind which both have the same address
	e.Addresses = append(e.Addresses, m.Address, net.JoinHostPort(m.Address, strconv.Itoa(m.Port)))
	e.BootID, e.Toplevel = m.BootID, m.Host.Toplevel
	if !m.Pinned {
		e.MediumKey = m.Fingerprint
	}
	for _, c := range result.Intent.Machine.Cards {
		e.MACs = append(e.MACs, c.MAC)
	}
	arrived, err := install.Await(ctx, e)
	finish()
	if err != nil {
		return err
	}
	return h.tellArrived(arrived, o.json)
}

// remoteBundle is what the medium may lack. The hash of a password is evaluated only where there is one.
func (h *house) remoteBundle(ctx context.Context, l *loaded, host hive.Host, o installOptions, sink progress.Sink) (*secret.Bundle, error) {
	if o.noSecrets {
		return nil, nil
	}
	var p password
	if hive.PlanOf(host).Deployer.HasPassword {
		var err error
		if p, err = h.evaluatePassword(ctx, l, host, sink); err != nil {
			return nil, err
		}
	}
	b, err := h.bundle(l, host, p)
	return &b, err
}

func (h *house) evaluatePassword(ctx context.Context, l *loaded, host hive.Host, sink progress.Sink) (password, error) {
	word, err := unguessable()
	if err != nil {
		return password{}, err
	}
	var p password
	var broken error
	_, err = nix.Client{Run: h.run}.Plan(ctx, nix.Build{
		File: l.workspace.File("generated", "default.nix"), Attrs: []string{nix.AttrPath(host.Name, "iso")},
		Progress: sink, Task: "evaluate the medium", Host: host.Name, Word: word,
		// without a cache to ask: what would be built is not wanted
		Settings: map[string]string{"substituters": ""},
		Told:     func(text string) { broken = json.Unmarshal([]byte(text), &p) },
	})
	return p, errors.Join(err, broken)
}

func (h *house) login(user string) install.Login {
	return install.Login{Local: h.run, User: user, UserConfig: userSSHConfig()}
}

func (h *house) quest(host hive.Host, o installOptions, b *secret.Bundle, sink progress.Sink) install.Quest {
	q := install.Quest{Login: h.login("root"), Host: host, Fingerprint: o.finger, Patience: o.patience, Progress: sink}
	if b != nil {
		q.HostKey = b.HostKeyPub
	}
	if o.remote == anywhere {
		q.Find = discovery.Find
	} else {
		q.Addresses = []string{o.remote}
	}
	if h.ui.InTerminal {
		q.Trust = func(ctx context.Context, address, fingerprint string) (bool, error) {
			return h.ui.Confirm(ctx, fmt.Sprintf("%s shows a key that is not known here: %s. Does the machine's screen show the same?", address, fingerprint), false)
		}
	}
	return q
}

// agree shows what will be destroyed, and takes what was given as --confirm or is typed.
func (h *house) agree(ctx context.Context, i hive.Intent, o installOptions) ([]string, error) {
	if len(o.confirm) > 0 || len(i.Confirm) == 0 {
		return o.confirm, nil
	}
	if err := h.showIntent(i); err != nil {
		return nil, err
	}
	return h.typeSerials(ctx, i)
}

// dryRemote shows what would be done on the machine.
func (h *house) dryRemote(ctx context.Context, m *install.Medium, host hive.Host, o installOptions) error {
	intent, err := m.Intent(ctx, host, hive.Mode(o.mode))
	if err != nil {
		return err
	}
	if o.json {
		return h.ui.JSON(intent)
	}
	return h.showIntent(intent)
}

func (h *house) expect(l *loaded, host hive.Host, o installOptions, sink progress.Sink) install.Expect {
	e := install.Expect{Login: h.login(""), Host: host, Patience: o.patience, Progress: sink}
	if v, err := h.vault(l.workspace.Dir); err == nil {
		e.HostKey, _ = v.HostKey(host.Name)
	}
	return e
}

// await waits for a host that is being installed at its machine.
func (h *house) await(ctx context.Context, l *loaded, host hive.Host, o installOptions) error {
	sink, end := h.progress()
	defer end()
	arrived, err := install.Await(ctx, h.expect(l, host, o, sink))
	end()
	if err != nil {
		return err
	}
	return h.tellArrived(arrived, o.json)
}

func (h *house) tellArrived(a install.Arrived, asJSON bool) error {
	if asJSON {
		return h.ui.JSON(a)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s answers at %s as its mini system, with the key that is pinned (%s)\n", a.Host, a.Address, a.State)
	for _, unit := range a.Failed {
		fmt.Fprintf(&text, "  failed: %s\n", unit)
	}
	for _, s := range a.Next {
		fmt.Fprintf(&text, "%s\n  %s\n", s.Why, s.Command)
	}
	return h.ui.Text(text.String())
}
