package remains

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// mount is a line of /proc/self/mountinfo, as far as it is needed here.
type mount struct {
	device string // MAJOR:MINOR; btrfs has a number of its own here
	source string // mostly the device's path
	point  string
}

// mountTable reads mountinfo (proc(5)): fields 3 and 5 and the second one after the lone hyphen. Blanks and the like are octal escapes.
func mountTable() ([]mount, error) {
	text, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var all []mount
	for line := range strings.Lines(string(text)) {
		before, after, _ := strings.Cut(line, " - ")
		f, rest := strings.Fields(before), strings.Fields(after)
		if len(f) > 4 && len(rest) > 1 {
			all = append(all, mount{device: f[2], source: unescape.Replace(rest[1]), point: unescape.Replace(f[4])})
		}
	}
	return all, nil
}

// DetachLoops detaches the loop devices whose backing file is in a folder, and first unmounts what is mounted from them or from their
// partitions. No other device is touched.
func DetachLoops(folder string) error {
	blocks, err := filepath.Glob("/sys/block/loop*")
	if err != nil {
		return err
	}
	for _, block := range blocks {
		backing, err := Backing(filepath.Base(block))
		if err != nil {
			return err
		}
		if backing == "" || !within(backing, folder) {
			continue
		}
		if err := detach(block); err != nil {
			return fmt.Errorf("detach %s from %s: %w", filepath.Base(block), backing, err)
		}
	}
	return nil
}

// Backing is the file behind a loop device such as "loop3"; empty when there is none. The kernel appends " (deleted)" to a file that is
// no more.
func Backing(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join("/sys/block", name, "loop", "backing_file"))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENXIO) {
		return "", nil
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), " (deleted)"), err
}

func detach(block string) error {
	if err := unmountFrom(block); err != nil {
		return err
	}
	dev, err := os.OpenFile("/dev/"+filepath.Base(block), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	err = unix.IoctlSetInt(int(dev.Fd()), unix.LOOP_CLR_FD, 0)
	// The kernel detaches at the last close (autoclear) when somebody, such as udev, still has it open.
	if err := errors.Join(ignore(err, unix.ENXIO), dev.Close()); err != nil {
		return err
	}
	return awaitDetached(filepath.Base(block))
}

func awaitDetached(name string) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		backing, err := Backing(name)
		if err != nil || backing == "" {
			return err
		}
		if time.Now().After(deadline) {
			return errors.New("still attached: something has it open")
		}
	}
}

// unmountFrom unmounts the device and its partitions, wherever they are mounted in our mount namespace.
func unmountFrom(block string) error {
	partitions, err := filepath.Glob(filepath.Join(block, "loop*", "dev"))
	if err != nil {
		return err
	}
	ours := map[string]bool{}
	for _, file := range append(partitions, filepath.Join(block, "dev")) {
		number, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		ours[strings.TrimSpace(string(number))] = true
		ours["/dev/"+filepath.Base(filepath.Dir(file))] = true
	}
	mounts, err := mountTable()
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if !ours[m.device] && !ours[m.source] {
			continue
		}
		if err := unix.Unmount(m.point, unix.MNT_DETACH); ignore(err, unix.EINVAL) != nil {
			return fmt.Errorf("unmount %s: %w", m.point, err)
		}
	}
	return nil
}

func ignore(err, harmless error) error {
	if errors.Is(err, harmless) {
		return nil
	}
	return err
}
