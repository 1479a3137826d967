package remains

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long the kernel may take to end a killed process or to free a control group.
const patience = 20 * time.Second

// startTime tells processes of one number apart: field 22 of /proc/PID/stat, in clock ticks since boot (proc(5)). The name in field 2
// may hold anything, so fields are counted from its closing parenthesis.
func startTime(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return "", fmt.Errorf("/proc/%d/stat has %d fields after the name", pid, len(fields))
	}
	return string(fields[19]), nil
}

// killProcess ends "PID STARTTIME" and waits until it is gone. The first process of a process namespace goes last of all in it.
func killProcess(value string) error {
	number, started, _ := strings.Cut(value, " ")
	pid, err := strconv.Atoi(number)
	if err != nil || pid <= 1 {
		return fmt.Errorf("%q is no process of ours", number)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	now, err := startTime(pid)
	if err != nil || now != started { // the number belongs to somebody else by now
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill: %w", err)
	}
	return awaitEnd(fd)
}

func awaitEnd(pidfd int) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(patience/time.Millisecond))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for its end: %w", err)
		}
		if n > 0 {
			return nil
		}
	}
	return errors.New("killed, but it did not end")
}

// removeCgroup kills all in a group and below it (cgroup.kill, Linux 5.14) and removes it. A group is busy until the kernel is done
// with the last of its processes, so it is tried again.
func removeCgroup(path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.WriteFile(filepath.Join(path, "cgroup.kill"), []byte("1"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := removeGroups(path)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

func removeGroups(path string) error {
	var groups []string
	err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			groups = append(groups, name)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, group := range slices.Backward(groups) { // parents come first in a walk
		if err := os.Remove(group); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// removeFolder refuses to go where something is mounted, because it would empty that. Nothing is: hosts mount in namespaces of their
// own, which are gone with them.
func removeFolder(path string) error {
	if err := DetachLoops(path); err != nil {
		return err
	}
	mounts, err := mountsUnder(path)
	if err != nil {
		return err
	}
	if len(mounts) > 0 {
		return fmt.Errorf("mounted below it: %s", strings.Join(mounts, ", "))
	}
	return os.RemoveAll(path)
}

func mountsUnder(path string) ([]string, error) {
	all, err := mountTable()
	if err != nil {
		return nil, err
	}
	var under []string
	for _, m := range all {
		if within(m.point, path) {
			under = append(under, m.point)
		}
	}
	return under, nil
}

func within(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }
