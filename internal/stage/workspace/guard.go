package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"nixos-staged-hive/internal/progress"
)

// guard lets one run at a time change the lock. Others wait for it, until ctx ends. The kernel releases it with the process, so a
// killed run blocks nobody.
func (p Pinner) guard(ctx context.Context) (release func(), err error) {
	dir := p.Workspace.File(StateName)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, cannotWrite(p.Workspace.Dir, StateName, err)
	}
	f, err := openGuard(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, cannotWrite(p.Workspace.Dir, StateName+"/lock", err)
	}
	if err := p.wait(ctx, f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("wait for the other run in %s: %w", p.Workspace.Dir, err)
	}
	_ = os.Remove(lockSibling(p.Workspace.Dir)) // what a killed run may have left
	return func() { _ = f.Close() }, nil
}

// openGuard prefers a file open for writing, which NFS wants of an exclusive lock; one that another user made can only be read.
func openGuard(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if errors.Is(err, os.ErrPermission) {
		if shared, readErr := os.Open(name); readErr == nil {
			return shared, nil
		}
	}
	return f, err
}

func (p Pinner) wait(ctx context.Context, f *os.File) error {
	const every = 50 * time.Millisecond
	for told := false; ; told = true {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			if told {
				p.Progress.Send(progress.Event{Task: "wait", State: progress.Done})
			}
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("flock", err)
		}
		if !told {
			p.Progress.Send(progress.Event{Task: "wait", State: progress.Started, Text: "another run is changing " + LockName})
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(every):
		}
	}
}
