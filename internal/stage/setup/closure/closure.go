// Package closure brings the store paths of a system from the medium to the disk that is installed. It proves each path against the hash
// that Nix recorded when it was built, so that a medium with a bad block is noticed while it is read. A path appears on the target whole or
// not at all: it is written beside its place and renamed, and one that is there already, from a run that was interrupted, is read and kept
// only if it is right.
//
// nix copy could do the same; it needs the memory of its largest path, tells no progress that can be relied on, and trusts a path of the
// target that a power failure left empty.
package closure

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Copy is one closure on its way.
type Copy struct {
	From string // root of the file system with the source store; empty is "/"
	To   string // root of the file system that gets it: the paths come to TO/nix/store
	// Jobs is how many paths are copied at once; 0 is two: flash media get slower with more.
	Jobs int
	// Progress is called now and then with bytes of NAR (the sum of which is closureInfo's total-nar-size), from several goroutines.
	Progress func(done, total int64)
}

// Report says what a copy did.
type Report struct {
	Copied, Kept, Replaced int // paths: new, already there and right, already there and wrong
	Bytes                  int64
}

// temporary is the folder beside the store where paths are put together. It is on the same file system, so that they can be renamed.
const temporary = "nix/.staged-hive-copying"

// Run copies what is missing, and returns once everything is on the disk. Every path of the target has been compared with its recorded
// hash then: those that were written, as they were read from the medium; those that were there, by reading them.
func (c Copy) Run(ctx context.Context, paths []Path) (Report, error) {
	if c.From == "" {
		c.From = "/"
	}
	if c.Jobs == 0 {
		c.Jobs = 2
	}
	var report Report
	var total int64
	for _, p := range paths {
		total += p.Bytes
	}
	holding := filepath.Join(c.To, temporary)
	if err := c.prepare(holding); err != nil {
		return report, err
	}
	var done atomic.Int64
	said := func(n int64) {
		now := done.Add(n)
		if c.Progress != nil {
			c.Progress(now, total)
		}
	}
	var copied, kept, replaced atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.Jobs)
	for _, p := range paths {
		group.Go(func() error {
			what, err := c.one(ctx, p, holding, said)
			switch what {
			case wasMissing:
				copied.Add(1)
			case wasRight:
				kept.Add(1)
			case wasWrong:
				replaced.Add(1)
			}
			return err
		})
	}
	err := group.Wait()
	report = Report{Copied: int(copied.Load()), Kept: int(kept.Load()), Replaced: int(replaced.Load()), Bytes: done.Load()}
	if err != nil {
		return report, fmt.Errorf("copy the system: %w", err)
	}
	if err := os.RemoveAll(holding); err != nil {
		return report, fmt.Errorf("remove %s: %w", holding, err)
	}
	return report, syncfs(filepath.Join(c.To, "nix/store"))
}

// prepare makes the store of the target and an empty folder for what is on its way.
func (c Copy) prepare(holding string) error {
	if err := removeAll(holding); err != nil {
		return fmt.Errorf("remove what an earlier copy left in %s: %w", holding, err)
	}
	for _, dir := range []string{filepath.Join(c.To, "nix/store"), holding} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	// as nixos-install and Nix have it: root:nixbld 1775. The group has one number on all of NixOS.
	store := filepath.Join(c.To, "nix/store")
	if err := os.Chmod(store, 0o775|fs.ModeSticky); err != nil {
		return err
	}
	const nixbld = 30000
	if err := os.Chown(store, 0, nixbld); err != nil && os.Geteuid() == 0 {
		return err
	}
	return nil
}

// found is what a path of the target was before.
type found int

const (
	failed found = iota
	wasMissing
	wasRight
	wasWrong
)

func (c Copy) one(ctx context.Context, p Path, holding string, said func(int64)) (found, error) {
	target := filepath.Join(c.To, p.Name)
	what := wasMissing
	if _, err := os.Lstat(target); err == nil {
		sum, err := hashOf(ctx, target, nil)
		if ctx.Err() != nil {
			return failed, context.Cause(ctx)
		}
		if err == nil && sum == p.Hash {
			said(p.Bytes)
			return wasRight, nil
		}
		what = wasWrong
		if err := removeAll(target); err != nil {
			return failed, fmt.Errorf("remove %s, which is not what it should be: %w", target, err)
		}
	}
	beside := filepath.Join(holding, filepath.Base(p.Name))
	source := filepath.Join(c.From, p.Name)
	sum, err := copyPath(ctx, source, beside, said)
	if err != nil {
		return failed, fmt.Errorf("%s: %w", p.Name, err)
	}
	if sum != p.Hash {
		return failed, &DamagedError{Path: p.Name}
	}
	if err := os.Rename(beside, target); err != nil {
		return failed, err
	}
	return what, nil
}

// syncfs makes all of a folder's file system durable. Unlike sync(2), syncfs(2) says when that failed (Linux 5.8 and later).
func syncfs(folder string) error {
	dir, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // nothing is written through it
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("bring %s to the disk: %w", folder, err)
	}
	return nil
}

// DamagedError is a store path of the medium that is not what was built.
type DamagedError struct{ Path string }

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s on the medium is not what was built: the medium is damaged", e.Path)
}

// removeAll removes a tree whose folders may be read-only, as those of a store are.
func removeAll(dir string) error {
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			return os.Chmod(name, 0o700)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(dir)
}
