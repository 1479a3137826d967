package bootchain

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Variables is where Linux shows those of the firmware (efivarfs).
const Variables = "/sys/firmware/efi/efivars"

// Whose a variable is.
const (
	guidGlobal = "8be4df61-93ca-11d2-aa0d-00e098032b8c" // the firmware's own (UEFI 2.10, 3.3)
	guidLoader = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f" // systemd-boot's (systemd.io/BOOT_LOADER_INTERFACE)
)

// immutable is FS_IMMUTABLE_FL (linux/fs.h).
const immutable = 0x10

// persistent is non-volatile, and there for the boot loader and the system (UEFI 2.10, 8.2).
const persistent = 7

// variables are files of a folder: four bytes of attributes and the value, written at once
// (Documentation/filesystems/efivarfs.rst). This needs no program, whose output would differ from version to version.
type variables struct{ folder string }

func (v variables) file(name, guid string) string { return filepath.Join(v.folder, name+"-"+guid) }

// read gives a value without its attributes.
func (v variables) read(name, guid string) ([]byte, error) {
	b, err := os.ReadFile(v.file(name, guid))
	if err != nil {
		return nil, fmt.Errorf("read the variable %s: %w", name, inside(err))
	}
	if len(b) < 4 {
		return nil, fmt.Errorf("read the variable %s: it has %d bytes", name, len(b))
	}
	return b[4:], nil
}

// write makes a variable or gives it another value, unless it has that already: its memory wears out.
func (v variables) write(name, guid string, value []byte) error {
	if old, err := v.read(name, guid); err == nil && slices.Equal(old, value) {
		return nil
	}
	file := v.file(name, guid)
	if err := mutable(file); err != nil {
		return fmt.Errorf("write the variable %s: %w", name, err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("write the variable %s: %w", name, inside(err))
	}
	content := append(binary.LittleEndian.AppendUint32(nil, persistent), value...)
	_, err = f.Write(content)
	if err == nil {
		err = v.shorten(f, len(content))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the variable %s: %w", name, inside(err))
	}
	return nil
}

// shorten cuts a file of a usual file system, as tests have it. On efivarfs a write replaces the whole.
func (v variables) shorten(f *os.File, length int) error {
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &s); err != nil || s.Type == unix.EFIVARFS_MAGIC {
		return nil //nolint:nilerr // then it is left as it was written, and reading it again tells
	}
	return f.Truncate(int64(length))
}

// remove deletes a variable; one that is not there is fine.
func (v variables) remove(name, guid string) error {
	file := v.file(name, guid)
	err := mutable(file)
	if err == nil {
		err = os.Remove(file)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete the variable %s: %w", name, inside(err))
	}
	return nil
}

// mutable takes off the flag with which Linux protects variables that some firmware does not start without. Those of the boot entries never
// have it, those of loaders do.
func mutable(file string) error {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return inside(err)
	}
	defer f.Close() //nolint:errcheck // only looked at
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil || flags&immutable == 0 {
		return nil //nolint:nilerr // a file system without flags protects nothing
	}
	return os.NewSyscallError("ioctl", unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags&^immutable))
}

// options are all boot entries by number. One that cannot be read is empty: its number is taken.
func (v variables) options() (map[uint16]loadOption, error) {
	entries, err := os.ReadDir(v.folder)
	if err != nil {
		return nil, fmt.Errorf("list the firmware's variables: %w", inside(err))
	}
	if len(entries) == 0 {
		return nil, errors.New("list the firmware's variables: there are none, efivarfs is not mounted")
	}
	found := map[uint16]loadOption{}
	for _, e := range entries {
		n, ok := optionNumber(e.Name())
		if !ok {
			continue
		}
		value, err := v.read(optionName(n), guidGlobal)
		if err != nil {
			value = nil
		}
		found[n], _ = readLoadOption(value)
	}
	return found, nil
}

func optionName(n uint16) string { return fmt.Sprintf("Boot%04X", n) }

// optionNumber reads the name of a file: four capital hexadecimal digits after Boot.
func optionNumber(file string) (uint16, bool) {
	digits, ok := strings.CutSuffix(file, "-"+guidGlobal)
	if !ok {
		return 0, false
	}
	digits, ok = strings.CutPrefix(digits, "Boot")
	if !ok || len(digits) != 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 16)
	return uint16(n), err == nil && optionName(uint16(n)) == "Boot"+digits
}

// order is BootOrder; none is an empty one.
func (v variables) order() ([]uint16, error) {
	b, err := v.read("BootOrder", guidGlobal)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return numbers(b), nil
}

func numbers(b []byte) []uint16 {
	var all []uint16
	for ; len(b) >= 2; b = b[2:] {
		all = append(all, binary.LittleEndian.Uint16(b))
	}
	return all
}

func numberBytes(all ...uint16) []byte {
	var b []byte
	for _, n := range all {
		b = binary.LittleEndian.AppendUint16(b, n)
	}
	return b
}
