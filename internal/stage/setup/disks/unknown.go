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

// Unknown tells disks that are blank from those that only seem so, by their first and last bytes, which are what [Site.Wipe] empties: the latter
// get "unknown" as their content, and so do those that cannot be read. Nobody would be asked before a blank disk is written to. It reads up to
// 6 MiB of each disk, as root; for others it leaves all as it is.
func Unknown(devices []hive.Device) []hive.Device {
	devices = slices.Clone(devices)
	for i, d := range devices {
		if d.Kind != "disk" || !d.Blank() || d.Bytes == 0 {
			continue
		}
		if bare, err := bareEnds(d); !bare && !errors.Is(err, os.ErrPermission) {
			devices[i].Content = unknown
		}
	}
	return devices
}

// bareEnds reports that both ends of a disk are as no data is: all zeros, or all ones, which erased flash reads as.
func bareEnds(d hive.Device) (bool, error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // only read
	buffer := make([]byte, 1<<20)
	for _, a := range merge(ends(0, d.Bytes), d.Bytes) {
		for at := a.Offset; at < a.end(); at += int64(len(buffer)) {
			part := buffer[:min(int64(len(buffer)), a.end()-at)]
			if _, err := f.ReadAt(part, at); err != nil {
				return false, err
			}
			if !uniform(part, 0) && !uniform(part, 0xff) {
				return false, nil
			}
		}
	}
	return true, nil
}

func uniform(p []byte, value byte) bool { return bytes.Count(p, []byte{value}) == len(p) }
