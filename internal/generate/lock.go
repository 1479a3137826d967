package generate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"nixos-staged-hive/internal/progress"
)

// lock lets one run at a time work on a workspace. It is an advisory lock on the folder itself (flock(2)), so that no lock file is
// left in the user's folder, a read-only workspace with a tree that is up to date is no error, and a killed run holds nothing: the
// kernel releases it with the process. On network file systems it is seen on this machine only.
func lock(ctx context.Context, root *os.Root, sink progress.Sink) (release func(), err error) {
	const every = 25 * time.Millisecond
	folder, err := root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("open the workspace: %w", err)
	}
	for told := false; ; {
		err := flock(folder)
		if err == nil {
			return func() { _ = folder.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock the workspace: %w", err), folder.Close())
		}
		if !told {
			told = true
			sink.Send(progress.Event{Task: "generate", State: progress.Running, Text: "waiting for another run that generates here"})
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for another run that generates here: %w", context.Cause(ctx)), folder.Close())
		case <-time.After(every):
		}
	}
}

func flock(folder *os.File) error {
	raw, err := folder.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	err = raw.Control(func(fd uintptr) { lockErr = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB) })
	return os.NewSyscallError("flock", errors.Join(err, lockErr))
}
