package hive

import (
	"maps"
	"slices"
	"testing"
)

func TestThePrimaryAddressIsTheOneBesideTheGateway(t *testing.T) {
	for _, c := range []struct {
		name    string
		network Network
		want    []string
	}{
		{"one address", Network{Interfaces: []Interface{{Addresses: []string{"10.0.0.2/24"}}}}, []string{"10.0.0.2"}},
		{"of two, the gateway's", Network{Gateways: []string{"10.1.0.1"}, Interfaces: []Interface{
			{Name: "a", Addresses: []string{"10.0.0.2/24"}}, {Name: "b", Addresses: []string{"10.1.0.2/24"}},
		}}, []string{"10.1.0.2"}},
		{"IPv4 before IPv6", Network{Interfaces: []Interface{{Addresses: []string{"fd00::2/64", "10.0.0.2/24"}}}}, []string{"10.0.0.2", "fd00::2"}},
		{"IPv6 alone", Network{Interfaces: []Interface{{Addresses: []string{"fe80::1/64", "fd00::2/64"}}}}, []string{"fd00::2"}},
		{"no bridge of containers", Network{Interfaces: []Interface{
			{Name: "br0", Kind: "bridge", Addresses: []string{"10.88.0.1/16"}}, {Name: "a", Addresses: []string{"10.0.0.2/24"}},
		}}, []string{"10.0.0.2"}},
		{"a bridge over a card", Network{Interfaces: []Interface{{Name: "br0", Kind: "bridge", Parent: "eno1", Addresses: []string{"10.0.0.2/24"}}}}, []string{"10.0.0.2"}},
		{"no tunnel beside a card", Network{Interfaces: []Interface{
			{Name: "wg0", Kind: "other", Addresses: []string{"10.99.0.1/24"}}, {Name: "a", Addresses: []string{"10.0.0.2/24"}},
		}}, []string{"10.0.0.2"}},
		{"a tunnel if there is nothing else", Network{Interfaces: []Interface{{Name: "wg0", Kind: "other", Addresses: []string{"10.99.0.1/24"}}}}, []string{"10.99.0.1"}},
		{"DHCP", Network{Interfaces: []Interface{{Name: "a", DHCP: "yes"}}}, nil},
		{"what does not parse", Network{Interfaces: []Interface{{Name: "a", Addresses: []string{"10.0.0.2"}}}}, nil},
	} {
		var got []string
		for _, a := range PrimaryAddresses(Host{Network: c.network}) {
			got = append(got, a.String())
		}
		first, ok := PrimaryAddress(Host{Network: c.network})
		if !slices.Equal(got, c.want) || ok != (len(c.want) > 0) || ok && first.String() != c.want[0] {
			t.Errorf("%s: got %v and %v, want %v", c.name, got, first, c.want)
		}
	}
}

func TestHostsEntriesNameAllStaticHosts(t *testing.T) {
	h := soundHive()
	h.Hosts[0].Network.Interfaces[0].Addresses = append(h.Hosts[0].Network.Interfaces[0].Addresses, "fd00::11/64")
	h.Hosts[1].HostName, h.Hosts[1].Domain = "Web", ""
	dhcp(&h.Hosts[2])
	want := map[string][]string{
		"192.168.1.11": {"alpha.home.arpa", "alpha"},
		"fd00::11":     {"alpha.home.arpa", "alpha"},
		"192.168.1.12": {"web", "beta"},
	}
	if got := HostsEntries(h); !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestANameTwoHostsClaimIsLeftToNeither(t *testing.T) {
	h := soundHive()
	h.Hosts[1].HostName, h.Hosts[1].Domain = "alpha", "lab.arpa"
	h.Hosts = h.Hosts[:2]
	want := map[string][]string{"192.168.1.11": {"alpha.home.arpa"}, "192.168.1.12": {"alpha.lab.arpa", "beta"}}
	if got := HostsEntries(h); !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestHostsEntriesOfAnEmptyHiveAreEmpty(t *testing.T) {
	if got := HostsEntries(Hive{}); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}
