package nbd

import (
	"fmt"
	"slices"
	"sync"
)

// Tape is all that the disks of a machine were told to write and to flush, in order. What a cut would have left can be had from it for every moment,
// without the machine.
type Tape struct {
	mu      sync.Mutex
	entries []entry
}

type entry struct {
	disk    int // as many were opened before it
	offset  int64
	content []byte // nil is a flush
}

// Position is how much there is by now.
func (t *Tape) Position() int {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.entries)
}

func (t *Tape) add(e entry) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries = append(t.entries, e)
}

// Play has disks do what is on the tape up to a position. They are as the recorded ones were at its beginning, and in the order in which those were
// opened. [Disk.LosePower] makes the cut of it.
func (t *Tape) Play(position int, disks ...*Disk) error {
	t.mu.Lock()
	entries := slices.Clone(t.entries[:position])
	t.mu.Unlock()
	for _, e := range entries {
		if e.disk >= len(disks) {
			return fmt.Errorf("the tape has a disk %d, and there are %d", e.disk, len(disks))
		}
		if e.content == nil {
			disks[e.disk].flush()
			continue
		}
		if err := disks[e.disk].write(e.content, e.offset); err != nil {
			return err
		}
	}
	return nil
}
