package remote

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
)

const folderPrefix = "nixos-staged-hive-ssh-"

// plainPath is a path that every program reads as it stands: ssh_config, a shell, NIX_SSHOPTS, and Nix as a literal.
var plainPath = regexp.MustCompile(`^/[A-Za-z0-9._+/-]+$`)

// runtimeFolder makes a folder for this process alone, under a plain path, and removes those of processes that are gone.
func runtimeFolder() (dir string, remove func() error, err error) {
	base := ""
	for _, candidate := range []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir(), "/tmp"} {
		if usable(candidate) {
			base = candidate
			break
		}
	}
	if base == "" {
		return "", nil, errors.New("neither XDG_RUNTIME_DIR nor TMPDIR nor /tmp is a folder whose path has letters, digits and ._+- alone")
	}
	sweep(base)
	if dir, err = os.MkdirTemp(base, folderPrefix); err != nil { // mode 0700
		return "", nil, err
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, func() error { return errors.Join(os.RemoveAll(dir), lock.Close()) }, nil
}

func usable(dir string) bool {
	if !plainPath.MatchString(dir) {
		return false
	}
	f, err := os.Stat(dir)
	return err == nil && f.IsDir()
}

// lockFolder marks dir as in use until the returned file is closed, or this process ends in whatever way. The lock appears under its name
// only when it is held.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, "lock")); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sweep removes folders whose process was killed. What cannot be removed stays; that is no reason not to work.
func sweep(base string) {
	locks, err := filepath.Glob(filepath.Join(base, folderPrefix+"*", "lock"))
	if err != nil {
		return
	}
	for _, path := range locks {
		f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NOFOLLOW, 0)
		if err != nil {
			continue // another user's
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(filepath.Dir(path))
		}
		_ = f.Close()
	}
}
