package vm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// wire is a computer's end of a cable: frames go through the socket with their length, in four bytes, before each.
type wire struct {
	conn net.Conn
	mac  [6]byte
}

func connect(t *testing.T, s *Segment, last byte) (w wire, unplug func()) {
	t.Helper()
	socket, pull, err := s.plug(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	var d net.Dialer
	conn, err := d.DialContext(soon(t), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	w = wire{conn, [6]byte{0x52, 0x54, 0, 0, 0, last}}
	// The network loses what is sent to w until it has taken notice of it. The gateway's answer comes after that.
	gateway := netip.MustParseAddr(s.Network().Gateway).As4()
	w.send(t, broadcastMAC, arpFrames, arp(1, w.mac, []byte{0, 0, 0, 0}, [6]byte{}, gateway[:]))
	w.receive(t, arpFrames, func(p []byte) bool { return p[7] == 2 && bytes.Equal(p[14:18], gateway[:]) })
	return w, func() {
		t.Helper()
		if err := pull(soon(t)); err != nil {
			t.Error(err)
		}
	}
}

const broadcastMAC = "\xff\xff\xff\xff\xff\xff"

// send sends an Ethernet frame.
func (w wire) send(t *testing.T, to string, kind uint16, payload []byte) {
	t.Helper()
	frame := append([]byte(to), w.mac[:]...)
	frame = binary.BigEndian.AppendUint16(frame, kind)
	frame = append(frame, payload...)
	frame = append(frame, make([]byte, max(0, 60-len(frame)))...)
	if _, err := w.conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)); err != nil {
		t.Fatal(err)
	}
}

// receive gives the payload of the next frame that is as wanted.
func (w wire) receive(t *testing.T, kind uint16, wanted func(payload []byte) bool) (payload []byte, from string) {
	t.Helper()
	for {
		var length [4]byte
		if _, err := io.ReadFull(w.conn, length[:]); err != nil {
			t.Fatal(err)
		}
		frame := make([]byte, binary.BigEndian.Uint32(length[:]))
		if _, err := io.ReadFull(w.conn, frame); err != nil {
			t.Fatal(err)
		}
		if binary.BigEndian.Uint16(frame[12:]) == kind && wanted(frame[14:]) {
			return frame[14:], string(frame[6:12])
		}
	}
}

const (
	ipv4Frames = 0x0800
	arpFrames  = 0x0806
	ownFrames  = 0x88b5 // for experiments
)

func startNetwork(t *testing.T, l *Lab, n Network) *Segment {
	t.Helper()
	s, err := l.StartNetwork(soon(t), n)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestComputersOfANetworkReachEachOther(t *testing.T) {
	l := openLab(t, testHost(t, Wish{}))
	s := startNetwork(t, l, Network{Name: "lan", Subnet: "10.7.0.0/24"})
	other := startNetwork(t, l, Network{Name: "other", Subnet: "10.7.0.0/24"})
	a, _ := connect(t, s, 1)
	b, unplug := connect(t, s, 2)
	c, _ := connect(t, s, 3)
	apart, _ := connect(t, other, 4)
	hello := func(from wire, text string, to ...wire) {
		t.Helper()
		from.send(t, broadcastMAC, ownFrames, []byte(text))
		for _, w := range to {
			w.receive(t, ownFrames, func(got []byte) bool { return bytes.HasPrefix(got, []byte(text)) })
		}
	}
	hello(a, "one", b, c)
	hello(c, "two", a, b)
	// A computer that is switched off and on gets a new cable.
	unplug()
	b, _ = connect(t, s, 2)
	hello(a, "three", b, c)
	hello(b, "four", a, c)
	apart.send(t, broadcastMAC, ownFrames, []byte("alien"))
	b.conn.Close()
	hello(c, "five", a)

	again, err := l.StartNetwork(soon(t), Network{Name: "lan", Subnet: "10.7.0.0/24"})
	if err == nil || !strings.Contains(err.Error(), "up already") {
		t.Errorf("a second one of that name: %v, %v", again, err)
	}
}

// A hub gives every frame to everybody. What is meant for a machine must not be answered by the gateway as well.
func TestGatewayKeepsOutOfOthersConnections(t *testing.T) {
	l := openLab(t, testHost(t, Wish{}))
	for _, online := range []bool{false, true} {
		s := startNetwork(t, l, Network{Name: fmt.Sprint("n", online), Subnet: "10.7.0.0/24", Online: online})
		a, _ := connect(t, s, 1)
		b, _ := connect(t, s, 2)
		syn := func(to string, address byte) {
			a.send(t, to, ipv4Frames, tcpSyn([4]byte{10, 7, 0, 11}, [4]byte{10, 7, 0, address}))
		}
		// The gateway learns where the sender is, as it does from any machine.
		a.send(t, broadcastMAC, arpFrames, arp(1, a.mac, []byte{10, 7, 0, 11}, [6]byte{}, []byte{10, 7, 0, 11}))
		syn(string(b.mac[:]), 12)
		b.receive(t, ipv4Frames, func(p []byte) bool { return p[19] == 12 })
		// Nobody listens on that port of the gateway, which says so. It takes one after the other: it has not answered the first.
		syn("\x52\x55\x0a\x07\x00\x01", 1)
		answer, _ := a.receive(t, ipv4Frames, func(p []byte) bool { return p[9] == 6 })
		if answer[15] != 1 {
			t.Errorf("online %v: the gateway answers for %v", online, answer[12:16])
		}
	}
}

// tcpSyn asks for a connection to port 9, which nobody uses.
func tcpSyn(from, to [4]byte) []byte {
	tcp := []byte{0x9c, 0x40, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0}
	pseudo := append(append(append([]byte{}, from[:]...), to[:]...), 0, 6, 0, byte(len(tcp)))
	binary.BigEndian.PutUint16(tcp[16:], checksum(append(pseudo, tcp...)))
	ip := append([]byte{0x45, 0, 0, byte(20 + len(tcp)), 0, 0, 0, 0, 64, 6, 0, 0}, append(from[:], to[:]...)...)
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	return append(ip, tcp...)
}

// checksum is that of IP (RFC 1071), of an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

func TestGatewayGivesAddresses(t *testing.T) {
	l := openLab(t, testHost(t, Wish{}))
	for _, online := range []bool{false, true} {
		n := Network{
			Name: map[bool]string{false: "closed", true: "online"}[online], Online: online,
			Subnet: "192.168.77.0/24", Gateway: "192.168.77.254", DNS: "192.168.77.53", FirstLease: "192.168.77.20",
		}
		t.Run(n.Name, func(t *testing.T) {
			s := startNetwork(t, l, n)
			w, _ := connect(t, s, 9)
			w.send(t, broadcastMAC, ipv4Frames, discover(w.mac))
			offer, _ := w.receive(t, ipv4Frames, func(p []byte) bool { return p[9] == 17 && len(p) > 28+236 })
			dhcp := offer[28:]
			if got := netip.AddrFrom4([4]byte(dhcp[16:20])); got.String() != n.FirstLease {
				t.Errorf("offered %s", got)
			}
			options := readOptions(dhcp[240:])
			router, dns := options[3], options[6]
			if online && (!bytes.Equal(router, []byte{192, 168, 77, 254}) || !bytes.Equal(dns, []byte{192, 168, 77, 53})) {
				t.Errorf("router %v, name server %v", router, dns)
			}
			if !online && (router != nil || dns != nil) {
				t.Errorf("router %v, name server %v, though it leads nowhere", router, dns)
			}
		})
	}
}

// discover is a DHCP request in UDP in IPv4.
func discover(mac [6]byte) []byte {
	dhcp := make([]byte, 240)
	copy(dhcp, []byte{1, 1, 6, 0, 1, 2, 3, 4})
	copy(dhcp[28:], mac[:])
	copy(dhcp[236:], []byte{99, 130, 83, 99})
	dhcp = append(dhcp, 53, 1, 1, 255)
	udp := binary.BigEndian.AppendUint16([]byte{0, 68, 0, 67}, uint16(8+len(dhcp)))
	udp = append(append(udp, 0, 0), dhcp...)
	ip := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255}
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(udp)))
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	return append(ip, udp...)
}

func readOptions(b []byte) map[byte][]byte {
	options := map[byte][]byte{}
	for len(b) > 1 && b[0] != 255 {
		if b[0] == 0 {
			b = b[1:]
			continue
		}
		options[b[0]] = b[2 : 2+int(b[1])]
		b = b[2+int(b[1]):]
	}
	return options
}

func TestForwardReachesTheMachine(t *testing.T) {
	l := openLab(t, testHost(t, Wish{}))
	s := startNetwork(t, l, Network{
		Name: "lan", Subnet: "10.7.0.0/24",
		Forwards: []Forward{{Name: "a ssh", Address: "10.7.0.7", Port: 22}, {Name: "b", Address: "10.7.0.8", Port: 6443}},
	})
	if s.Port("a ssh") == 0 || s.Port("b") == 0 || s.Port("a ssh") == s.Port("b") || s.Port("c") != 0 {
		t.Errorf("ports %v", s.ports)
	}
	if n := s.Network(); n.Gateway != "10.7.0.1" || n.DNS != "10.7.0.254" || n.FirstLease != "10.7.0.128" {
		t.Errorf("addresses %+v", n)
	}
	w, _ := connect(t, s, 7)
	address := []byte{10, 7, 0, 7}
	// Until it is known who has the address nothing can arrive: so the machine says so, as it does when it comes up.
	w.send(t, broadcastMAC, arpFrames, arp(1, w.mac, address, [6]byte{}, address))
	var d net.Dialer
	conn, err := d.DialContext(soon(t), "tcp4", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(s.Port("a ssh"))).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	syn, _ := w.receive(t, ipv4Frames, func(p []byte) bool { return p[9] == 6 })
	if !bytes.Equal(syn[16:20], address) || binary.BigEndian.Uint16(syn[22:]) != 22 || syn[33]&2 == 0 {
		t.Errorf("packet %x", syn)
	}
	if !bytes.Equal(syn[12:16], []byte{10, 7, 0, 1}) {
		t.Errorf("it comes from %v, and not from the gateway", syn[12:16])
	}
}

func arp(operation byte, fromMAC [6]byte, from []byte, toMAC [6]byte, to []byte) []byte {
	p := []byte{0, 1, 8, 0, 6, 4, 0, operation}
	p = append(append(p, fromMAC[:]...), from...)
	return append(append(p, toMAC[:]...), to...)
}

func TestForwardTakesAnotherPortWhenOneIsGone(t *testing.T) {
	l := openLab(t, testHost(t, Wish{}))
	s := startNetwork(t, l, Network{Name: "lan", Subnet: "10.7.0.0/24"})
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := int(netip.MustParseAddrPort(taken.Addr().String()).Port())
	asked := 0
	late := func(ctx context.Context) (int, error) {
		if asked++; asked < 4 {
			return port, nil
		}
		return freePort(ctx)
	}
	f := Forward{Name: "ssh", Address: "10.7.0.7", Port: 22}
	if err := s.forward(soon(t), f, late); err != nil || asked != 4 || s.Port("ssh") == port {
		t.Errorf("got port %d after asking %d times, %v", s.Port("ssh"), asked, err)
	}
	always := func(context.Context) (int, error) { return port, nil }
	err = s.forward(soon(t), f, always)
	if _, refused := errors.AsType[*MonitorError](err); !refused || !strings.Contains(err.Error(), "forward ssh") {
		t.Errorf("without any port: %v", err)
	}
}

func TestNetworksThatCannotBe(t *testing.T) {
	forward := func(address string, port int) []Forward { return []Forward{{Name: "f", Address: address, Port: port}} }
	for _, tt := range []struct {
		n    Network
		want string
	}{
		{Network{Subnet: "10.0.0.0/24"}, "no name for a network"},
		{Network{Name: "n"}, "no IPv4 network"},
		{Network{Name: "n", Subnet: "fd00::/64"}, "no IPv4 network"},
		{Network{Name: "n", Subnet: "10.0.0.0/30"}, "no IPv4 network"},
		{Network{Name: "n", Subnet: "10.0.0.0/24", Gateway: "10.0.1.1"}, "gateway \"10.0.1.1\""},
		{Network{Name: "n", Subnet: "10.0.0.0/24", Gateway: "10.0.0.255"}, "gateway \"10.0.0.255\""},
		{Network{Name: "n", Subnet: "10.0.0.0/24", Gateway: "10.0.0.9", DNS: "10.0.0.9"}, "also the address of the gateway"},
		{Network{Name: "n", Subnet: "10.0.0.0/24", FirstLease: "x,y"}, "first lease"},
		{Network{Name: "n", Subnet: "10.0.0.0/24", Forwards: forward("10.0.9.1", 22)}, "forward f: \"10.0.9.1\""},
		{Network{Name: "n", Subnet: "10.0.0.0/24", Forwards: forward("10.0.0.5", 70000)}, "70000 is no port"},
		{Network{Name: "n", Subnet: "10.0.0.0/24", Forwards: append(forward("10.0.0.5", 1), forward("10.0.0.5", 2)...)}, "there 2 times"},
	} {
		if _, err := tt.n.complete(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %q in it", tt.n, err, tt.want)
		}
	}
}

func TestAddressesAreFoundWhereNobodyIs(t *testing.T) {
	for _, tt := range []struct {
		n                   Network
		gateway, dns, first string
	}{
		{Network{Name: "n", Subnet: "10.0.0.0/29"}, "10.0.0.1", "10.0.0.6", "10.0.0.4"},
		{Network{Name: "n", Subnet: "10.0.0.77/24"}, "10.0.0.1", "10.0.0.254", "10.0.0.128"},
		{Network{Name: "n", Subnet: "10.0.0.0/24", Gateway: "10.0.0.254"}, "10.0.0.254", "10.0.0.253", "10.0.0.128"},
		{
			Network{Name: "n", Subnet: "10.0.0.0/24", Forwards: []Forward{{Name: "f", Address: "10.0.0.1", Port: 22}}},
			"10.0.0.2", "10.0.0.254", "10.0.0.128",
		},
		{
			Network{Name: "n", Subnet: "10.0.0.0/24", FirstLease: "10.0.0.9", Forwards: []Forward{{Name: "f", Address: "10.0.0.9", Port: 22}}},
			"10.0.0.1", "10.0.0.254", "10.0.0.9",
		},
	} {
		got, err := tt.n.complete()
		if err != nil || got.Gateway != tt.gateway || got.DNS != tt.dns || got.FirstLease != tt.first {
			t.Errorf("%+v, %v; want %s, %s, %s", got, err, tt.gateway, tt.dns, tt.first)
		}
	}
}
