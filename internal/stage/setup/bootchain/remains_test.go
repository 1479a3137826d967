package bootchain

import (
	"os"
	"path"
	"slices"
	"testing"

	"nixos-staged-hive/internal/hive"
)

// TestDropRemains leaves what is whole, also with secrets appended, and removes what a power failure cut off.
func TestDropRemains(t *testing.T) {
	name := func(stored string) string { return path.Base(path.Dir(stored)) + "-" + path.Base(stored) }
	for _, boot := range []hive.Boot{{Loader: "systemd-boot", ESP: "/boot"}, {Loader: "grub", ESP: "/boot/efi"}, {Loader: "grub"}} {
		i := install(t, boot)
		kernel, err := os.ReadFile(i.outside(linux))
		if err != nil {
			t.Fatal(err)
		}
		half, whole := "/boot/EFI/nixos/"+name(linux)+".efi", "/boot/EFI/nixos/"+name(initrd)+".efi"
		if boot.Loader == "grub" {
			half, whole = "/boot/kernels/"+name(linux), "/boot/kernels/"+name(initrd)
		}
		ofOthers := path.Join(path.Dir(half), "00000000000000000000000000000008-linux-6.1-bzImage.efi")
		original, err := os.ReadFile(i.outside(initrd))
		if err != nil {
			t.Fatal(err)
		}
		i.write(half, string(kernel[:len(kernel)/2]))
		i.write(whole, string(original)+"and secrets")
		i.write(ofOthers, "an older kernel")
		dropped, err := DropRemains(i.root, i.host)
		if err != nil || !slices.Equal(dropped, []string{half}) {
			t.Errorf("%s: dropped %v, %v", boot.Loader, dropped, err)
		}
		for file, there := range map[string]bool{half: false, whole: true, ofOthers: true} {
			if _, err := os.Stat(i.outside(file)); (err == nil) != there {
				t.Errorf("%s: %s: %v", boot.Loader, file, err)
			}
		}
		if dropped, err := DropRemains(i.root, i.host); err != nil || len(dropped) > 0 {
			t.Errorf("%s: the second time dropped %v, %v", boot.Loader, dropped, err)
		}
	}
}
