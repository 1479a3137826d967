package disks

import (
	"bytes"
	"errors"
	"os"
	"slices"

	"nixos-staged-hive/internal/hive"
)

// unknown is the content of a disk that has bytes on it which blkid has no name for: encrypted without a header (VeraCrypt, plain dm-crypt), a
// file system of another system, what a RAID controller leaves.
const unknown = "unknown"

// Unknown tells disks that are blank from those that only seem so, by their first 5 MiB, which [Site.Wipe] empties: the latter get "unknown" as
// their content, and so do those that cannot be read. Nobody would be asked before a blank disk is written to. One that was cut off while it got
// its table, which it has in one copy, gets that. It needs root; for others it leaves all as it is.
func Unknown(devices []hive.Device) []hive.Device {
	devices = slices.Clone(devices)
	for i, d := range devices {
		if d.Kind != "disk" || !d.Blank() || d.Bytes == 0 {
			continue
		}
		bare, err := bareFront(d)
		if bare || errors.Is(err, os.ErrPermission) {
			continue
		}
		if table, err := readTable(d); err == nil {
			devices[i].Table, devices[i].TableID = "gpt", table.DiskID
		} else {
			devices[i].Content = unknown
		}
	}
	return devices
}

// bareFront reports that a disk begins as one without data does: with zeros, or ones, which erased flash reads as.
func bareFront(d hive.Device) (bool, error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // only read
	front := make([]byte, min(d.Bytes, frontBytes))
	if _, err := f.ReadAt(front, 0); err != nil {
		return false, err
	}
	return uniform(front, 0) || uniform(front, 0xff), nil
}

func uniform(p []byte, value byte) bool { return bytes.Count(p, []byte{value}) == len(p) }
