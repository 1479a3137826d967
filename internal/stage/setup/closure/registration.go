package closure

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// Path is a store path with what Nix recorded of it.
type Path struct {
	Name  string            // for example /nix/store/HASH-NAME
	Hash  [sha256.Size]byte // of its NAR
	Bytes int64             // of its NAR
}

// Read takes the paths from closureInfo's file `registration`, which has the form that nix-store --load-db reads (Nix 2.0 to 2.34): for each
// path its name, hash, size, deriver, number of references, and the references, each on a line of its own.
func Read(r io.Reader) ([]Path, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	number := 0
	next := func() (string, error) {
		if !lines.Scan() {
			return "", errors.Join(io.ErrUnexpectedEOF, lines.Err())
		}
		number++
		return lines.Text(), nil
	}
	var paths []Path
	for lines.Scan() {
		number++
		p, err := readOne(lines.Text(), next)
		if err != nil {
			return nil, fmt.Errorf("read the registration of the closure: line %d: %w", number, err)
		}
		paths = append(paths, p)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the registration of the closure: %w", err)
	}
	if len(paths) == 0 {
		return nil, errors.New("read the registration of the closure: it is empty")
	}
	return paths, nil
}

func readOne(name string, next func() (string, error)) (Path, error) {
	p := Path{Name: name}
	if dir, base := path.Split(name); dir != "/nix/store/" || base == "" || base == "." || base == ".." {
		return p, fmt.Errorf("%q is no store path", name)
	}
	var fields [4]string // hash, size, deriver, count
	for i := range fields {
		var err error
		if fields[i], err = next(); err != nil {
			return p, err
		}
	}
	var err error
	if p.Hash, err = parseHash(fields[0]); err != nil {
		return p, err
	}
	if p.Bytes, err = strconv.ParseInt(fields[1], 10, 64); err != nil || p.Bytes < 0 {
		return p, fmt.Errorf("%q is no size", fields[1])
	}
	references, err := strconv.Atoi(fields[3])
	if err != nil || references < 0 {
		return p, fmt.Errorf("%q is no number of references", fields[3])
	}
	for range references {
		if _, err := next(); err != nil {
			return p, err
		}
	}
	return p, nil
}

// parseHash reads sha256:BASE32, sha256:HEX, bare HEX, or sha256-BASE64: which one there is depends on the version of Nix.
func parseHash(text string) (sum [sha256.Size]byte, err error) {
	if b64, ok := strings.CutPrefix(text, "sha256-"); ok {
		raw, err := base64.StdEncoding.DecodeString(b64)
		if err != nil || len(raw) != len(sum) {
			return sum, fmt.Errorf("%q is no SHA-256", text)
		}
		return [sha256.Size]byte(raw), nil
	}
	digits := strings.TrimPrefix(text, "sha256:")
	switch len(digits) {
	case hex.EncodedLen(len(sum)):
		if _, err := hex.Decode(sum[:], []byte(digits)); err != nil {
			return sum, fmt.Errorf("%q is no SHA-256: %w", text, err)
		}
		return sum, nil
	case 52:
		return base32(digits)
	}
	return sum, fmt.Errorf("%q is no SHA-256", text)
}

// base32 decodes Nix' own base 32: other digits, the last one first, 5 bits each, least significant bits first.
func base32(digits string) (sum [sha256.Size]byte, err error) {
	const alphabet = "0123456789abcdfghijklmnpqrsvwxyz"
	for i := range digits {
		n := len(digits) - 1 - i
		digit := strings.IndexByte(alphabet, digits[n])
		if digit < 0 {
			return sum, fmt.Errorf("%q is no SHA-256: %q is no digit", digits, digits[n])
		}
		bit := i * 5
		at, shift := bit/8, bit%8
		sum[at] |= byte(digit << shift)
		if carry := digit >> (8 - shift); at+1 < len(sum) {
			sum[at+1] |= byte(carry)
		} else if carry != 0 {
			return sum, fmt.Errorf("%q is no SHA-256: it is too large", digits)
		}
	}
	return sum, nil
}
