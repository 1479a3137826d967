package matrix

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/secret"
	"nixos-staged-hive/internal/testbed/guest"
	"nixos-staged-hive/internal/testbed/need"
)

// firmware of the machines: OVMF of Debian's package.
const (
	firmwareCode = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	firmwareVars = "/usr/share/OVMF/OVMF_VARS_4M.fd"
)

// medium is what machines are installed from: a saved machine that has just started from it.
type medium struct {
	dir      string
	store    string // squashfs of the store
	saved    string // state of the machine that waits
	vars     string // variables of the firmware then
	boot     guest.Boot
	loader   string // of the systems
	manifest hive.Manifest
	bundles  map[string]string // secrets of each host, base64 of what `setup secrets` reads
	keys     map[string]string // private host keys
}

// system is what systems.nix says of a layout.
type system struct {
	Name, Toplevel, Closure, Format, Mount, InitrdModules, ModulesFolder string
	Facts                                                                hive.Host
}

func makeMedium(t *testing.T, dir string) *medium {
	t.Helper()
	built, d := build(t, dir)
	m := &medium{dir: dir, store: filepath.Join(built, "store.squashfs"), saved: filepath.Join(dir, "saved"), vars: filepath.Join(dir, "vars"), bundles: map[string]string{}, keys: map[string]string{}, loader: d.Loader}
	m.manifest = hive.Manifest{Schema: hive.ManifestSchema, Volume: "MATRIX"}
	for _, s := range d.Systems {
		h, err := carried(s)
		must(t, err)
		m.manifest.Hosts = append(m.manifest.Hosts, h)
		m.furnish(t, s.Name)
	}
	text, err := json.Marshal(m.manifest)
	must(t, err)
	image := guest.Prepare(t, guest.Extra{
		Packages: []string{"util-linux", "lvm2", "dmsetup"},
		Programs: []string{"/sbin/dmsetup", "/sbin/lvm", "/sbin/blkid"},
		Modules:  []string{"dm_mod", "dm_crypt", "dm_snapshot", "btrfs", "xts", "ecb", "aes_generic", "algif_skcipher", "sha256_generic", "loop", "squashfs", "efivarfs"},
	})
	m.boot = image.Boot(t, agentScript, map[string]string{
		"/setup": program(t, dir), "/manifest.json": string(text), "/path": d.Path,
		"/etc/modules": strings.Join([]string{"virtio_blk", "squashfs", "efivarfs", "dm_mod", "dm_crypt", "dm_snapshot", "btrfs", "xts", "ecb", "algif_skcipher", "ext4", "vfat", "nls_cp437", "nls_ascii"}, "\n") + "\n",
	})
	m.wait(t)
	return m
}

// agentScript makes the guest a medium and then does what it is told on its second serial port.
const agentScript = `
ln -sfn /proc/self/fd /dev/fd
mkdir -p /nix/.ro-store /nix/store /mnt /iso /sys/firmware/efi/efivars /run/nixos-staged-hive /root
mount -t squashfs -o ro /dev/disk/by-id/virtio-medium /nix/.ro-store
mount --bind /nix/.ro-store /nix/store
mount -t efivarfs efivarfs /sys/firmware/efi/efivars
cp /setup /bin/setup
chmod +x /bin/setup
export PATH=$(cat /path)/bin:$(cat /path)/sbin:/bin:/sbin LC_ALL=C.UTF-8
exec 3<>/dev/ttyS1
stty -F /dev/ttyS1 raw -echo
# once, so that what programs are made of is in memory
setup plan --manifest /manifest.json -n plain > /dev/null
for program in sgdisk mkfs.ext4 mkfs.vfat mkfs.btrfs cryptsetup lvm nix-env nix-store nixos-enter partprobe wipefs jq; do $program --version; done > /dev/null 2>&1
umount() { $(cat /path)/bin/umount "$@"; } # busybox' own has not all its options
awaited() { i=0; until [ -e /dev/disk/by-id/virtio-$1 ]; do sleep 0.1; i=$((i+1)); [ $i -lt 600 ] || return 1; done; }
ready() { for disk; do awaited $disk || return 1; done; udevadm settle; }
install() {
	setup run --manifest /manifest.json --then stay --json "$@" >&3 2>/dev/ttyS0
	code=$?
	[ $code = 0 ] || tail -n 200 /run/nixos-staged-hive/setup.log > /dev/ttyS0
	return $code
}
echo READY >&3
while read -r line <&3; do
	eval "$line"
	echo "STATUS $?" >&3
done`

// document is systems.json.
type document struct {
	Path, Loader string
	Systems      []system
}

// build has Nix build what systems.nix says.
func build(t *testing.T, dir string) (built string, d document) {
	t.Helper()
	nixpkgs, disko := lab(t)
	source := filepath.Join(need.Module(t), "nix")
	link := filepath.Join(dir, "medium")
	cmd := exec.CommandContext(t.Context(), "nix-build", "systems.nix", "--argstr", "nixpkgs", nixpkgs, "--argstr", "disko", disko, "--argstr", "source", source, "--out-link", link)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the systems: %v\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(link, "systems.json"))
	must(t, err)
	must(t, json.Unmarshal(text, &d))
	return link, d
}

// lab gives the lab's nixpkgs and the real disko.
func lab(t *testing.T) (nixpkgs, disko string) {
	t.Helper()
	need.Store(t)
	for _, p := range []string{"nix-build", "qemu-system-x86_64", "patchelf", "gcc", "ssh-keygen", "apt-get", "mcopy"} {
		need.Program(t, p)
	}
	_, disko = need.Tree(t)
	cmd := exec.CommandContext(t.Context(), filepath.Join(need.Module(t), "scripts", "lab-tree.sh"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	must(t, err)
	return strings.TrimSpace(string(out)), disko
}

func carried(s system) (hive.MediumHost, error) {
	plan := hive.PlanOf(s.Facts)
	hash, err := plan.Hash()
	if err != nil {
		return hive.MediumHost{}, err
	}
	modules, err := os.ReadFile(s.InitrdModules)
	return hive.MediumHost{
		Name: s.Name, Plan: plan, PlanHash: hash, Toplevel: s.Toplevel, Closure: s.Closure,
		Scripts:       hive.Scripts{Format: s.Format, Mount: s.Mount},
		InitrdModules: strings.Fields(string(modules)), ModulesFolder: s.ModulesFolder,
	}, err
}

// furnish makes the secrets of a host.
func (m *medium) furnish(t *testing.T, host string) {
	t.Helper()
	file := filepath.Join(m.dir, "key-"+host)
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host, "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("make a host key: %v\n%s", err, out)
	}
	private, err := os.ReadFile(file)
	must(t, err)
	public, err := os.ReadFile(file + ".pub")
	must(t, err)
	b := secret.Bundle{
		Host: host, HostKey: string(private), HostKeyPub: strings.TrimSpace(string(public)),
		Files: []secret.File{{Path: "/run/disk.key", Mode: 0o400, Content: []byte("the key of the matrix")}},
	}
	text, err := b.Encode()
	must(t, err)
	m.bundles[host], m.keys[host] = base64.StdEncoding.EncodeToString(text), string(private)
}

// program builds setup.
func program(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "setup")
	cmd := exec.CommandContext(t.Context(), need.Program(t, "go"), "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", file, "nixos-staged-hive/cmd/nixos-staged-hive")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build setup: %v\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	must(t, err)
	return string(text)
}

// wait starts the medium, and saves the machine when it waits for orders.
func (m *medium) wait(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, copyFile(firmwareVars, m.vars))
	v, err := launch(ctx, m.dir, m.arguments(m.vars, filepath.Join(m.dir, "console"))...)
	must(t, err)
	defer v.release() // nothing is asked of it any more
	for {
		text, err := v.line()
		if err != nil {
			console, _ := os.ReadFile(filepath.Join(m.dir, "console"))
			t.Fatalf("the medium does not start: %v\n%s\n%s", err, v.said.String(), console)
		}
		if strings.HasSuffix(text, "READY") { // firmware writes there too
			break
		}
	}
	must(t, v.save(m.saved))
}

func (m *medium) arguments(vars, console string) []string {
	return append(board(firmwareCode, vars, console),
		"-drive", "if=none,id=medium,format=raw,readonly=on,file.locking=off,file="+m.store, "-device", "virtio-blk-pci,drive=medium,serial=medium,addr=0x5",
		"-kernel", m.boot.Kernel, "-initrd", m.boot.Initrd, "-append", m.boot.CommandLine+" mitigations=off")
}

// resume starts a machine at the moment when the medium waits, and plugs the disks in.
func (m *medium) resume(ctx context.Context, dir string, disks []string) (*machine, error) {
	vars := filepath.Join(dir, "vars")
	if err := copyFile(m.vars, vars); err != nil {
		return nil, err
	}
	args := append(m.arguments(vars, filepath.Join(dir, "console")), "-S", "-incoming", "exec:cat "+m.saved)
	v, err := launch(ctx, dir, args...)
	if err != nil {
		return nil, err
	}
	if err := m.plug(v, disks); err != nil {
		return nil, fmt.Errorf("%w; %w", err, v.release())
	}
	return v, nil
}

func digest(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
