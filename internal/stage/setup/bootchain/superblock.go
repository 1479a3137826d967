package bootchain

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// identity reads what a file system calls itself from its superblock, as GRUB does when it searches: udev may remember what was there
// before. Both are empty for kinds that GRUB does not start from.
func identity(device, kind string) (id, label string) {
	f, err := os.Open(device)
	if err != nil {
		return "", ""
	}
	defer f.Close() //nolint:errcheck // only read
	return readIdentity(f, kind)
}

// readIdentity knows ext2 to 4, btrfs, xfs, f2fs and FAT (Linux 6.6: ext4.h, btrfs_tree.h, xfs_format.h, f2fs_fs.h, msdos_fs.h).
func readIdentity(r io.ReaderAt, kind string) (id, label string) {
	part := func(at int64, length int) []byte {
		b := make([]byte, length)
		if _, err := r.ReadAt(b, at); err != nil {
			return make([]byte, length)
		}
		return b
	}
	switch kind {
	case "ext2", "ext3", "ext4":
		return uuid(part(1024+0x68, 16)), text(part(1024+0x78, 16))
	case "btrfs":
		return uuid(part(0x10000+0x20, 16)), text(part(0x10000+0x12b, 256))
	case "xfs":
		return uuid(part(32, 16)), text(part(108, 12))
	case "f2fs":
		return uuid(part(1024+0x6c, 16)), "" // the label is UTF-16, and GRUB's search by it rare
	case "vfat":
		return readFAT(part(0, 512))
	}
	return "", ""
}

// readFAT gives the serial number as blkid writes it. Where FAT32 has it, the smaller kinds have code.
func readFAT(sector []byte) (id, label string) {
	at := 0x27
	if binary.LittleEndian.Uint16(sector[0x16:]) == 0 { // the size of a table, which FAT32 has elsewhere
		at = 0x43
	}
	serial := binary.LittleEndian.Uint32(sector[at:])
	return fmt.Sprintf("%04X-%04X", serial>>16, serial&0xffff), text(bytes.TrimRight(sector[at+4:at+15], " "))
}

func uuid(b []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// text ends at the first zero.
func text(b []byte) string {
	before, _, _ := bytes.Cut(b, []byte{0})
	return string(before)
}
