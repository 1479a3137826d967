package rehearse

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// checkBootable refuses an image that no firmware would start, before anybody waits for a machine that shows nothing. An ISO 9660 image has
// its boot record in sector 17 (El Torito 1.0, 2048 bytes a sector).
func checkBootable(image string) error {
	const sector, mark = 2048, "CD001\x01EL TORITO SPECIFICATION"
	f, err := os.Open(image)
	if err != nil {
		return fmt.Errorf("look at the image: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	record := make([]byte, 1+len(mark))
	if _, err := f.ReadAt(record, 17*sector); err != nil && err != io.EOF {
		return fmt.Errorf("look at the image: %w", err)
	}
	if !bytes.Equal(record[1:], []byte(mark)) {
		return &hinted{
			fmt.Errorf("%s has no boot record: it was not built by NixOS", image),
			"pin a real NixOS in versions.json; the miniature nixpkgs of the tests builds no images that start",
		}
	}
	return nil
}
