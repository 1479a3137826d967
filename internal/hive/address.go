package hive

import (
	"net/netip"
	"slices"
	"strings"
)

// static is a usable static address of an interface that leads out of the host.
type static struct {
	iface  Interface
	prefix netip.Prefix // the address with its prefix length, not masked
}

// uplinks are the interfaces other machines can be reached through. A bridge that nothing is known to be plugged into may
// serve containers (the same address on every host is fine there), and a tunnel needs another interface below it: they
// count if a gateway lies behind them, or if the host has nothing else.
func (n Network) uplinks() []Interface {
	var certain, possible []Interface
	for _, i := range n.Interfaces {
		switch {
		case i.Name == "lo", i.DHCP == "" && len(i.Addresses) == 0:
		case (i.Kind == "other" || i.Kind == "bridge" && i.Parent == "") && !n.leadsToGateway(i):
			possible = append(possible, i)
		default:
			certain = append(certain, i)
		}
	}
	if len(certain) == 0 && !n.hidden() {
		return possible
	}
	return certain
}

// leadsToGateway reports whether a gateway lies in one of the interface's subnets.
func (n Network) leadsToGateway(i Interface) bool {
	return slices.ContainsFunc(i.Addresses, func(text string) bool {
		p, err := netip.ParsePrefix(text)
		return err == nil && p.Bits() > 0 && holdsAny(p.Masked(), n.gateways())
	})
}

// hidden reports whether part of the network is kept where evaluation cannot see it: NetworkManager's connections are
// files on the host.
func (n Network) hidden() bool {
	return n.Backend == "networkmanager" && !n.Managed
}

// statics are the static addresses of the uplinks. What does not parse is left out (address-syntax reports it), and so
// are loopback and link-local addresses, which repeat on every host.
func (n Network) statics() []static {
	return staticsOf(n.uplinks())
}

func staticsOf(interfaces []Interface) []static {
	var found []static
	for _, i := range interfaces {
		for _, text := range i.Addresses {
			p, err := netip.ParsePrefix(text)
			if err != nil || !isGlobal(p.Addr()) {
				continue
			}
			found = append(found, static{i, p})
		}
	}
	return found
}

// isGlobal reports whether an address tells one host from another.
func isGlobal(a netip.Addr) bool {
	return !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsMulticast() && !a.IsUnspecified()
}

// hasDHCP reports whether an uplink takes an address of the family by DHCP.
func (n Network) hasDHCP(ipv4 bool) bool {
	family := map[bool]string{true: "ipv4", false: "ipv6"}[ipv4]
	return slices.ContainsFunc(n.uplinks(), func(i Interface) bool { return i.DHCP == "yes" || i.DHCP == family })
}

// gateways are the gateways that parse.
func (n Network) gateways() []netip.Addr {
	var found []netip.Addr
	for _, text := range n.Gateways {
		if a, err := netip.ParseAddr(text); err == nil {
			found = append(found, a)
		}
	}
	return found
}

// PrimaryAddress is the static address other machines reach the host at: the IPv4 one, else the IPv6 one. It is false
// for a host without a static address.
func PrimaryAddress(h Host) (netip.Addr, bool) {
	all := PrimaryAddresses(h)
	if len(all) == 0 {
		return netip.Addr{}, false
	}
	return all[0], true
}

// PrimaryAddresses is the host's primary IPv4 address and its primary IPv6 address, in that order, as far as it has
// them. Of several, the one in the subnet of a gateway is primary, else the first in the order of the facts.
func PrimaryAddresses(h Host) []netip.Addr {
	var found []netip.Addr
	for _, ipv4 := range []bool{true, false} {
		own := slices.DeleteFunc(h.Network.statics(), func(s static) bool { return s.prefix.Addr().Is4() != ipv4 })
		if len(own) == 0 {
			continue
		}
		first := max(0, slices.IndexFunc(own, func(s static) bool { return holdsAny(s.prefix, h.Network.gateways()) }))
		found = append(found, own[first].prefix.Addr())
	}
	return found
}

// holdsAny reports whether the subnet holds one of the addresses.
func holdsAny(subnet netip.Prefix, addresses []netip.Addr) bool {
	return slices.ContainsFunc(addresses, subnet.Contains)
}

// HostsEntries are the entries of /etc/hosts for all static hosts: primary address (IPv4 and IPv6, without prefix) to
// names. The order of names is that of hosts(5): the canonical one first, which is the full name if the host has a
// domain, then networking.hostName and the definition's name where they differ. A short name that two hosts claim is
// left to neither. The form is that of NixOS' networking.hosts.
func HostsEntries(h Hive) map[string][]string {
	claims := claimedNames(h)
	entries := map[string][]string{}
	for _, host := range h.Hosts {
		own := slices.DeleteFunc(hostNames(host), func(n string) bool { return claims[n] > 1 })
		if len(own) == 0 {
			continue
		}
		for _, a := range PrimaryAddresses(host) {
			entries[a.String()] = append(entries[a.String()], own...)
		}
	}
	return entries
}

// hostNames are the names a host is found by, in the order of hosts(5), each once and in lower case. A definition's
// name that is no host name is left out.
func hostNames(h Host) []string {
	var found []string
	for _, n := range []string{h.FQDN(), h.HostName, h.Name} {
		n = strings.ToLower(n)
		if isDomain(n) && !slices.Contains(found, n) {
			found = append(found, n)
		}
	}
	return found
}

// claimedNames counts the hosts that answer to each name.
func claimedNames(h Hive) map[string]int {
	claims := map[string]int{}
	for _, host := range h.Hosts {
		for _, n := range hostNames(host) {
			claims[n]++
		}
	}
	return claims
}
