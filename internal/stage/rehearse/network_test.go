package rehearse

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/vm"
)

func static(name, address, gateway string) hive.Host {
	return hive.Host{Name: name, Network: hive.Network{
		Interfaces: []hive.Interface{{Name: "enp1s0", Kind: "ethernet", Addresses: []string{address}}},
		Gateways:   []string{gateway}, Nameservers: []string{"9.9.9.9", "192.168.1.53"},
	}}
}

func dhcp(name string) hive.Host {
	return hive.Host{Name: name, Network: hive.Network{Interfaces: []hive.Interface{{Name: "ens3", Kind: "ethernet", DHCP: "yes"}}}}
}

func TestHostsOfOneSubnetShareANetworkAndEachIsReachedInEveryStage(t *testing.T) {
	b := static("b", "192.168.1.12/24", "192.168.1.1")
	b.SSH.Ports = []int{2222}
	all, reach, problems := networks([]hive.Host{static("a", "192.168.1.11/24", "192.168.1.1"), b}, true)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := []vm.Network{{
		Name: "192.168.1.0-24", Subnet: "192.168.1.0/24", Gateway: "192.168.1.1", DNS: "192.168.1.53", Online: true,
		Forwards: []vm.Forward{
			{Name: "a-setup", Address: "192.168.1.11", Port: 22},
			{Name: "a", Address: "192.168.1.11", Port: 22},
			{Name: "b-setup", Address: "192.168.1.12", Port: 22},
			{Name: "b", Address: "192.168.1.12", Port: 2222},
		},
	}}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Error(diff)
	}
	if reach["a"] != (address{"192.168.1.0-24", "a"}) || reach["b"].forward != "b" {
		t.Errorf("reached at %v", reach)
	}
}

func TestAHostThatIsTheGatewayStaysIt(t *testing.T) {
	all, _, problems := networks([]hive.Host{static("router", "10.1.0.1/16", ""), static("a", "10.1.0.2/16", "10.1.0.1")}, false)
	if len(problems) > 0 || len(all) != 1 || all[0].Gateway != "" {
		t.Errorf("networks %+v, problems %v", all, problems)
	}
}

func TestHostsOnDHCPHaveNetworksOfTheirOwnThatOverlapNothing(t *testing.T) {
	all, reach, problems := networks([]hive.Host{static("s", "10.0.2.9/24", "10.0.2.2"), dhcp("a"), dhcp("b")}, false)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	subnets := map[string]bool{}
	for _, n := range all {
		subnets[n.Subnet] = true
	}
	if len(subnets) != 3 {
		t.Errorf("three networks in %v", subnets)
	}
	for _, name := range []string{"a", "b"} {
		i := map[string]int{"a": 1, "b": 2}[name]
		if reach[name].network != all[i].Name || all[i].FirstLease != all[i].Forwards[0].Address {
			t.Errorf("%s: %+v is reached at %v", name, all[i], reach[name])
		}
	}
}

func TestWhatTheNetworkCannotBeIsToldForAllHosts(t *testing.T) {
	vlan := static("vlan", "192.168.20.2/24", "")
	vlan.Network.Interfaces[0].Kind, vlan.Network.Interfaces[0].VLAN = "vlan", 20
	wireless := dhcp("wireless")
	wireless.Network.Interfaces[0].Kind = "wireless"
	six := static("six", "fd00::6/64", "")
	_, _, problems := networks([]hive.Host{vlan, wireless, six, {Name: "none"}}, false)
	if len(problems) != 4 {
		t.Fatalf("%d problems: %v", len(problems), problems)
	}
	for i, want := range []string{"vlan: its address is in VLAN 20", "wireless: its address is on ens3, a wireless card", "six: its only address is fd00::6", "none: it has neither"} {
		if !strings.HasPrefix(problems[i].Error(), want) {
			t.Errorf("%q is not about %q", problems[i], want)
		}
	}
}
