package nix

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const rootsPrefix = "nixos-staged-hive-roots-"

// holdRoots makes a folder for the roots of one build: without them a garbage collection between two programs takes what the first has
// made. It goes with release; what a killed build has left, the next one removes.
func holdRoots() (dir string, release func(), err error) {
	sweepRoots(os.TempDir())
	if dir, err = os.MkdirTemp("", rootsPrefix); err != nil {
		return "", nil, fmt.Errorf("make a folder for roots: %w", err)
	}
	lock, err := lockRoots(dir)
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("make a folder for roots: %w", err), os.RemoveAll(dir))
	}
	return dir, func() { _, _ = os.RemoveAll(dir), lock.Close() }, nil
}

// lockRoots holds a lock in dir until the file is closed, or this process ends in whatever way. It appears under its name only when it is
// held, so that nobody finds it free before.
func lockRoots(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, "lock"))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sweepRoots removes the folders that nobody holds. What cannot be removed is somebody else's, and no reason not to build.
func sweepRoots(base string) {
	entries, err := os.ReadDir(base)
	if err != nil {
		return
	}
	for _, e := range entries {
		if matched, _ := filepath.Match(rootsPrefix+"*", e.Name()); !matched {
			continue
		}
		dir := filepath.Join(base, e.Name())
		f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_WRONLY|syscall.O_NOFOLLOW, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(dir)
		}
		_ = f.Close()
	}
}
