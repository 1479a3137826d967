package hosts

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

//go:embed files
var files embed.FS

// start boots the host. It returns as soon as the first process runs.
func (h *Host) start() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.startLocked()
}

func (h *Host) startLocked() error {
	if h.closed {
		return fmt.Errorf("start %s: the lab has ended", h.Name)
	}
	next := &life{pidfd: -1, ended: make(chan struct{})}
	began := make(chan error, 1)
	pid := 0
	h.lab.children.Go(func() {
		again := false
		err := onThread(func() error {
			cmd, err := h.firstProcess(&next.pidfd)
			if err == nil {
				pid = cmd.Process.Pid
			}
			began <- err
			if err != nil {
				return nil // told already
			}
			_ = cmd.Wait() // how it ended is in the state; the thread must not end before, see onThread
			again = rebooted(cmd.ProcessState)
			return nil
		})
		close(next.ended)
		if err == nil && again {
			h.bootAgain()
		}
	})
	if err := <-began; err != nil {
		return fmt.Errorf("start %s: %w", h.Name, err)
	}
	h.lives = append(h.lives, next)
	select {
	case <-next.ended: // already, and so it needs no note
		return nil
	default:
		// It dies with its thread. Should the kernel ever forget that, the next run finds it.
		return h.lab.run.Process(pid)
	}
}

// rebooted tells a host that called reboot(2): its first process then seems to be ended by SIGHUP, after a power-off by SIGINT
// (pid_namespaces(7)).
func rebooted(s *os.ProcessState) bool {
	status, ok := s.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == unix.SIGHUP
}

func (h *Host) bootAgain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	if err := h.startLocked(); err != nil { // the next who needs the host is told that it is off; this is why
		fmt.Fprintf(os.Stderr, "%s wanted to reboot: %v\n", h.Name, err)
	}
}

func (h *Host) kill() error {
	l, err := h.current()
	if err != nil {
		return err
	}
	if err := unix.PidfdSendSignal(l.pidfd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("send SIGKILL: %w", err)
	}
	<-l.ended
	return nil
}

// end kills the host for good.
func (h *Host) end() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	_ = h.kill() // off is fine
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.lives {
		_ = unix.Close(l.pidfd)
	}
	_ = h.network.Close()
}

func (h *Host) consoleFile() string { return filepath.Join(h.lab.disks, h.Name+".console") }

// firstProcess puts this thread into new namespaces, makes the host's root its root, and starts the first process there.
func (h *Host) firstProcess(pidfd *int) (*exec.Cmd, error) {
	console, err := os.OpenFile(h.consoleFile(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = console.Close() }() // the first process has its own
	attributes := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Setsid: true, Pdeathsig: unix.SIGKILL, PidFD: pidfd}
	if h.spec.Systemd {
		group, err := h.cgroup()
		if err != nil {
			return nil, err
		}
		defer func() { _ = group.Close() }() // a folder
		attributes.UseCgroupFD, attributes.CgroupFD = true, int(group.Fd())
	}
	if err := errors.Join(h.enterNamespaces(), h.enterRoot()); err != nil {
		return nil, err
	}
	if err := h.furnish(); err != nil {
		return nil, err
	}
	mode := map[bool]string{true: "systemd", false: "small"}[h.spec.Systemd]
	if h == h.lab.Controller {
		mode = "bare"
	}
	cmd := exec.Command("/etc/testbed/init", mode)
	cmd.Env = []string{}
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = console, console, attributes
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return cmd, nil
}

func (h *Host) enterNamespaces() error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("leave the shared working folder: %w", err)
	}
	if err := unix.Setns(int(h.lab.mounts.Fd()), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter the lab's mounts: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC); err != nil {
		return fmt.Errorf("make namespaces: %w", err)
	}
	if err := unix.Setns(int(h.network.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network: %w", err)
	}
	if err := unix.Sethostname([]byte(h.Name)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	return nil
}

// enterRoot lays the host's own files over the root of its suite and mounts what is in memory only. /proc has to wait for the first
// process, whose view it is.
func (h *Host) enterRoot() error {
	upper, work, root := h.disk+"/upper", h.disk+"/work", h.disk+"/root"
	for _, dir := range []string{upper, work, root} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if strings.ContainsAny(h.lower+h.disk, ",:\\") {
		return fmt.Errorf("the cache's path has a character that means something to overlayfs: %s", h.lower)
	}
	options := "lowerdir=" + h.lower + ",upperdir=" + upper + ",workdir=" + work
	if err := unix.Mount("overlay", root, "overlay", 0, options); err != nil {
		return fmt.Errorf("mount overlay (%s): %w", options, err)
	}
	// Read-only: there is one kernel, and its settings are the machine's.
	if err := unix.Mount("sysfs", root+"/sys", "sysfs", unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount sysfs: %w", err)
	}
	if err := errors.Join(mountTmpfs(root+"/run", "mode=0755"), mountTmpfs(root+"/tmp", "mode=1777"), mountDev(root)); err != nil {
		return err
	}
	for _, dir := range h.share {
		if err := bind(dir, root+dir); err != nil {
			return err
		}
	}
	return pivot(root)
}

// cgroup gives the host's own control group, empty. Only systemd wants one.
func (h *Host) cgroup() (*os.File, error) {
	mount, err := cgroupMount()
	if err != nil {
		return nil, err
	}
	top := filepath.Join(mount, "nixos-staged-hive-testbed-"+h.lab.run.Name())
	if err := h.lab.run.Cgroup(top); err != nil {
		return nil, fmt.Errorf("make a control group for %s: %w", h.Name, err)
	}
	group := filepath.Join(top, h.Name)
	if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	return os.Open(group)
}

// cgroupMount finds control groups version 2: /sys/fs/cgroup, or a folder in it where version 1 is mounted too.
func cgroupMount() (string, error) {
	table, err := os.ReadFile("/proc/thread-self/mounts")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return f[1], nil
		}
	}
	return "", errors.New("no control groups of version 2 are mounted, which systemd needs")
}
