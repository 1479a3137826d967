package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"unicode/utf16"
)

// Table is a kind of partition table.
type Table int

// The tables. Blank has no bytes but zeros.
const (
	Blank Table = iota
	GPT
	MBR
)

// Kind says what a partition is for.
type Kind int

// The kinds of partitions that installations are made of.
const (
	Linux Kind = iota
	ESP
	BIOSBoot // GPT only
	LVM
	RAID
)

// Part is a partition.
type Part struct {
	Label string // GPT only, at most 36 UTF-16 units
	Kind  Kind
	Size  int64 // bytes, rounded up to whole MiB; 0 is what is left
}

// guid gives the type as it is printed (UEFI specification 5.3.3, and the Discoverable Partitions list for the others); mbr is the old
// type byte.
func (k Kind) types() (guid string, mbr byte) {
	switch k {
	case ESP:
		return "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", 0xEF
	case BIOSBoot:
		return "21686148-6449-6E6F-744E-656564454649", 0
	case LVM:
		return "E6D6D379-F507-44C2-A23C-238F2A3DF928", 0x8E
	case RAID:
		return "A19D880F-05FC-4D3B-A006-743F0F84911E", 0xFD
	default:
		return "0FC63DAF-8483-4772-8E79-3D69D8477DE4", 0x83
	}
}

// extent is a partition's place in sectors, the last one included.
type extent struct {
	Part
	first, last uint64
}

// write puts the table on a new disk, all of whose bytes are zero.
func (s Spec) write(disk io.WriterAt) error {
	if s.Size%int64(s.Sector) != 0 {
		return fmt.Errorf("a disk of %d bytes in sectors of %d", s.Size, s.Sector)
	}
	if s.Table == Blank {
		if len(s.Parts) > 0 {
			return fmt.Errorf("%d partitions on a disk without a table", len(s.Parts))
		}
		return nil
	}
	parts, err := s.place()
	if err != nil {
		return err
	}
	if s.Table == MBR {
		return s.writeMBR(disk, parts)
	}
	return s.writeGPT(disk, parts)
}

// place leaves the first and the last MiB to the tables.
func (s Spec) place() ([]extent, error) {
	sector := int64(s.Sector)
	next, end := int64(mib), s.Size-mib
	var parts []extent
	for i, p := range s.Parts {
		size := (p.Size + mib - 1) / mib * mib
		if p.Size == 0 {
			size = (end - next) / mib * mib
		}
		if size <= 0 || next+size > end {
			return nil, fmt.Errorf("partition %d does not fit on a disk of %d bytes", i+1, s.Size)
		}
		parts = append(parts, extent{Part: p, first: uint64(next / sector), last: uint64((next+size)/sector - 1)})
		next += size
	}
	return parts, nil
}

func (s Spec) writeMBR(disk io.WriterAt, parts []extent) error {
	if len(parts) > 4 {
		return fmt.Errorf("%d partitions in a table for 4", len(parts))
	}
	var sector [512]byte
	for i, p := range parts {
		_, kind := p.Kind.types()
		mbrEntry(sector[446+16*i:], kind, p.first, p.last)
	}
	return s.writeSector0(disk, sector)
}

// mbrEntry leaves the old addresses by cylinder at the value that means "too big for these".
func mbrEntry(entry []byte, kind byte, first, last uint64) {
	copy(entry[1:], []byte{0xFE, 0xFF, 0xFF, kind, 0xFE, 0xFF, 0xFF})
	binary.LittleEndian.PutUint32(entry[8:], uint32(first))
	binary.LittleEndian.PutUint32(entry[12:], uint32(min(last-first+1, 0xFFFFFFFF)))
}

func (s Spec) writeSector0(disk io.WriterAt, sector [512]byte) error {
	sector[510], sector[511] = 0x55, 0xAA
	binary.LittleEndian.PutUint32(sector[440:], 0x48495645) // the disk's id
	_, err := disk.WriteAt(sector[:], 0)
	return err
}

const (
	entries   = 128
	entrySize = 128
)

// writeGPT writes the protective MBR, and the header with its entries at both ends (UEFI specification 5.3). The ids are made from the labels: the
// same spec gives the same bytes.
func (s Spec) writeGPT(disk io.WriterAt, parts []extent) error {
	sector := uint64(s.Sector)
	count := uint64(s.Size) / sector
	var protective [512]byte
	mbrEntry(protective[446:], 0xEE, 1, count-1)
	if err := s.writeSector0(disk, protective); err != nil {
		return err
	}
	table := make([]byte, entries*entrySize)
	for i, p := range parts {
		if err := gptEntry(table[i*entrySize:], p, i); err != nil {
			return err
		}
	}
	sectors := uint64(len(table)) / sector
	for _, at := range []struct{ header, other, table uint64 }{{1, count - 1, 2}, {count - 1, 1, count - 1 - sectors}} {
		header := gptHeader(at.header, at.other, at.table, 2+sectors, count-2-sectors, crc32.ChecksumIEEE(table))
		if _, err := disk.WriteAt(header, int64(at.header*sector)); err != nil {
			return err
		}
		if _, err := disk.WriteAt(table, int64(at.table*sector)); err != nil {
			return err
		}
	}
	return nil
}

func gptHeader(self, other, table, first, last uint64, sum uint32) []byte {
	h := make([]byte, 92)
	le := binary.LittleEndian
	copy(h, "EFI PART")
	le.PutUint32(h[8:], 0x00010000)
	le.PutUint32(h[12:], uint32(len(h)))
	for i, v := range []uint64{self, other, first, last} {
		le.PutUint64(h[24+8*i:], v)
	}
	copy(h[56:], id("disk"))
	le.PutUint64(h[72:], table)
	le.PutUint32(h[80:], entries)
	le.PutUint32(h[84:], entrySize)
	le.PutUint32(h[88:], sum)
	le.PutUint32(h[16:], crc32.ChecksumIEEE(h))
	return h
}

func gptEntry(entry []byte, p extent, number int) error {
	guid, _ := p.Kind.types()
	copy(entry, mixedEndian(guid))
	copy(entry[16:], id(fmt.Sprintf("%d %s", number, p.Label)))
	binary.LittleEndian.PutUint64(entry[32:], p.first)
	binary.LittleEndian.PutUint64(entry[40:], p.last)
	label := utf16.Encode([]rune(p.Label))
	if len(label) > 36 {
		return fmt.Errorf("label %q is too long", p.Label)
	}
	for i, unit := range label {
		binary.LittleEndian.PutUint16(entry[56+2*i:], unit)
	}
	return nil
}

// id is a GUID of version 8, "made in our own way".
func id(of string) []byte {
	sum := sha256.Sum256([]byte(of))
	sum[7] = sum[7]&0x0F | 0x80
	sum[8] = sum[8]&0x3F | 0x80
	return sum[:16]
}

// mixedEndian turns a printed GUID into its bytes on disk: the first three groups are numbers, low byte first.
func mixedEndian(printed string) []byte {
	var a uint32
	var b, c, d uint16
	var e uint64
	if _, err := fmt.Sscanf(printed, "%08X-%04X-%04X-%04X-%012X", &a, &b, &c, &d, &e); err != nil {
		panic(err) // the few printed ones are in this file
	}
	out := binary.LittleEndian.AppendUint32(nil, a)
	out = binary.LittleEndian.AppendUint16(out, b)
	out = binary.LittleEndian.AppendUint16(out, c)
	out = binary.BigEndian.AppendUint16(out, d)
	return append(out, binary.BigEndian.AppendUint64(nil, e)[2:]...)
}
