package blockdev

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nixos-staged-hive/internal/testbed/guest"
)

// furnished lays out a disk of every kind, and prints what lsblk and the survey say. What it does is in the order of the serial numbers.
const furnished = `
set -e
export DM_DISABLE_UDEV=1
exec 3>&1 >/log 2>&1
trap 'status=$?; [ $status = 0 ] || cat /log >&3; exit $status' EXIT
set -x
disk() { readlink -f /dev/disk/by-id/*"$1" | head -n 1; }
wait_for() { udevadm settle; [ -e "$1" ]; }

luks=$(disk _luks)
echo secret | cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$luks" -
echo secret | cryptsetup open "$luks" open --key-file -
mke2fs -q -L inside /dev/mapper/open
mkdir -p /mnt/crypt && mount -t ext4 /dev/mapper/open /mnt/crypt
closed=$(disk _closed)
echo secret | cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$closed" -

pv=$(disk wwn-0x5000c500a1b2c3d4)
lvm pvcreate -q "$pv" && lvm vgcreate -q pool "$pv" && lvm lvcreate -q -W n -Z n -n root -L 16M pool && lvm lvcreate -q -W n -Z n -n swap -L 8M pool
mke2fs -q -L root /dev/mapper/pool-root
mkswap /dev/mapper/pool-swap && swapon /dev/mapper/pool-swap
idle=$(disk _idlepv)
lvm pvcreate -q "$idle"

a=$(disk _mda); b=$(disk _mdb)
mdadm --create /dev/md0 --run --metadata=1.2 --level=1 --raid-devices=2 "$a" "$b"
mke2fs -q -L array /dev/md0
old=$(disk _oldmd)
mdadm --create /dev/md1 --run --force --metadata=1.2 --level=1 --raid-devices=1 "$old"
mdadm --stop /dev/md1

c=$(disk _btra); d=$(disk _btrb)
mkfs.btrfs -q -L both "$c" "$d"
mkdir -p /mnt/btrfs && mount -t btrfs "$c" /mnt/btrfs

usb=$(disk _stick-0:0)
printf 'label: gpt\nsize=16M, type=U, name="ESP"\ntype=L, name="data"\n' | sfdisk -q "$usb"
udevadm settle
mkfs.vfat -n STICK "${usb}1"
udevadm trigger --settle
udevadm settle
exec >&3 2>&3
lsblk --version
echo '<<lsblk>>'
LC_ALL=C.UTF-8 lsblk -J -b -O
echo '<<survey>>'
sh -s </survey.sh
`

// disks are QEMU's arguments: each disk has what it is for in its serial.
func disks() []string {
	arguments := []string{"-nodefaults", "-device", "virtio-scsi-pci,id=scsi", "-device", "qemu-xhci", "-device", "ahci,id=sata"}
	add := func(id, size, device string) {
		arguments = append(arguments, "-drive", "driver=null-co,read-zeroes=on,if=none,id="+id+",size="+size, "-device", device+",drive="+id)
	}
	_ = add
	return arguments
}

func TestSample(t *testing.T) {
	extra := guest.Extra{
		Packages: []string{"util-linux", "fdisk", "cryptsetup-bin", "lvm2", "mdadm", "e2fsprogs", "btrfs-progs", "dosfstools", "mount", "dmsetup"},
		Programs: []string{
			"/bin/lsblk", "/sbin/sfdisk", "/sbin/cryptsetup", "/sbin/lvm", "/sbin/mdadm", "/sbin/mke2fs", "/sbin/mkfs.btrfs",
			"/usr/sbin/mkfs.vfat", "/sbin/dmsetup", "/sbin/blkid", "/bin/mount",
		},
		Modules: []string{"dm_mod", "dm_crypt", "raid1", "btrfs", "xts", "aesni_intel", "algif_skcipher", "sha256_generic"},
	}
	image := guest.Prepare(t, extra)
	dir := t.TempDir()
	arguments := []string{"-nodefaults", "-device", "virtio-scsi-pci,id=scsi", "-device", "qemu-xhci", "-device", "ahci,id=sata"}
	for _, d := range []struct{ name, size, device string }{
		{"luks", "64M", "virtio-blk-pci,serial=QM_luks"},
		{"closed", "64M", "virtio-blk-pci,serial=QM_closed"},
		{"pv", "64M", "scsi-hd,bus=scsi.0,serial=QM_pv,wwn=0x5000c500a1b2c3d4"},
		{"idlepv", "64M", "scsi-hd,bus=scsi.0,serial=QM_idlepv"},
		{"mda", "64M", "ide-hd,bus=sata.0,serial=QM_mda,model=Samsung SSD 860"},
		{"mdb", "64M", "ide-hd,bus=sata.1,serial=QM_mdb"},
		{"oldmd", "64M", "ide-hd,bus=sata.2,serial=QM_oldmd"},
		{"btra", "128M", "nvme,serial=QM_btra"},
		{"btrb", "128M", "nvme,serial=QM_btrb"},
		{"stick", "64M", "usb-storage,serial=QM_stick,removable=on"},
		{"plain", "64M", "virtio-blk-pci"},
	} {
		file := filepath.Join(dir, d.name)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, 128<<20); err != nil {
			t.Fatal(err)
		}
		arguments = append(arguments, "-drive", "file="+file+",format=raw,if=none,id="+d.name, "-device", d.device+",drive="+d.name)
	}
	out := image.Run(t, arguments, strings.ReplaceAll(furnished, "lvm2", ""), map[string]string{
		"/survey.sh":   survey,
		"/etc/modules": "dm_mod\ndm_crypt\nraid1\nbtrfs\nxts\nalgif_skcipher\n",
	})
	os.WriteFile("/tmp/eng-a/g/out", []byte(out), 0o644)
}
