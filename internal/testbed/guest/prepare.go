package guest

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"nixos-staged-hive/internal/testbed/need"
)

//go:embed init.sh
var initScript []byte

// Extra is what a guest has besides udev, kmod, busybox and the drivers of virtual hardware.
type Extra struct {
	Packages []string // of Debian
	Programs []string // absolute paths as in the packages; their libraries come along
	Modules  []string // of the kernel, by name; those they need come along
}

// recipe makes what is in the cache worthless when it changes.
const recipe = "2"

// base is what udev needs to find the virtual hardware of a lab.
func base() Extra {
	return Extra{
		Packages: []string{"linux-image-amd64", "udev", "kmod", "busybox-static"},
		Programs: []string{
			"/bin/busybox", "/bin/kmod", "/bin/udevadm",
			"/lib/udev/ata_id", "/lib/udev/scsi_id", "/lib/udev/cdrom_id",
			"/lib/x86_64-linux-gnu/libkmod.so.2", // newer ones of udev look for it when they need it
		},
		Modules: []string{
			"virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net", "e1000e",
			"nvme", "ahci", "sd_mod", "sr_mod", "xhci_pci", "usb_storage", "uas", "sdhci_pci", "mmc_block",
			"ext4", "crc32c_generic", "vfat", "nls_ascii", "nls_cp437", "loop", "af_packet",
		},
	}
}

func (e Extra) with(more Extra) Extra {
	return Extra{
		Packages: slices.Concat(e.Packages, more.Packages),
		Programs: slices.Concat(e.Programs, more.Programs),
		Modules:  slices.Concat(e.Modules, more.Modules),
	}
}

// Cache is where prepared guests and their packages are kept: the folder guest in STAGED_HIVE_LAB_CACHE or ~/.cache/nixos-staged-hive-lab.
// Nothing but the time of making them again is lost with it.
func Cache() (string, error) {
	if dir := os.Getenv("STAGED_HIVE_LAB_CACHE"); dir != "" {
		return filepath.Abs(filepath.Join(dir, "guest"))
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".cache", "nixos-staged-hive-lab", "guest"), err
}

// Prepare gives a guest, made at its first use: some 90 MB of packages, then half a minute. Where it cannot be made, a test fails in CI
// and is skipped elsewhere.
func Prepare(t testing.TB, extra ...Extra) Image {
	t.Helper()
	for _, program := range []string{"apt-get", "dpkg-deb", "tar"} {
		need.Program(t, program)
	}
	image, err := prepare(t.Context(), extra...)
	if err == nil {
		return image
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("prepare a guest: %v", err)
	}
	need.Skip(t, "a guest cannot be prepared: %v", err)
	return Image{}
}

func prepare(ctx context.Context, extra ...Extra) (Image, error) {
	wanted := base()
	for _, e := range extra {
		wanted = wanted.with(e)
	}
	cache, err := Cache()
	if err != nil {
		return Image{}, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return Image{}, err
	}
	unlock, err := lock(filepath.Join(cache, "lock"))
	if err != nil {
		return Image{}, err
	}
	defer unlock()
	dir := filepath.Join(cache, wanted.key())
	if image, err := load(dir); err == nil {
		return image, nil
	}
	return build(ctx, cache, dir, wanted)
}

// key names what is wanted, in the order it was asked for.
func (e Extra) key() string {
	text, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings alone
	}
	return fmt.Sprintf("%x", sha256.Sum256(slices.Concat([]byte(recipe), initScript, text)))[:12]
}

// lock holds other test programs off; the kernel gives it back with the program's end, however that comes.
func lock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), f.Close())
	}
	return func() { f.Close() }, nil //nolint:errcheck // nothing was written
}

func load(dir string) (Image, error) {
	release, err := os.ReadFile(filepath.Join(dir, "release"))
	return Image{Kernel: filepath.Join(dir, "kernel"), Initrd: filepath.Join(dir, "initrd"), Release: string(release)}, err
}

// build makes everything in a folder beside its place, so that a place that exists is complete.
func build(ctx context.Context, cache, dir string, wanted Extra) (Image, error) {
	work := dir + ".new"
	if err := os.RemoveAll(work); err != nil {
		return Image{}, err
	}
	defer os.RemoveAll(work) //nolint:errcheck // the next build removes it
	root := filepath.Join(work, "root")
	if err := unpackAll(ctx, filepath.Join(cache, "packages"), root, wanted.Packages); err != nil {
		return Image{}, err
	}
	release, err := kernelRelease(root)
	if err != nil {
		return Image{}, err
	}
	initrd, err := collect(ctx, root, release, wanted)
	if err != nil {
		return Image{}, err
	}
	if err := os.WriteFile(filepath.Join(work, "initrd"), initrd, 0o600); err != nil {
		return Image{}, err
	}
	if err := os.WriteFile(filepath.Join(work, "release"), []byte(release), 0o600); err != nil {
		return Image{}, err
	}
	if err := os.Rename(filepath.Join(root, "boot", "vmlinuz-"+release), filepath.Join(work, "kernel")); err != nil {
		return Image{}, err
	}
	if err := errors.Join(os.RemoveAll(root), os.RemoveAll(dir)); err != nil {
		return Image{}, err
	}
	if err := os.Rename(work, dir); err != nil {
		return Image{}, err
	}
	return load(dir)
}

// unpackAll downloads packages and all they depend on, as for a machine on which nothing is installed, and unpacks them into root.
func unpackAll(ctx context.Context, packages, root string, names []string) error {
	if err := os.MkdirAll(filepath.Join(packages, "partial"), 0o755); err != nil {
		return err
	}
	nothing := filepath.Join(packages, "nothing-installed")
	if err := os.WriteFile(nothing, nil, 0o600); err != nil {
		return err
	}
	apt := []string{
		"--yes", "--no-install-recommends", "-o", "Dir::State::status=" + nothing, "-o", "Dir::Cache::archives=" + packages,
		"-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root", "-o", "APT::Architecture=amd64",
	}
	plan, err := output(ctx, "apt-get", slices.Concat(apt, []string{"--simulate", "install"}, names)...)
	if err != nil {
		return fmt.Errorf("%w (apt-get update fetches the lists of packages)", err)
	}
	if _, err := output(ctx, "apt-get", slices.Concat(apt, []string{"--download-only", "install"}, names)...); err != nil {
		return err
	}
	if err := mergeFolders(root); err != nil {
		return err
	}
	for _, file := range archiveNames(plan) {
		if err := unpack(ctx, filepath.Join(packages, file), root); err != nil {
			return err
		}
	}
	return nil
}

// archiveNames gives the files of the packages that apt would install, which it tells as
// "Inst kmod (30+20221128-1 Debian:12.15/oldstable [amd64])".
func archiveNames(plan string) []string {
	var files []string
	for _, m := range regexp.MustCompile(`(?m)^Inst ([^ :]+)\S* \((\S+) .*\[(\w+)\]\)`).FindAllStringSubmatch(plan, -1) {
		files = append(files, m[1]+"_"+strings.ReplaceAll(m[2], ":", "%3a")+"_"+m[3]+".deb")
	}
	return files
}

// mergeFolders lays root out as Debian 13 does, where /bin and its like are links into /usr; packages of Debian 12 fit in.
func mergeFolders(root string) error {
	for _, name := range mergedFolders() {
		if err := os.MkdirAll(filepath.Join(root, "usr", name), 0o755); err != nil {
			return err
		}
		if err := os.Symlink("usr/"+name, filepath.Join(root, name)); err != nil {
			return err
		}
	}
	return nil
}

func mergedFolders() []string { return []string{"bin", "sbin", "lib", "lib64"} }

// unpack leaves out what is only for people to read.
func unpack(ctx context.Context, deb, root string) error {
	script := `dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --keep-directory-symlink --no-same-owner --exclude=./usr/share`
	_, err := output(ctx, "bash", "-o", "pipefail", "-c", script, "unpack", deb, root)
	if err != nil {
		return fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
	}
	return nil
}

// output runs a program; its words are part of the error.
func output(ctx context.Context, name string, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, arguments...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(errors.String()))
	}
	return string(out), nil
}
