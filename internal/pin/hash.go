package pin

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// nix32 is Nix' base-32 alphabet: no e, o, u, t.
const nix32 = "0123456789abcdfghijklmnpqrsvwxyz"

// StorePath is where content with this hash lies in a store, as `nix-store --print-fixed-path --recursive sha256 HASH source` prints
// it. It is worked out here because the program would have to be started for each pin of each run; the rule is part of every store
// path that exists and so cannot change. Tests compare it with the program.
func StorePath(store, narHash string) (string, error) {
	sum, err := parseSRI(narHash)
	if err != nil {
		return "", err
	}
	if !path.IsAbs(store) || path.Clean(store) != store {
		return "", fmt.Errorf("store folder %q is not a plain absolute path", store)
	}
	full := sha256.Sum256([]byte("source:sha256:" + hex.EncodeToString(sum) + ":" + store + ":" + storeName))
	short := make([]byte, 20)
	for i, b := range full {
		short[i%len(short)] ^= b
	}
	return path.Join(store, encode32(short)+"-"+storeName), nil
}

func parseSRI(s string) ([]byte, error) {
	text, ok := strings.CutPrefix(s, "sha256-")
	sum, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(sum) != sha256.Size {
		return nil, fmt.Errorf("hash %q is not of the form sha256-<44 characters>", s)
	}
	return sum, nil
}

func sri(sum []byte) string { return "sha256-" + base64.StdEncoding.EncodeToString(sum) }

// sriFrom32 turns the spelling nix-store prints ("sha256:" and 52 characters) into SRI. SRI itself passes: newer programs of Nix tend
// towards it.
func sriFrom32(s string) (string, error) {
	if _, err := parseSRI(s); err == nil {
		return s, nil
	}
	sum, err := decode32(strings.TrimPrefix(s, "sha256:"))
	if err != nil || len(sum) != sha256.Size {
		return "", fmt.Errorf("hash %q is not a SHA-256 in Nix' base 32", s)
	}
	return sri(sum), nil
}

// encode32 writes five bits a character, the last bits first.
func encode32(b []byte) string {
	out := make([]byte, 0, (len(b)*8+4)/5)
	for n := cap(out) - 1; n >= 0; n-- {
		i, shift := n*5/8, n*5%8
		c := b[i] >> shift
		if i+1 < len(b) {
			c |= b[i+1] << (8 - shift)
		}
		out = append(out, nix32[c&0x1f])
	}
	return string(out)
}

func decode32(s string) ([]byte, error) {
	out := make([]byte, len(s)*5/8)
	for n := range len(s) {
		digit := strings.IndexByte(nix32, s[len(s)-1-n])
		if digit < 0 {
			return nil, fmt.Errorf("character %q is not in Nix' base 32", s[len(s)-1-n])
		}
		i, shift := n*5/8, n*5%8
		rest := digit >> (8 - shift)
		if i < len(out) {
			out[i] |= byte(digit << shift)
		} else {
			rest = digit << shift
		}
		if i+1 < len(out) {
			out[i+1] |= byte(rest)
		} else if rest&0xff != 0 {
			return nil, fmt.Errorf("%q has bits that belong to no byte", s)
		}
	}
	return out, nil
}

var storeBase = regexp.MustCompile(`^[` + nix32 + `]{32}-` + storeName + `$`)

// looksStored reports whether p has the form of a pin's store path. Whether it is one, only its hash can tell.
func looksStored(p string) bool { return storeBase.MatchString(path.Base(p)) }
