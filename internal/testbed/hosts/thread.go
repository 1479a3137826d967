package hosts

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// onThread runs f on an operating-system thread of its own, which ends with f. Namespaces belong to threads: f may enter or make any,
// and nothing of that reaches other goroutines. A process that f starts has f's namespaces. f must not return before a process ends that it
// started with Pdeathsig: "parent" is the thread there (prctl(2)).
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked below: the runtime then ends the thread with the goroutine
		if unix.Gettid() != unix.Getpid() {
			done <- f()
			return
		}
		// The main thread cannot be ended, and /proc/self is its view. While it is held here, f gets another one.
		done <- onThread(f)
		runtime.UnlockOSThread()
	}()
	return <-done
}

// newNetwork makes a network namespace that lives as long as the file is open or something runs in it.
func newNetwork() (*os.File, error) {
	var network *os.File
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		var err error
		network, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return network, err
}

// newMounts makes a mount namespace like ours in which f has mounted something, and that lives as long as the file is open. Nothing f mounts is
// seen outside of it.
func newMounts(f func() error) (*os.File, error) {
	var mounts *os.File
	err := onThread(func() error {
		if err := privateMounts(); err != nil {
			return err
		}
		if err := f(); err != nil {
			return err
		}
		var err error
		mounts, err = os.Open("/proc/thread-self/ns/mnt")
		return err
	})
	return mounts, err
}

// privateMounts gives this thread a mount namespace of its own. The kernel refuses that to a thread that shares its working folder
// with others, hence CLONE_FS.
func privateMounts() error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	return nil
}

// pivot makes a mount point the root of this thread's mount namespace and lets go of the old one. Never chroot: Nix 2.8 as root goes
// back to its saved mount namespace before it starts ssh, and would leave a chroot by that.
func pivot(root string) error {
	if err := unix.Chdir(root); err != nil {
		return fmt.Errorf("enter %s: %w", root, err)
	}
	if err := unix.PivotRoot(".", "."); err != nil { // the old root then lies on top of the new one (pivot_root(2))
		return fmt.Errorf("make %s the root: %w", root, err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the old root: %w", err)
	}
	return os.Chdir("/")
}

// mountDev fills an empty /dev below root with devices that every program expects, and a private devpts. They are nodes of its own:
// a change of mode or owner must not reach the machine's.
func mountDev(root string) error {
	dev := root + "/dev"
	if err := mountTmpfs(dev, "mode=0755"); err != nil {
		return err
	}
	nodes := map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} // minors of major 1 (Linux' devices.txt)
	for name, minor := range nodes {
		if err := device(dev+"/"+name, 1, minor); err != nil {
			return err
		}
	}
	if err := device(dev+"/tty", 5, 0); err != nil {
		return err
	}
	if err := errors.Join(os.Mkdir(dev+"/pts", 0o755), os.Mkdir(dev+"/shm", 0o1777)); err != nil {
		return err
	}
	if err := unix.Mount("devpts", dev+"/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=0620,gid=5"); err != nil {
		return fmt.Errorf("mount devpts: %w", err)
	}
	return errors.Join(
		os.Symlink("pts/ptmx", dev+"/ptmx"), os.Symlink("/proc/self/fd", dev+"/fd"),
		os.Symlink("fd/0", dev+"/stdin"), os.Symlink("fd/1", dev+"/stdout"), os.Symlink("fd/2", dev+"/stderr"))
}

func device(path string, major, minor uint32) error {
	if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(major, minor))); err != nil {
		return fmt.Errorf("make device %s: %w", path, err)
	}
	return os.Chmod(path, 0o666) // the umask took some
}

func mountTmpfs(point, options string) error {
	if err := os.MkdirAll(point, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", point, "tmpfs", 0, options); err != nil {
		return fmt.Errorf("mount tmpfs on %s: %w", point, err)
	}
	return nil
}

// bind shows a folder at another place, which is made where missing. What is written there is written here.
func bind(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", from, to, err)
	}
	return nil
}
