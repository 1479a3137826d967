package secret

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"nixos-staged-hive/internal/testbed/need"
)

func placeholder() []byte {
	region := make([]byte, RegionSize)
	copy(region, Magic)
	return region
}

func packageOf(t testing.TB, hosts ...string) Package {
	t.Helper()
	p := Package{Hosts: map[string]Bundle{}}
	for _, h := range hosts {
		p.Hosts[h] = bundleOf(t, h)
	}
	return p
}

func TestARegionComesBackAsItWas(t *testing.T) {
	for _, hosts := range [][]string{{}, {"web1"}, {"web1", "web2", "nas"}} {
		p := packageOf(t, hosts...)
		region, err := Region(p)
		if err != nil || len(region) != RegionSize {
			t.Fatalf("%v: %d bytes, %v", hosts, len(region), err)
		}
		got, err := ParseRegion(region)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("%v: got %v, %v", hosts, got, err)
		}
	}
}

func TestUntouchedDamagedAndGoodRegionsAreToldApart(t *testing.T) {
	good, err := Region(packageOf(t, "web1"))
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	half := placeholder() // a write that ended in the middle
	copy(half, good[:700])
	spoiled := placeholder()
	spoiled[RegionSize-1] = 1
	long := bytes.Clone(good)
	binary.BigEndian.PutUint64(long[lengthAt:], 1<<63)
	for _, tt := range []struct {
		name   string
		region []byte
		want   error
	}{
		{"untouched", placeholder(), ErrUntouched},
		{"good", good, nil},
		{"half written", half, ErrDamaged},
		{"untouched but for one byte", spoiled, ErrDamaged},
		{"short", good[:RegionSize-1], ErrDamaged},
		{"long", append(bytes.Clone(good), 0), ErrDamaged},
		{"empty", nil, ErrDamaged},
		{"zeros", make([]byte, RegionSize), ErrDamaged},
		{"another beginning", change(3, 'X'), ErrDamaged},
		{"another length", change(sumAt-1, good[sumAt-1]+1), ErrDamaged},
		{"a huge length", long, ErrDamaged},
		{"a bit in the payload", change(payloadAt+30, good[payloadAt+30]^1), ErrDamaged},
		{"another sum", change(sumAt, good[sumAt]^1), ErrDamaged},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := ParseRegion(tt.region); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// regionWith packs any text as Region does.
func regionWith(text string) []byte {
	region := make([]byte, RegionSize)
	copy(region, filled)
	binary.BigEndian.PutUint64(region[lengthAt:], uint64(len(text)))
	sum := sha256.Sum256([]byte(text))
	copy(region[sumAt:], sum[:])
	copy(region[payloadAt:], text)
	return region
}

func TestAPayloadThatIsNoneIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		``:                                    "schema 0",
		`{"schema":2,"hosts":{}}`:             "schema 2, and this program reads 1",
		`{"schema":1,"hosts":{},"hunter2":1}`: "not the JSON",
		`{"schema":1,"hosts":{"web1":{"host":"web2"}}}`:                              `under the name "web1"`,
		`{"schema":1,"hosts":{"../x":{"host":"../x"}}}`:                              "cannot name a folder",
		`{"schema":1,"sealed":{"names":["a"],"box":""}}`:                             "empty",
		`{"schema":1,"sealed":{"names":["b","a"],"box":"eA=="}}`:                     "not in order",
		`{"schema":1,"hosts":{"a":{"host":"a"}},"sealed":{"names":[],"box":"eA=="}}`: "sealed and open",
	} {
		_, err := ParseRegion(regionWith(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q in it", text, err, want)
		}
	}
}

func TestWhatDoesNotFitIsRefused(t *testing.T) {
	p := packageOf(t, "web1")
	b := p.Hosts["web1"]
	b.Files[0].Content = make([]byte, RegionSize)
	p.Hosts["web1"] = b
	_, err := Region(p)
	if large, ok := errors.AsType[*TooLargeError](err); !ok || large.Bytes <= large.Limit {
		t.Errorf("got %v", err)
	}
	if _, err := Region(Package{Hosts: map[string]Bundle{"web2": bundleOf(t, "web1")}}); err == nil {
		t.Error("secrets under another name were packed")
	}
}

func TestSealedSecretsOpenWithTheirPassphraseAlone(t *testing.T) {
	hosts := packageOf(t, "web1", "web2").Hosts
	p, err := Seal(hosts, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	region, err := Region(p)
	if err != nil || bytes.Contains(region, []byte("PRIVATE")) {
		t.Fatalf("the region shows a key, or %v", err)
	}
	read, err := ParseRegion(region)
	if err != nil || len(read.Hosts) > 0 || !reflect.DeepEqual(read.Names(), []string{"web1", "web2"}) {
		t.Fatalf("got %v, %v", read, err)
	}
	if _, err := read.Sealed.Open("wrong horse"); !errors.Is(err, ErrPassphrase) {
		t.Errorf("another passphrase: %v", err)
	}
	if _, err := read.Sealed.Open(""); !errors.Is(err, ErrPassphrase) {
		t.Errorf("no passphrase: %v", err)
	}
	if got, err := read.Sealed.Open("correct horse"); err != nil || !reflect.DeepEqual(got, hosts) {
		t.Errorf("got %v, %v", got, err)
	}
	read.Sealed.Names = []string{"web1"}
	if _, err := read.Sealed.Open("correct horse"); err == nil {
		t.Error("other names than those inside were taken")
	}
	if _, err := Seal(hosts, ""); err == nil {
		t.Error("an empty passphrase was taken")
	}
}

// image is size bytes that never look like a region, with parts put into them.
func image(size int, parts map[int][]byte) []byte {
	b := make([]byte, size)
	r := rand.New(rand.NewPCG(1, 2))
	for i := 0; i+8 <= size; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	for at, part := range parts {
		copy(b[at:], part)
	}
	return b
}

func TestTheRegionOfAnImageIsFound(t *testing.T) {
	const size = 3*findChunk + 5*regionAlign + 100
	good, err := Region(Package{})
	if err != nil {
		t.Fatal(err)
	}
	across := findChunk - RegionSize/2
	for _, tt := range []struct {
		name  string
		parts map[int][]byte
		want  int64
		err   error
	}{
		{"none", nil, 0, ErrNoRegion},
		{"at the beginning", map[int][]byte{0: placeholder()}, 0, nil},
		{"across two chunks", map[int][]byte{across: placeholder()}, int64(across), nil},
		{"near the end", map[int][]byte{size - 100 - RegionSize: placeholder()}, size - 100 - RegionSize, nil},
		{"two", map[int][]byte{0: placeholder(), 2 * findChunk: placeholder()}, 0, ErrTwoRegions},
		{"off the boundary", map[int][]byte{512: placeholder()}, 0, ErrNoRegion},
		{"the word alone, as in a program", map[int][]byte{4096: []byte(Magic)}, 0, ErrNoRegion},
		{"the word alone, and a region", map[int][]byte{4096: []byte(Magic), findChunk: placeholder()}, findChunk, nil},
		{"cut off by the end", map[int][]byte{size - 100 - regionAlign: placeholder()}, 0, ErrNoRegion},
		{"filled already", map[int][]byte{findChunk: good}, 0, ErrFilled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Find(bytes.NewReader(image(size, tt.parts)), size)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %d, %v, want %d, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestAnImageThatIsShorterThanItWasSaidToBe(t *testing.T) {
	if _, err := Find(bytes.NewReader(make([]byte, 5000)), 9000); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

// The Nix side makes the file that we look for.
func TestMagicIsTheOneOfTheImage(t *testing.T) {
	if len(Magic) != 64 || len(filled) != 64 {
		t.Fatalf("%d and %d bytes", len(Magic), len(filled))
	}
	stages, err := filepath.Glob(filepath.Join(need.Module(t), "nix", "stages", "*.nix"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range stages {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(Magic)) {
			return
		}
	}
	t.Errorf("none of %d files in nix/stages has %q", len(stages), Magic)
}

func FuzzParseRegion(f *testing.F) {
	good, err := Region(packageOf(f, "web1"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good[:payloadAt+2000], false)
	f.Add([]byte(Magic), false)
	f.Add([]byte(`{"schema":1,"hosts":{"web1":{"host":"web1"}}}`), true)
	f.Add([]byte(`{"schema":1,"sealed":{"names":["a"],"box":"YWdl"}}`), true)
	f.Fuzz(func(t *testing.T, text []byte, pack bool) {
		if len(text) > RegionSize-payloadAt {
			return
		}
		region := make([]byte, RegionSize)
		copy(region, text)
		if pack {
			region = regionWith(string(text))
		}
		p, err := ParseRegion(region)
		if err != nil {
			return
		}
		again, err := Region(p)
		if _, large := errors.AsType[*TooLargeError](err); large {
			return // escapes are longer than what was read
		}
		if err != nil {
			t.Fatalf("accepted, and not packed again: %v", err)
		}
		if q, err := ParseRegion(again); err != nil || !reflect.DeepEqual(p.Names(), q.Names()) {
			t.Errorf("came back as %v, %v", q, err)
		}
	})
}

func BenchmarkFind(b *testing.B) {
	const size = 64 << 20
	r := bytes.NewReader(image(size, map[int][]byte{size / 2: placeholder()}))
	b.SetBytes(size)
	for b.Loop() {
		if _, err := Find(r, size); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenSealed(b *testing.B) {
	p, err := Seal(packageOf(b, "web1").Hosts, "correct horse")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := p.Sealed.Open("correct horse"); err != nil {
			b.Fatal(err)
		}
	}
}
