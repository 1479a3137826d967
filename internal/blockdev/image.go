package blockdev

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Region is a part of an image that is replaced while the image is read.
type Region struct {
	Offset int64
	Bytes  []byte
}

// Image is what is written: a file, parts of which are replaced on the way, so that what must not be on any disk (host keys) goes from memory
// to the medium.
type Image struct {
	bytes   int64
	from    io.ReaderAt
	regions []Region
}

// NewImage is an image of so many bytes. Regions lie inside of it and do not overlap.
func NewImage(from io.ReaderAt, bytes int64, regions ...Region) (*Image, error) {
	if bytes <= 0 {
		return nil, fmt.Errorf("an image of %d bytes", bytes)
	}
	regions = slices.SortedFunc(slices.Values(regions), func(a, b Region) int { return int(min(max(a.Offset-b.Offset, -1), 1)) })
	end := int64(0)
	for _, r := range regions {
		if r.Offset < end || r.Offset > bytes-int64(len(r.Bytes)) {
			return nil, fmt.Errorf("replace %d bytes at %d of an image of %d: outside of it, or twice the same", len(r.Bytes), r.Offset, bytes)
		}
		end = r.Offset + int64(len(r.Bytes))
	}
	return &Image{bytes, from, regions}, nil
}

// OpenImage opens an image file. Close it after use.
func OpenImage(path string) (file *os.File, bytes int64, err error) {
	file, err = os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	stat, err := file.Stat()
	if err == nil && (!stat.Mode().IsRegular() || stat.Size() == 0) {
		err = fmt.Errorf("%s is no image: %s of %d bytes", path, stat.Mode().Type(), stat.Size())
	}
	if err != nil {
		return nil, 0, closing(err, file)
	}
	return file, stat.Size(), nil
}

// Bytes is how long the image is.
func (i *Image) Bytes() int64 { return i.bytes }

// ReadAt reads what is to be written.
func (i *Image) ReadAt(p []byte, at int64) (int, error) {
	var end error
	if rest := max(i.bytes-at, 0); int64(len(p)) > rest {
		p, end = p[:rest], io.EOF
	}
	n, err := i.from.ReadAt(p, at)
	if n < len(p) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // the file became shorter
		}
		return n, fmt.Errorf("read the image at byte %d: %w", at+int64(n), err)
	}
	for _, r := range i.regions {
		if from, to := max(r.Offset, at), min(r.Offset+int64(len(r.Bytes)), at+int64(n)); from < to {
			copy(p[from-at:to-at], r.Bytes[from-r.Offset:])
		}
	}
	return n, end
}
