package matrix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"nixos-staged-hive/internal/blockdev"
)

// start boots what was installed, without the medium, from the firmware on, and gives what it says of itself, and the seconds of a processor
// that it took.
func (m *medium) start(ctx context.Context, dir string, disks []string) (said map[string]string, effort float64, err error) {
	return until(ctx, dir, board(firmwareCode, filepath.Join(dir, "vars"), consoleInstalled(dir)), disks)
}

// startLoaded is the same without firmware and loader: the loader's program has to be on the boot partition, byte for byte, and what its files name
// there is started by QEMU.
func (m *medium) startLoaded(ctx context.Context, dir string, disks []string) (said map[string]string, effort float64, err error) {
	e, err := m.loaded(ctx, dir, disks[0])
	if err != nil {
		return nil, 0, fmt.Errorf("read what the loader would start: %w", err)
	}
	return until(ctx, dir, append(bare(consoleInstalled(dir)), "-kernel", e.kernel, "-initrd", e.initrd, "-append", e.options), disks)
}

func consoleInstalled(dir string) string { return filepath.Join(dir, "console-installed") }

// until starts a machine with disks and waits for its end.
func until(ctx context.Context, dir string, args, disks []string) (said map[string]string, effort float64, err error) {
	_ = os.Remove(consoleInstalled(dir))
	for i, file := range disks {
		name := strings.TrimSuffix(filepath.Base(file), ".disk")
		args = append(args, "-drive", "if=none,format=raw,cache=unsafe,id="+name+",file="+file,
			"-device", fmt.Sprintf("virtio-blk-pci,drive=%s,serial=%s,addr=0x%x", name, name, 6+i))
	}
	v, err := launch(ctx, dir, args...)
	if err != nil {
		return nil, 0, err
	}
	_, _ = io.Copy(io.Discard, v.monitor) // until it ends
	_ = v.release()
	said, err = heard(consoleInstalled(dir))
	return said, v.spent(), err
}

// heard reads what init.sh said.
func heard(console string) (map[string]string, error) {
	text, err := os.ReadFile(console)
	if err != nil {
		return nil, err
	}
	said := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if _, line, ok := strings.Cut(strings.TrimSpace(line), "MATRIX "); ok {
			key, value, _ := strings.Cut(line, " ")
			said[key] = value
		}
	}
	if said["BOOTED"] == "" {
		return said, fmt.Errorf("the installed system did not start; its console is %s", console)
	}
	return said, nil
}

// entry is what systemd-boot would start.
type entry struct{ kernel, initrd, options string }

// loaded follows the files of systemd-boot on a disk, as its program would.
func (m *medium) loaded(ctx context.Context, dir, disk string) (e entry, err error) {
	esp := volume{ctx: ctx, to: dir}
	if esp.image, err = bootPartition(disk); err != nil {
		return e, err
	}
	want, err := os.ReadFile(m.loader)
	if err != nil {
		return e, err
	}
	for _, place := range []string{"/EFI/BOOT/BOOTX64.EFI", "/EFI/systemd/systemd-bootx64.efi"} {
		if got := esp.read(place); !bytes.Equal(got, want) {
			return e, errors.Join(esp.err, fmt.Errorf("%s is not the loader", place))
		}
	}
	chosen := words(esp.read("/loader/loader.conf"))["default"]
	said := words(esp.read("/loader/entries/" + chosen))
	e = entry{esp.take(said["linux"]), esp.take(said["initrd"]), said["options"]}
	return e, esp.err
}

// words are the lines of a file of systemd-boot: a word, and what it is set to.
func words(text []byte) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		all[key] = strings.TrimSpace(value)
	}
	return all
}

// bootPartition is the boot partition of a disk as mtools call it.
func bootPartition(disk string) (string, error) {
	f, err := os.Open(disk)
	if err != nil {
		return "", err
	}
	defer f.Close() // it was only read
	table, err := blockdev.ReadGPT(f, diskBytes, 512)
	if err != nil {
		return "", err
	}
	for _, p := range table.Partitions {
		if p.Name == "disk-main-esp" {
			return fmt.Sprintf("%s@@%d", disk, p.First*512), nil
		}
	}
	return "", fmt.Errorf("%s has no boot partition", disk)
}

// volume is a FAT file system in a disk. The first error stays.
type volume struct {
	ctx   context.Context
	image string
	to    string // folder for what is taken out
	err   error
}

// take copies a file out and gives its name.
func (v *volume) take(name string) string {
	to := filepath.Join(v.to, "taken-"+path.Base(name))
	if v.err == nil {
		out, err := exec.CommandContext(v.ctx, "mcopy", "-n", "-o", "-i", v.image, "::"+name, to).CombinedOutput()
		if err != nil {
			v.err = fmt.Errorf("read %q of the boot partition: %w: %s", name, err, out)
		}
	}
	return to
}

func (v *volume) read(name string) []byte {
	file := v.take(name)
	if v.err != nil {
		return nil
	}
	text, err := os.ReadFile(file)
	v.err = err
	return text
}
