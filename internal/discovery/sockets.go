package discovery

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/pion/logging"
	"github.com/pion/mdns/v2"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// place is one address of one interface.
type place struct {
	index int
	name  string
	addr  netip.Addr // without a zone
}

// places gives all addresses that somebody on the network could reach us by, in the kernel's order. The kernel lists an IPv6 address
// while it is still tentative; a responder for it can already be there.
func places() ([]place, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var all []place
	for _, i := range interfaces {
		if !usable(i) {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			continue // gone since it was listed
		}
		for _, a := range addresses {
			if n, ok := a.(*net.IPNet); ok {
				if addr, ok := netip.AddrFromSlice(n.IP); ok {
					all = append(all, place{index: i.Index, name: i.Name, addr: addr.Unmap()})
				}
			}
		}
	}
	return all, nil
}

func usable(i net.Interface) bool {
	return i.Flags&net.FlagUp != 0 && i.Flags&net.FlagRunning != 0 && i.Flags&net.FlagMulticast != 0 && i.Flags&net.FlagLoopback == 0
}

// group4 and group6 are the addresses that multicast DNS is spoken on (RFC 6762, 3).
func group4() *net.UDPAddr { return &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353} }
func group6() *net.UDPAddr { return &net.UDPAddr{IP: net.ParseIP("ff02::fb"), Port: 5353} }

// listen4 opens the port that other responders of the machine have open too: for a multicast address Go binds to all addresses with
// SO_REUSEADDR, as avahi and systemd-resolved do.
func listen4() (*ipv4.PacketConn, error) {
	conn, err := net.ListenUDP("udp4", group4())
	if err != nil {
		return nil, fmt.Errorf("listen for multicast DNS: %w", err)
	}
	p := ipv4.NewPacketConn(conn)
	_ = p.SetMulticastTTL(255) // RFC 6762, 11: some refuse less
	return p, nil
}

func listen6() (*ipv6.PacketConn, error) {
	conn, err := net.ListenUDP("udp6", group6())
	if err != nil {
		return nil, fmt.Errorf("listen for multicast DNS: %w", err)
	}
	p := ipv6.NewPacketConn(conn)
	_ = p.SetMulticastHopLimit(255)
	return p, nil
}

// quiet keeps the library's log lines off the person's screen: a packet it cannot read is not ours.
func quiet() *logging.DefaultLoggerFactory {
	f := logging.NewDefaultLoggerFactory()
	f.DefaultLogLevel = logging.LogLevelDisabled
	f.ScopeLevels = nil
	return f
}

// talk starts the library on the sockets, either of which may be nil. They are its own from now on.
func talk(i *net.Interface, four *ipv4.PacketConn, six *ipv6.PacketConn, more ...mdns.ServerOption) (*mdns.Conn, error) {
	options := append([]mdns.ServerOption{mdns.WithInterfaces(*i), mdns.WithLoggerFactory(quiet())}, more...)
	conn, err := mdns.NewServer(four, six, options...)
	if err == nil {
		return conn, nil
	}
	if four != nil {
		_ = four.Close()
	}
	if six != nil {
		_ = six.Close()
	}
	return nil, fmt.Errorf("speak multicast DNS on %s: %w", i.Name, err)
}
