package summary

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// Network is what the facts prove to be one link: every subnet that shares an interface with another belongs together,
// so an IPv4 and an IPv6 subnet of the same hosts are one network. Hosts on DHCP share the network "dhcp", for lack of
// a fact that would tell; hosts without any address stand in "none".
type Network struct {
	ID       string       `json:"id"`       // net1, net2, ..., dhcp, none
	Prefixes []string     `json:"prefixes"` // CIDR notation, IPv4 first; empty for dhcp and none
	Gateways []string     `json:"gateways"` // the way out, as the hosts name it
	Via      string       `json:"via"`      // the host of the hive that is the gateway; empty if it is none of them
	Members  []Attachment `json:"members"`  // by address, then host
}

// Attachment is an address of a host in a network, or the interface that asks for one.
type Attachment struct {
	Host      string `json:"host"`
	Interface string `json:"interface"` // name, else MAC address
	Address   string `json:"address"`   // CIDR notation, "dhcp", or empty

	prefix netip.Prefix
}

const (
	dhcpID = "dhcp"
	noneID = "none"
)

// attached is an address in the making of networks: where it is, and the subnet it belongs to.
type attached struct {
	host, iface int
	prefix      netip.Prefix
}

// connect finds the networks, and sets the Network and IsGateway of every host.
func connect(hosts []Host) []Network {
	places := attachedPlaces(hosts)
	nets := staticNetworks(hosts, places)
	nets = append(nets, leftoverNetworks(hosts)...)
	settle(hosts, nets)
	assignGateways(hosts, nets)
	return slices.DeleteFunc(nets, func(n Network) bool { return len(n.Members) == 0 })
}

// attachedPlaces lists the addresses that put a host into a subnet. Loopback and link-local ones do not, and neither do
// those of a bridge that nothing is known to be plugged into, unless a gateway lies behind it: containers may use the same
// ones on every host.
func attachedPlaces(hosts []Host) []attached {
	var out []attached
	for h := range hosts {
		for i, iface := range hosts[h].Interfaces {
			if iface.Kind == "bridge" && iface.Parent == "" && !hosts[h].leavesBy(iface) {
				continue
			}
			for _, a := range iface.Addresses {
				p, err := netip.ParsePrefix(a)
				if err != nil || p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast() {
					continue
				}
				out = append(out, attached{h, i, p})
			}
		}
	}
	return out
}

// leavesBy reports whether one of the host's gateways lies in a subnet of the interface.
func (h Host) leavesBy(i Interface) bool {
	return slices.ContainsFunc(i.Addresses, func(text string) bool {
		p, err := netip.ParsePrefix(text)
		return err == nil && slices.ContainsFunc(h.Gateways, func(gateway string) bool {
			g, err := netip.ParseAddr(gateway)
			return err == nil && p.Masked().Contains(g)
		})
	})
}

// staticNetworks joins subnets that meet on one interface and numbers the result by address.
func staticNetworks(hosts []Host, places []attached) []Network {
	group := joined(places)
	byRoot := map[netip.Prefix]*Network{}
	var order []netip.Prefix
	subnets := slices.SortedFunc(maps.Keys(group), comparePrefix)
	for _, p := range subnets {
		root := find(group, p)
		n := byRoot[root]
		if n == nil {
			n = &Network{Gateways: []string{}}
			byRoot[root] = n
			order = append(order, root)
		}
		n.Prefixes = append(n.Prefixes, p.String())
	}
	for _, at := range places {
		n := byRoot[find(group, at.prefix.Masked())]
		n.Members = append(n.Members, newAttachment(hosts[at.host], at))
	}
	var out []Network
	for i, root := range order {
		n := byRoot[root]
		n.ID = "net" + strconv.Itoa(i+1)
		slices.SortStableFunc(n.Members, compareAttachment)
		out = append(out, *n)
	}
	return out
}

// joined maps every subnet to another one of its group; find follows that to the group's root.
func joined(places []attached) map[netip.Prefix]netip.Prefix {
	group := map[netip.Prefix]netip.Prefix{}
	first := map[[2]int]netip.Prefix{}
	for _, at := range places {
		p := at.prefix.Masked()
		if _, ok := group[p]; !ok {
			group[p] = p
		}
		key := [2]int{at.host, at.iface}
		if q, ok := first[key]; ok {
			a, b := find(group, p), find(group, q)
			group[a] = b
		}
		first[key] = p
	}
	return group
}

func find(group map[netip.Prefix]netip.Prefix, p netip.Prefix) netip.Prefix {
	for group[p] != p {
		p = group[p]
	}
	return p
}

func newAttachment(h Host, at attached) Attachment {
	i := h.Interfaces[at.iface]
	return Attachment{Host: h.Name, Interface: cmp.Or(i.Name, i.MAC), Address: at.prefix.String(), prefix: at.prefix}
}

// comparePrefix sorts IPv4 before IPv6, then by address, then the wider one first.
func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(
		cmp.Compare(a.Addr().BitLen(), b.Addr().BitLen()),
		a.Addr().Compare(b.Addr()),
		cmp.Compare(a.Bits(), b.Bits()),
	)
}

func compareAttachment(a, b Attachment) int {
	return cmp.Or(comparePrefix(a.prefix, b.prefix), cmp.Compare(a.Host, b.Host))
}

// leftoverNetworks are the two networks of hosts whose subnet is not known.
func leftoverNetworks(hosts []Host) []Network {
	dhcp := Network{ID: dhcpID, Prefixes: []string{}, Gateways: []string{}}
	none := Network{ID: noneID, Prefixes: []string{}, Gateways: []string{}}
	for _, h := range hosts {
		if len(h.Interfaces) == 0 {
			none.Members = append(none.Members, Attachment{Host: h.Name})
		}
		for _, i := range h.Interfaces {
			if i.DHCP != "" {
				dhcp.Members = append(dhcp.Members, Attachment{Host: h.Name, Interface: cmp.Or(i.Name, i.MAC), Address: "dhcp"})
			}
		}
	}
	return []Network{dhcp, none}
}

// settle decides which network a host is drawn in.
func settle(hosts []Host, nets []Network) {
	for i := range hosts {
		h := &hosts[i]
		h.Network = cmp.Or(gatewayNetwork(*h, nets), firstNetwork(h.Name, nets), noneID)
		if h.Network == noneID && len(h.Interfaces) > 0 { // link-local or unreadable addresses only
			none := &nets[len(nets)-1]
			none.Members = append(none.Members, Attachment{Host: h.Name, Interface: cmp.Or(h.Interfaces[0].Name, h.Interfaces[0].MAC)})
		}
	}
}

// gatewayNetwork is the network of the host that holds one of its gateways.
func gatewayNetwork(h Host, nets []Network) string {
	for _, g := range h.Gateways {
		for _, n := range nets {
			if n.holds(g) && n.has(h.Name) {
				return n.ID
			}
		}
	}
	return ""
}

func firstNetwork(host string, nets []Network) string {
	for _, n := range nets {
		if n.has(host) {
			return n.ID
		}
	}
	return ""
}

// assignGateways notes each gateway at the network it is in. A gateway outside of all subnets (on-link, link-local) is
// noted where its host stands.
func assignGateways(hosts []Host, nets []Network) {
	for _, h := range hosts {
		for _, g := range h.Gateways {
			addGateway(h, g, nets)
		}
	}
	for i := range hosts {
		for n := range nets {
			if slices.ContainsFunc(nets[n].Gateways, hosts[i].holds) {
				hosts[i].IsGateway = true
				nets[n].Via = cmp.Or(nets[n].Via, hosts[i].Name)
			}
		}
	}
}

func addGateway(h Host, gateway string, nets []Network) {
	at := slices.IndexFunc(nets, func(n Network) bool { return n.holds(gateway) && n.has(h.Name) })
	if at < 0 {
		at = slices.IndexFunc(nets, func(n Network) bool { return n.ID == h.Network })
	}
	if !slices.Contains(nets[at].Gateways, gateway) {
		nets[at].Gateways = append(nets[at].Gateways, gateway)
	}
}

// holds reports whether an address is the host's own.
func (h Host) holds(address string) bool {
	for _, i := range h.Interfaces {
		for _, text := range i.Addresses {
			p, err := netip.ParsePrefix(text)
			a, errA := netip.ParseAddr(address)
			if err == nil && errA == nil && p.Addr() == a && !a.IsLinkLocalUnicast() {
				return true
			}
		}
	}
	return false
}

func (n Network) has(host string) bool {
	return slices.ContainsFunc(n.Members, func(a Attachment) bool { return a.Host == host })
}

func (n Network) holds(address string) bool {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	for _, text := range n.Prefixes {
		if p, err := netip.ParsePrefix(text); err == nil && p.Contains(a) {
			return true
		}
	}
	return false
}

// leads says that the network has a way out of the hive: a gateway that is none of its hosts, or DHCP, which brings one.
func (n Network) leads() bool {
	return (len(n.Gateways) > 0 && n.Via == "") || n.ID == dhcpID
}

// title names the network for people.
func (n Network) title() string {
	switch n.ID {
	case dhcpID:
		return "DHCP"
	case noneID:
		return "no known address"
	}
	return strings.Join(n.Prefixes, "  ")
}

// guests are the members whose host is drawn elsewhere.
func (n Network) guests(hosts []Host) []Attachment {
	home := map[string]string{}
	for _, h := range hosts {
		home[h.Name] = h.Network
	}
	var out []Attachment
	for _, m := range n.Members {
		if home[m.Host] != n.ID {
			out = append(out, m)
		}
	}
	return out
}

// entries sorts the hosts entries by address.
func entries(h hive.Hive) []Entry {
	out := []Entry{}
	for address, names := range hive.HostsEntries(h) {
		out = append(out, Entry{address, names})
	}
	slices.SortFunc(out, func(a, b Entry) int { return compareAddress(a.Address, b.Address) })
	return out
}

func compareAddress(a, b string) int {
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	if errX != nil || errY != nil {
		return cmp.Compare(a, b)
	}
	return x.Compare(y)
}
