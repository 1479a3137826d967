package hive

import (
	"fmt"
	"math/big"
	"path"
	"slices"
	"strings"
)

// Fits reports whether everything that is set fits the disk. An empty selector fits none, and what is malformed (see [Selector.Problems])
// fits none.
func (s Selector) Fits(d Device) bool {
	if s.Empty() || s.Serial != "" && s.Serial != d.Serial || s.WWN != "" && !sameWWN(s.WWN, d.WWN) {
		return false
	}
	if s.ByID != "" && !slices.ContainsFunc(d.Links, s.fitsLink) {
		return false
	}
	if s.Size == "" {
		return true
	}
	least, most, err := s.Bytes()
	return err == nil && least <= d.Bytes && d.Bytes <= most
}

// sameWWN compares as sysfs and udev differ: some kernels put a prefix or the kind of the name before the digits.
func sameWWN(a, b string) bool {
	plain := func(w string) string {
		w = strings.ToLower(w)
		for _, prefix := range []string{"wwn-", "naa.", "eui.", "0x"} {
			w = strings.TrimPrefix(w, prefix)
		}
		return w
	}
	return b != "" && plain(a) == plain(b)
}

func (s Selector) fitsLink(link string) bool {
	name, ok := strings.CutPrefix(link, "/dev/disk/by-id/")
	if !ok {
		return false
	}
	fits, err := path.Match(s.ByID, name)
	return err == nil && fits
}

// Bytes reads Size: the least and the most that a disk may have.
func (s Selector) Bytes() (least, most int64, err error) {
	from, to, between := strings.Cut(s.Size, "-")
	if least, err = parseBytes(from); err != nil {
		return 0, 0, err
	}
	if !between {
		return least - least/10, least + least/10, nil
	}
	if most, err = parseBytes(to); err != nil {
		return 0, 0, err
	}
	if most < least {
		return 0, 0, fmt.Errorf("%q begins with the larger size", s.Size)
	}
	return least, most, nil
}

// parseBytes reads a number, also one with a fraction, and its unit: powers of 1000, with an i of 1024.
func parseBytes(text string) (int64, error) {
	bad := fmt.Errorf("%q is no size: write for example 500G, 1.92T or 512Gi", text)
	number := strings.TrimSpace(text)
	number = strings.TrimSuffix(number, "B")
	number, binary := strings.CutSuffix(number, "i")
	if number == "" {
		return 0, bad
	}
	power := strings.IndexByte("KMGTP", number[len(number)-1])
	value, ok := new(big.Rat).SetString(number[:len(number)-1])
	if power < 0 || !ok || strings.Trim(number[:len(number)-1], "0123456789.") != "" {
		return 0, bad
	}
	base := int64(1000)
	if binary {
		base = 1024
	}
	for range power + 1 {
		value.Mul(value, big.NewRat(base, 1))
	}
	// a tenth is added to it
	whole := new(big.Int).Quo(value.Num(), value.Denom())
	if whole.Sign() == 0 || whole.BitLen() > 60 {
		return 0, bad
	}
	return whole.Int64(), nil
}

// Problems says what is wrong with the selector itself: the value, "serial", "wwn", "byId" or "size", and what about it.
func (s Selector) Problems() map[string]error {
	found := map[string]error{}
	if _, err := path.Match(s.ByID, ""); err != nil {
		found["byId"] = fmt.Errorf("%q is no pattern: a bracket is open or empty", s.ByID)
	}
	if strings.Contains(s.ByID, "/") {
		found["byId"] = fmt.Errorf("%q is a path, not the name of a disk in /dev/disk/by-id", s.ByID)
	}
	if _, _, err := s.Bytes(); s.Size != "" && err != nil {
		found["size"] = err
	}
	for name, value := range map[string]string{"serial": s.Serial, "wwn": s.WWN} {
		if strings.TrimSpace(value) != value {
			found[name] = fmt.Errorf("%q begins or ends with a blank, which the name of a disk never does", value)
		}
	}
	return found
}
