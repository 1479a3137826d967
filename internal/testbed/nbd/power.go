// Package nbd is a disk for virtual machines that loses power as real ones do: what was written and not flushed may be there afterwards, or not, block
// by block. QEMU reaches it over the protocol of network block devices (NBD, doc/proto.md of its source) through a Unix socket.
//
// [Power] is what several disks of one machine share: it counts their writes, so that a cut comes at the same place again, and cuts all of
// them at once.
package nbd

import (
	"math/rand/v2"
	"sync"
)

// Power supplies the disks of one machine.
type Power struct {
	mu     sync.Mutex
	writes int
	at     int // cut before this write; 0: never
	cut    bool
	gone   chan struct{}
	disks  int
	tape   *Tape
}

// NewPower is on.
func NewPower() *Power { return &Power{gone: make(chan struct{})} }

// Record has everything from now on on a tape, and on none that was there before.
func (p *Power) Record() *Tape {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tape = &Tape{}
	return p.tape
}

// Tape is the one that is recorded on; nil is none.
func (p *Power) Tape() *Tape {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tape
}

// supply gives a disk its number.
func (p *Power) supply() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.disks++
	return p.disks - 1
}

// Writes is how many there were, on all disks.
func (p *Power) Writes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.writes
}

// CutIn cuts before the n-th write from now; 0 takes the order back.
func (p *Power) CutIn(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = 0
	if n > 0 {
		p.at = p.writes + n
	}
}

// Cut is now.
func (p *Power) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail()
}

// Gone is closed at the cut.
func (p *Power) Gone() <-chan struct{} { return p.gone }

func (p *Power) fail() {
	if !p.cut {
		p.cut = true
		close(p.gone)
	}
}

// on reports whether a request may be carried out, and counts writes.
func (p *Power) on(write bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if write && !p.cut {
		p.writes++
		if p.writes == p.at {
			p.fail()
		}
	}
	return !p.cut
}

// Loss says what a cut does to blocks that were written after the last flush.
type Loss string

const (
	// Nothing is lost: the cache was empty by chance.
	Nothing Loss = "nothing"
	// Everything is lost: the cache wrote nothing before it had to.
	Everything Loss = "everything"
	// Some is lost: each block of 4 KiB is as it was after any of its writes, or before the first, whatever others are.
	Some Loss = "some"
)

// Losses are all of them.
func Losses() []Loss { return []Loss{Nothing, Everything, Some} }

// choose gives which of the versions of a block survives; the last is what was written last.
func (l Loss) choose(versions int, dice *rand.Rand) int {
	switch l {
	case Everything:
		return 0
	case Some:
		return dice.IntN(versions)
	}
	return versions - 1
}
