package bootchain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"nixos-staged-hive/internal/hive"
)

// DropRemains removes copies of the host's kernel and initrd from its boot partition that are not what they are named after, as a power failure leaves
// them, and gives their names. It has to be done before the boot loader is installed: NixOS' installers do not look again at a copy that is there
// (24.05: copy_if_not_exists of systemd-boot-builder.py, copyToKernelsDir of install-grub.pl), so that every further run would end at the same half
// of a kernel.
func DropRemains(root string, h hive.MediumHost) ([]string, error) {
	t := tree{root}
	var dropped []string
	for _, original := range []string{h.Toplevel + "/kernel", h.Toplevel + "/initrd"} {
		stored, err := t.resolve(original)
		if err != nil {
			return dropped, fmt.Errorf("look for copies of %s: %w", original, err)
		}
		for _, name := range copies(h.Plan.Boot, stored) {
			gone, err := t.dropUnequal(name, stored)
			if err != nil {
				return dropped, fmt.Errorf("remove the rest of %s: %w", name, err)
			}
			if gone {
				dropped = append(dropped, name)
			}
		}
	}
	return dropped, nil
}

// copies are where the installers of NixOS put a file of the store: NAME is its folder's and its own.
func copies(boot hive.Boot, stored string) []string {
	name := path.Base(path.Dir(stored)) + "-" + path.Base(stored)
	all := []string{"/boot/kernels/" + name, "/boot/EFI/nixos/" + name + ".efi"}
	if boot.ESP != "" && path.Clean(boot.ESP) != "/boot" {
		all = append(all, path.Join(boot.ESP, "EFI/nixos", name+".efi"), path.Join(boot.ESP, "kernels", name))
	}
	return all
}

// dropUnequal leaves alone what begins with the original: secrets may be appended to an initrd, and the installer makes that anew.
func (t tree) dropUnequal(name, original string) (bool, error) {
	file, err := t.anyCase(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if t.equal(file, original, true) == nil {
		return false, nil
	}
	return true, os.Remove(t.outside(file))
}
