package disks

import (
	"encoding/json"
	"flag"
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

// only picks one scenario, or one layout of it: go test -run TestInAGuest -scenario stale-regions/lvm.
var only = flag.String("scenario", "", "of the scenarios at the disks run only this one")

// machines are the scenarios by the virtual machine that they run in, one after the other: two machines, since that is how many processors
// the smallest of those has that test this. Both take about the same time.
func machines() map[string][]string {
	return map[string][]string{
		"first":  {"install-bios", "install-btrfs", "install-lvm", "install-raid", "dirty", "add"},
		"second": {"undo", "refusals", "spanning", "shadows", "stale-regions", "stale-array"},
	}
}

// TestInAGuest runs the scenarios on real disks: kernel, udev, LVM, md and dm-crypt of virtual machines, with the format and mount scripts of the
// real disko.
func TestInAGuest(t *testing.T) {
	if names := os.Getenv(inGuest); names != "" {
		for name := range strings.SplitSeq(names, ",") {
			t.Run(name, scenarios()[name])
		}
		return
	}
	image := guest.Prepare(t, furniture())
	files := map[string]string{
		"/scenarios":    selfStatic(t),
		"/layouts.json": layouts(t),
		"/etc/modules":  strings.Join([]string{"dm_mod", "dm_crypt", "raid1", "btrfs", "xfs", "xts", "ecb", "aes_generic", "loop"}, "\n") + "\n",
	}
	for machine, names := range chosen(t) {
		t.Run(machine, func(t *testing.T) {
			t.Parallel()
			script := fmt.Sprintf(guestScript, inGuest, strings.Join(names, ","), strings.ReplaceAll("^TestInAGuest/"+*only, "/", "$/^"))
			out := image.Run(t, guestDisks(t), script, files)
			for _, name := range names {
				t.Run(name, func(t *testing.T) { passed(t, out, name) })
			}
			if testing.Verbose() || t.Failed() {
				t.Log(out)
			}
		})
	}
}

// chosen are the machines with all their scenarios, or one with the one that was asked for.
func chosen(t *testing.T) map[string][]string {
	t.Helper()
	all := machines()
	known := slices.Sorted(maps.Keys(scenarios()))
	if placed := slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Values(all))...))); !slices.Equal(placed, known) {
		t.Fatalf("the machines run %q, and there are the scenarios %q", placed, known)
	}
	if *only == "" {
		return all
	}
	name, _, _ := strings.Cut(*only, "/")
	if !slices.Contains(known, name) {
		t.Fatalf("-scenario %s is none of %q", *only, known)
	}
	return map[string][]string{"only": {name}}
}

// passed looks for the line by which the guest's own tests tell of a scenario.
func passed(t *testing.T, out, name string) {
	t.Helper()
	if !strings.Contains(out, "--- PASS: TestInAGuest/"+name+" ") {
		t.Errorf("scenario %s did not pass; the output of the whole machine follows", name)
	}
}

const guestScript = `
export PATH=/sbin:/bin TMPDIR=/tmp %s=%s
mkdir -p /mnt; ln -s /proc/self/fd /dev/fd
for name in pvs pvcreate vgcreate vgchange vgdisplay lvcreate lvdisplay; do ln -sf lvm /sbin/$name; done
chmod +x /scenarios
/scenarios -test.timeout 33m -test.v -test.run '%s' 2>&1 || true`

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
	for _, name := range serials() {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, 512<<20); err != nil {
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
