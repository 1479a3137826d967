package bootchain

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// efiSuffix is how UEFI calls an architecture in file names, and the machine type of its programs (UEFI 2.10, 3.5.1.1; PE format).
type efiSuffix struct {
	name    string
	machine uint16
}

// efiSuffixes are those that firmware for a platform may want, the usual one first: some early 64-bit machines have 32-bit firmware.
func efiSuffixes(platform string) ([]efiSuffix, bool) {
	switch platform {
	case "x86_64-linux":
		return []efiSuffix{{"x64", 0x8664}, {"ia32", 0x014c}}, true
	case "i686-linux":
		return []efiSuffix{{"ia32", 0x014c}}, true
	case "aarch64-linux":
		return []efiSuffix{{"aa64", 0xaa64}}, true
	case "armv7l-linux":
		return []efiSuffix{{"arm", 0x01c2}}, true
	case "riscv64-linux":
		return []efiSuffix{{"riscv64", 0x5064}}, true
	}
	return nil, false
}

// isProgram wants a program that the firmware can start: a whole one, of its architecture.
func (t tree) isProgram(name string, machine uint16) error {
	f, err := t.open(name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("%s: %w", name, inside(err))
	}
	got, err := machineOf(f, size)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if got != machine {
		return fmt.Errorf("%s: is a program for the machine type %#04x instead of %#04x", name, got, machine)
	}
	return nil
}

// machineOf reads the header of a PE file of size bytes. A file that ends before its last section does is refused: an EFI system partition
// that ran full leaves such.
func machineOf(r io.ReaderAt, size int64) (uint16, error) {
	var dos [64]byte
	if _, err := r.ReadAt(dos[:], 0); err != nil || string(dos[:2]) != "MZ" {
		return 0, errors.New("is no program of UEFI")
	}
	at := int64(binary.LittleEndian.Uint32(dos[0x3c:]))
	var header [24]byte
	if _, err := r.ReadAt(header[:], at); err != nil || string(header[:4]) != "PE\x00\x00" {
		return 0, errors.New("is no program of UEFI")
	}
	machine := binary.LittleEndian.Uint16(header[4:])
	sections, optional := int(binary.LittleEndian.Uint16(header[6:])), int64(binary.LittleEndian.Uint16(header[20:]))
	for i := range min(sections, 96) { // the format's own limit
		var s [40]byte
		if _, err := r.ReadAt(s[:], at+24+optional+int64(i)*40); err != nil {
			return 0, errors.New("ends within its headers")
		}
		length, begin := int64(binary.LittleEndian.Uint32(s[16:])), int64(binary.LittleEndian.Uint32(s[20:]))
		if length > 0 && begin > 0 && begin+length > size {
			return 0, fmt.Errorf("ends after %d bytes, within a section", size)
		}
	}
	return machine, nil
}
