package secret

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// plainMode is the mode of a file whose name says none.
const plainMode = 0o400

// fileName is the name of an encrypted file: the path with what a file name cannot have as %XX, and the mode unless it is 0400. So
// /tmp/secret.key is "%2Ftmp%2Fsecret.key.age", and with mode 0644 "%2Ftmp%2Fsecret.key@0644.age".
func fileName(f File) string {
	name := strings.ReplaceAll(url.PathEscape(f.Path), "@", "%40")
	if f.Mode != plainMode {
		name += fmt.Sprintf("@%04o", f.Mode)
	}
	return name + sealedSuffix
}

// parseFileName reads what fileName wrote, and nothing else: one file has one name.
func parseFileName(name string) (File, error) {
	stem, ok := strings.CutSuffix(name, sealedSuffix)
	if !ok {
		return File{}, errors.New("not an encrypted file: its name does not end in " + sealedSuffix)
	}
	f := File{Mode: plainMode}
	if before, digits, found := strings.Cut(stem, "@"); found {
		mode, err := strconv.ParseUint(digits, 8, 32)
		if err != nil {
			return File{}, fmt.Errorf("%q is no mode", digits)
		}
		stem, f.Mode = before, uint32(mode)
	}
	path, err := url.PathUnescape(stem)
	if err != nil {
		return File{}, errors.New("its name is not an escaped path")
	}
	f.Path = path
	if err := f.check(); err != nil {
		return File{}, err
	}
	if want := fileName(f); want != name {
		return File{}, fmt.Errorf("its name should be %s", want)
	}
	return f, nil
}
