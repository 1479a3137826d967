package rehearse

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"nixos-staged-hive/internal/nix"
	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/vm"
)

// How long ssh may take to connect, and how long a connection may be silent: a machine without hardware virtualisation needs many seconds for a
// key exchange while it starts.
const (
	connectTimeout = 45 * time.Second
	keepAlive      = 60 * time.Second
)

// access says how all guests are reached. Nobody else can be behind a port of this computer that we hold, and a machine has no host key yet that could
// be known.
func access(local run.Runner, guests []*guest, key loginKey) (*remote.Access, error) {
	var targets []remote.Target
	for _, g := range guests {
		for _, name := range []string{g.reach.forward, g.reach.forward + setupForward} {
			targets = append(targets, remote.Target{
				Name: name, Address: "127.0.0.1", Port: g.segment.Port(name), User: "root",
				IdentityFiles: []string{key.file}, FirstContact: remote.Ignore,
			})
		}
	}
	a, err := remote.Open(local, targets, remote.Options{ConnectTimeout: connectTimeout, KeepAlive: keepAlive})
	if err != nil {
		return nil, fmt.Errorf("prepare logging in: %w", err)
	}
	return a, nil
}

// login waits until root gets in, while the machine lives.
func (g *guest) login(ctx context.Context) (string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go watch(ctx, cancel, g.running)
	if encrypted(g.host) && g.stage != Medium {
		go unlock(ctx, g.running)
	}
	// The key is refused for as long as the machine has not made root's file of keys.
	o := remote.WaitOptions{Attempt: connectTimeout, Denied: g.patience, Progress: g.progress, Task: "log in"}
	if err := g.access.Wait(ctx, g.target(), o); err != nil {
		return "", err
	}
	g.shell = g.access.Runner(g.target())
	return "", nil
}

// watch ends a wait that is of no use any more: the machine is off, or its kernel has given up.
func watch(ctx context.Context, cancel context.CancelCauseFunc, m *vm.Running) {
	go func() {
		if m.AwaitConsole(ctx, "Kernel panic - not syncing") == nil {
			cancel(errors.New("its kernel panicked; the console says why"))
		}
	}()
	if end, err := m.Wait(ctx); err == nil {
		cancel(fmt.Errorf("the machine has ended: %s", end))
	}
}

// passphrase opens the encrypted disks of a rehearsal. Its keys are in the same place on most layouts, and mean nothing to a boot menu.
const passphrase = "jjjjjjjj"

// unlock types the passphrase again and again once Linux runs: whether it waits for one shows on its screen alone. Typed too early it waits in
// the console's buffer, typed too late it is the name of nobody at a login prompt.
func unlock(ctx context.Context, m *vm.Running) {
	const every = 15 * time.Second
	if m.AwaitConsole(ctx, "Linux version") != nil {
		return
	}
	for pause(ctx, every) == nil {
		if m.Type(ctx, passphrase+"\n") != nil {
			return
		}
	}
}

// target is the name under which the sshd answers that runs in a stage: the medium's listens on 22 whatever the definition says.
func (g *guest) target() string {
	if g.stage == Medium {
		return g.reach.forward + setupForward
	}
	return g.reach.forward
}

// copy brings a store path with all it needs to the machine.
func (g *guest) copy(ctx context.Context, path string) error {
	return nix.Client{Run: g.local}.Copy(ctx, nix.Copy{
		Paths: []string{path}, To: g.target(), Environment: g.access.Environment(), Progress: g.progress, Host: g.host.Name,
	})
}

// command is a line for the user's own shell that logs in to the machine as it is left.
func (g *guest) command(key loginKey) string {
	if g.running == nil {
		return ""
	}
	return run.Quote("ssh", "-i", key.file, "-p", strconv.Itoa(g.segment.Port(g.target())), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "IdentitiesOnly=yes", "root@127.0.0.1")
}
