package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// emulator is one running QEMU. It is known by its number and the moment it was started, so that another one that gets the same number
// later is never mistaken for it. QEMU is no child of ours: it has gone into the background.
type emulator struct {
	pid   int
	start string // field 22 of /proc/PID/stat, in clock ticks since boot
}

// pollEvery is how often the end of a program that is no child of ours is looked for.
const pollEvery = 20 * time.Millisecond

// ownEmulators finds what runs for the lab, by the pid file on the command line: the file itself may be lost, and its number may be
// another program's by now. what keeps only those with that file name; nil keeps all.
func ownEmulators(pidDir string, what func(file string) bool) ([]emulator, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("look for running machines: %w", err)
	}
	var found []emulator
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		file := pidFile(pid)
		if filepath.Dir(file) != pidDir || what != nil && !what(filepath.Base(file)) {
			continue
		}
		if em, ok := identify(pid); ok && pidFile(pid) == file { // read once more: the number may have changed hands
			found = append(found, em)
		}
	}
	return found, nil
}

// pidFile is the value of -pidfile on a program's command line; empty if it has none or has ended.
func pidFile(pid int) string {
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil {
		return ""
	}
	words := strings.Split(string(line), "\x00")
	for i, w := range words[:len(words)-1] {
		if w == "-pidfile" {
			return words[i+1]
		}
	}
	return ""
}

// identify gives false for a program that has ended, also if nobody has taken note of that yet (a zombie). One whose first thread has
// ended, but not the others, is a zombie too, and still has its files open and locked.
func identify(pid int) (emulator, bool) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return emulator{}, false
	}
	end := bytes.LastIndexByte(stat, ')') // the name before it may hold anything
	if end < 0 {
		return emulator{}, false
	}
	fields := strings.Fields(string(stat[end+1:])) // from field 3, the state
	if len(fields) < 20 {
		return emulator{}, false
	}
	threads, err := strconv.Atoi(fields[17])
	if err != nil || (fields[0] == "Z" || fields[0] == "X") && threads <= 1 {
		return emulator{}, false
	}
	return emulator{pid: pid, start: fields[19]}, true
}

func (e emulator) alive() bool {
	now, ok := identify(e.pid)
	return ok && now == e
}

// signal does nothing if it has ended. The handle is taken before the look at who it is, so that the signal cannot reach a successor.
func (e emulator) signal(s syscall.Signal) error {
	p, err := os.FindProcess(e.pid)
	if err != nil {
		return fmt.Errorf("signal QEMU %d: %w", e.pid, err)
	}
	defer p.Release() //nolint:errcheck // closes the handle
	if !e.alive() {
		return nil
	}
	if err := p.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal QEMU %d: %w", e.pid, err)
	}
	return nil
}

// wait returns when it has ended.
func (e emulator) wait(ctx context.Context) error {
	for e.alive() {
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return fmt.Errorf("wait for the end of QEMU %d: %w", e.pid, context.Cause(ctx))
		}
	}
	return nil
}

// stopAll asks all to end, which lets QEMU write what it holds back of its images, and kills those that do not within grace. It
// returns when all are gone.
func stopAll(ctx context.Context, all []emulator, grace time.Duration) error {
	var errs []error
	for _, e := range all {
		errs = append(errs, e.signal(syscall.SIGTERM))
	}
	asked, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	for _, e := range all {
		if e.wait(asked) == nil {
			continue
		}
		errs = append(errs, e.signal(syscall.SIGKILL))
		killed, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		errs = append(errs, e.wait(killed))
		cancel()
	}
	return errors.Join(errs...)
}

// stopGrace is how long QEMU may take to end.
const stopGrace = 5 * time.Second

// readPID reads the file that QEMU writes before it goes into the background.
func readPID(file string) (emulator, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return emulator{}, fmt.Errorf("read QEMU's pid file: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return emulator{}, fmt.Errorf("read QEMU's pid file %s: %w", file, err)
	}
	e, ok := identify(pid)
	if !ok {
		return emulator{}, fmt.Errorf("QEMU %d ended at once: %w", pid, fs.ErrNotExist)
	}
	return e, nil
}
