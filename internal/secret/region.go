package secret

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

const (
	// RegionSize is the size in bytes of the file on a medium that secrets are put into. It is made with the image, as [Magic] and zeros;
	// whoever writes the image puts a region into its place. So no copy of the image with secrets ever lies on a disk.
	RegionSize = 1 << 20
	// Magic begins an untouched region: 64 bytes of ASCII. nix/stages writes the same.
	Magic = "nixos-staged-hive injected region 1 untouched..................."
	// filled begins a region with secrets in it: 64 bytes, too. Behind it are the length of the payload in bytes (64 bits, big endian), its
	// SHA-256, and the payload.
	filled = "nixos-staged-hive injected region 1 filled......................"

	lengthAt  = len(filled)
	sumAt     = lengthAt + 8
	payloadAt = sumAt + sha256.Size
)

// PackageSchema numbers the payload of a region.
const PackageSchema = 1

// Package is what a region holds: the secrets of the hosts that the medium can install, or all of them under a passphrase.
type Package struct {
	Hosts  map[string]Bundle // by host; of a sealed package empty
	Sealed *Sealed           // nil if they are not
}

// payload is the JSON form of a Package.
type payload struct {
	Schema int               `json:"schema"`
	Hosts  map[string]Bundle `json:"hosts"`
	Sealed *Sealed           `json:"sealed,omitempty"`
}

var (
	// ErrUntouched is a region that nobody has put anything into: the image was written by another program than ours, or without secrets.
	ErrUntouched = errors.New("no secrets were put onto this medium")
	// ErrDamaged is a region that holds something else than what was put there: a write that did not end, or a medium that fails.
	ErrDamaged = errors.New("the secrets on this medium are damaged")
	// ErrNoRegion is an image without a place for secrets.
	ErrNoRegion = errors.New("the image has no place for secrets")
	// ErrFilled is an image that holds secrets already.
	ErrFilled = errors.New("the image holds secrets already")
	// ErrTwoRegions is an image with more than one place for secrets: it is unknown which of them the medium will read.
	ErrTwoRegions = errors.New("the image has more than one place for secrets")
)

// TooLargeError says that secrets do not fit into a region.
type TooLargeError struct {
	Bytes, Limit int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the secrets take %d bytes, and a medium has room for %d: leave out large files, or make media for fewer hosts", e.Bytes, e.Limit)
}

// Names gives the hosts that the package has secrets of, sorted; those of a sealed package too.
func (p Package) Names() []string {
	if p.Sealed != nil {
		return slices.Clone(p.Sealed.Names)
	}
	return slices.Sorted(maps.Keys(p.Hosts))
}

// Check tells what is wrong with a package, all of it.
func (p Package) Check() error {
	var problems []error
	if p.Sealed != nil && len(p.Hosts) > 0 {
		problems = append(problems, errors.New("secrets are sealed and open at once"))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Hosts)) {
		b := p.Hosts[name]
		if b.Host != name {
			problems = append(problems, fmt.Errorf("%s stand under the name %q", b, name))
		}
		problems = append(problems, b.Check())
	}
	if p.Sealed != nil {
		problems = append(problems, p.Sealed.check())
	}
	return errors.Join(problems...)
}

// Region gives the RegionSize bytes that take the place of an untouched region. An empty package is a region, too: one that says that
// secrets were left out.
func Region(p Package) ([]byte, error) {
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("pack secrets: %w", err)
	}
	text, err := json.Marshal(payload{Schema: PackageSchema, Hosts: p.Hosts, Sealed: p.Sealed})
	if err != nil {
		return nil, fmt.Errorf("pack secrets: %w", err)
	}
	if len(text) > RegionSize-payloadAt {
		return nil, &TooLargeError{Bytes: len(text), Limit: RegionSize - payloadAt}
	}
	region := make([]byte, RegionSize)
	copy(region, filled)
	binary.BigEndian.PutUint64(region[lengthAt:], uint64(len(text)))
	sum := sha256.Sum256(text)
	copy(region[sumAt:], sum[:])
	copy(region[payloadAt:], text)
	return region, nil
}

// ParseRegion reads a region. Its errors are [ErrUntouched], and [ErrDamaged] with what is wrong.
func ParseRegion(region []byte) (Package, error) {
	if len(region) != RegionSize {
		return Package{}, damaged("%d bytes instead of %d", len(region), RegionSize)
	}
	if untouched(region) {
		return Package{}, ErrUntouched
	}
	if !bytes.HasPrefix(region, []byte(filled)) {
		return Package{}, damaged("they do not begin as they should")
	}
	length := binary.BigEndian.Uint64(region[lengthAt:])
	if length > uint64(RegionSize-payloadAt) {
		return Package{}, damaged("a length of %d bytes", length)
	}
	text := region[payloadAt : payloadAt+int(length)]
	if sum := sha256.Sum256(text); !bytes.Equal(sum[:], region[sumAt:payloadAt]) {
		return Package{}, damaged("the checksum differs")
	}
	return parsePayload(text)
}

func parsePayload(text []byte) (Package, error) {
	var version struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(text, &version); err != nil || version.Schema != PackageSchema {
		return Package{}, fmt.Errorf("the secrets on this medium have schema %d, and this program reads %d", version.Schema, PackageSchema)
	}
	var p payload
	if err := decode(text, &p); err != nil {
		return Package{}, damaged("%v", err)
	}
	read := Package{Hosts: p.Hosts, Sealed: p.Sealed}
	if err := read.Check(); err != nil {
		return Package{}, damaged("%v", err)
	}
	return read, nil
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
}

// untouched wants the zeros, too: Magic alone is also in our own program, which may lie on the image.
func untouched(region []byte) bool {
	return bytes.HasPrefix(region, []byte(Magic)) && zeros(region[len(Magic):])
}

// zeros reports whether b has nothing but zeros: each byte equals the one before, and the first is zero.
func zeros(b []byte) bool {
	return len(b) == 0 || b[0] == 0 && bytes.Equal(b[:len(b)-1], b[1:])
}

const (
	// regionAlign is the logical block of ISO 9660, where every file begins. File systems of an SD image have larger ones.
	regionAlign = 2048
	findChunk   = 4 << 20
)

// Find gives the offset in bytes of the untouched region of an image of so many bytes. It reads the image once. Its errors are
// [ErrNoRegion], [ErrFilled], [ErrTwoRegions], and those of reading.
func Find(image io.ReaderAt, size int64) (int64, error) {
	var found []int64
	full := false
	chunk := make([]byte, findChunk)
	for at := int64(0); at < size; at += findChunk {
		part := chunk[:min(findChunk, size-at)]
		if err := readAt(image, part, at); err != nil {
			return 0, err
		}
		for _, o := range candidates(part) {
			empty, err := untouchedAt(image, at+o, size)
			if err != nil {
				return 0, err
			}
			if empty {
				found = append(found, at+o)
			}
		}
		full = full || marked(part, filled)
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return 0, ErrTwoRegions
	case full:
		return 0, ErrFilled
	}
	return 0, ErrNoRegion
}

// candidates are the offsets in part where Magic is, on a block's boundary. A boundary of parts is one of blocks, and Magic is shorter
// than a block.
func candidates(part []byte) []int64 {
	var at []int64
	for o := 0; o < len(part); o += regionAlign {
		if bytes.HasPrefix(part[o:], []byte(Magic)) {
			at = append(at, int64(o))
		}
	}
	return at
}

func marked(part []byte, mark string) bool {
	for o := 0; o < len(part); o += regionAlign {
		if bytes.HasPrefix(part[o:], []byte(mark)) {
			return true
		}
	}
	return false
}

func untouchedAt(image io.ReaderAt, at, size int64) (bool, error) {
	if size-at < RegionSize {
		return false, nil
	}
	region := make([]byte, RegionSize)
	if err := readAt(image, region, at); err != nil {
		return false, err
	}
	return untouched(region), nil
}

// readAt fills part; an image that is shorter than it was said to be is an error.
func readAt(image io.ReaderAt, part []byte, at int64) error {
	if n, err := image.ReadAt(part, at); n < len(part) {
		return fmt.Errorf("look for the place for secrets: at byte %d: %w", at+int64(n), cmp.Or(err, io.ErrUnexpectedEOF))
	}
	return nil
}
