package bootchain

import (
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
)

// closure wants every path of the system in the store. What is in them is proven where they are copied.
func (v *verifier) closure() {
	paths, err := storePaths(v.host)
	if err != nil {
		v.broken("closure", "what the system consists of cannot be read: %v", err)
		return
	}
	var missing []string
	for _, p := range paths {
		if _, err := os.Lstat(v.tree.outside(p)); err != nil {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		v.broken("closure", "%d of %d store paths of the system are missing: %s", len(missing), len(paths), some(missing))
	}
}

// Registered asks Nix whether the store database at root knows every path of the system: what it does not know, the next garbage collection
// takes. It runs nix-store.
func Registered(ctx context.Context, r run.Runner, root string, h hive.MediumHost) ([]hive.Problem, error) {
	paths, err := storePaths(h)
	if err != nil {
		return nil, fmt.Errorf("check the store database: %w", err)
	}
	args := append([]string{"--store", root, "--check-validity", "--print-invalid"}, paths...)
	told, err := run.Output(ctx, r, run.Command{Name: "nix-store", Args: args})
	if err != nil {
		return nil, fmt.Errorf("check the store database: %w", err)
	}
	unknown := strings.Fields(string(told))
	if len(unknown) == 0 {
		return nil, nil
	}
	return []hive.Problem{{
		Host: h.Name, Severity: hive.Error, Rule: "store-database",
		Message: fmt.Sprintf("the store database does not know %d of %d paths of the system: %s", len(unknown), len(paths), some(unknown)),
		Way:     again,
	}}, nil
}

// storePaths reads the list that closureInfo made, on the medium.
func storePaths(h hive.MediumHost) ([]string, error) {
	text, err := os.ReadFile(h.Closure + "/store-paths")
	if err != nil {
		return nil, err
	}
	paths := strings.Fields(string(text))
	for _, p := range paths {
		if p == h.Toplevel {
			return paths, nil
		}
	}
	return nil, fmt.Errorf("%s/store-paths does not name the system %s", h.Closure, h.Toplevel)
}

// some are the first of many.
func some(paths []string) string {
	const few = 3
	if len(paths) > few {
		return strings.Join(paths[:few], ", ") + ", ..."
	}
	return strings.Join(paths, ", ")
}

// room warns where the next deployment has no place for its kernel beside the one that was installed.
func (v *verifier) room() {
	var needed int64
	for _, file := range append([]string{v.chain.Kernel}, v.chain.Initrds...) {
		if file == "" || strings.HasPrefix(file, "/nix/store/") { // read from the root itself
			return
		}
		found, err := os.Stat(v.tree.outside(file))
		if err != nil {
			return // told already
		}
		needed += found.Size()
	}
	var s unix.Statfs_t
	if err := unix.Statfs(v.tree.outside(v.chain.Kernel), &s); err != nil {
		return
	}
	if free := int64(s.Bavail) * s.Bsize; free < needed {
		v.warn("disko.devices.disk", "boot-room", fmt.Sprintf("the boot partition has %d MiB left, and a kernel with its initrd takes %d MiB: the first deployment may find it full",
			free>>20, needed>>20), `set size = "1G"; for it and install anew, or boot.loader.systemd-boot.configurationLimit = 1;`)
	}
}

// Settle writes all of the installed system to its disks and has the kernel forget what it remembers of them, so that what is read next is
// what is there. It needs root.
func Settle(root string) error {
	places := []string{root}
	for _, v := range volumesBelow(root) {
		places = append(places, v.mounted)
	}
	for _, place := range places {
		if err := syncAt(place); err != nil {
			return fmt.Errorf("write %s to its disk: %w", place, err)
		}
	}
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3\n"), 0o200); err != nil { // Documentation/admin-guide/sysctl/vm.rst
		return fmt.Errorf("forget what was cached: %w", err)
	}
	return nil
}

func syncAt(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	return os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd())))
}
