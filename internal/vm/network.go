package vm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Segment is a network that is up. It is one QEMU without a machine, which is gateway and hub: a machine that starts is plugged into it
// by a unix socket for each of its cards. It needs no rights.
type Segment struct {
	lab      *Lab
	network  Network
	monitor  *monitor
	emulator emulator
	ports    map[string]int

	mu   sync.Mutex
	last int // number of the last socket in the hub
}

// StartNetwork brings a network up. Its machines may start and end as they like while it is up; it ends with the lab.
//
// Of the gateway machines see what libslirp shows: DHCP (16 addresses from FirstLease on, NB_BOOTP_CLIENTS) and ping. Without Online DHCP names neither
// gateway nor name server, names are not answered, and every other connection to the gateway is refused. With Online the gateway's
// address also reaches what listens on this computer's loopback address. There is no IPv6 from the gateway; the machines may use it among
// themselves.
func (l *Lab) StartNetwork(ctx context.Context, n Network) (*Segment, error) {
	leave, err := l.enter()
	if err != nil {
		return nil, fmt.Errorf("start network %s: %w", n.Name, err)
	}
	defer leave()
	s, err := l.startNetwork(ctx, n)
	if err != nil {
		return nil, fmt.Errorf("start network %s: %w", n.Name, err)
	}
	return s, nil
}

func (l *Lab) startNetwork(ctx context.Context, n Network) (*Segment, error) {
	n, err := n.complete()
	if err != nil {
		return nil, err
	}
	s := &Segment{lab: l, network: n, ports: map[string]int{}}
	if err := l.reserveSegment(n.Name); err != nil {
		return nil, err
	}
	s.emulator, s.monitor, err = l.launch(ctx, "network-"+n.Name+".pid", s.arguments(), func(event) {})
	if err != nil {
		l.releaseSegment(n.Name)
		return nil, err
	}
	err = s.linkGateway(ctx)
	for _, f := range n.Forwards {
		if err == nil {
			err = s.forward(ctx, f, freePort)
		}
	}
	if err != nil {
		_ = stopAll(context.WithoutCancel(ctx), []emulator{s.emulator}, stopGrace)
		l.releaseSegment(n.Name)
		s.monitor.close()
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments[n.Name] = s
	return s, nil
}

// reserveSegment keeps a name for a network that is coming up: no machine can be plugged in yet.
func (l *Lab) reserveSegment(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, taken := l.segments[name]; taken {
		return errors.New("it is up already")
	}
	l.segments[name] = nil
	return nil
}

func (l *Lab) releaseSegment(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.segments, name)
}

// complete checks n and fills in what is empty: the gateway is the first address, DNS and leases follow where there is room.
func (n Network) complete() (Network, error) {
	if err := checkName("network", n.Name); err != nil {
		return n, err
	}
	subnet, err := netip.ParsePrefix(n.Subnet)
	if err != nil || !subnet.Addr().Is4() || subnet.Bits() > 29 {
		return n, fmt.Errorf("subnet %q is no IPv4 network with room for machines, such as 192.168.7.0/24", n.Subnet)
	}
	subnet = subnet.Masked()
	n.Subnet = subnet.String()
	for _, f := range n.Forwards {
		if err := n.checkForward(subnet, f); err != nil {
			return n, err
		}
	}
	return n, n.addresses(subnet)
}

// addresses checks those that are given, then finds free ones for the others.
func (n *Network) addresses(subnet netip.Prefix) error {
	wanted := []struct {
		what  string
		value *string
		from  netip.Addr // where to look for a free one
	}{
		{"gateway", &n.Gateway, subnet.Addr().Next()},
		{"DNS server", &n.DNS, broadcast(subnet).Prev()},
		{"first lease", &n.FirstLease, middle(subnet)},
	}
	taken := map[netip.Addr]string{}
	for _, w := range wanted {
		if *w.value == "" {
			continue
		}
		a, err := netip.ParseAddr(*w.value)
		if err != nil || !inside(subnet, a) {
			return fmt.Errorf("%s %q is no address of a host in %s", w.what, *w.value, subnet)
		}
		if other := taken[a]; other != "" {
			return fmt.Errorf("%s %s is also the address of the %s", w.what, a, other)
		}
		taken[a] = w.what
	}
	for _, f := range n.Forwards { // a machine may well have a lease
		taken[netip.MustParseAddr(f.Address)] = cmp.Or(taken[netip.MustParseAddr(f.Address)], "machine")
	}
	for _, w := range wanted {
		if *w.value != "" {
			continue
		}
		a, ok := free(subnet, taken, w.from)
		if !ok {
			return fmt.Errorf("no address is left for the %s in %s", w.what, subnet)
		}
		*w.value, taken[a] = a.String(), w.what
	}
	return nil
}

func (n Network) checkForward(subnet netip.Prefix, f Forward) error {
	address, err := netip.ParseAddr(f.Address)
	if err != nil || !inside(subnet, address) {
		return fmt.Errorf("forward %s: %q is no address in %s", f.Name, f.Address, subnet)
	}
	if f.Port < 1 || f.Port > 65535 {
		return fmt.Errorf("forward %s: %d is no port", f.Name, f.Port)
	}
	same := 0
	for _, other := range n.Forwards {
		if other.Name == f.Name {
			same++
		}
	}
	if same > 1 {
		return fmt.Errorf("forward %s is there %d times", f.Name, same)
	}
	return nil
}

// inside tells whether a is an address a host of the subnet can have.
func inside(subnet netip.Prefix, a netip.Addr) bool {
	return subnet.Contains(a) && a != subnet.Addr() && a != broadcast(subnet)
}

// free looks for an address that is not taken, from the given one up, then down.
func free(subnet netip.Prefix, taken map[netip.Addr]string, from netip.Addr) (netip.Addr, bool) {
	for _, next := range []func(netip.Addr) netip.Addr{netip.Addr.Next, netip.Addr.Prev} {
		for a := from; inside(subnet, a); a = next(a) {
			if taken[a] == "" {
				return a, true
			}
		}
	}
	return netip.Addr{}, false
}

func broadcast(subnet netip.Prefix) netip.Addr {
	b := subnet.Addr().As4()
	for bit := subnet.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}

// middle is the first address of the upper half.
func middle(subnet netip.Prefix) netip.Addr {
	b := subnet.Addr().As4()
	b[subnet.Bits()/8] |= 0x80 >> (subnet.Bits() % 8)
	return netip.AddrFrom4(b)
}

// arguments of the gateway. Forwards follow when it runs, because a port that is taken can then be replaced.
func (s *Segment) arguments() []string {
	n := s.network
	restrict := "on"
	if n.Online {
		restrict = "off"
	}
	return []string{
		"-name", "network-" + n.Name, "-machine", "none",
		"-netdev", fmt.Sprintf("user,id=gateway,ipv6=off,restrict=%s,net=%s,host=%s,dns=%s,dhcpstart=%s",
			restrict, n.Subnet, n.Gateway, n.DNS, n.FirstLease),
		"-netdev", fmt.Sprintf("hubport,id=hub-gateway,hubid=%d,netdev=gateway", gatewayHub),
	}
}

// The hub of the machines, and the one of the gateway.
const (
	machineHub = 0
	gatewayHub = 1
)

// linkGateway connects the two hubs through a pair of sockets of which the gateway's end takes only frames for it. A hub gives every frame
// to everybody, and libslirp does not look whom a frame is for: it would answer connections between two machines itself, with a refusal.
// The kernel drops those frames, so that it also works when nobody owns the lab any more.
func (s *Segment) linkGateway(ctx context.Context) error {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make the link to the gateway: %w", err)
	}
	defer syscall.Close(ends[0]) //nolint:errcheck // QEMU has its own by then
	defer syscall.Close(ends[1]) //nolint:errcheck // the same
	if err := filterFrames(ends[gatewayHub]); err != nil {
		return err
	}
	for hub, end := range ends {
		link, port := "link-"+strconv.Itoa(hub), "hub-link-"+strconv.Itoa(hub)
		if err := s.monitor.give(ctx, link, end); err != nil {
			return err
		}
		err := s.monitor.call(ctx, "netdev_add", args{"type": "dgram", "id": link, "local": args{"type": "fd", "str": link}}, nil)
		if err != nil {
			return err
		}
		err = s.monitor.call(ctx, "netdev_add", args{"type": "hubport", "id": port, "hubid": hub, "netdev": link}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// filterFrames makes a socket take only frames to everybody or several, and to libslirp's own addresses, which begin with 52:55 (and end
// with the IPv4 address: src/slirp.h, special_ethaddr).
func filterFrames(fd int) error {
	const everything, nothing = 1 << 18, 0
	program := []syscall.SockFilter{
		{Code: syscall.BPF_LD | syscall.BPF_B | syscall.BPF_ABS, K: 0},
		{Code: syscall.BPF_JMP | syscall.BPF_JSET | syscall.BPF_K, K: 0x01, Jt: 2, Jf: 0}, // to a group
		{Code: syscall.BPF_LD | syscall.BPF_H | syscall.BPF_ABS, K: 0},
		{Code: syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K, K: 0x5255, Jt: 0, Jf: 1},
		{Code: syscall.BPF_RET | syscall.BPF_K, K: everything},
		{Code: syscall.BPF_RET | syscall.BPF_K, K: nothing},
	}
	if err := syscall.AttachLsf(fd, program); err != nil { //nolint:staticcheck // x/net/bpf for one call is no gain
		return fmt.Errorf("filter what the gateway gets: %w", err)
	}
	return nil
}

// forward takes a port of this computer that free says is free. It may be gone until QEMU asks for it, so others are tried.
func (s *Segment) forward(ctx context.Context, f Forward, free func(context.Context) (int, error)) error {
	const tries = 10
	var err error
	for range tries {
		var port int
		if port, err = free(ctx); err != nil {
			return err
		}
		rule := fmt.Sprintf("hostfwd_add gateway tcp:127.0.0.1:%d-%s:%d", port, f.Address, f.Port)
		if err = s.monitor.human(ctx, rule); err == nil {
			s.ports[f.Name] = port
			return nil
		}
		if _, refused := errors.AsType[*MonitorError](err); !refused {
			break
		}
	}
	return fmt.Errorf("forward %s: %w", f.Name, err)
}

func freePort(ctx context.Context) (int, error) {
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("look for a free port: %w", err)
	}
	defer l.Close() //nolint:errcheck // nobody has connected
	return int(netip.MustParseAddrPort(l.Addr().String()).Port()), nil
}

// Port is the port on this computer's address 127.0.0.1 that leads to where the forward of that name says; 0 if there is none.
func (s *Segment) Port(forward string) int { return s.ports[forward] }

// Network is the description with all addresses filled in.
func (s *Segment) Network() Network { return s.network }

// plug adds a socket to the hub and gives its path; unplug takes it away again.
func (s *Segment) plug(ctx context.Context) (socket string, unplug func(context.Context) error, err error) {
	socket = s.lab.socket()
	s.mu.Lock()
	s.last++
	wire, port := "wire-"+strconv.Itoa(s.last), "hub-"+strconv.Itoa(s.last)
	s.mu.Unlock()
	err = s.monitor.call(ctx, "netdev_add", args{
		"type": "stream", "id": wire, "server": true, "addr": args{"type": "unix", "path": socket},
	}, nil)
	if err != nil {
		return "", nil, err
	}
	unplugWire := func(ctx context.Context) error { return s.monitor.call(ctx, "netdev_del", args{"id": wire}, nil) }
	err = awaitListener(ctx, socket)
	if err == nil {
		err = s.monitor.call(ctx, "netdev_add", args{"type": "hubport", "id": port, "hubid": machineHub, "netdev": wire}, nil)
	}
	if err != nil {
		return "", nil, errors.Join(err, unplugWire(ctx))
	}
	return socket, func(ctx context.Context) error {
		return errors.Join(s.monitor.call(ctx, "netdev_del", args{"id": port}, nil), unplugWire(ctx))
	}, nil
}

// awaitListener waits until a socket can be connected to: QEMU begins to listen a moment after it said that all is done. To try would
// take the one connection there is, so the kernel is asked (proc(5), /proc/net/unix: 10000 in the flags is a socket that listens).
func awaitListener(ctx context.Context, socket string) error {
	for {
		table, err := os.ReadFile("/proc/net/unix")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(table)) {
			fields := strings.Fields(line) // number, references, protocol, flags, type, state, inode, path
			if len(fields) > 7 && fields[3] == "00010000" && strings.HasSuffix(line, " "+socket+"\n") {
				return nil
			}
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return fmt.Errorf("wait for the network's socket: %w", context.Cause(ctx))
		}
	}
}
