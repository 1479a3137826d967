package hosts

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/testbed/need"
)

// Suite is a release of Debian, chosen for the Nix it has.
type Suite string

// The suites. Newest moves: ask the host for the version of its Nix, do not assert it.
const (
	Bookworm Suite = "bookworm" // Nix 2.8.0
	Trixie   Suite = "trixie"   // Nix 2.26.3
	Newest   Suite = "sid"      // Nix 2.34 in November 2026
)

// Suites are all of them, the oldest Nix first.
func Suites() []Suite { return []Suite{Bookworm, Trixie, Newest} }

//go:embed recipe.sh
var recipe string

// Cache is where roots are kept, and where running hosts have their disks: STAGED_HIVE_LAB_CACHE or ~/.cache/nixos-staged-hive-lab.
// Nothing but the time of making it again is lost with it.
func Cache() (string, error) {
	if dir := os.Getenv("STAGED_HIVE_LAB_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".cache", "nixos-staged-hive-lab"), err
}

// Prepare makes the roots of these suites where the cache has none, some 40 seconds each, so that Up takes seconds. A test whose root
// cannot be had fails in CI and is skipped elsewhere; only Newest, whose mirror nobody here can hold still, is skipped everywhere.
func Prepare(t testing.TB, suites ...Suite) {
	t.Helper()
	requireNamespaces(t)
	logs, errs := make([]bytes.Buffer, len(suites)), make([]error, len(suites))
	var all sync.WaitGroup
	for i, suite := range suites {
		all.Go(func() { _, errs[i] = Root(t.Context(), suite, &logs[i]) })
	}
	all.Wait()
	for i, suite := range suites {
		if errs[i] != nil {
			missing(t, suite, fmt.Sprintf("no root for hosts of %s: %v\n%s", suite, errs[i], tail(logs[i].String(), 15)))
		}
	}
}

func missing(t testing.TB, suite Suite, why string) {
	t.Helper()
	if os.Getenv("CI") != "" && suite != Newest {
		t.Fatal(why)
	}
	need.Skip(t, "NOT PROVEN ON HOSTS: %s", why)
}

// requireNamespaces tells a container without the rights for hosts from a broken test bed.
func requireNamespaces(t testing.TB) {
	t.Helper()
	need.Root(t)
	err := onThread(func() error {
		if err := privateMounts(); err != nil {
			return err
		}
		return unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC)
	})
	if err != nil {
		missing(t, "", fmt.Sprintf("this machine does not let root make namespaces (a container without CAP_SYS_ADMIN?): %v", err))
	}
}

// requireCgroups tells a machine on which nobody can be given a control group from a broken test bed.
func requireCgroups(t testing.TB) {
	t.Helper()
	need.Root(t)
	mount, err := cgroupMount()
	dir := ""
	if err == nil {
		dir, err = os.MkdirTemp(mount, "nixos-staged-hive-try-")
	}
	if err == nil {
		err = os.Remove(dir)
	}
	if err != nil {
		missing(t, "", fmt.Sprintf("no host can have systemd here: %v", err))
	}
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Root gives the folder of a suite's root, which is never written to again, and makes it first where it is missing. Whoever comes while another
// process makes it waits for that one. A half-made root has another name, and is removed by the next who makes it.
func Root(ctx context.Context, suite Suite, log io.Writer) (string, error) {
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(recipe + "\x00" + AdminPassword))
	root := filepath.Join(cache, "roots", string(suite)+"-"+hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(ctx, root+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(root); err == nil {
		return root, nil
	}
	part := root + ".part"
	if err := os.RemoveAll(part); err != nil {
		return "", err
	}
	if err := errors.Join(makeRoot(ctx, suite, part, log), ctx.Err()); err != nil {
		return "", errors.Join(fmt.Errorf("make the root of %s: %w", suite, err), os.RemoveAll(part))
	}
	return root, os.Rename(part, root)
}

// lock waits for a file's lock in turns, so that the end of ctx is noticed.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			break
		}
		if err = pause(ctx); err != nil {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // nothing was written
}

func makeRoot(ctx context.Context, suite Suite, root string, log io.Writer) error {
	mirror, err := findMirror(ctx)
	if err != nil {
		return err
	}
	debootstrap, err := exec.LookPath("debootstrap")
	if err != nil {
		return fmt.Errorf("%w (install Debian's package debootstrap)", err)
	}
	// It mounts /proc and /sys inside of the root; they go with its namespaces, as does all it starts.
	script := `mount -t proc proc /proc && exec "$@"`
	if err := isolated(ctx, log, nil, "/bin/sh", "-c", script, "sh",
		debootstrap, "--variant=minbase", "--components=main", string(suite), root, mirror); err != nil {
		return fmt.Errorf("debootstrap: %w", err)
	}
	settings, err := aptSettings(ctx)
	if err != nil {
		return err
	}
	const file = "/etc/apt/apt.conf.d/98machine"
	if err := os.WriteFile(root+file, settings, 0o644); err != nil {
		return err
	}
	inside := func() error { return enterNewRoot(root) }
	script = "mount -t proc proc /proc\n" + recipe + "\nrm -f " + file + "\n"
	if err := isolated(ctx, log, inside, "/bin/sh", "-euc", script, "recipe", string(suite), AdminPassword); err != nil {
		return fmt.Errorf("install packages and users: %w", err)
	}
	return nil
}

// isolated runs a program as the first process of its own process namespace, in a mount namespace of its own that enter (may be nil) has set up, so that
// the end of ctx or of this process ends all of it and leaves no mount.
func isolated(ctx context.Context, log io.Writer, enter func() error, name string, args ...string) error {
	return onThread(func() error {
		if err := privateMounts(); err != nil {
			return err
		}
		if enter != nil {
			if err := enter(); err != nil {
				return err
			}
		}
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Env = []string{"PATH=" + searchPath, "LC_ALL=C.UTF-8", "HOME=/root", "TERM=dumb"}
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Pdeathsig: unix.SIGKILL}
		return cmd.Run()
	})
}

// borrowed are the machine's files that fetching packages needs: its resolver, its names of hosts, and the authorities behind a mirror or
// a proxy with https.
func borrowed() []string {
	return []string{"/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt"}
}

// enterNewRoot makes a folder this thread's root. Nothing of the machine may be seen in it but as a copy: packages write to
// /etc/resolv.conf and /etc/ssl/certs when they are installed, and a bind mount would let them write the machine's own.
func enterNewRoot(root string) error {
	for _, path := range borrowed() {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.Remove(root + path); err != nil && !errors.Is(err, os.ErrNotExist) { // a link would lead out of the root
			return err
		}
		if err := writeFile(root+path, string(text), 0o644); err != nil {
			return err
		}
	}
	if err := unix.Mount(root, root, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", root, err)
	}
	if err := mountDev(root); err != nil {
		return err
	}
	return pivot(root)
}
