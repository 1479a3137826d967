package hive

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// duplicateAddresses refuses two machines with one address: which of them answers changes by the minute.
func duplicateAddresses(s scope) []Problem {
	order, members := groups(s.hive.Hosts, func(h Host) []string { return addressTexts(h.Network.statics()) })
	var found []Problem
	for _, a := range order {
		hosts := members[a]
		last := hosts[len(hosts)-1]
		found = append(found, collision(Error, hosts, networkOption(last, "address"),
			fmt.Sprintf("the host has the address %s", a), "give it an address that no other host has"))
	}
	for _, h := range s.hive.Hosts {
		for _, a := range repeated(addressTexts(h.Network.statics())) {
			found = append(found, Problem{
				Host: h.Name, Severity: Error, Option: networkOption(h, "address"),
				Message: fmt.Sprintf("%s is set on two interfaces", a), Way: "remove the address from one of the interfaces",
			})
		}
	}
	return found
}

func addressTexts(all []static) []string {
	texts := make([]string, len(all))
	for i, s := range all {
		texts[i] = s.prefix.Addr().String()
	}
	return texts
}

// repeated returns the words that are there more than once, each once and sorted; empty words do not count.
func repeated(words []string) []string {
	var twice []string
	sorted := slices.Sorted(slices.Values(words))
	for i := 1; i < len(sorted); i++ {
		if sorted[i] != "" && sorted[i] == sorted[i-1] {
			twice = append(twice, sorted[i])
		}
	}
	return slices.Compact(twice)
}

// duplicateMACs refuses one card in two machines: the medium and networkd tell machines apart by it. Within one host a
// VLAN, bridge or macvlan rightly has the MAC address of its parent.
func duplicateMACs(s scope) []Problem {
	order, members := groups(s.hive.Hosts, func(h Host) []string {
		var own []string
		for _, i := range h.Network.Interfaces {
			own = append(own, normalMAC(i.MAC))
		}
		return own
	})
	var found []Problem
	for _, mac := range order {
		hosts := members[mac]
		option := networkOption(hosts[len(hosts)-1], "match.mac")
		if !hosts[len(hosts)-1].Network.Managed {
			option = networkOption(hosts[len(hosts)-1], "interface")
		}
		found = append(found, collision(Error, hosts, option, fmt.Sprintf("the host has the MAC address %s", mac),
			`use the address "ip -br link" shows on this machine`))
	}
	return found
}

// route is a host's gateway with the host's subnet it lies in.
type route struct {
	host    Host
	subnet  netip.Prefix
	gateway netip.Addr
}

// routes are all gateways of the hive that lie in a subnet of their host.
func routes(h Hive) []route {
	var found []route
	for _, host := range h.Hosts {
		for _, s := range host.Network.statics() {
			for _, g := range host.Network.gateways() {
				if s.prefix.Contains(g) && s.prefix.Addr() != g && !s.prefix.IsSingleIP() && s.prefix.Bits() > 0 {
					found = append(found, route{host, s.prefix.Masked(), g})
				}
			}
		}
	}
	return found
}

// gatewayConflicts warns of hosts in one network with different gateways: one of them is most likely mistyped.
func gatewayConflicts(s scope) []Problem {
	return disagreements(routes(s.hive),
		func(r route) (string, string) { return r.subnet.String(), r.gateway.String() },
		func(r route, network, usual, odd string, others []string) Problem {
			return Problem{
				Host: r.host.Name, Severity: Warning, Option: networkOption(r.host, "gateway"),
				Message: fmt.Sprintf("%s is the gateway here, but in the same network %s it is %s for %s", odd, network, usual, list(others)),
				Way:     "use one router for the network: " + networkSetting(r.host, "gateway", usual),
			}
		})
}

// prefixConflicts warns of hosts behind one gateway that disagree on how large the network is: they miss each other's
// broadcasts and send neighbours' packets to the router.
func prefixConflicts(s scope) []Problem {
	return disagreements(routes(s.hive),
		func(r route) (string, string) { return r.gateway.String(), r.subnet.String() },
		func(r route, gateway, usual, odd string, others []string) Problem {
			_, bits, _ := strings.Cut(usual, "/")
			return Problem{
				Host: r.host.Name, Severity: Warning, Option: networkOption(r.host, "address"),
				Message: fmt.Sprintf("the network behind gateway %s is %s here, but %s for %s", gateway, odd, usual, list(others)),
				Way:     "give all addresses of one network the same prefix length, most likely /" + bits,
			}
		})
}

// disagreements finds topics on which hosts differ, and reports each topic once: on the last host that is in the
// minority, naming those of the majority. Of equally large camps the first in order counts as usual.
func disagreements(all []route, split func(route) (topic, opinion string),
	report func(odd route, topic, usual, opinion string, others []string) Problem,
) []Problem {
	camps := map[string]map[string][]route{}
	var topics []string
	for _, r := range all {
		topic, opinion := split(r)
		if camps[topic] == nil {
			camps[topic] = map[string][]route{}
			topics = append(topics, topic)
		}
		camps[topic][opinion] = append(camps[topic][opinion], r)
	}
	var found []Problem
	for _, topic := range topics {
		opinions := bySize(camps[topic])
		if len(opinions) < 2 {
			continue
		}
		odd := opinions[len(opinions)-1]
		rs := camps[topic][odd]
		found = append(found, report(rs[len(rs)-1], topic, opinions[0], odd, routeHosts(camps[topic][opinions[0]])))
	}
	return found
}

// bySize returns the opinions, the one with the most routes first.
func bySize(camp map[string][]route) []string {
	var opinions []string
	for o := range camp {
		opinions = append(opinions, o)
	}
	slices.SortFunc(opinions, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(camp[b]), len(camp[a])), cmp.Compare(a, b))
	})
	return opinions
}

func routeHosts(rs []route) []string {
	var hosts []string
	for _, r := range rs {
		hosts = append(hosts, r.host.Name)
	}
	return slices.Compact(hosts)
}
