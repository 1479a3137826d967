package hive

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// networkOption is the option a host sets its network with: ours, systemd.network, or NixOS' scripted one.
func networkOption(h Host, what string) string {
	if h.Network.Managed {
		return "hive.network." + what
	}
	if what == "nameservers" {
		return "networking.nameservers"
	}
	networkd := map[string]string{"address": "address", "gateway": "gateway", "interface": "matchConfig"}
	scripted := map[string]string{"gateway": "defaultGateway"}
	if h.Network.Backend == "networkd" {
		return "systemd.network.networks.<name>." + networkd[what]
	}
	return "networking." + cmp.Or(scripted[what], "interfaces")
}

// networkSetting is a line to paste that sets the network option to a value.
func networkSetting(h Host, what, value string) string {
	option := networkOption(h, what)
	switch {
	case what == "nameservers", !h.Network.Managed && h.Network.Backend == "networkd":
		return fmt.Sprintf("%s = [ %q ];", option, value)
	case what == "address" && !h.Network.Managed:
		address, bits, _ := strings.Cut(value, "/")
		return fmt.Sprintf("networking.interfaces.<name>.%s.addresses = [ { address = %q; prefixLength = %s; } ];",
			familyOf(address), address, bits)
	case what == "gateway" && !h.Network.Managed && familyOf(value) == "ipv6":
		option += "6"
	}
	return fmt.Sprintf("%s = %q;", option, value)
}

// familyOf guesses the family of an address that may not parse.
func familyOf(address string) string {
	if strings.Contains(address, ":") {
		return "ipv6"
	}
	return "ipv4"
}

// localOnly reports whether nobody deploys to the host over the network: it deploys itself.
func localOnly(h Host) bool {
	target := h.Deployment.TargetHost
	if target == nil {
		return h.Deployment.AllowLocal
	}
	a, err := netip.ParseAddr(*target)
	return *target == "localhost" || err == nil && a.IsLoopback()
}

// noNetwork refuses a host that cannot be reached in any stage. NetworkManager keeps its connections outside the
// configuration, so nothing can be said there.
func noNetwork(_ scope, h Host) []Problem {
	n := h.Network
	if localOnly(h) || len(n.uplinks()) > 0 || len(n.Units) > 0 || n.hidden() {
		return nil
	}
	return one(Error, "hive.network", "no interface has an address or DHCP: the host cannot be reached",
		`set hive.network.address = "dhcp"; or a static one: hive.network = { interface = "enp1s0"; address = "192.168.1.10/24"; gateway = "192.168.1.1"; };`)
}

// label names an interface for people.
func (i Interface) label() string {
	return cmp.Or(i.Name, i.MAC, "an unnamed interface")
}

// addressSyntax refuses addresses that are none, or that lack their prefix length. What it reports, the other address
// rules leave alone.
func addressSyntax(_ scope, h Host) []Problem {
	var found []Problem
	for _, i := range h.Network.Interfaces {
		for _, text := range i.Addresses {
			if _, err := netip.ParsePrefix(text); err != nil {
				found = append(found, badAddress(h, i, text))
			}
		}
	}
	return found
}

func badAddress(h Host, i Interface, text string) Problem {
	option := networkOption(h, "address")
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		bits := map[bool]string{true: "/24", false: "/64"}[a.Is4()]
		return one(Error, option, fmt.Sprintf("%s of %s has no prefix length", text, i.label()),
			"write it with the length of your network's prefix: "+networkSetting(h, "address", text+bits))[0]
	}
	return one(Error, option, fmt.Sprintf("%q of %s is no address in CIDR notation", text, i.label()),
		"write an address and a prefix length: "+networkSetting(h, "address", "192.168.1.10/24"))[0]
}

// addressUnusable refuses addresses that no host may have: the network's own, its broadcast address (RFC 1122 3.2.1.3),
// multicast, loopback.
func addressUnusable(_ scope, h Host) []Problem {
	var found []Problem
	for _, i := range h.Network.Interfaces {
		for _, text := range i.Addresses {
			p, err := netip.ParsePrefix(text)
			if err != nil || i.Name == "lo" {
				continue
			}
			found = append(found, unusable(h, p)...)
		}
	}
	return found
}

func unusable(h Host, p netip.Prefix) []Problem {
	option, a := networkOption(h, "address"), p.Addr()
	bad := func(severity Severity, what string) []Problem {
		return one(severity, option, fmt.Sprintf("%s is %s", p, what), "use an address of the host: "+usable(h, p))
	}
	switch {
	case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback():
		return one(Error, option, fmt.Sprintf("%s is not an address a host can be reached at", p),
			"use an address of your network: "+networkSetting(h, "address", "192.168.1.10/24"))
	case p.Bits() == 0:
		return bad(Error, "in a network that is the whole internet")
	case p.Bits() >= a.BitLen()-1: // RFC 3021 and host routes: every address is usable
		return nil
	case a == p.Masked().Addr() && a.Is4():
		return bad(Error, "the address of the network itself")
	case a == p.Masked().Addr():
		return bad(Warning, "the anycast address of every router of the subnet (RFC 4291 2.6.1)")
	case a.Is4() && a == lastOf(p):
		return bad(Error, "the broadcast address of the network")
	}
	return nil
}

// usable is advice on which addresses of a subnet a host may have.
func usable(h Host, p netip.Prefix) string {
	first := p.Masked().Addr().Next()
	setting := networkSetting(h, "address", netip.PrefixFrom(first.Next(), max(p.Bits(), 1)).String())
	if !p.Addr().Is4() || p.Bits() == 0 {
		return setting
	}
	return fmt.Sprintf("%s to %s are free to use, as in %s", first, lastOf(p).Prev(), setting)
}

// lastOf is the last address of a subnet.
func lastOf(p netip.Prefix) netip.Addr {
	bytes := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(bytes)*8; bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last
}

// interfaceMissing refuses a static address that no interface is named for: with a second network card the address
// would land on either, and how many cards a machine has is not known before it boots.
func interfaceMissing(_ scope, h Host) []Problem {
	for _, i := range h.Network.Interfaces {
		if i.Name == "" && i.MAC == "" && len(i.Addresses) > 0 && !matchedOtherwise(h.Network, i) {
			option := networkOption(h, "interface")
			way := `name the card, as "ip -br link" shows it on the machine: hive.network.interface = "enp1s0"; or hive.network.match.mac = "52:54:00:12:34:56";`
			if !h.Network.Managed {
				way = `name the card, as "ip -br link" shows it on the machine: ` + option + ` = { Name = "enp1s0"; };`
			}
			return one(Error, option, fmt.Sprintf("interface or match.mac is missing: with two network cards %s could land on either",
				list(i.Addresses)), way)
		}
	}
	return nil
}

// matchedOtherwise reports whether a rendered unit with the interface's address picks its card by something that is not a
// fact, such as hive.network.match.path ([Match] in systemd.network(5)).
func matchedOtherwise(n Network, i Interface) bool {
	for _, text := range n.Units {
		holds := slices.ContainsFunc(i.Addresses, func(a string) bool { return strings.Contains(text, "Address="+a+"\n") })
		for _, key := range []string{"\nPath=", "\nOriginalName=", "\nPermanentMACAddress=", "\nProperty="} {
			if holds && strings.Contains(text, key) {
				return true
			}
		}
	}
	return false
}

// interfaceName refuses names the kernel refuses: IFNAMSIZ is 16 with the closing zero, and no slash may be in them
// (dev_valid_name in net/core/dev.c). systemd-networkd takes a list of globs with blanks in between.
func interfaceName(_ scope, h Host) []Problem {
	var found []Problem
	for _, i := range h.Network.Interfaces {
		for name := range strings.FieldsSeq(i.Name) {
			if strings.ContainsAny(name, "*?[!") || len(name) <= 15 && !strings.Contains(name, "/") {
				continue
			}
			found = append(found, one(Error, networkOption(h, "interface"),
				fmt.Sprintf("%q is no interface name: at most 15 characters and no slash", name),
				`use the name "ip -br link" shows on the machine, or match the card by its MAC address: hive.network.match.mac = "52:54:00:12:34:56";`)...)
		}
	}
	return found
}

// macSyntax refuses MAC addresses that match no card, ever. Ethernet's have 6 bytes.
func macSyntax(_ scope, h Host) []Problem {
	var found []Problem
	for _, i := range h.Network.Interfaces {
		if i.MAC != "" && normalMAC(i.MAC) == "" {
			option := cmp.Or(map[bool]string{true: "hive.network.match.mac"}[h.Network.Managed], networkOption(h, "interface"))
			found = append(found, one(Error, option, fmt.Sprintf("%q is no MAC address: the interface would never be found", i.MAC),
				`write six bytes, as "ip -br link" shows them on the machine: "52:54:00:12:34:56"`)...)
		}
	}
	return found
}

// normalMAC is the one spelling of a MAC address, empty if it is none.
func normalMAC(text string) string {
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != 6 {
		return ""
	}
	return mac.String()
}

// vlanID keeps VLAN ids in the range of IEEE 802.1Q: 0 and 4095 are reserved.
func vlanID(_ scope, h Host) []Problem {
	var found []Problem
	for _, i := range h.Network.Interfaces {
		if i.Kind == "vlan" && (i.VLAN < 1 || i.VLAN > 4094) {
			option := cmp.Or(map[bool]string{true: "hive.network.vlan"}[h.Network.Managed], "networking.vlans."+i.label()+".id")
			found = append(found, one(Error, option, fmt.Sprintf("%d is no VLAN id for %s", i.VLAN, i.label()),
				"use the id your switch has for the network, 1 to 4094")...)
		}
	}
	return found
}

// gatewaySyntax refuses gateways that are no address, most often one with a prefix length.
func gatewaySyntax(_ scope, h Host) []Problem {
	var found []Problem
	for _, text := range h.Network.Gateways {
		if _, err := netip.ParseAddr(text); err == nil {
			continue
		}
		bare, _, _ := strings.Cut(text, "/")
		if _, err := netip.ParseAddr(bare); err != nil {
			bare = "192.168.1.1"
		}
		found = append(found, one(Error, networkOption(h, "gateway"), fmt.Sprintf("%q is no address", text),
			"write the router's bare address: "+networkSetting(h, "gateway", bare))...)
	}
	return found
}

// gatewayOutside refuses a gateway the host cannot reach, since the kernel refuses the route. It stays silent where the
// subnet is not known (DHCP, an address that does not parse), for link-local gateways, and where a unit says that the
// gateway is on the link all the same.
func gatewayOutside(s scope, h Host) []Problem {
	n := h.Network
	if len(n.statics()) == 0 || len(addressSyntax(s, h)) > 0 || saysOnLink(n) {
		return nil
	}
	var found []Problem
	for _, g := range n.gateways() {
		if n.hasDHCP(g.Is4()) || g.IsLinkLocalUnicast() {
			continue
		}
		if message := gatewayFault(n, g); message != "" {
			found = append(found, one(Error, networkOption(h, "gateway"), fmt.Sprintf("%s %s", g, message),
				gatewayWay(s, h, g))...)
		}
	}
	return found
}

// saysOnLink finds systemd.network(5)'s GatewayOnLink= in the rendered units.
func saysOnLink(n Network) bool {
	for _, text := range n.Units {
		for line := range strings.Lines(text) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			if key == "GatewayOnLink" && slices.Contains([]string{"1", "yes", "true", "on"}, value) {
				return true
			}
		}
	}
	return false
}

// gatewayFault says why a host with these addresses cannot use the gateway; empty if it can.
func gatewayFault(n Network, g netip.Addr) string {
	var subnets []string
	for _, s := range staticsOf(n.Interfaces) {
		if s.prefix.Addr() == g {
			return "is the host's own address: a host is not its own gateway"
		}
		if s.prefix.Contains(g) && !s.prefix.IsSingleIP() {
			return ""
		}
		subnets = append(subnets, s.prefix.String())
	}
	return fmt.Sprintf("is outside every subnet of the host (%s): the route cannot be set", list(subnets))
}

// gatewayWay is what to do about an unreachable gateway: a /32 needs its real prefix, anything else the right router.
func gatewayWay(s scope, h Host, g netip.Addr) string {
	for _, own := range h.Network.statics() {
		a := own.prefix.Addr()
		if a.Is4() != g.Is4() {
			continue
		}
		if own.prefix.IsSingleIP() {
			bits := map[bool]int{true: 24, false: 64}[a.Is4()]
			return fmt.Sprintf("give the address the prefix of its network, %s, or GatewayOnLink = true where the provider asks for %s",
				networkSetting(h, "address", netip.PrefixFrom(a, bits).String()), own.prefix)
		}
		return "use the router of the host's subnet: " + networkSetting(h, "gateway", likelyGateway(s, own.prefix))
	}
	return "give the host an address in the gateway's subnet, or remove the gateway"
}

// likelyGateway is the router of a subnet: the one other hosts use, else the first address that is not the host's own.
func likelyGateway(s scope, p netip.Prefix) string {
	for _, h := range s.hive.Hosts {
		for _, g := range h.Network.gateways() {
			if p.Contains(g) && g != p.Addr() {
				return g.String()
			}
		}
	}
	first := p.Masked().Addr().Next()
	if first == p.Addr() {
		first = first.Next()
	}
	return first.String()
}

// gatewayMissing warns of a static host that reaches its own subnet only. IPv6 routers announce themselves, so this is
// about IPv4.
func gatewayMissing(s scope, h Host) []Problem {
	n := h.Network
	own := slices.DeleteFunc(n.statics(), func(s static) bool { return !s.prefix.Addr().Is4() })
	if len(own) == 0 || n.hasDHCP(true) || len(gatewaySyntax(s, h)) > 0 || n.hidden() ||
		slices.ContainsFunc(n.gateways(), netip.Addr.Is4) {
		return nil
	}
	return one(Warning, networkOption(h, "gateway"),
		fmt.Sprintf("is not set: %s reaches nothing outside %s", h.Name, own[0].prefix.Masked()),
		"name the router: "+networkSetting(h, "gateway", likelyGateway(s, own[0].prefix)))
}

// nameserverSyntax refuses nameservers that are no address. systemd-resolved's form is understood:
// ADDRESS[:PORT][%INTERFACE][#NAME], with an IPv6 address in brackets before a port (resolved.conf(5)).
func nameserverSyntax(_ scope, h Host) []Problem {
	var found []Problem
	for _, text := range h.Network.Nameservers {
		if !isNameserver(text) {
			found = append(found, one(Error, networkOption(h, "nameservers"), fmt.Sprintf("%q is no address", text),
				"write the address of a DNS server: "+networkSetting(h, "nameservers", "9.9.9.9"))...)
		}
	}
	return found
}

func isNameserver(text string) bool {
	text, _, _ = strings.Cut(text, "#")
	text, _, _ = strings.Cut(text, "%")
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	_, err := netip.ParseAddrPort(text)
	return err == nil
}

// nameserversMissing warns of a static host that resolves no name. With DHCP or IPv6 alone they may come by themselves.
func nameserversMissing(s scope, h Host) []Problem {
	n := h.Network
	first := slices.IndexFunc(n.statics(), func(s static) bool { return s.prefix.Addr().Is4() })
	if first < 0 || len(n.Nameservers) > 0 || n.hasDHCP(true) || n.hasDHCP(false) || n.hidden() {
		return nil
	}
	return one(Warning, networkOption(h, "nameservers"), "is empty: a static host without nameservers resolves no name",
		"name a DNS server, often the router: "+
			networkSetting(h, "nameservers", likelyNameserver(s, h, n.statics()[first].prefix)))
}

// likelyNameserver is the one other hosts of the hive use, else the host's gateway, else the likely one.
func likelyNameserver(s scope, h Host, p netip.Prefix) string {
	for _, other := range s.hive.Hosts {
		if len(other.Network.Nameservers) > 0 && isNameserver(other.Network.Nameservers[0]) {
			return other.Network.Nameservers[0]
		}
	}
	if own := h.Network.gateways(); len(own) > 0 {
		return own[0].String()
	}
	return likelyGateway(s, p)
}
