package blockdev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/testbed/guest"
)

// inGuest is the first argument of the test binary where it is the program in the guest.
const inGuest = "in-guest"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == inGuest {
		if err := tellGuest(context.Background()); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// furnish lays out a disk of every kind. Nobody in the guest keeps device mapper's udev rules, so its programs make the nodes themselves.
const furnish = `
export DM_DISABLE_UDEV=1
exec 3>&1 >/log 2>&1
trap 'status=$?; [ $status = 0 ] || cat /log >&3; exit $status' EXIT
set -ex
disk() { readlink -f /dev/disk/by-id/*"$1" | head -n 1; }
luks() { echo secret | cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$1" -; }

luks "$(disk _luks)"
echo secret | cryptsetup open "$(disk _luks)" open --key-file -
mke2fs -q -L inside /dev/mapper/open
mkdir -p /mnt/crypt && mount -t ext4 /dev/mapper/open /mnt/crypt
luks "$(disk _closed)"

pv=$(disk wwn-0x5000c500a1b2c3d4)
lvm pvcreate -q "$pv" && lvm vgcreate -q pool "$pv" && lvm lvcreate -q -W n -Z n -n root -L 16M pool
lvm pvcreate -q "$(disk _idlepv)"

a=$(disk _mda) b=$(disk _mdb)
mdadm --create /dev/md0 --run --metadata=1.2 --level=1 --raid-devices=2 "$a" "$b"
mke2fs -q -L array /dev/md0

a=$(disk _btra) b=$(disk _btrb)
mkfs.btrfs -q -L both "$a" "$b"
mkdir -p /mnt/btrfs && mount -t btrfs "$a" /mnt/btrfs

mkswap "$(disk _swap)" && swapon "$(disk _swap)"

stick=$(disk _stick-0:0)
printf 'label: gpt\nsize=16M, type=U, name="ESP"\ntype=L, name="data"\n' | sfdisk -q "$stick"
udevadm settle
mkfs.vfat -n STICK "${stick}1"
udevadm trigger --settle
printf 'label: gpt\nsize=8M, type=U, name="new"\n' | sfdisk -q "$(disk _source)"
udevadm trigger --settle
set +x
exec >&3 2>&3
trap - EXIT
chmod +x /blockdev.test
/blockdev.test ` + inGuest + `
udevadm settle
ls /dev/disk/by-id | grep stick
ls /dev/disk/by-partlabel
`

// tellGuest says what the wall finds in the guest: of each disk what speaks against it and what the kernel says to the exclusive open. Then it writes
// the disk "source" to the stick, the way media are written.
func tellGuest(ctx context.Context) error {
	devices, err := List(ctx, local())
	if err != nil {
		return err
	}
	for _, d := range devices {
		held, err := Hold(d.Path, d)
		busy := (*BusyError)(nil)
		verdict := "free"
		switch {
		case errors.As(err, &busy):
			verdict = "busy"
		case err != nil:
			verdict = err.Error()
		default:
			err = held.Close()
		}
		if verdict == "free" && err != nil {
			return err
		}
		fmt.Printf("disk %s: %s: %s: %s\n", Word(d), verdict, kinds(Judge(devices, d.Number, 1)), strings.Join(d.Drivers, " "))
	}
	return copyInGuest(ctx, devices)
}

func copyInGuest(ctx context.Context, devices []hive.Device) error {
	by := map[string]hive.Device{}
	for _, d := range devices {
		by[d.Serial] = d
	}
	from, err := os.Open(by["QM_source"].Path)
	if err != nil {
		return err
	}
	defer from.Close()
	image, err := NewImage(from, by["QM_source"].Bytes)
	if err != nil {
		return err
	}
	stick := by["QM_stick"]
	held, err := Hold(stick.Path, stick)
	if err != nil {
		return err
	}
	mounted := unix.Mount(stick.Children[0].Path, "/tmp", "vfat", 0, "")
	fmt.Println("mount of a partition of a held disk:", mounted)
	err = held.Write(ctx, image, WriteOptions{Verify: true})
	return errors.Join(err, held.Close())
}

// TestAKernelOfItsOwn is about what loop devices cannot show: LUKS, LVM, md and btrfs in use, a real udev, a USB stick.
func TestAKernelOfItsOwn(t *testing.T) {
	image := guest.Prepare(t, guest.Extra{
		Packages: []string{"util-linux", "fdisk", "cryptsetup-bin", "lvm2", "mdadm", "e2fsprogs", "btrfs-progs", "dosfstools", "mount"},
		Programs: []string{
			"/bin/lsblk", "/sbin/sfdisk", "/sbin/cryptsetup", "/sbin/lvm", "/sbin/mdadm", "/sbin/mke2fs", "/sbin/mkfs.btrfs", "/usr/sbin/mkfs.vfat",
			"/sbin/blkid", "/bin/mount",
		},
		Modules: []string{"dm_mod", "dm_crypt", "raid1", "btrfs", "xts", "aesni_intel", "algif_skcipher", "sha256_generic"},
	})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	out := image.Run(t, guestDisks(t), furnish, map[string]string{
		"/blockdev.test": string(program), "/etc/modules": "dm_mod\ndm_crypt\nraid1\nbtrfs\nxts\nalgif_skcipher\n",
	})
	for _, want := range []string{
		"disk QM_luks: busy: in use, mounted, fixed?: virtio_blk virtio_pci",
		"disk QM_closed: free: encrypted?, fixed?: virtio_blk virtio_pci",
		"disk QM_pv: busy: in use, fixed?: sd_mod virtio_scsi virtio_pci",
		"disk QM_idlepv: free: member?, fixed?: sd_mod virtio_scsi virtio_pci",
		"disk QM_mda: busy: in use, fixed?: sd_mod ahci",
		"disk QM_mdb: busy: in use, fixed?: sd_mod ahci",
		"disk QM_btra: busy: mounted, fixed?: nvme",
		"disk QM_btrb: busy: in use, fixed?: nvme",
		"disk QM_swap: busy: swap, fixed?: virtio_blk virtio_pci",
		"disk QM_stick: free: : sd_mod usb_storage usbcore xhci_pci",
		"mount of a partition of a held disk: device or resource busy",
		"usb-QEMU_QEMU_HARDDISK_QM_stick-0:0-part1",
		"new",
	} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(out, "stick-0:0-part2") || strings.Contains(out, "data\n") {
		t.Error("the stick still has its old partitions")
	}
	if t.Failed() {
		t.Logf("the guest said:\n%s", out)
	}
}

// guestDisks are QEMU's arguments for a disk on each bus, each with what it is for in its serial.
func guestDisks(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	arguments := []string{"-nodefaults", "-device", "virtio-scsi-pci,id=scsi", "-device", "qemu-xhci", "-device", "ahci,id=sata"}
	for _, d := range []struct{ name, device string }{
		{"luks", "virtio-blk-pci,serial=QM_luks"},
		{"closed", "virtio-blk-pci,serial=QM_closed"},
		{"swap", "virtio-blk-pci,serial=QM_swap"},
		{"source", "virtio-blk-pci,serial=QM_source"},
		{"pv", "scsi-hd,bus=scsi.0,serial=QM_pv,wwn=0x5000c500a1b2c3d4"},
		{"idlepv", "scsi-hd,bus=scsi.0,serial=QM_idlepv"},
		{"mda", "ide-hd,bus=sata.0,serial=QM_mda"},
		{"mdb", "ide-hd,bus=sata.1,serial=QM_mdb"},
		{"btra", "nvme,serial=QM_btra"},
		{"btrb", "nvme,serial=QM_btrb"},
		{"stick", "usb-storage,serial=QM_stick,removable=on"},
	} {
		file := filepath.Join(dir, d.name)
		size := int64(128 << 20) // btrfs wants that much
		if d.name == "source" || d.name == "stick" {
			size = 32 << 20
		}
		if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, size)); err != nil {
			t.Fatal(err)
		}
		arguments = append(arguments, "-drive", "file="+file+",format=raw,if=none,id="+d.name, "-device", d.device+",drive="+d.name)
	}
	return arguments
}
