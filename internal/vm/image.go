package vm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"nixos-staged-hive/internal/run"
)

// unfinished is the end of names of images that are being made. What a killed owner left of them is removed by the next.
const unfinished = ".new"

func (l *Lab) machineDir(name string) string { return l.path("machines", name) }

func (l *Lab) diskImage(machine, disk string) string {
	return filepath.Join(l.machineDir(machine), "disk-"+disk+".qcow2")
}

func (l *Lab) nvramImage(machine string) string {
	return filepath.Join(l.machineDir(machine), "nvram.qcow2")
}

// prepare makes the images a machine does not have yet and tells where they are.
func (l *Lab) prepare(ctx context.Context, m Machine, resetNVRAM bool) (machineFiles, error) {
	files := machineFiles{disks: map[string]string{}, plugs: map[string]string{}}
	if err := os.MkdirAll(l.machineDir(m.Name), 0o700); err != nil {
		return files, err
	}
	for _, d := range m.Disks {
		image := l.diskImage(m.Name, d.Name)
		if err := l.ensureDisk(ctx, image, d.SizeBytes); err != nil {
			return files, fmt.Errorf("disk %s: %w", d.Name, err)
		}
		files.disks[d.Name] = image
	}
	if m.Medium != "" {
		if err := readable(m.Medium); err != nil {
			return files, fmt.Errorf("medium: %w", err)
		}
		medium, err := filepath.Abs(m.Medium)
		if err != nil {
			return files, err
		}
		files.medium = medium
	}
	if m.Firmware != UEFI {
		return files, nil
	}
	files.nvram = l.nvramImage(m.Name)
	if err := l.ensureNVRAM(ctx, files.nvram, resetNVRAM); err != nil {
		return files, fmt.Errorf("variables of the firmware: %w", err)
	}
	return files, nil
}

func readable(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return f.Close()
}

// ensureDisk makes a blank disk, or checks that the one that is there has the size it should.
func (l *Lab) ensureDisk(ctx context.Context, image string, size int64) error {
	is, err := imageSize(image)
	if errors.Is(err, fs.ErrNotExist) {
		return l.makeImage(ctx, image, func(file string) []string {
			return []string{"create", "-q", "-f", "qcow2", file, strconv.FormatInt(size, 10)}
		})
	}
	if err != nil {
		return err
	}
	if is != size {
		return fmt.Errorf("it exists with %d bytes and not %d: erase the machine to begin anew", is, size)
	}
	return nil
}

// ensureNVRAM copies the template of the firmware's variables to an image that snapshots can be part of.
func (l *Lab) ensureNVRAM(ctx context.Context, image string, reset bool) error {
	if l.host.OVMF == (Flash{}) {
		return &MissingError{[]Missing{{"the UEFI firmware OVMF for QEMU", howToGetFirmware}}}
	}
	if _, err := os.Stat(image); err == nil {
		if !reset {
			return nil
		}
		// Written over, not made anew: the image also has the snapshots' variables.
		return l.imageProgram(ctx, "convert", "-n", "-f", l.host.OVMF.VarsFormat, "-O", "qcow2", l.host.OVMF.Vars, image)
	}
	return l.makeImage(ctx, image, func(file string) []string {
		return []string{"convert", "-f", l.host.OVMF.VarsFormat, "-O", "qcow2", l.host.OVMF.Vars, file}
	})
}

// makeImage runs qemu-img for a file that gets its name only when it is whole.
func (l *Lab) makeImage(ctx context.Context, image string, arguments func(file string) []string) error {
	temporary := image + unfinished
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := l.imageProgram(ctx, arguments(temporary)...); err != nil {
		return err
	}
	return os.Rename(temporary, image)
}

func (l *Lab) imageProgram(ctx context.Context, arguments ...string) error {
	return l.run.Run(ctx, run.Command{Name: l.host.Image, Args: arguments})
}

// imageSize reads the size of the disk in a qcow2 image, in bytes: the header (docs/interop/qcow2.txt in QEMU's source) begins with
// "QFI\xfb" and has the size at byte 24.
func imageSize(name string) (int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // it is only read
	var header [32]byte
	if _, err := io.ReadFull(f, header[:]); err != nil || string(header[:4]) != "QFI\xfb" {
		return 0, fmt.Errorf("%s is no qcow2 image", name)
	}
	return int64(binary.BigEndian.Uint64(header[24:])), nil
}
