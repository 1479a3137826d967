package disks

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/testbed/guest"
	"nixos-staged-hive/internal/testbed/need"
)

// inGuest is set where scenarios run: in a virtual machine, with this test program as its only user.
const inGuest = "STAGED_HIVE_IN_GUEST"

// TestInAGuest runs each scenario in a machine of its own, on real disks: kernel, udev, LVM, md and dm-crypt of a virtual machine, with the format
// and mount scripts of the real disko.
func TestInAGuest(t *testing.T) {
	if name := os.Getenv(inGuest); name != "" {
		scenarios()[name](t)
		return
	}
	image := guest.Prepare(t, furniture())
	files := map[string]string{
		"/scenarios":    selfStatic(t),
		"/layouts.json": layouts(t),
		"/etc/modules":  strings.Join([]string{"dm_mod", "dm_crypt", "raid1", "btrfs", "xfs", "xts", "ecb", "aes_generic", "loop"}, "\n") + "\n",
	}
	for _, name := range slices.Sorted(maps.Keys(scenarios())) {
		t.Run(name, func(t *testing.T) {
			if !slices.Contains(proven(), name) && os.Getenv("STAGED_HIVE_SCENARIOS") == "" {
				need.Skip(t, "not seen to pass yet since its last change: STAGED_HIVE_SCENARIOS=all runs it")
			}
			t.Parallel()
			out := image.Run(t, guestDisks(t), fmt.Sprintf(guestScript, inGuest, name), files)
			if !strings.HasSuffix(strings.TrimSpace(out), "PASS") || os.Getenv("STAGED_HIVE_SHOW") != "" {
				t.Log(out)
			}
			if !strings.HasSuffix(strings.TrimSpace(out), "PASS") {
				t.Fail()
			}
		})
	}
}

// proven are the scenarios that were seen to pass; the others are being worked on, and say so when they are skipped.
func proven() []string { return []string{"install-bios", "install-btrfs", "shadows", "spanning"} }

const guestScript = `
export PATH=/sbin:/bin TMPDIR=/tmp %s=%s
mkdir -p /mnt; ln -s /proc/self/fd /dev/fd
for name in pvs pvcreate vgcreate vgchange vgdisplay lvcreate lvdisplay; do ln -sf lvm /sbin/$name; done
chmod +x /scenarios
/scenarios -test.timeout 15m -test.run '^TestInAGuest$' 2>&1 || true`

// furniture is what the medium has on its PATH.
func furniture() guest.Extra {
	return guest.Extra{
		Packages: []string{
			"util-linux", "mount", "bash", "gdisk", "parted", "cryptsetup-bin", "lvm2", "mdadm", "dmsetup",
			"e2fsprogs", "dosfstools", "btrfs-progs", "xfsprogs",
		},
		Programs: []string{
			"/bin/bash", "/bin/lsblk", "/bin/findmnt", "/bin/mount", "/bin/umount",
			"/sbin/blkid", "/sbin/wipefs", "/sbin/swapon", "/sbin/swapoff", "/sbin/mkswap", "/sbin/losetup", "/sbin/blkdiscard", "/sbin/blockdev",
			"/sbin/sgdisk", "/sbin/partprobe", "/sbin/cryptsetup", "/sbin/lvm", "/sbin/mdadm", "/sbin/dmsetup",
			"/sbin/mkfs.ext4", "/sbin/e2fsck", "/sbin/mkfs.vfat", "/sbin/fsck.vfat", "/bin/btrfs", "/sbin/mkfs.btrfs",
			"/sbin/mkfs.xfs", "/sbin/xfs_repair",
		},
		Modules: []string{"dm_mod", "dm_crypt", "dm_snapshot", "raid1", "btrfs", "xfs", "xts", "ecb", "aes_generic", "sha256_generic", "loop"},
	}
}

// guestDisks are four disks with serial numbers.
func guestDisks(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"-nodefaults"}
	for _, name := range []string{"main", "second", "third", "stick"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, 640<<20); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-drive", "if=none,format=raw,cache=unsafe,discard=unmap,id="+name+",file="+file,
			"-device", "virtio-blk-pci,serial="+name+",drive="+name)
	}
	return args
}

// selfStatic is this test program without a C library, which the guest need not have.
func selfStatic(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "scenarios")
	cmd := exec.CommandContext(t.Context(), need.Program(t, "go"), "test", "-c", "-ldflags=-s -w", "-o", program, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the scenarios: %v\n%s", err, out)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// layouts evaluates testdata/layouts.nix with the real disko.
func layouts(t *testing.T) string {
	t.Helper()
	need.Store(t)
	nixpkgs, disko := need.Tree(t)
	cmd := exec.CommandContext(t.Context(), need.Program(t, "nix-instantiate"), "--eval", "--strict", "--json", "--readonly-mode",
		"--argstr", "nixpkgs", nixpkgs, "--argstr", "disko", disko, filepath.Join("testdata", "layouts.nix"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("evaluate the layouts: %v", err)
	}
	if !json.Valid(out) {
		t.Fatalf("the layouts are no JSON: %s", out)
	}
	return string(out)
}
