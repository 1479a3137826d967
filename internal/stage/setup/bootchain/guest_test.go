package bootchain

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/testbed/guest"
	"nixos-staged-hive/internal/testbed/need"
)

// First arguments of the test binary where it is a program in the guest.
const (
	guestEntry    = "guest-entry"
	guestIdentity = "guest-identity"
	guestKexec    = "guest-kexec"
)

func TestMain(m *testing.M) {
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == guestEntry:
		err = enterInGuest()
	case len(os.Args) > 1 && os.Args[1] == guestIdentity:
		id, label := identity(os.Args[2], os.Args[3])
		fmt.Printf("%s %s\n", id, label)
	case len(os.Args) > 1 && os.Args[1] == guestKexec:
		err = restartGuest()
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

// furnish formats the EFI system partition and has the program work on the firmware's real variables. What was said is handed to the system that
// kexec starts: only the last one's output is read.
const furnish = `
mount -t efivarfs efivarfs /sys/firmware/efi/efivars || exit 1
disk=$(readlink -f /dev/disk/by-id/virtio-target)
mkfs.vfat -n ESP "${disk}2" >/dev/null || exit 1
mkdir -p /mnt && mount -t tmpfs tmpfs /mnt && mkdir /mnt/boot && mount "${disk}2" /mnt/boot || exit 1
chmod +x /bootchain.test
mkdir /second
/bootchain.test ` + guestEntry + ` > /second/said 2>&1 || { cat /second/said; exit 1; }

# what file systems call themselves is what blkid says
same() {
  kind=$1 size=$2; shift 2
  rm -f /tmp/disk; truncate -s "$size" /tmp/disk
  "$@" /tmp/disk >/tmp/log 2>&1 || { cat /tmp/log >&2; exit 1; }
  ours=$(/bootchain.test ` + guestIdentity + ` /tmp/disk "$kind")
  theirs="$(/sbin/blkid -p -o value -s UUID /tmp/disk) $(/sbin/blkid -p -o value -s LABEL /tmp/disk)"
  if [ "$ours" = "$theirs" ]; then echo "same: $kind $size"; else echo "differs: $kind $size: $ours, $theirs"; fi
}
{
  same ext4 8M /sbin/mke2fs -q -F -t ext4 -L my-root
  same vfat 64M /usr/sbin/mkfs.vfat -F 32 -n ESP
  same vfat 32M /usr/sbin/mkfs.vfat -F 16 -n ESP
  same btrfs 128M /sbin/mkfs.btrfs -q -L pool
  same xfs 301M /sbin/mkfs.xfs -q -L xroot
  same f2fs 64M /sbin/mkfs.f2fs -q
} >> /second/said
rm -f /tmp/disk
printf 'cat /said\ncat /proc/cmdline\n' > /second/script
(cd /second && find . | cpio -o -H newc > /mnt/boot/second.img) || exit 1
cp /kernel /base /mnt/boot/
sync
/bootchain.test ` + guestKexec + `
exit 1
`

// enterInGuest makes entries on the firmware of the machine, twice, after somebody chose another system in systemd-boot's menu.
func enterInGuest() error {
	h := hive.MediumHost{Name: "alpha", Plan: hive.Plan{Boot: hive.Boot{ESP: "/boot", Loader: "systemd-boot"}}}
	v := variables{Variables}
	if err := v.write("LoaderEntryDefault", guidLoader, putText("nixos-generation-7.conf")); err != nil {
		return err
	}
	for range 2 {
		r, problems := Entry("/mnt", h, Chain{Loader: "systemd-boot", Program: `\EFI\systemd\systemd-bootx64.efi`})
		if len(problems) > 0 {
			return errors.New(problems[0].Message)
		}
		fmt.Println("registered", r.Label, r.Program, r.PartID, "changed:", r.Changed)
	}
	if _, err := v.read("LoaderEntryDefault", guidLoader); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the choice is still there: %w", err)
	}
	// another installation gave the partition another place in the table
	older := program{number: 9, start: 4096, size: 8, guid: "00000000-1111-2222-3333-444444444444", file: `\EFI\old.efi`}
	if _, err := register(v, Label("alpha"), older); err != nil {
		return err
	}
	r, problems := Entry("/mnt", h, Chain{Loader: "systemd-boot", Program: `\EFI\systemd\systemd-bootx64.efi`})
	if len(problems) > 0 {
		return errors.New(problems[0].Message)
	}
	options, err := v.options()
	if err != nil {
		return err
	}
	ours := 0
	for _, o := range options {
		if o.description == Label("alpha") {
			ours++
		}
	}
	fmt.Println("again:", r.PartID, "entries:", ours, "others kept:", len(options) > ours)
	return Settle("/mnt")
}

// restartGuest starts the same kernel with other words, and a second initrd with another script.
func restartGuest() error {
	c := Chain{Kernel: "/boot/kernel", Initrds: []string{"/boot/base", "/boot/second.img"}, CommandLine: "console=ttyS0 quiet loglevel=1 panic=-1 no_timer_check second=yes"}
	if err := Load("/mnt", c); err != nil {
		return err
	}
	return os.NewSyscallError("reboot", unix.Reboot(unix.LINUX_REBOOT_CMD_KEXEC))
}

// TestFirmwareAndKernelOfAMachine is about what no folder can show: variables of UEFI that Linux protects, a FAT partition whose table is
// read from the disk, file systems of every kind, and a kernel that starts another one.
func TestFirmwareAndKernelOfAMachine(t *testing.T) {
	sgdisk := need.Program(t, "sgdisk")
	image := guest.Prepare(t, guest.Extra{
		Packages: []string{"dosfstools", "e2fsprogs", "btrfs-progs", "xfsprogs", "f2fs-tools", "util-linux"},
		Programs: []string{"/usr/sbin/mkfs.vfat", "/sbin/mke2fs", "/sbin/mkfs.btrfs", "/sbin/mkfs.xfs", "/sbin/mkfs.f2fs", "/sbin/blkid"},
		Modules:  []string{"efivarfs"},
	})
	disk := filepath.Join(t.TempDir(), "disk")
	if err := errors.Join(os.WriteFile(disk, nil, 0o600), os.Truncate(disk, 256<<20)); err != nil {
		t.Fatal(err)
	}
	const guid = "51e26b31-240f-4d0e-85b9-01d9038ffe5b"
	if out, err := exec.Command(sgdisk, "--new=1:2048:+8M", "--new=2:0:0", "--typecode=2:EF00", "--partition-guid=2:"+guid, disk).CombinedOutput(); err != nil {
		t.Fatalf("sgdisk: %v\n%s", err, out)
	}
	files := map[string]string{"/etc/modules": "efivarfs\nvfat\n"}
	for name, from := range map[string]string{"/bootchain.test": self(t), "/kernel": image.Kernel, "/base": image.Initrd} {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(content)
	}
	out := image.Run(t, append(ovmf(t), "-nodefaults", "-drive", "file="+disk+",format=raw,if=none,id=d", "-device", "virtio-blk-pci,drive=d,serial=target"), furnish, files)
	entry := `registered alpha (nixos-staged-hive) \EFI\systemd\systemd-bootx64.efi ` + guid + " changed: "
	for _, want := range []string{
		entry + "true", entry + "false", "again: " + guid + " entries: 1 others kept: true", "second=yes",
		"same: ext4 8M\n", "same: vfat 64M\n", "same: vfat 32M\n", "same: btrfs 128M\n", "same: xfs 301M\n", "same: f2fs 64M\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func self(t *testing.T) string {
	t.Helper()
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// ovmf are QEMU's arguments for UEFI with variables of its own (Debian's package ovmf, which comes with QEMU in CI).
func ovmf(t *testing.T) []string {
	t.Helper()
	const folder = "/usr/share/OVMF/"
	empty, err := os.ReadFile(folder + "OVMF_VARS_4M.fd")
	if err != nil && os.Getenv("CI") == "" {
		need.Skip(t, "there is no UEFI for virtual machines: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(t.TempDir(), "variables")
	if err := os.WriteFile(own, empty, 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"-drive", "if=pflash,format=raw,readonly=on,file=" + folder + "OVMF_CODE_4M.fd", "-drive", "if=pflash,format=raw,file=" + own}
}
