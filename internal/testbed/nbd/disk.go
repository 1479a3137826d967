package nbd

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
)

// blockBytes is what a disk writes as a whole or not at all.
const blockBytes = 4096

// Disk is the contents of a disk, in a file.
type Disk struct {
	power  *Power
	number int
	file   *os.File
	size   int64

	mu     sync.Mutex
	before map[int64][][]byte // contents of the blocks that were written since the last flush, before each of these writes
}

// Open takes a file as a disk. Its size is a multiple of 4 KiB.
func Open(name string, power *Power) (*Disk, error) {
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	stat, err := file.Stat()
	if err == nil && stat.Size()%blockBytes != 0 {
		err = fmt.Errorf("%s: %d bytes are no multiple of %d", name, stat.Size(), blockBytes)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Disk{power: power, number: power.supply(), file: file, size: stat.Size(), before: map[int64][][]byte{}}, nil
}

// Close leaves the file as it is.
func (d *Disk) Close() error { return d.file.Close() }

func (d *Disk) read(p []byte, off int64) error {
	_, err := d.file.ReadAt(p, off)
	return err
}

func (d *Disk) write(p []byte, off int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for at := off - off%blockBytes; at < off+int64(len(p)); at += blockBytes {
		old := make([]byte, blockBytes)
		if err := d.read(old, at); err != nil {
			return err
		}
		d.before[at] = append(d.before[at], old)
	}
	_, err := d.file.WriteAt(p, off)
	return err
}

// flush makes everything so far safe.
func (d *Disk) flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.before)
}

// LosePower loses what was not flushed, in a way that the dice decide. It returns how many blocks are not what was written last. Call it when
// the machine is gone.
func (d *Disk) LosePower(loss Loss, dice *rand.Rand) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	lost := 0
	for _, at := range slices.Sorted(maps.Keys(d.before)) {
		versions := d.before[at]
		chosen := loss.choose(len(versions)+1, dice)
		if chosen == len(versions) {
			continue
		}
		lost++
		if _, err := d.file.WriteAt(versions[chosen], at); err != nil {
			return lost, err
		}
	}
	clear(d.before)
	return lost, nil
}
