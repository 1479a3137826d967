// Package guest is a small Linux for tests that need a kernel of their own: it boots in a virtual machine, runs a shell script, tells its
// output on the serial console and powers off. Kernel, udev and programs are the real ones, from Debian packages of the release this
// machine installs from, so that what the script sees in /dev and /sys is what an installed system would see.
//
// It knows QEMU only where [Image.Run] is used; [Image.Boot] gives what any lab can start.
package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"nixos-staged-hive/internal/testbed/need"
)

// Image is a prepared guest: files in the cache, which are only read.
type Image struct {
	Kernel, Initrd string
	Release        string // of the kernel
	// Parameters are further ones for the kernel's command line.
	Parameters []string
}

// Boot is one start of an image.
type Boot struct {
	Kernel, Initrd, CommandLine string
}

// The lines between which a script's output stands on the console. The closing one carries its exit status.
const (
	opening = "<<guest: output>>"
	closing = "<<guest: status "
)

// patience is how long a guest may take. Without KVM it boots in some ten seconds, beside other work in a minute; scripts may be long.
const patience = 35 * time.Minute

// fixedAddresses has every program mapped where it was the last time. QEMU without KVM keeps what it translated by virtual address: with addresses
// at random it translates each library anew for each program that starts, and spends nine tenths of its time in throwing that away again (QEMU
// 7.2, seen with perf).
const fixedAddresses = "norandmaps"

// Boot gives the files and the kernel's command line for a start that runs script with sh as root. Devices are settled by then. Files
// are laid out before udev starts, by their absolute path, instead of the image's; modules named in
// /etc/modules are loaded then. The serial console is the machine's first; [Output] reads it.
func (i Image) Boot(t testing.TB, script string, files map[string]string) Boot {
	t.Helper()
	initrd := filepath.Join(t.TempDir(), "initrd")
	if err := i.writeInitrd(initrd, script, files); err != nil {
		t.Fatalf("write the guest's initrd: %v", err)
	}
	parameters := append([]string{"console=ttyS0", "quiet", "loglevel=1", "panic=-1", "no_timer_check", fixedAddresses}, i.Parameters...)
	return Boot{i.Kernel, initrd, strings.Join(parameters, " ")}
}

// writeInitrd appends an archive with the script to the image's: the kernel unpacks one after the other.
func (i Image) writeInitrd(name, script string, files map[string]string) error {
	base, err := os.ReadFile(i.Initrd)
	if err != nil {
		return err
	}
	w := newArchive()
	w.file("script", 0o755, []byte(script))
	for path, text := range files {
		w.file(path, 0o644, []byte(text))
	}
	return os.WriteFile(name, append(base, w.close()...), 0o600)
}

// Run boots the image in a virtual machine with these devices (arguments of QEMU) and gives what the script wrote. The test fails if
// the script does, or if the guest does not get there.
func (i Image) Run(t testing.TB, devices []string, script string, files map[string]string) string {
	t.Helper()
	qemu := need.Program(t, "qemu-system-x86_64")
	boot := i.Boot(t, script, files)
	serial := filepath.Join(t.TempDir(), "serial.log")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// without what is slow under TCG and only fast on real processors: see internal/vm, and copying with rep movsb (erms), byte by byte
	arguments := append([]string{
		"-accel", "tcg,thread=multi", "-cpu", "max,la57=off,avx=off,avx2=off,erms=off", "-smp", "2", "-m", "1024M", "-display", "none", "-no-reboot",
		"-serial", "file:" + serial, "-kernel", boot.Kernel, "-initrd", boot.Initrd, "-append", boot.CommandLine,
	}, devices...)
	said, err := exec.CommandContext(ctx, qemu, arguments...).CombinedOutput()
	console, readErr := os.ReadFile(serial)
	if err = errors.Join(err, readErr); err != nil {
		t.Fatalf("run a guest: %v\n%s\nthe end of its console:\n%s", err, said, tail(console))
	}
	output, err := Output(console)
	if err != nil {
		t.Fatalf("%v\n%sthe end of its console:\n%s", err, said, tail(console))
	}
	return output
}

// Output takes what the script of the last start wrote from all that was on the serial console. A script that ended otherwise than
// with 0, or did not end, is an error; the output so far comes with it.
func Output(console []byte) (string, error) {
	text := strings.ReplaceAll(string(console), "\r", "")
	_, text, found := cutLast(text, opening+"\n")
	if !found {
		return "", errors.New("the guest did not get to its script")
	}
	output, rest, found := strings.Cut(text, closing)
	if !found {
		return output, errors.New("the guest's script did not end")
	}
	word, _, _ := strings.Cut(rest, ">>")
	status, err := strconv.Atoi(word)
	if err != nil {
		return output, fmt.Errorf("read the status of the guest's script: %w", err)
	}
	if status != 0 {
		return output, fmt.Errorf("the guest's script ended with status %d", status)
	}
	return output, nil
}

func cutLast(text, sep string) (before, after string, found bool) {
	at := strings.LastIndex(text, sep)
	if at < 0 {
		return text, "", false
	}
	return text[:at], text[at+len(sep):], true
}

// tail is what fits on a screen.
func tail(console []byte) []byte {
	lines := bytes.Split(bytes.TrimSpace(console), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-40):], []byte("\n"))
}
