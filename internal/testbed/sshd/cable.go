package sshd

import (
	"net"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Cable is a TCP proxy to one address, for all that can happen on the way. Its methods may be called from several goroutines.
type Cable struct {
	Address string // IPv4 of this end, without port
	Port    int    // of this end

	target   string
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	open    map[net.Conn]bool
	stalled bool
	closed  bool
	rate    int64 // bytes per second and direction; 0 is unlimited
	left    int64 // bytes until the cut; negative is never
	carried int64
}

// NewCable lays a cable to address and port. It ends with the test.
func NewCable(t testing.TB, address string, port int) *Cable {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cable{
		Address: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, target: net.JoinHostPort(address, strconv.Itoa(port)),
		listener: l, open: map[net.Conn]bool{}, left: -1,
	}
	c.changed = sync.NewCond(&c.mu)
	c.running.Go(c.accept)
	t.Cleanup(c.remove)
	return c
}

// Stall lets nothing through any more, in both directions, and keeps connections open: a cable pulled, a firewall that drops.
func (c *Cable) Stall() { c.set(func() { c.stalled = true }) }

// Resume lets everything through again, nothing lost.
func (c *Cable) Resume() { c.set(func() { c.stalled = false }) }

// Limit sets how many bytes per second go through, for each connection and direction; 0 is unlimited.
func (c *Cable) Limit(bytesPerSecond int64) { c.set(func() { c.rate = bytesPerSecond }) }

// CutAfter stalls the cable for good as soon as so many more bytes have gone through, both directions and all connections together.
func (c *Cable) CutAfter(bytes int64) { c.set(func() { c.left = bytes }) }

// Drop resets all connections that are open now. New ones are taken.
func (c *Cable) Drop() {
	c.set(func() {
		for conn := range c.open {
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // a reset, not an orderly end
			}
			_ = conn.Close() // gone is fine
		}
	})
}

// Carried is how many bytes have gone through.
func (c *Cable) Carried() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.carried
}

func (c *Cable) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	c.changed.Broadcast()
}

func (c *Cable) remove() {
	_ = c.listener.Close() // ends accept
	c.set(func() { c.closed = true })
	c.Drop()
	c.running.Wait()
}

func (c *Cable) accept() {
	for {
		near, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.running.Go(func() { c.connect(near) })
	}
}

// connect reaches the target for one connection. A stalled cable does not even do that; the client's own kernel has taken the
// connection by then, so that the client sees it open and silent.
func (c *Cable) connect(near net.Conn) {
	if !c.hold(near) || !c.pass(0) {
		_ = near.Close()
		return
	}
	far, err := net.Dial("tcp4", c.target)
	if err != nil || !c.hold(far) {
		_ = near.Close()
		c.release(near)
		return
	}
	c.running.Go(func() { c.carry(near, far) })
	c.carry(far, near)
}

// hold notes an open connection; it is refused when the cable is being removed.
func (c *Cable) hold(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close()
		return false
	}
	c.open[conn] = true
	return true
}

func (c *Cable) release(conn net.Conn) { c.set(func() { delete(c.open, conn) }) }

// carry moves bytes one way. An end of the stream is passed on, so that half-closed connections work; an error ends both ways.
func (c *Cable) carry(from, to net.Conn) {
	defer c.release(from)
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer[:c.piece(len(buffer))])
		if n > 0 && (!c.pass(int64(n)) || !write(to, buffer[:n])) {
			_ = from.Close()
			return
		}
		if err != nil {
			_ = to.(*net.TCPConn).CloseWrite() // gone is fine
			return
		}
	}
}

func write(to net.Conn, b []byte) bool {
	_, err := to.Write(b)
	return err == nil
}

// piece is small on a slow cable, so that it is slow evenly.
func (c *Cable) piece(largest int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rate > 0 {
		return int(min(int64(largest), max(1, c.rate/20)))
	}
	return largest
}

// pass waits until n bytes may go through; it is not ok when the cable is removed meanwhile.
func (c *Cable) pass(n int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left >= 0 && n > 0 {
		c.left -= n
		if c.left < 0 {
			c.stalled, c.left = true, -1
		}
	}
	for c.stalled && !c.closed {
		c.changed.Wait()
	}
	if c.rate > 0 && n > 0 && !c.closed {
		pause := time.Duration(n) * time.Second / time.Duration(c.rate)
		c.mu.Unlock()
		time.Sleep(pause)
		c.mu.Lock()
	}
	c.carried += n
	return !c.closed
}
