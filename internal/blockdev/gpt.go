package blockdev

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"unicode/utf16"
)

// ErrNoGPT is a disk without a GUID partition table: neither at its beginning nor at its end is anything that calls itself one.
var ErrNoGPT = errors.New("there is no GUID partition table")

// GPT is a GUID partition table (UEFI specification 2.10, section 5.3). It has two copies; a disk with one good copy has a table.
type GPT struct {
	DiskID     string // GUID of the table, lower case
	Sector     int64  // bytes in a logical block
	FirstLBA   uint64 // first block that a partition may use
	LastLBA    uint64 // last one
	BackupLBA  uint64 // where the second copy is; on a disk that grew, not its last block
	Partitions []Partition
	// PrimaryError and BackupError say what is wrong with a copy; nil is a good one. The primary is read where both are good, and the
	// backup is at fault if they differ.
	PrimaryError, BackupError error
	// Protected tells that the first sector holds the protective entry (type EE). Linux does not look for a GPT on a disk without it.
	Protected bool
}

// Partition is an entry that is in use.
type Partition struct {
	Number     int    // from 1; entries may be left out
	Type       string // GUID, lower case
	ID         string // GUID, lower case: what Linux calls PARTUUID
	Name       string // PARTLABEL, as it is on the disk: not fit for a terminal
	First      uint64 // block
	Last       uint64 // block, included
	Attributes uint64
	sector     int64
}

// Start is where the partition begins, in bytes.
func (p Partition) Start() int64 { return int64(p.First) * p.sector }

// Bytes is how long it is.
func (p Partition) Bytes() int64 { return int64(p.Last-p.First+1) * p.sector }

// Partition gives the one with a number.
func (g GPT) Partition(number int) (Partition, bool) {
	i := slices.IndexFunc(g.Partitions, func(p Partition) bool { return p.Number == number })
	if i < 0 {
		return Partition{}, false
	}
	return g.Partitions[i], true
}

// ReadGPT reads the table of a disk of size bytes. What the disk holds is read, not what the kernel remembers of it, so on a device that
// was just written, r has to be opened after that or with O_DIRECT semantics of its own. Sector is the size of a logical block; 0 tries 512
// and 4096, as fits a file. The error is ErrNoGPT, or says why neither copy can be used.
func ReadGPT(r io.ReaderAt, size, sector int64) (GPT, error) {
	if sector != 0 {
		return readGPT(r, size, sector)
	}
	g, err := readGPT(r, size, 512)
	if err == nil {
		return g, nil
	}
	if g, err4 := readGPT(r, size, 4096); err4 == nil || errors.Is(err, ErrNoGPT) {
		return g, err4
	}
	return g, err
}

func readGPT(r io.ReaderAt, size, sector int64) (GPT, error) {
	if sector < 512 || sector > 1<<16 || sector&(sector-1) != 0 {
		return GPT{}, fmt.Errorf("read a partition table: blocks of %d bytes", sector)
	}
	blocks := uint64(max(size, 0) / sector)
	if blocks < 3 { // the protective sector and a header at either end
		return GPT{}, ErrNoGPT
	}
	d := gptDisk{r, sector, blocks}
	primary, err1 := d.copyAt(1)
	at := blocks - 1
	if err1 == nil {
		at = primary.BackupLBA
	}
	backup, err2 := d.copyAt(at)
	g, err := choose(primary, backup, err1, err2)
	if err == nil {
		g.Protected = d.protected()
	}
	return g, err
}

// choose takes the copy to believe.
func choose(primary, backup GPT, err1, err2 error) (GPT, error) {
	switch {
	case err1 == nil:
		if err2 == nil && !primary.same(backup) {
			err2 = errors.New("it differs from the first copy")
		}
		primary.BackupError = err2
		return primary, nil
	case err2 == nil:
		backup.PrimaryError = err1
		return backup, nil
	case errors.Is(err1, ErrNoGPT) && errors.Is(err2, ErrNoGPT):
		return GPT{}, ErrNoGPT
	}
	return GPT{}, fmt.Errorf("read the partition table: the first copy: %w; the second: %w", err1, err2)
}

func (g GPT) same(other GPT) bool {
	return g.DiskID == other.DiskID && g.FirstLBA == other.FirstLBA && g.LastLBA == other.LastLBA && slices.Equal(g.Partitions, other.Partitions)
}

// gptDisk is where a table is read from.
type gptDisk struct {
	io.ReaderAt
	sector int64
	blocks uint64
}

// maxTable bounds what a header can make us read, in bytes; the usual 128 entries are 16 KiB.
const maxTable = 1 << 20

func (d gptDisk) copyAt(lba uint64) (GPT, error) {
	if lba == 0 || lba >= d.blocks {
		return GPT{}, fmt.Errorf("it should be at block %d of %d", lba, d.blocks)
	}
	h := make([]byte, d.sector)
	if err := d.read(h, lba); err != nil {
		return GPT{}, err
	}
	if string(h[:8]) != "EFI PART" {
		return GPT{}, ErrNoGPT
	}
	le := binary.LittleEndian
	if length := le.Uint32(h[12:]); length < 92 || int64(length) > d.sector || headerSum(h[:length]) != le.Uint32(h[16:]) {
		return GPT{}, errors.New("the sum of its header is wrong")
	}
	if self := le.Uint64(h[24:]); self != lba {
		return GPT{}, fmt.Errorf("the header at block %d says that it is at %d", lba, self)
	}
	g := GPT{DiskID: guid(h[56:]), Sector: d.sector, FirstLBA: le.Uint64(h[40:]), LastLBA: le.Uint64(h[48:]), BackupLBA: max(lba, le.Uint64(h[32:]))}
	if g.LastLBA >= d.blocks {
		return GPT{}, fmt.Errorf("its last block is %d, the disk has %d", g.LastLBA, d.blocks)
	}
	entries, err := d.entries(le.Uint64(h[72:]), le.Uint32(h[80:]), le.Uint32(h[84:]), le.Uint32(h[88:]))
	if err != nil {
		return GPT{}, err
	}
	g.Partitions, err = g.parse(entries, int(le.Uint32(h[84:])))
	return g, err
}

func (d gptDisk) read(p []byte, lba uint64) error {
	n, err := d.ReadAt(p, int64(lba)*d.sector)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read block %d: %w", lba, err)
}

// headerSum is taken with the field that holds it as zeros.
func headerSum(header []byte) uint32 {
	h := slices.Clone(header)
	clear(h[16:20])
	return crc32.ChecksumIEEE(h)
}

func (d gptDisk) entries(lba uint64, count, size, sum uint32) ([]byte, error) {
	if size < 128 || size%8 != 0 || uint64(count)*uint64(size) > maxTable {
		return nil, fmt.Errorf("it has %d entries of %d bytes", count, size)
	}
	if lba < 2 || lba >= d.blocks {
		return nil, fmt.Errorf("its entries are at block %d of %d", lba, d.blocks)
	}
	table := make([]byte, int(count)*int(size))
	if err := d.read(table, lba); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(table) != sum {
		return nil, errors.New("the sum of its entries is wrong")
	}
	return table, nil
}

func (g GPT) parse(table []byte, size int) ([]Partition, error) {
	var parts []Partition
	for i := 0; (i+1)*size <= len(table); i++ {
		e := table[i*size:][:128]
		if allZero(e[:16]) {
			continue
		}
		le := binary.LittleEndian
		p := Partition{
			Number: i + 1, Type: guid(e), ID: guid(e[16:]), Name: name(e[56:128]),
			First: le.Uint64(e[32:]), Last: le.Uint64(e[40:]), Attributes: le.Uint64(e[48:]), sector: g.Sector,
		}
		if p.First < g.FirstLBA || p.Last > g.LastLBA || p.First > p.Last {
			return nil, fmt.Errorf("partition %d is from block %d to %d, outside of %d to %d", p.Number, p.First, p.Last, g.FirstLBA, g.LastLBA)
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func (d gptDisk) protected() bool {
	var s [512]byte
	if n, err := d.ReadAt(s[:], 0); n < len(s) && err != nil {
		return false
	}
	if s[510] != 0x55 || s[511] != 0xAA {
		return false
	}
	for at := 446; at < 510; at += 16 {
		if s[at+4] == 0xEE {
			return true
		}
	}
	return false
}

// guid prints the 16 bytes the way the specification's appendix A has them: the first three groups are numbers, low byte first.
func guid(b []byte) string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), b[8:10], b[10:16])
}

func name(b []byte) string {
	var units []uint16
	for i := 0; i+1 < len(b); i += 2 {
		u := binary.LittleEndian.Uint16(b[i:])
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

func allZero(b []byte) bool { return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) }
