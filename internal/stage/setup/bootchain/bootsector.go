package bootchain

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/blockdev"
)

// guidBIOSBoot is the type of a partition that holds GRUB's core (sgdisk's EF02).
const guidBIOSBoot = "21686148-6449-6e6f-744e-656564454649"

// sectorBytes is what a BIOS and GRUB's boot code count in.
const sectorBytes = 512

// bootSectors proves that GRUB's boot code is on each disk that is to have it, and leads to a core that is there.
func (v *verifier) bootSectors() {
	devices := v.host.Plan.Boot.GrubDevices
	if len(devices) == 0 && v.host.Plan.Boot.Firmware == "bios" {
		v.broken("boot-sector", "GRUB is on no disk: boot.loader.grub.devices is empty")
	}
	for _, device := range devices {
		if err := v.bootSector(device); err != nil {
			v.broken("boot-sector", "%s: %v", device, err)
			continue
		}
		v.proven(device)
	}
}

func (v *verifier) bootSector(device string) error {
	f, err := os.Open(device)
	if err != nil {
		return inside(err)
	}
	defer f.Close() //nolint:errcheck // only read
	if err := forget(f); err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return inside(err)
	}
	core, err := readCore(f, size)
	if err != nil {
		return err
	}
	return v.sameCore(core)
}

// sameCore compares the core on the disk with the file that grub-install made it from. While it embeds it, GRUB changes few bytes (block lists,
// the length of the Reed-Solomon code); an older core differs nearly everywhere.
func (v *verifier) sameCore(core []byte) error {
	want, err := v.tree.read("/boot/grub/i386-pc/core.img")
	if errors.Is(err, unix.ENOENT) {
		return nil // not kept by every version
	}
	if err != nil {
		return err
	}
	different, sectors := 0, len(want)/sectorBytes
	for i := range sectors {
		from, to := i*sectorBytes, (i+1)*sectorBytes
		if to > len(core) || !bytes.Equal(core[from:to], want[from:to]) {
			different++
		}
	}
	const changed = 4
	if different > changed {
		return fmt.Errorf("the core of GRUB on the disk is not the one that was installed: %d of %d sectors differ", different, sectors)
	}
	return nil
}

// readCore follows GRUB's boot code (boot.S and diskboot.S of GRUB 2.02 to 2.12) from the first sector to its core, and gives that.
func readCore(r io.ReaderAt, size int64) ([]byte, error) {
	var first, second [sectorBytes]byte
	if _, err := r.ReadAt(first[:], 0); err != nil {
		return nil, fmt.Errorf("read the boot sector: %w", err)
	}
	if first[510] != 0x55 || first[511] != 0xaa || !bytes.Contains(first[:], []byte("GRUB ")) {
		return nil, errors.New("the boot sector is not GRUB's")
	}
	start := binary.LittleEndian.Uint64(first[0x5c:])
	if err := inPlace(r, size, start, 1); err != nil {
		return nil, err
	}
	if _, err := r.ReadAt(second[:], int64(start)*sectorBytes); err != nil {
		return nil, fmt.Errorf("read the core of GRUB: %w", err)
	}
	core := append([]byte{}, second[:]...)
	for at := sectorBytes - 12; at >= sectorBytes/2; at -= 12 { // the list grows downwards from the end and ends with a length of 0
		from, sectors := binary.LittleEndian.Uint64(second[at:]), binary.LittleEndian.Uint16(second[at+8:])
		if sectors == 0 {
			break
		}
		if err := inPlace(r, size, from, uint64(sectors)); err != nil {
			return nil, err
		}
		part := make([]byte, int(sectors)*sectorBytes)
		if _, err := r.ReadAt(part, int64(from)*sectorBytes); err != nil {
			return nil, fmt.Errorf("read the core of GRUB: %w", err)
		}
		core = append(core, part...)
	}
	return core, whole(core)
}

// whole refuses a core that is not there: its first sector loads the others, and those are not zeros.
func whole(core []byte) error {
	if len(core) <= sectorBytes || !bytes.Contains(core[:sectorBytes], []byte("loading")) {
		return errors.New("the core of GRUB is missing where the boot sector looks for it")
	}
	if len(bytes.Trim(core[sectorBytes:], "\x00")) == 0 {
		return errors.New("the core of GRUB is empty")
	}
	return nil
}

// inPlace wants sectors where GRUB's core may lie: in a partition for it on a GPT disk, before the first partition on others. Anywhere else the
// next thing written there destroys it.
func inPlace(r io.ReaderAt, size int64, start, sectors uint64) error {
	if start == 0 || sectors > uint64(size)/sectorBytes || start > uint64(size)/sectorBytes-sectors {
		return fmt.Errorf("the boot sector leads to sector %d, where no core of GRUB can be", start)
	}
	table, err := blockdev.ReadGPT(r, size, 0)
	if err != nil { // no GPT
		if gap := firstPartition(r); gap == 0 || start+sectors <= gap {
			return nil
		}
		return fmt.Errorf("the core of GRUB at sector %d is within a partition", start)
	}
	for _, p := range table.Partitions {
		begin, end := uint64(p.Start()/sectorBytes), uint64((p.Start()+p.Bytes())/sectorBytes)
		if p.Type == guidBIOSBoot && begin <= start && start+sectors <= end {
			return nil
		}
	}
	return fmt.Errorf("the core of GRUB at sector %d is not within a partition for it (type EF02)", start)
}

// firstPartition is the first sector of any partition of a DOS table, 0 without one.
func firstPartition(r io.ReaderAt) uint64 {
	var sector [sectorBytes]byte
	if _, err := r.ReadAt(sector[:], 0); err != nil {
		return 0
	}
	least := uint64(0)
	for i := range 4 {
		slot := sector[446+16*i:]
		if begin := uint64(binary.LittleEndian.Uint32(slot[8:])); slot[4] != 0 && (least == 0 || begin < least) {
			least = begin
		}
	}
	return least
}
