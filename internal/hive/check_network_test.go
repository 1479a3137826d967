package hive

import (
	"net/netip"
	"strings"
	"testing"
)

// addressed gives a host's only interface other addresses.
func addressed(addresses ...string) func(h []Host) {
	return func(h []Host) { h[0].Network.Interfaces[0].Addresses = addresses }
}

// dhcp lets the host take everything by DHCP.
func dhcp(h *Host) {
	h.Network.Interfaces[0].Addresses, h.Network.Interfaces[0].DHCP = nil, "yes"
	h.Network.Gateways, h.Network.Nameservers = nil, nil
}

func networkCases() []ruleCase {
	const address, gateway, servers = "alpha hive.network.address", "alpha hive.network.gateway", "alpha hive.network.nameservers"
	return []ruleCase{
		{rule: "no-network", name: "nothing set is one problem, not three", change: func(h []Host) {
			h[0].Network = Network{Backend: "scripted", Firewall: Firewall{Enable: true}}
		}, want: []string{"error alpha hive.network"}, says: "cannot be reached", way: `hive.network.address = "dhcp";`},
		{rule: "no-network", name: "NetworkManager keeps its connections elsewhere", change: func(h []Host) {
			h[0].Network = Network{Backend: "networkmanager"}
		}},
		{rule: "no-network", name: "a host that deploys itself", change: func(h []Host) {
			h[0].Network, h[0].Deployment = Network{}, Deployment{AllowLocal: true}
		}},
		{rule: "no-network", name: "DHCP", change: func(h []Host) { dhcp(&h[0]) }},
		{
			rule: "address-syntax", name: "no prefix length", change: addressed("192.168.1.11"),
			want: []string{"error " + address}, says: "192.168.1.11 of enp1s0 has no prefix length", way: `hive.network.address = "192.168.1.11/24";`,
		},
		{
			rule: "address-syntax", name: "no prefix length, IPv6", change: addressed("fd00::1"),
			want: []string{"error " + address}, says: "no prefix length", way: `"fd00::1/64"`,
		},
		{
			rule: "address-syntax", name: "not an address", change: addressed("192.168.1.300/24"),
			want: []string{"error " + address}, says: `"192.168.1.300/24"`, way: "prefix length",
		},
		{
			rule: "address-syntax", name: "a prefix that is too long", change: addressed("192.168.1.11/33"),
			want: []string{"error " + address}, says: "no address in CIDR", way: "prefix length",
		},
		{
			rule: "address-syntax", name: "scripted networking gets its own words", change: func(h []Host) {
				h[0].Network.Managed, h[0].Network.Backend = false, "scripted"
				h[0].Network.Interfaces[0].Addresses = []string{"10.0.0.1"}
			}, want: []string{"error alpha networking.interfaces"}, says: "no prefix length",
			way: `networking.interfaces.<name>.ipv4.addresses = [ { address = "10.0.0.1"; prefixLength = 24; } ];`,
		},
		{rule: "address-syntax", name: "both families", change: addressed("192.168.1.11/24", "fd00::11/64")},
		{
			rule: "address-unusable", name: "the network itself", change: addressed("192.168.1.0/24"),
			want: []string{"error " + address}, says: "the address of the network itself", way: "192.168.1.1 to 192.168.1.254",
		},
		{
			rule: "address-unusable", name: "the broadcast address", change: addressed("192.168.1.255/24"),
			want: []string{"error " + address}, says: "broadcast", way: "192.168.1.1 to 192.168.1.254",
		},
		{
			rule: "address-unusable", name: "multicast", change: addressed("192.168.1.11/24", "224.0.0.5/24"),
			want: []string{"error " + address}, says: "not an address a host", way: "hive.network.address",
		},
		{
			rule: "address-unusable", name: "the routers' anycast address", change: addressed("192.168.1.11/24", "fd00::/64"),
			want: []string{"warning " + address}, says: "anycast", way: "fd00::2/64",
		},
		{
			rule: "address-unusable", name: "no prefix at all", change: addressed("192.168.1.11/0"),
			want: []string{"error " + address}, says: "the whole internet", way: "hive.network.address",
		},
		{rule: "address-unusable", name: "every address of a /31 is usable", change: func(h []Host) {
			h[0].Network.Interfaces[0].Addresses, h[0].Network.Gateways = []string{"10.0.0.0/31"}, []string{"10.0.0.1"}
		}},
		{rule: "interface-missing", name: "neither name nor MAC", change: func(h []Host) {
			h[0].Network.Interfaces[0].Name, h[0].Network.Interfaces[0].MAC = "", ""
		}, want: []string{"error alpha hive.network.interface"}, says: "192.168.1.11/24 could land on either", way: `hive.network.match.mac = "`},
		{rule: "interface-missing", name: "stock networkd", change: func(h []Host) {
			h[0].Network.Managed = false
			h[0].Network.Interfaces[0].Name, h[0].Network.Interfaces[0].MAC = "", ""
		}, want: []string{"error alpha systemd.network.networks.<name>.matchConfig"}, says: "could land on either", way: `matchConfig = { Name = "enp1s0"; };`},
		{rule: "interface-missing", name: "a MAC address is enough", change: func(h []Host) { h[0].Network.Interfaces[0].Name = "" }},
		{rule: "interface-missing", name: "matched by path", change: func(h []Host) {
			h[0].Network.Interfaces[0].Name, h[0].Network.Interfaces[0].MAC = "", ""
			h[0].Network.Units = map[string]string{"10-hive.network": "[Match]\nPath=pci-0000:03:00.0\n\n[Network]\nAddress=192.168.1.11/24\n"}
		}},
		{rule: "interface-missing", name: "DHCP may run on any card", change: func(h []Host) {
			dhcp(&h[0])
			h[0].Network.Interfaces[0].Name, h[0].Network.Interfaces[0].MAC = "", ""
		}},
		{
			rule: "interface-name", name: "16 characters", change: func(h []Host) { h[0].Network.Interfaces[0].Name = "enx525400123456x" },
			want: []string{"error alpha hive.network.interface"}, says: "at most 15", way: "match.mac",
		},
		{rule: "interface-name", name: "globs of networkd", change: func(h []Host) { h[0].Network.Interfaces[0].Name = "en* eth[0-9] !wlan*" }},
		{rule: "interface-name", name: "15 characters", change: func(h []Host) { h[0].Network.Interfaces[0].Name = "enx525400123456" }},
		{
			rule: "mac-syntax", name: "five bytes", change: func(h []Host) { h[0].Network.Interfaces[0].MAC = "52:54:00:12:34" },
			want: []string{"error alpha hive.network.match.mac"}, says: "is no MAC address", way: "six bytes",
		},
		{rule: "mac-syntax", name: "hyphens and capitals pass", change: func(h []Host) { h[0].Network.Interfaces[0].MAC = "52-54-00-AB-34-56" }},
		{rule: "vlan-id", name: "4095", change: func(h []Host) {
			h[0].Network.Interfaces = append(h[0].Network.Interfaces, Interface{Name: "lab", Kind: "vlan", Parent: "enp1s0", VLAN: 4095, Addresses: []string{"10.9.0.2/24"}})
		}, want: []string{"error alpha hive.network.vlan"}, says: "4095", way: "1 to 4094"},
		{rule: "vlan-id", name: "none", change: func(h []Host) {
			h[0].Network.Managed = false
			h[0].Network.Interfaces = append(h[0].Network.Interfaces, Interface{Name: "lab", Kind: "vlan", Parent: "enp1s0", DHCP: "ipv6"})
		}, want: []string{"error alpha networking.vlans.lab.id"}, says: "0 is no VLAN id", way: "1 to 4094"},
		{rule: "vlan-id", name: "4094", change: func(h []Host) {
			h[0].Network.Interfaces = append(h[0].Network.Interfaces, Interface{Name: "lab", Kind: "vlan", Parent: "enp1s0", VLAN: 4094, Addresses: []string{"10.9.0.2/24"}})
		}},
		{
			rule: "gateway-syntax", name: "with a prefix, and no second problem", change: func(h []Host) { h[0].Network.Gateways = []string{"192.168.1.1/24"} },
			want: []string{"error " + gateway}, says: `"192.168.1.1/24"`, way: `hive.network.gateway = "192.168.1.1";`,
		},
		{rule: "gateway-syntax", name: "both families", change: func(h []Host) { h[0].Network.Gateways = []string{"192.168.1.1", "fe80::1"} }},
		{
			rule: "gateway-outside-subnet", name: "another network", change: func(h []Host) { h[0].Network.Gateways = []string{"192.168.2.1"} },
			want: []string{"error " + gateway}, says: "192.168.2.1 is outside every subnet of the host (192.168.1.11/24)", way: `hive.network.gateway = "192.168.1.1";`,
		},
		{
			rule: "gateway-outside-subnet", name: "a single address has no subnet", change: addressed("192.168.1.11/32"),
			want: []string{"error " + gateway}, says: "outside every subnet", way: `hive.network.address = "192.168.1.11/24";`,
		},
		{
			rule: "gateway-outside-subnet", name: "the host itself", change: func(h []Host) { h[0].Network.Gateways = []string{"192.168.1.11"} },
			want: []string{"error " + gateway}, says: "own address", way: `"192.168.1.1"`,
		},
		{
			rule: "gateway-outside-subnet", name: "the other family", change: func(h []Host) { h[0].Network.Gateways = []string{"192.168.1.1", "fd00::1"} },
			want: []string{"error " + gateway}, says: "fd00::1", way: "give the host an address in the gateway's subnet",
		},
		{rule: "gateway-outside-subnet", name: "on the link by a unit", change: func(h []Host) {
			h[0].Network.Interfaces[0].Addresses = []string{"192.168.1.11/32"}
			h[0].Network.Units = map[string]string{"40-wan.network": "[Route]\nGateway=192.168.1.1\nGatewayOnLink=yes\n"}
		}},
		{rule: "gateway-outside-subnet", name: "link-local", change: func(h []Host) {
			h[0].Network.Interfaces[0].Addresses, h[0].Network.Gateways = []string{"fd00::11/64"}, []string{"fe80::1"}
		}},
		{rule: "gateway-outside-subnet", name: "a second interface takes DHCP", change: func(h []Host) {
			h[0].Network.Interfaces = append(h[0].Network.Interfaces, Interface{Name: "wan", DHCP: "ipv4"})
			h[0].Network.Gateways = []string{"10.0.0.1"}
		}},
		{
			rule: "gateway-missing", name: "static without one", change: func(h []Host) { h[0].Network.Gateways = nil },
			want: []string{"warning " + gateway}, says: "reaches nothing outside 192.168.1.0/24", way: `hive.network.gateway = "192.168.1.1";`,
		},
		{rule: "gateway-missing", name: "scripted networking gets its own words", change: func(h []Host) {
			h[0].Network.Gateways, h[0].Network.Managed, h[0].Network.Backend = nil, false, "scripted"
		}, want: []string{"warning alpha networking.defaultGateway"}, says: "is not set", way: `networking.defaultGateway = "192.168.1.1";`},
		{rule: "gateway-missing", name: "IPv6 routers announce themselves", change: func(h []Host) {
			h[0].Network.Interfaces[0].Addresses, h[0].Network.Gateways = []string{"fd00::11/64"}, nil
		}},
		{rule: "gateway-missing", name: "a bridge for containers is no network", change: func(h []Host) {
			h[0].Network.Interfaces = append(h[0].Network.Interfaces, Interface{Name: "br0", Kind: "bridge", Addresses: []string{"10.88.0.1/16"}})
			dhcp(&h[0])
		}},
		{
			rule: "nameserver-syntax", name: "a name", change: func(h []Host) { h[0].Network.Nameservers = []string{"dns.home.arpa"} },
			want: []string{"error " + servers}, says: `"dns.home.arpa"`, way: `hive.network.nameservers = [ "9.9.9.9" ];`,
		},
		{rule: "nameserver-syntax", name: "the forms of systemd-resolved", change: func(h []Host) {
			h[0].Network.Nameservers = []string{"9.9.9.9#dns.quad9.net", "1.1.1.1:853", "[2620:fe::fe]:53", "fe80::1%enp1s0", "2620:fe::fe"}
		}},
		{
			rule: "nameservers-missing", name: "static without one", change: func(h []Host) { h[0].Network.Nameservers = nil },
			want: []string{"warning " + servers}, says: "resolves no name", way: `hive.network.nameservers = [ "192.168.1.1" ];`,
		},
		{rule: "nameservers-missing", name: "DHCP brings them", change: func(h []Host) { dhcp(&h[0]) }},
	}
}

func hiveNetworkCases() []ruleCase {
	bridge := Interface{Name: "br0", Kind: "bridge", Addresses: []string{"10.88.0.1/16"}}
	return []ruleCase{
		{rule: "duplicate-address", name: "on bridges of stock networkd, whose ports are not known", change: func(h []Host) {
			for i := range h[:2] {
				h[i].Network.Managed = false
				h[i].Network.Interfaces[0] = Interface{Name: "br0", Kind: "bridge", Addresses: []string{"192.168.1.20/24"}}
			}
			h[0].Deployment.TargetHost, h[1].Deployment.TargetHost = ptr("alpha"), ptr("beta")
		}, want: []string{"error beta systemd.network.networks.<name>.address"}, says: "192.168.1.20, like alpha", way: "no other host"},
		{rule: "duplicate-address", name: "of containers, with NetworkManager outside", change: func(h []Host) {
			for i := range h[:2] {
				h[i].Network = Network{Backend: "networkmanager", Interfaces: []Interface{bridge}}
			}
		}},
		{rule: "duplicate-address", name: "in two hosts, spelled differently", change: func(h []Host) {
			h[0].Network.Interfaces[0].Addresses = append(h[0].Network.Interfaces[0].Addresses, "fd00::1/64")
			h[1].Network.Interfaces[0].Addresses = append(h[1].Network.Interfaces[0].Addresses, "fd00:0:0::0001/64")
		}, want: []string{"error beta hive.network.address"}, says: "fd00::1, like alpha", way: "no other host"},
		{rule: "duplicate-address", name: "with targets that follow the address, once", change: func(h []Host) {
			h[1].Network.Interfaces[0].Addresses = h[0].Network.Interfaces[0].Addresses
			h[1].Deployment.TargetHost = h[0].Deployment.TargetHost
		}, want: []string{"error beta hive.network.address"}, says: "192.168.1.11, like alpha", way: "no other host"},
		{rule: "duplicate-address", name: "twice on one host", change: func(h []Host) {
			h[0].Network.Interfaces = append(h[0].Network.Interfaces, Interface{Name: "enp2s0", Addresses: []string{"192.168.1.11/24"}})
		}, want: []string{"error alpha hive.network.address"}, says: "on two interfaces", way: "remove"},
		{rule: "duplicate-address", name: "bridges for containers and link-local addresses repeat", change: func(h []Host) {
			for i := range h[:2] {
				h[i].Network.Interfaces = append(h[i].Network.Interfaces, bridge, Interface{Name: "lo", Addresses: []string{"10.0.0.1/32"}},
					Interface{Name: "enp2s0", Addresses: []string{"fe80::1/64"}})
			}
		}},
		{rule: "duplicate-mac", name: "in two hosts, spelled differently", change: func(h []Host) {
			h[0].Network.Interfaces[0].MAC, h[1].Network.Interfaces[0].MAC = "52:54:00:AA:BB:CC", "52-54-00-aa-bb-cc"
		}, want: []string{"error beta hive.network.match.mac"}, says: "52:54:00:aa:bb:cc, like alpha", way: "ip -br link"},
		{rule: "duplicate-mac", name: "stock networkd", change: func(h []Host) {
			h[1].Network.Managed, h[1].Network.Interfaces[0].MAC = false, h[0].Network.Interfaces[0].MAC
		}, want: []string{"error beta systemd.network.networks.<name>.matchConfig"}, says: "like alpha", way: "ip -br link"},
		{rule: "duplicate-mac", name: "a VLAN has its parent's", change: func(h []Host) {
			h[0].Network.Interfaces = append(h[0].Network.Interfaces,
				Interface{Name: "lab", Kind: "vlan", VLAN: 5, Parent: "enp1s0", MAC: h[0].Network.Interfaces[0].MAC, DHCP: "ipv6"})
		}},
		{
			rule: "gateway-conflict", name: "one of three is odd", change: func(h []Host) { h[1].Network.Gateways = []string{"192.168.1.254"} },
			want: []string{"warning beta hive.network.gateway"}, says: "192.168.1.254 is the gateway here, but in the same network 192.168.1.0/24 it is 192.168.1.1 for alpha and gamma",
			way: `hive.network.gateway = "192.168.1.1";`,
		},
		{rule: "gateway-conflict", name: "another network has another", change: func(h []Host) {
			h[1].Network.Interfaces[0].Addresses, h[1].Network.Gateways = []string{"10.0.0.2/24"}, []string{"10.0.0.1"}
		}},
		{rule: "prefix-conflict", name: "one host thinks the network is larger", change: func(h []Host) {
			h[2].Network.Interfaces[0].Addresses = []string{"192.168.1.13/16"}
		}, want: []string{"warning gamma hive.network.address"}, says: "192.168.0.0/16 here, but 192.168.1.0/24 for alpha and beta", way: "most likely /24"},
		{rule: "prefix-conflict", name: "two networks", change: func(h []Host) {
			h[2].Network.Interfaces[0].Addresses, h[2].Network.Gateways = []string{"10.0.0.13/16"}, []string{"10.0.0.1"}
		}},
	}
}

// alone is the advice Check gives for a hive of one changed host.
func alone(t *testing.T, rule string, change func(h *Host)) string {
	t.Helper()
	h := soundHost("alpha", 1)
	change(&h)
	for _, p := range Check(Hive{Hosts: []Host{h}}, CheckInput{}) {
		if p.Rule == rule {
			return p.Way
		}
	}
	t.Fatalf("rule %s found nothing", rule)
	return ""
}

func TestAHostAloneGetsTheLikelyRouterAsAdvice(t *testing.T) {
	for _, c := range []struct {
		name, rule string
		change     func(h *Host)
		want       string
	}{
		{"the first address of the subnet", "gateway-missing", func(h *Host) { h.Network.Gateways = nil }, `gateway = "192.168.1.1";`},
		{"the second if the first is the host", "gateway-missing", func(h *Host) {
			h.Network.Gateways, h.Network.Interfaces[0].Addresses = nil, []string{"192.168.1.1/24"}
		}, `gateway = "192.168.1.2";`},
		{"the gateway as nameserver", "nameservers-missing", func(h *Host) {
			h.Network.Gateways, h.Network.Nameservers = []string{"192.168.1.254"}, nil
		}, `nameservers = [ "192.168.1.254" ];`},
		{"a nameserver without a gateway", "nameservers-missing", func(h *Host) {
			h.Network.Gateways, h.Network.Nameservers = nil, nil
		}, `nameservers = [ "192.168.1.1" ];`},
		{"no address at all for a gateway", "gateway-syntax", func(h *Host) { h.Network.Gateways = []string{"router"} }, `gateway = "192.168.1.1";`},
		{"IPv6 has its own option", "gateway-syntax", func(h *Host) {
			h.Network.Managed, h.Network.Backend, h.Network.Gateways = false, "scripted", []string{"fe80::1/64"}
		}, `networking.defaultGateway6 = "fe80::1";`},
		{"systemd-networkd has a list", "gateway-missing", func(h *Host) {
			h.Network.Managed, h.Network.Gateways = false, nil
		}, `systemd.network.networks.<name>.gateway = [ "192.168.1.1" ];`},
		{"nameservers are NixOS' own option", "nameservers-missing", func(h *Host) {
			h.Network.Managed, h.Network.Nameservers = false, nil
		}, `networking.nameservers = [ "192.168.1.1" ];`},
	} {
		if got := alone(t, c.rule, c.change); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q lacks %q", c.name, got, c.want)
		}
	}
}

func TestTheLastAddressOfASubnet(t *testing.T) {
	for subnet, want := range map[string]string{
		"192.168.1.10/24": "192.168.1.255", "10.0.0.0/30": "10.0.0.3", "10.1.2.3/32": "10.1.2.3",
		"0.0.0.0/0": "255.255.255.255", "10.0.0.0/9": "10.127.255.255", "fd00::/126": "fd00::3",
	} {
		if got := lastOf(netip.MustParsePrefix(subnet)).String(); got != want {
			t.Errorf("last of %s is %s, want %s", subnet, got, want)
		}
	}
}
