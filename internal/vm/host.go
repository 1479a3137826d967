package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/run"
)

const (
	emulatorProgram = "qemu-system-x86_64"
	imageProgram    = "qemu-img"
)

// howToGet is the hint for a computer without QEMU.
const howToGet = "nix-shell -p qemu starts a shell with it; on NixOS environment.systemPackages = [ pkgs.qemu ]; keeps it; " +
	"Debian and Ubuntu: apt install qemu-system-x86 qemu-utils ovmf; Fedora: dnf install qemu-system-x86 qemu-img edk2-ovmf; " +
	"Arch: pacman -S qemu-base edk2-ovmf"

// howToGetFirmware is the hint for a computer with QEMU but without OVMF.
const howToGetFirmware = "Debian and Ubuntu: apt install ovmf; Fedora: dnf install edk2-ovmf; Arch: pacman -S edk2-ovmf; the qemu of nixpkgs " +
	"brings it along; or name files in STAGED_HIVE_OVMF_CODE and STAGED_HIVE_OVMF_VARS"

// Host is what this computer runs virtual machines with.
type Host struct {
	QEMU        string // program
	Version     string // of QEMU, such as 7.2.22
	Image       string // the program qemu-img
	Accelerator Accelerator
	WhyNotKVM   string // why the accelerator is TCG; empty for KVM
	OVMF        Flash  // zero if there is none and it was not asked for
}

// Accelerator is how QEMU runs the guest's instructions.
type Accelerator string

// Accelerators. TCG translates instructions in software: it works everywhere and is ten to thirty times slower.
const (
	KVM Accelerator = "kvm"
	TCG Accelerator = "tcg"
)

// Flash is UEFI firmware as two flash chips: code, and a template of the variables, each an image file.
type Flash struct {
	Code, Vars             string
	CodeFormat, VarsFormat string // raw or qcow2
}

// Wish is what somebody wants of this computer. The zero value takes what is found.
type Wish struct {
	UEFI        bool        // firmware for UEFI machines must be there
	OVMF        Flash       // this firmware instead of what is found; empty formats are raw
	Accelerator Accelerator // this one without trying; empty is KVM where it works
}

// Probe looks for QEMU 7.2 or newer, qemu-img and OVMF, and tries whether KVM works. What is missing is told at once in a
// *MissingError. Whether KVM works shows only by running instructions: a /dev/kvm may be there and be of no use, as in some virtual
// machines.
//
// OVMF comes from, in this order: w, the environment (STAGED_HIVE_OVMF_CODE and STAGED_HIVE_OVMF_VARS), the descriptions that packages
// leave for QEMU (docs/interop/firmware.json in its source), and the files' usual places.
func Probe(ctx context.Context, r run.Runner, w Wish) (Host, error) {
	h := Host{QEMU: emulatorProgram, Image: imageProgram}
	var missing []Missing
	version, lack, err := findEmulator(ctx, r)
	if err != nil {
		return Host{}, err
	}
	missing = append(missing, lack...)
	h.Version = version
	lack, err = findImageProgram(ctx, r)
	if err != nil {
		return Host{}, err
	}
	missing = append(missing, lack...)
	if version != "" {
		h.OVMF = findFlash(w.OVMF, os.Getenv, dataDirs(ctx, r))
	}
	if version != "" && w.UEFI && h.OVMF == (Flash{}) {
		missing = append(missing, Missing{"the UEFI firmware OVMF for QEMU", howToGetFirmware})
	}
	if len(missing) > 0 {
		return Host{}, &MissingError{missing}
	}
	h.Accelerator, h.WhyNotKVM, err = chooseAccelerator(ctx, r, w.Accelerator)
	return h, err
}

// findEmulator gives the version, or what is missing; a version that is too old is missing too.
func findEmulator(ctx context.Context, r run.Runner) (string, []Missing, error) {
	out, err := run.Output(ctx, r, run.Command{Name: emulatorProgram, Args: []string{"--version"}})
	if _, ok := errors.AsType[*run.MissingError](err); ok {
		return "", []Missing{{"program " + emulatorProgram, howToGet}}, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("ask QEMU for its version: %w", err)
	}
	version, enough := readVersion(string(out))
	if !enough {
		return "", []Missing{{fmt.Sprintf("QEMU 7.2 or newer (%s is %s)", emulatorProgram, version), howToGet}}, nil
	}
	return version, nil, nil
}

// readVersion takes the number from "QEMU emulator version 7.2.22 (Debian ...)" and tells whether it is enough: 7.2 is the first with
// the netdev "stream".
func readVersion(text string) (version string, enough bool) {
	m := regexp.MustCompile(`version ([0-9]+)\.([0-9]+)[0-9.]*`).FindStringSubmatch(text)
	if m == nil {
		return "of unknown version", false
	}
	major, err := strconv.Atoi(m[1])
	if err != nil {
		return "of unknown version", false
	}
	minor, err := strconv.Atoi(m[2])
	if err != nil {
		return "of unknown version", false
	}
	return strings.TrimPrefix(m[0], "version "), major > 7 || major == 7 && minor >= 2
}

func findImageProgram(ctx context.Context, r run.Runner) ([]Missing, error) {
	_, err := run.Output(ctx, r, run.Command{Name: imageProgram, Args: []string{"--version"}})
	if _, ok := errors.AsType[*run.MissingError](err); ok {
		return []Missing{{"program " + imageProgram, howToGet}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask qemu-img for its version: %w", err)
	}
	return nil, nil
}

// dataDirs lists where this QEMU looks for its files: the one of nixpkgs has firmware of its own there. It is a hint only, so that no
// answer is fine.
func dataDirs(ctx context.Context, r run.Runner) []string {
	out, err := run.Output(ctx, r, run.Command{Name: emulatorProgram, Args: []string{"-L", "help"}})
	if err != nil {
		return nil
	}
	var dirs []string
	for line := range strings.Lines(string(out)) {
		if dir := strings.TrimSpace(line); filepath.IsAbs(dir) {
			dirs = append(dirs, filepath.Clean(dir))
		}
	}
	return dirs
}
