// Package remains takes back what a test run put on the machine, also when the run was killed and could not do it itself. A run notes
// down each thing before it makes it; ending the run undoes the notes, and so does the next run of anybody that finds notes whose
// writer is dead. It is for what outlives a process: folders, control groups, loop devices, and processes that were to die with us.
//
// The register is the folder /run/nixos-staged-hive-testbed, one folder in it for each run, with a file that the live run keeps locked.
package remains

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Register is where the runs of this machine are noted down.
const Register = "/run/nixos-staged-hive-testbed"

const (
	notesFile = "notes" // in a run's folder: one note a line, "KIND VALUE", appended before the thing is made
	lockFile  = "lock"  // in a run's folder, and in the register for all of it
)

// kind is a sort of thing; the words are those of the notes.
type kind string

const (
	process kind = "process"
	cgroup  kind = "cgroup"
	folder  kind = "folder"
)

// order is the one in which they are taken back: a process may hold the rest.
func order() []kind { return []kind{process, cgroup, folder} }

// Run is one run's part of the register. Its methods may be called from several goroutines.
type Run struct {
	dir  string
	lock *os.File
	mu   sync.Mutex
}

// Begin takes back what dead runs left and gives a new run. Only root can.
func Begin() (*Run, error) { return begin(Register) }

func begin(register string) (*Run, error) {
	var r *Run
	err := alone(register, func() error {
		if err := sweep(register); err != nil {
			return err
		}
		dir, err := os.MkdirTemp(register, "run-")
		if err != nil {
			return err
		}
		lock, err := locked(filepath.Join(dir, lockFile), unix.LOCK_EX|unix.LOCK_NB)
		r = &Run{dir: dir, lock: lock}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("begin a run: %w", err)
	}
	return r, nil
}

// Name is unique on this machine while the run lives, and fit for names of files, interfaces and control groups.
func (r *Run) Name() string { return filepath.Base(r.dir) }

// Folder makes a folder that is removed with all it holds. Loop devices on files in it are detached before, and what is mounted from
// such a device is unmounted.
func (r *Run) Folder(path string) error {
	if !filepath.IsAbs(path) || filepath.Clean(path) == "/" {
		return fmt.Errorf("note folder %q: it must be an absolute path of its own", path)
	}
	if err := r.note(folder, path); err != nil {
		return err
	}
	return os.MkdirAll(path, 0o700)
}

// Cgroup makes a control group (version 2). When it is taken back all in it is killed, and groups below it go too.
func (r *Run) Cgroup(path string) error {
	if err := r.note(cgroup, path); err != nil {
		return err
	}
	return os.MkdirAll(path, 0o755)
}

// Process notes a running process, which is killed when it is still the same one.
func (r *Run) Process(pid int) error {
	started, err := startTime(pid)
	if err != nil {
		return fmt.Errorf("note process %d: %w", pid, err)
	}
	return r.note(process, fmt.Sprintf("%d %s", pid, started))
}

// End takes everything back. What could not be is in the error, and stays noted for the next run.
func (r *Run) End() error {
	err := takeBack(r.dir)
	return errors.Join(err, r.lock.Close())
}

func (r *Run) note(k kind, value string) error {
	if strings.ContainsRune(value, '\n') {
		return fmt.Errorf("note %s %q: a line break", k, value)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f, err := os.OpenFile(filepath.Join(r.dir, notesFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s %s\n", k, value)
	return errors.Join(err, f.Close())
}

// Sweep takes back what dead runs left.
func Sweep() error {
	return alone(Register, func() error { return sweep(Register) })
}

// alone holds the register's lock while f runs: a run that is being made has no lock of its own yet and would look dead.
func alone(register string, f func() error) error {
	if err := os.MkdirAll(register, 0o700); err != nil {
		return err
	}
	lock, err := locked(filepath.Join(register, lockFile), unix.LOCK_EX)
	if err != nil {
		return err
	}
	return errors.Join(f(), lock.Close())
}

// locked opens and locks a file. The lock is gone when the file is closed, at the latest with the process: it is not inherited by
// programs that are started.
func locked(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

func sweep(register string) error {
	runs, err := filepath.Glob(filepath.Join(register, "run-*"))
	if err != nil {
		return err
	}
	var problems []error
	for _, dir := range runs {
		lock, err := locked(filepath.Join(dir, lockFile), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, os.ErrNotExist) { // alive, or just ended by itself
			continue
		}
		if err == nil {
			err = errors.Join(takeBack(dir), lock.Close())
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("sweep %s: %w", dir, err))
		}
	}
	return errors.Join(problems...)
}

// takeBack undoes a run's notes and then forgets the run. Everything is tried, whatever fails.
func takeBack(dir string) error {
	notes, err := readNotes(filepath.Join(dir, notesFile))
	if err != nil {
		return err
	}
	undo := map[kind]func(string) error{process: killProcess, cgroup: removeCgroup, folder: removeFolder}
	var problems []error
	for _, k := range order() {
		for _, value := range notes[k] {
			if err := undo[k](value); err != nil {
				problems = append(problems, fmt.Errorf("take back %s %s: %w", k, value, err))
			}
		}
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	return os.RemoveAll(dir)
}

// readNotes leaves out a last line without an end: its writer died before it made the thing.
func readNotes(path string) (map[kind][]string, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	notes := map[kind][]string{}
	for lines := bufio.NewReader(f); ; {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return notes, nil
		}
		if err != nil {
			return nil, err
		}
		k, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		notes[kind(k)] = append(notes[kind(k)], value)
	}
}
