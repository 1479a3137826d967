package rehearse

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/vm"
)

// address is where a host's SSH is reached from this computer: a forward of one of the networks.
type address struct {
	network, forward string
}

// setupForward ends the name of the forward to a host's medium.
const setupForward = "-setup"

// networks lays out the segments of a rehearsal and says how each host is reached. Hosts whose address is static and in one subnet
// share a segment with that subnet, its gateway and name server; a host on DHCP has one of its own, where the first lease is its.
func networks(hosts []hive.Host, online bool) ([]vm.Network, map[string]address, []error) {
	p := &networkPlan{online: online, reach: map[string]address{}}
	for _, h := range hosts {
		if err := p.add(h); err != nil {
			p.problems = append(p.problems, err)
		}
	}
	for i := range p.all {
		p.furnish(&p.all[i], hosts)
	}
	return p.all, p.reach, p.problems
}

type networkPlan struct {
	online   bool
	all      []vm.Network
	reach    map[string]address
	problems []error
}

func (p *networkPlan) add(h hive.Host) error {
	port := sshPort(h)
	prefix, err := uplink(h)
	if err != nil {
		return err
	}
	name, guest, lease := strings.NewReplacer("/", "-").Replace(prefix.Masked().String()), prefix.Addr(), ""
	if !prefix.IsValid() {
		prefix = p.freeSubnet()
		guest = nth(prefix, 15)
		name, lease = "dhcp-"+h.Name, guest.String()
	}
	at := slices.IndexFunc(p.all, func(n vm.Network) bool { return n.Name == name })
	if at < 0 {
		at = len(p.all)
		p.all = append(p.all, vm.Network{Name: name, Subnet: prefix.Masked().String(), FirstLease: lease, Online: p.online})
	}
	// The medium's and the mini system's sshd listen on 22 whatever the definition says.
	n := &p.all[at]
	n.Forwards = append(n.Forwards,
		vm.Forward{Name: h.Name + setupForward, Address: guest.String(), Port: 22},
		vm.Forward{Name: h.Name, Address: guest.String(), Port: port},
	)
	p.reach[h.Name] = address{name, h.Name}
	return nil
}

// sshPort is the first port of the full system's sshd.
func sshPort(h hive.Host) int {
	if len(h.SSH.Ports) > 0 {
		return h.SSH.Ports[0]
	}
	return 22
}

// freeSubnet is a subnet for a host on DHCP that no definition speaks of: 10.0.2.0/24 is what QEMU's own default is, and further ones are
// told apart by the third number.
func (p *networkPlan) freeSubnet() netip.Prefix {
	for third := 2; ; third++ {
		candidate := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(third), 0}), 24)
		if !slices.ContainsFunc(p.all, func(n vm.Network) bool { return netip.MustParsePrefix(n.Subnet).Overlaps(candidate) }) {
			return candidate
		}
	}
}

// uplink is the static IPv4 address with the network the host is reached in; the zero value for a host that takes one by DHCP.
func uplink(h hive.Host) (netip.Prefix, error) {
	primary, static := hive.PrimaryAddress(h)
	for _, i := range h.Network.Interfaces {
		for _, text := range i.Addresses {
			prefix, err := netip.ParsePrefix(text)
			if err == nil && static && prefix.Addr() == primary && primary.Is4() {
				return prefix, reachable(h, i)
			}
		}
	}
	for _, i := range h.Network.Interfaces {
		if i.DHCP == "yes" || i.DHCP == "ipv4" {
			return netip.Prefix{}, reachable(h, i)
		}
	}
	if static {
		return netip.Prefix{}, fmt.Errorf("%s: its only address is %s: the rehearsal's network speaks IPv4", h.Name, primary)
	}
	return netip.Prefix{}, fmt.Errorf("%s: it has neither a static address nor DHCP, so that nobody could log in", h.Name)
}

// reachable refuses interfaces that the rehearsal's network cannot be the other end of.
func reachable(h hive.Host, i hive.Interface) error {
	switch i.Kind {
	case "vlan":
		return fmt.Errorf("%s: its address is in VLAN %d: the rehearsal's network has no VLANs", h.Name, i.VLAN)
	case "wireless":
		return fmt.Errorf("%s: its address is on %s, a wireless card, which no virtual machine has", h.Name, cmp.Or(i.Name, i.MAC))
	}
	return nil
}

// furnish gives a network the gateway and name server its hosts expect, where these are in it. A host that is the gateway itself stays it:
// the rehearsal's own gateway then is elsewhere, as vm chooses.
func (p *networkPlan) furnish(n *vm.Network, hosts []hive.Host) {
	subnet := netip.MustParsePrefix(n.Subnet)
	taken := map[string]bool{}
	for _, f := range n.Forwards {
		taken[f.Address] = true
	}
	choose := func(wishes []string) string {
		for _, w := range wishes {
			if a, err := netip.ParseAddr(w); err == nil && subnet.Contains(a) && !taken[a.String()] {
				taken[a.String()] = true
				return a.String()
			}
		}
		return ""
	}
	var gateways, servers []string
	for _, h := range hosts {
		if p.reach[h.Name].network == n.Name {
			gateways, servers = append(gateways, h.Network.Gateways...), append(servers, h.Network.Nameservers...)
		}
	}
	n.Gateway, n.DNS = choose(gateways), choose(servers)
}

// nth is the address of a subnet with this number, counted from its first.
func nth(subnet netip.Prefix, n int) netip.Addr {
	a := subnet.Masked().Addr()
	for range n {
		a = a.Next()
	}
	return a
}
