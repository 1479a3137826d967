package rehearse

import (
	"context"
	"sync"
	"time"

	"nixos-staged-hive/internal/vm"
)

// clock measures a rehearsal: its own time, and the time during which at least one machine ran.
type clock struct {
	began time.Time

	mu      sync.Mutex
	running int
	since   time.Time
	spent   time.Duration
}

func newClock() *clock { return &clock{began: time.Now()} }

// now is the time since the rehearsal began.
func (c *clock) now() Seconds { return Seconds(time.Since(c.began).Seconds()) }

// whileOn counts the time of a machine until it ends, with the lab at the latest.
func (c *clock) whileOn(ctx context.Context, m *vm.Running) {
	defer c.off()
	_, _ = m.Wait(ctx)
}

// on and off bracket the life of a machine.
func (c *clock) on() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == 0 {
		c.since = time.Now()
	}
	c.running++
}

func (c *clock) off() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running--; c.running == 0 {
		c.spent += time.Since(c.since)
	}
}

// machines is how long at least one machine ran.
func (c *clock) machines() Seconds {
	c.mu.Lock()
	defer c.mu.Unlock()
	spent := c.spent
	if c.running > 0 {
		spent += time.Since(c.since)
	}
	return Seconds(spent.Seconds())
}
