package vm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"nixos-staged-hive/internal/run"
)

// chooseAccelerator gives KVM where it runs a small program, and not much slower than TCG does. Why not is told for people.
func chooseAccelerator(ctx context.Context, r run.Runner, wish Accelerator) (a Accelerator, whyNot string, err error) {
	if wish == KVM {
		return KVM, "", nil
	}
	if wish == TCG {
		return TCG, "it was asked for", nil
	}
	if why := closedKVM(); why != "" {
		return TCG, why, nil
	}
	dir, err := os.MkdirTemp("", "staged-hive-probe-")
	if err != nil {
		return "", "", fmt.Errorf("try QEMU: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a small file in the folder for temporary files
	rom := filepath.Join(dir, "probe.rom")
	if err := os.WriteFile(rom, probeROM(), 0o600); err != nil {
		return "", "", fmt.Errorf("try QEMU: %w", err)
	}
	start := time.Now()
	if err := tryAccelerator(ctx, r, TCG, rom); err != nil {
		return "", "", fmt.Errorf("try QEMU: %w", err)
	}
	// A KVM that is itself emulated needs a minute and more for what TCG does in a tenth of a second; one that works is always faster.
	limit := 2*time.Second + 3*time.Since(start)
	tryCtx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = tryAccelerator(tryCtx, r, KVM, rom)
	switch {
	case err == nil:
		return KVM, "", nil
	case ctx.Err() != nil:
		return "", "", fmt.Errorf("try KVM: %w", context.Cause(ctx))
	case tryCtx.Err() != nil:
		return TCG, "KVM is slower here than emulation in software", nil
	}
	return TCG, "KVM does not work: " + err.Error(), nil
}

// closedKVM says why /dev/kvm cannot be opened; empty if it can.
func closedKVM() string {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	switch {
	case err == nil:
		_ = f.Close()
		return ""
	case errors.Is(err, fs.ErrNotExist):
		return "there is no /dev/kvm: virtualisation is off in the firmware's setup, or this is a virtual machine itself"
	case errors.Is(err, fs.ErrPermission):
		return "/dev/kvm may not be opened: the user is not in the group kvm"
	}
	return err.Error()
}

// tryAccelerator starts a machine whose firmware is the probe.
func tryAccelerator(ctx context.Context, r run.Runner, a Accelerator, rom string) error {
	err := r.Run(ctx, run.Command{
		Name: emulatorProgram,
		Args: []string{
			"-machine", "q35", "-accel", string(a), "-cpu", cpuModel(a), "-m", "16", "-nodefaults", "-no-user-config", "-display", "none",
			"-bios", rom, "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
		},
		Grace: time.Second,
	})
	if e, ok := errors.AsType[*run.Error](err); ok && e.ExitCode == probeExit {
		return nil
	}
	if err == nil {
		return errors.New("the machine ended before its program did")
	}
	return err
}

// cpuModel is the processor a guest sees: all that the accelerator can do. TCG is slower with what programs choose because real processors are
// faster with it: page tables of five levels, which small guests have no use for, and AVX, which it does in parts, so that Go's SHA-256 takes
// 2.3 times as long (QEMU 7.2).
func cpuModel(a Accelerator) string {
	if a == KVM {
		return "host"
	}
	return "max,la57=off,avx=off,avx2=off"
}

// probeExit is QEMU's exit status when the probe has come to its end: isa-debug-exit makes 2n+1 of the byte n it is written.
const probeExit = 2*0x10 + 1

// probeROM is firmware of our own: it enters protected mode, then long mode with the first 4 GiB mapped, goes 20 million times through
// memory, and ends QEMU. That uses what kernels use, and takes TCG 0.05 s.
func probeROM() []byte {
	code := []byte{
		0xfa,                                     // cli
		0x2e, 0x66, 0x0f, 0x01, 0x16, 0xe0, 0x00, // lgdtl %cs:gdtr
		0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0, // set PE in %cr0
		0x66, 0xea, 0x18, 0x00, 0xff, 0xff, 0x08, 0x00, // ljmpl $0x08, $protected
		// protected: at 0x18
		0x66, 0xb8, 0x10, 0x00, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, // %ds = %es = %ss = 0x10
		0xfc, 0x31, 0xc0, // cld; xor %eax, %eax
		0xbf, 0x00, 0x10, 0x00, 0x00, 0xb9, 0x00, 0x18, 0x00, 0x00, 0xf3, 0xab, // clear 0x1000 to 0x7000
		0xc7, 0x05, 0x00, 0x10, 0x00, 0x00, 0x03, 0x20, 0x00, 0x00, // the table of level 4, at 0x1000, has the one of level 3
		0xb8, 0x03, 0x30, 0x00, 0x00, 0xbf, 0x00, 0x20, 0x00, 0x00, 0xb9, 0x04, 0x00, 0x00, 0x00, // which has four directories:
		0x89, 0x07, 0x05, 0x00, 0x10, 0x00, 0x00, 0x83, 0xc7, 0x08, 0xe2, 0xf4, // mov %eax, (%edi); add $0x1000, %eax; add $8, %edi; loop
		0xb8, 0x83, 0x00, 0x00, 0x00, 0xbf, 0x00, 0x30, 0x00, 0x00, 0xb9, 0x00, 0x08, 0x00, 0x00, // and they have 2048 pages of 2 MiB:
		0x89, 0x07, 0x05, 0x00, 0x00, 0x20, 0x00, 0x83, 0xc7, 0x08, 0xe2, 0xf4, // mov %eax, (%edi); add $0x200000, %eax; add $8, %edi; loop
		0xb8, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x22, 0xd8, // %cr3 = 0x1000
		0x0f, 0x20, 0xe0, 0x83, 0xc8, 0x20, 0x0f, 0x22, 0xe0, // set PAE in %cr4
		0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32, 0x0d, 0x00, 0x01, 0x00, 0x00, 0x0f, 0x30, // set LME in EFER
		0x0f, 0x20, 0xc0, 0x0d, 0x00, 0x00, 0x00, 0x80, 0x0f, 0x22, 0xc0, // set PG in %cr0
		0xea, 0xa2, 0x00, 0xff, 0xff, 0x18, 0x00, // ljmpl $0x18, $long
		// long: at 0xa2
		0x31, 0xc0, 0xbf, 0x00, 0x00, 0x01, 0x00, 0xb9, 0x00, 0x2d, 0x31, 0x01, // %eax = 0; %edi = 0x10000; %ecx = 20000000
		0x01, 0xc8, 0x89, 0x07, 0x8b, 0x07, 0xff, 0xc9, 0x75, 0xf6, // add %ecx, %eax; mov %eax, (%rdi); mov (%rdi), %eax; dec %ecx; jnz
		0xb0, 0x10, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd, 0x90, // out $0x10 to isa-debug-exit; hlt for ever
		// the descriptors, at 0xc0: none, code and data of 32 bits, code of 64 bits
		0, 0, 0, 0, 0, 0, 0, 0,
		0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0,
		0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0,
		0xff, 0xff, 0, 0, 0, 0x9b, 0xaf, 0,
		0x1f, 0x00, 0xc0, 0x00, 0xff, 0xff, // gdtr
	}
	rom := make([]byte, 64<<10) // mapped below 4 GiB; the processor starts sixteen bytes before its end
	copy(rom, code)
	copy(rom[len(rom)-16:], []byte{0xe9, 0x0d, 0x00}) // jmp to the beginning
	return rom
}
