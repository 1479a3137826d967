package blockdev

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"nixos-staged-hive/internal/testbed/need"
)

const (
	typeLinux = "0fc63daf-8483-4772-8e79-3d69d8477de4"
	typeESP   = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
)

// table is the bytes of a disk of count sectors that sgdisk laid out.
func table(t testing.TB, size int64, arguments ...string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	sgdisk := need.Program(t, "sgdisk")
	if out, err := exec.Command(sgdisk, append(arguments, file)...).CombinedOutput(); err != nil {
		t.Fatalf("sgdisk: %v\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

const diskID = "3b1f0c52-8e4d-5a61-9d27-6f3570c12ae4"

// twoParts is a copy of a disk that is made once: sgdisk waits until all disks of the machine have what was written to them.
func twoParts(t testing.TB) []byte {
	t.Helper()
	twoPartsOnce.Do(func() { twoPartsDisk = sgdiskTwoParts(t) })
	return slices.Clone(twoPartsDisk)
}

var (
	twoPartsOnce sync.Once
	twoPartsDisk []byte
)

func sgdiskTwoParts(t testing.TB) []byte {
	t.Helper()
	return table(t, 8<<20, "--disk-guid="+diskID,
		"--new=1:2048:4095", "--typecode=1:EF00", "--change-name=1:EFI Bär", "--partition-guid=1:11111111-2222-3333-4444-555555555555",
		"--new=3:4096:0", "--typecode=3:8300", "--partition-guid=3:aaaaaaaa-2222-3333-4444-555555555555", "--attributes=3:set:2")
}

func read(t testing.TB, disk []byte) GPT {
	t.Helper()
	g, err := ReadGPT(bytes.NewReader(disk), int64(len(disk)), 0)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestReadGPTReadsWhatSgdiskWrote(t *testing.T) {
	got := read(t, twoParts(t))
	want := GPT{
		DiskID: diskID, Sector: 512, FirstLBA: 34, LastLBA: 16350, BackupLBA: 16383, Protected: true,
		Partitions: []Partition{
			{Number: 1, Type: typeESP, ID: "11111111-2222-3333-4444-555555555555", Name: "EFI Bär", First: 2048, Last: 4095},
			{Number: 3, Type: typeLinux, ID: "aaaaaaaa-2222-3333-4444-555555555555", First: 4096, Last: 14335, Attributes: 4},
		},
	}
	want.Partitions[1].Last = got.Partitions[1].Last // sgdisk aligns the end in its own way
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Partition{})); diff != "" {
		t.Error(diff)
	}
	p, ok := got.Partition(1)
	if !ok || p.Start() != 1<<20 || p.Bytes() != 1<<20 {
		t.Errorf("partition 1: %d bytes from %d", p.Bytes(), p.Start())
	}
	if _, ok := got.Partition(2); ok {
		t.Error("partition 2 does not exist and was found")
	}
}

func TestReadGPTWithOneCopy(t *testing.T) {
	for _, tt := range []struct {
		name            string
		damage          func(disk []byte) []byte
		primary, backup string // what is wrong; empty: nothing
	}{
		{"both good", func(d []byte) []byte { return d }, "", ""},
		{"first header gone", func(d []byte) []byte { clear(d[512:1024]); return d }, "no GUID", ""},
		{"first header damaged", func(d []byte) []byte { d[512+60]++; return d }, "sum of its header", ""},
		{"first entries damaged", func(d []byte) []byte { d[1024+60]++; return d }, "sum of its entries", ""},
		{"first MiB gone", func(d []byte) []byte { clear(d[:1<<20]); return d }, "no GUID", ""},
		{"backup gone", func(d []byte) []byte { clear(d[len(d)-512:]); return d }, "", "no GUID"},
		{"disk grew", func(d []byte) []byte { return append(d, make([]byte, 1<<20)...) }, "", ""},
		{"disk was cut", func(d []byte) []byte { return d[:len(d)-1<<20] }, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := tt.damage(twoParts(t))
			if tt.name == "disk was cut" {
				if _, err := ReadGPT(bytes.NewReader(disk), int64(len(disk)), 512); err == nil || !strings.Contains(err.Error(), "the disk has") {
					t.Errorf("got %v", err)
				}
				return
			}
			g := read(t, disk)
			for _, c := range []struct {
				name, want string
				err        error
			}{{"primary", tt.primary, g.PrimaryError}, {"backup", tt.backup, g.BackupError}} {
				if (c.want == "") != (c.err == nil) || c.err != nil && !strings.Contains(c.err.Error(), c.want) {
					t.Errorf("%s: %v, want %q", c.name, c.err, c.want)
				}
			}
			if g.DiskID != diskID || len(g.Partitions) != 2 {
				t.Errorf("got %+v", g)
			}
			if g.Protected == (tt.name == "first MiB gone") {
				t.Errorf("protected: %v", g.Protected)
			}
		})
	}
}

func TestReadGPTRefusesWhatIsNone(t *testing.T) {
	for _, disk := range [][]byte{nil, make([]byte, 512), make([]byte, 1<<20), bytes.Repeat([]byte("EFI"), 1<<16)} {
		if _, err := ReadGPT(bytes.NewReader(disk), int64(len(disk)), 0); !errors.Is(err, ErrNoGPT) {
			t.Errorf("%d bytes: %v, want %v", len(disk), err, ErrNoGPT)
		}
	}
	if _, err := ReadGPT(bytes.NewReader(nil), 1<<20, 512); err == nil || errors.Is(err, ErrNoGPT) {
		t.Errorf("a disk that cannot be read: %v", err)
	}
	if _, err := ReadGPT(bytes.NewReader(nil), 1<<20, 1000); err == nil || errors.Is(err, ErrNoGPT) {
		t.Errorf("blocks of 1000 bytes: %v", err)
	}
}

// reseal makes the sums of the first copy right again, and takes the second away.
func reseal(disk []byte, change func(header, entries []byte)) []byte {
	header, entries := disk[512:512+92], disk[1024:1024+128*128]
	change(header, entries)
	binary.LittleEndian.PutUint32(header[88:], crc32.ChecksumIEEE(entries))
	binary.LittleEndian.PutUint32(header[16:], headerSum(header))
	clear(disk[len(disk)-512:])
	return disk
}

func TestReadGPTRefusesTablesThatCannotBe(t *testing.T) {
	le := binary.LittleEndian
	for _, tt := range []struct {
		name, want string
		change     func(header, entries []byte)
	}{
		{"nothing", "", func(_, _ []byte) {}},
		{"at another place", "says that it is at 7", func(h, _ []byte) { le.PutUint64(h[24:], 7) }},
		{"entries outside", "entries are at block", func(h, _ []byte) { le.PutUint64(h[72:], 1<<60) }},
		{"entries before the table", "entries are at block 0", func(h, _ []byte) { le.PutUint64(h[72:], 0) }},
		{"too many", "4294967295 entries", func(h, _ []byte) { le.PutUint32(h[80:], 1<<32-1) }},
		{"too small", "entries of 64 bytes", func(h, _ []byte) { le.PutUint32(h[84:], 64) }},
		{"past the end", "the disk has 16384", func(h, _ []byte) { le.PutUint64(h[48:], 1<<63) }},
		{"partition past the end", "partition 1 is from", func(_, e []byte) { le.PutUint64(e[40:], 1<<62) }},
		{"partition backwards", "partition 1 is from", func(_, e []byte) { le.PutUint64(e[40:], 40) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := reseal(twoParts(t), tt.change)
			_, err := ReadGPT(bytes.NewReader(disk), int64(len(disk)), 512)
			if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestReadGPTTellsCopiesThatDiffer(t *testing.T) {
	disk, other := twoParts(t), table(t, 8<<20, "--disk-guid="+strings.Replace(diskID, "3b", "3c", 1))
	copy(disk[len(disk)-33*512:], other[len(other)-33*512:])
	g := read(t, disk)
	if g.DiskID != diskID || g.BackupError == nil || !strings.Contains(g.BackupError.Error(), "differs") {
		t.Errorf("got %+v", g)
	}
}

func FuzzReadGPT(f *testing.F) {
	disk := twoParts(f)
	f.Add(disk[512:604], disk[1024:2048])
	f.Add([]byte("EFI PART"), []byte{})
	f.Fuzz(func(t *testing.T, header, entries []byte) {
		disk := make([]byte, 1<<20)
		copy(disk[512:1024], header)
		copy(disk[1024:], entries)
		// with sums that are right, so that what is behind them is reached
		le := binary.LittleEndian
		if count := uint64(le.Uint32(disk[512+80:])) * uint64(le.Uint32(disk[512+84:])); count < 1<<19 {
			le.PutUint32(disk[512+88:], crc32.ChecksumIEEE(disk[1024:1024+count]))
		}
		if length := le.Uint32(disk[512+12:]); length >= 92 && length <= 512 {
			le.PutUint32(disk[512+16:], headerSum(disk[512:512+length]))
		}
		g, err := ReadGPT(bytes.NewReader(disk), int64(len(disk)), 512)
		if err != nil {
			return
		}
		for _, p := range g.Partitions {
			if p.Start() < 0 || p.Bytes() <= 0 || p.Start()+p.Bytes() > int64(len(disk)) {
				t.Errorf("partition %+v on a disk of %d bytes", p, len(disk))
			}
		}
	})
}
