package vm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"nixos-staged-hive/internal/run"
)

// Lab is a folder with the state of some machines and networks, and what of it runs. It may be used by several goroutines at once.
//
//	owner        pid of the program that has it open, locked by it with flock(2)
//	sockets      link to the folder for unix sockets, which need a short path
//	pids/        files QEMU writes its number to
//	kept         exists when the machines run on without an owner
//	machines/    a folder for each machine: disk images, variables of the firmware, serial.log, snapshots
type Lab struct {
	dir     string // absolute, without links
	sockets string
	host    Host
	run     run.Runner
	owner   *os.File

	mu       sync.Mutex
	closed   bool
	kept     bool
	starting sync.WaitGroup // starts under way; they see closed when they are done
	last     int            // number of the last socket
	running  map[string]*Running
	segments map[string]*Segment
}

// Open makes the folder if need be and becomes its owner until Close. What an owner that was killed has left running is stopped first;
// the state of its machines is kept. Errors: *BusyError when another program has it open, *KeptError when machines were left running on
// purpose.
func Open(ctx context.Context, dir string, host Host, r run.Runner) (*Lab, error) {
	l, err := open(dir)
	if err != nil {
		return nil, fmt.Errorf("open lab: %w", err)
	}
	l.host, l.run = host, r
	if err := l.begin(ctx); err != nil {
		_ = l.owner.Close() // gives up the lock; the error is already there
		return nil, fmt.Errorf("open lab: %w", err)
	}
	return l, nil
}

// Stop ends the machines and networks of a lab that nobody has open: those that were kept, and those of an owner that was killed. A
// lab without any is fine. The state of the machines is kept. Errors: fs.ErrNotExist when there is no such lab, *BusyError.
func Stop(ctx context.Context, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, ownerFile)); err != nil {
		return fmt.Errorf("stop lab: %w", err)
	}
	l, err := open(dir)
	if err != nil {
		return fmt.Errorf("stop lab: %w", err)
	}
	err = l.sweep(ctx)
	return errors.Join(err, l.owner.Close())
}

const (
	ownerFile = "owner"
	keptFile  = "kept"
	pidsDir   = "pids"
)

// open makes and locks the folder.
func open(dir string) (*Lab, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, pidsDir), 0o700); err != nil {
		return nil, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil { // the same lab, whatever link leads to it
		return nil, err
	}
	l := &Lab{dir: dir, running: map[string]*Running{}, segments: map[string]*Segment{}}
	l.owner, err = lockOwner(dir)
	return l, err
}

// lockOwner takes the lock, which ends with this program in any case, and says whose it is.
func lockOwner(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, ownerFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		pid, _ := os.ReadFile(f.Name())
		n, _ := strconv.Atoi(strings.TrimSpace(string(pid))) // 0 if it is just being written
		err = &BusyError{Dir: dir, PID: n}
	}
	if err == nil {
		err = writeOwner(f)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func writeOwner(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// begin is what is left to do once the lab is ours.
func (l *Lab) begin(ctx context.Context) error {
	kept, err := l.left()
	if err != nil {
		return err
	}
	if _, err := os.Stat(l.path(keptFile)); err == nil && len(kept) > 0 {
		return &KeptError{Dir: l.dir, Machines: kept}
	}
	if err := l.sweep(ctx); err != nil {
		return err
	}
	l.sockets, err = makeSocketDir(l.dir, socketBases()...)
	return err
}

// left names what runs for this lab.
func (l *Lab) left() ([]string, error) {
	var names []string
	_, err := ownEmulators(l.path(pidsDir), func(file string) bool {
		names = append(names, strings.TrimSuffix(file, ".pid"))
		return true
	})
	slices.Sort(names)
	return slices.Compact(names), err
}

// sweep ends everything that runs for this lab, whoever started it, and removes all that only running machines need.
func (l *Lab) sweep(ctx context.Context) error {
	left, err := ownEmulators(l.path(pidsDir), nil)
	if err != nil {
		return err
	}
	if err := stopAll(ctx, left, stopGrace); err != nil {
		return err
	}
	if err := removeSocketDirs(l.dir, socketBases()...); err != nil {
		return err
	}
	for _, pattern := range []string{pidsDir + "/*.pid", "machines/*/*" + unfinished} {
		files, _ := filepath.Glob(filepath.Join(escapeGlob(l.dir), pattern)) // the pattern is well-formed
		for _, f := range files {
			if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if err := os.Remove(l.path(keptFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Keep makes Close leave all machines and networks running, as they are then. [Stop] ends them later.
func (l *Lab) Keep() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := os.WriteFile(l.path(keptFile), nil, 0o600); err != nil {
		return fmt.Errorf("keep lab: %w", err)
	}
	l.kept = true
	return nil
}

// Close ends what runs, unless Keep was called, and gives the lab up. Machines are not asked to shut down: their disks are as after a
// power cut, except that nothing written is lost. Closing twice is fine.
func (l *Lab) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	kept := l.kept
	l.mu.Unlock()
	l.starting.Wait()

	var err error
	if !kept {
		err = l.sweep(context.Background()) // bounded by itself: what does not end in time is killed
	}
	for _, m := range l.monitors() {
		m.close()
	}
	if err = errors.Join(err, l.owner.Close()); err != nil {
		return fmt.Errorf("close lab: %w", err)
	}
	return nil
}

func (l *Lab) monitors() []*monitor {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*monitor
	for _, r := range l.running {
		all = append(all, r.monitor)
	}
	for _, s := range l.segments {
		all = append(all, s.monitor) // no start is under way, so all are up
	}
	return all
}

// Dir is the lab's folder, absolute and without links.
func (l *Lab) Dir() string { return l.dir }

func (l *Lab) path(parts ...string) string {
	return filepath.Join(append([]string{l.dir}, parts...)...)
}

// socket gives the path of a new unix socket.
func (l *Lab) socket() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	return filepath.Join(l.sockets, strconv.Itoa(l.last))
}

// enter begins something that Close has to wait for; leave ends it.
func (l *Lab) enter() (leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.New("the lab is closed")
	}
	l.starting.Add(1)
	return l.starting.Done, nil
}

// launch starts QEMU and gives it back once it runs in the background. When it does not, its words are in the error, and nothing of it
// is left. pid is the name of its pid file.
func (l *Lab) launch(ctx context.Context, pid string, arguments []string, events func(event)) (emulator, *monitor, error) {
	file, socket := l.path(pidsDir, pid), l.socket()
	arguments = append([]string{
		"-nodefaults", "-no-user-config", "-display", "none", "-daemonize", "-pidfile", file,
		"-chardev", "socket,id=qmp,server=on,wait=off,path=" + comma(socket), "-mon", "chardev=qmp,mode=control",
	}, arguments...)
	e, m, err := l.tryLaunch(ctx, file, socket, arguments, events)
	if err == nil {
		return e, m, nil
	}
	rest, findErr := ownEmulators(l.path(pidsDir), func(name string) bool { return name == pid })
	stopErr := stopAll(context.WithoutCancel(ctx), rest, stopGrace)
	return emulator{}, nil, errors.Join(err, findErr, stopErr)
}

func (l *Lab) tryLaunch(ctx context.Context, file, socket string, arguments []string, events func(event)) (emulator, *monitor, error) {
	// Warnings are of no interest to anybody when it started; when it did not, the error has them.
	if err := l.run.Run(ctx, run.Command{Name: l.host.QEMU, Args: arguments, Grace: stopGrace}); err != nil {
		return emulator{}, nil, err
	}
	e, err := readPID(file)
	if err != nil {
		return emulator{}, nil, err
	}
	m, err := dialMonitor(ctx, socket, events)
	return e, m, err
}

// comma doubles commas, which otherwise end a value on QEMU's command line.
func comma(path string) string { return strings.ReplaceAll(path, ",", ",,") }

// escapeGlob makes a path match itself.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// oneLine joins the lines of a message.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
