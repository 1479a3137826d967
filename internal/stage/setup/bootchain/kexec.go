package bootchain

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// KexecRefusedError is a kernel that does not start another one.
type KexecRefusedError struct {
	Why string // for a person
	Err error  // of the kernel
}

func (e *KexecRefusedError) Error() string {
	return fmt.Sprintf("load the installed kernel: %s: %v", e.Why, e.Err)
}

// Unwrap gives the kernel's error.
func (e *KexecRefusedError) Unwrap() error { return e.Err }

// Load hands kernel, initrd and command line of the installed system to the running kernel (kexec_file_load(2)). A restart by `systemctl kexec`
// then starts the installed system, whatever the firmware would start. The error is a *KexecRefusedError where the kernel does not allow it.
func Load(root string, c Chain) error {
	t := tree{root}
	kernel, err := t.open(c.Kernel)
	if err != nil {
		return fmt.Errorf("load the installed kernel: %w", err)
	}
	defer kernel.Close() //nolint:errcheck // only read
	initrd, err := t.initrd(c.Initrds)
	if err != nil {
		return fmt.Errorf("load the initrd of the installed kernel: %w", err)
	}
	defer initrd.Close() //nolint:errcheck // only read
	// boot.json of NixOS and its loaders agree on what the kernel is told; the kernel adds what it knows of the firmware's tables
	if err := unix.KexecFileLoad(int(kernel.Fd()), int(initrd.Fd()), c.CommandLine, 0); err != nil {
		return refusal(err)
	}
	return nil
}

// initrd gives one file: several are one after the other, as loaders hand them over.
func (t tree) initrd(names []string) (*os.File, error) {
	if len(names) == 1 {
		return t.open(names[0])
	}
	descriptor, err := unix.MemfdCreate("initrd", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	all := os.NewFile(uintptr(descriptor), "initrd")
	for _, name := range names {
		if err := t.appendTo(all, name); err != nil {
			return nil, errors.Join(err, all.Close())
		}
	}
	return all, nil
}

func (t tree) appendTo(all io.Writer, name string) error {
	f, err := t.open(name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	if _, err := io.Copy(all, f); err != nil {
		return fmt.Errorf("%s: %w", name, inside(err))
	}
	return nil
}

// refusal says in words what the kernel says in numbers.
func refusal(err error) error {
	why := "the kernel refuses it"
	switch {
	case errors.Is(err, unix.EPERM):
		why = "the running kernel does not allow it (" + lockdown() + ")"
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP):
		why = "the running kernel cannot do it (CONFIG_KEXEC_FILE)"
	case errors.Is(err, unix.EKEYREJECTED), errors.Is(err, unix.ENOKEY), errors.Is(err, unix.EBADMSG), errors.Is(err, unix.ENODATA):
		why = "the running kernel wants a signed one"
	case errors.Is(err, unix.ENOEXEC):
		why = "the installed kernel is in a format that the running one does not know"
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EADDRNOTAVAIL):
		why = "there is not enough memory for both kernels"
	case errors.Is(err, unix.EBUSY):
		why = "another one is being loaded"
	}
	return &KexecRefusedError{Why: why, Err: os.NewSyscallError("kexec_file_load", err)}
}

// lockdown guesses which of the reasons for EPERM it is.
func lockdown() string {
	if text, err := os.ReadFile("/proc/sys/kernel/kexec_load_disabled"); err == nil && strings.TrimSpace(string(text)) == "1" {
		return "kernel.kexec_load_disabled is set"
	}
	if text, err := os.ReadFile("/sys/kernel/security/lockdown"); err == nil && !strings.Contains(string(text), "[none]") {
		return "it is locked down, as with Secure Boot"
	}
	return "it takes root"
}
