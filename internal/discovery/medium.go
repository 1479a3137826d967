// Package discovery announces installation media on the local network and finds them: DNS-based service discovery (RFC 6763) over
// multicast DNS (RFC 6762), so that avahi-browse, resolvectl and dns-sd see the same media.
//
// The protocol is github.com/pion/mdns/v2's: of the libraries that can be had it alone has both roles, IPv4 and IPv6, updates of TXT
// records, and releases every few weeks. (hashicorp/mdns 1.0.7 asks on one interface, fails where IPv4 has no route, and keeps a single
// address; grandcat, libp2p and brutella say themselves that they are not maintained for general use.) What it lacks is here: it answers
// with one address, so there is a responder for each address; it looks at interfaces once, so responders come and go with the
// addresses; and it sends no goodbye.
//
// What is found was said by anybody on the network: it is text to show and addresses to try. Whether a medium is ours, its SSH host
// key says.
package discovery

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/mdns/v2"
)

// Service is the type under which media are announced.
const Service = "_nixos-setup._tcp"

// Medium is an installation medium that runs somewhere on the network.
type Medium struct {
	Name        string   // its host name without a domain: "web1-setup". At most 63 bytes, no dots
	Hosts       []string // names of the hosts that it can install; of a great many only the first 1000 bytes are announced
	Fingerprint string   // of its SSH host key: "SHA256:...". Empty: unknown
	Version     string   // of the program on it
	State       string   // for a person: "waiting", "installing 40%", "done". At most 200 bytes are announced
	Port        int      // of SSH
	// Addresses are where it was found: IPv4, then IPv6, then link-local ones with the zone of the finder. Not used by Announce: what the
	// interfaces have is announced.
	Addresses []netip.Addr
}

// Bounds of the wire. A TXT string has 255 bytes (RFC 1035, 3.3.14) with its key; four for the hosts leave room for the rest within
// 1500 bytes of Ethernet.
const (
	textBytes = 200
	hostKeys  = 4
)

// text gives the TXT record.
func (m Medium) text() []mdns.TXTEntry {
	entries := []mdns.TXTEntry{
		mdns.NewTXTString("fingerprint", clip(m.Fingerprint)),
		mdns.NewTXTString("version", clip(m.Version)),
		mdns.NewTXTString("state", clip(m.State)),
	}
	for i, chunk := range chunks(m.Hosts) {
		entries = append(entries, mdns.NewTXTString("hosts"+strconv.Itoa(i), chunk))
	}
	return entries
}

// chunks joins names by commas into strings that fit.
func chunks(names []string) []string {
	var all []string
	for _, name := range names {
		switch last := len(all) - 1; {
		case name == "" || len(name) > textBytes || strings.Contains(name, ","):
		case last >= 0 && len(all[last])+1+len(name) <= 255-len("hosts0="):
			all[last] += "," + name
		case len(all) == hostKeys:
			return all
		default:
			all = append(all, name)
		}
	}
	return all
}

func clip(text string) string {
	if len(text) <= textBytes {
		return text
	}
	return strings.ToValidUTF8(text[:textBytes], "")
}

// mediumOf reads what was announced.
func mediumOf(s mdns.ServiceInstance) Medium {
	values := map[string]string{}
	for _, e := range s.Text {
		values[strings.ToLower(e.Key)] = string(e.Value)
	}
	m := Medium{
		Name: s.Instance, Port: int(s.Port),
		Fingerprint: values["fingerprint"], Version: values["version"], State: values["state"],
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if strings.HasPrefix(key, "hosts") {
			m.Hosts = append(m.Hosts, strings.FieldsFunc(values[key], func(r rune) bool { return r == ',' })...)
		}
	}
	return m
}

// service gives what is announced.
func (m Medium) service() (mdns.ServiceInstance, error) {
	if m.Name == "" || len(m.Name) > 63 || strings.Contains(m.Name, ".") {
		return mdns.ServiceInstance{}, fmt.Errorf("announce %q: a medium's name is one label of at most 63 bytes", m.Name)
	}
	if m.Port < 1 || m.Port > 65535 {
		return mdns.ServiceInstance{}, fmt.Errorf("announce %s: %d is no port", m.Name, m.Port)
	}
	return mdns.ServiceInstance{
		Instance: m.Name, Service: Service, Domain: "local", Host: m.Name + ".local.", Port: uint16(m.Port), Text: m.text(),
	}, nil
}
