package discovery

import (
	"fmt"
	"net/netip"

	"github.com/pion/mdns/v2"
	"golang.org/x/net/dns/dnsmessage"
)

const (
	announceTTL = 120 // seconds; RFC 6762, 10: for all that depends on a host name or address
	cacheFlush  = 1 << 15
)

// announcement is the unasked answer that tells all of a service (RFC 6762, 8.3). With a ttl of 0 it is the goodbye (10.1).
func announcement(service mdns.ServiceInstance, addr netip.Addr, ttl uint32) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{Response: true, Authoritative: true})
	b.EnableCompression()
	if err := build(&b, service, addr, ttl); err != nil {
		return nil, fmt.Errorf("announce %s: %w", service.Instance, err)
	}
	packet, err := b.Finish()
	if err != nil {
		return nil, fmt.Errorf("announce %s: %w", service.Instance, err)
	}
	return packet, nil
}

func build(b *dnsmessage.Builder, service mdns.ServiceInstance, addr netip.Addr, ttl uint32) error {
	kind, err := dnsmessage.NewName(service.Service + "." + service.Domain + ".")
	if err != nil {
		return fmt.Errorf("service: %w", err)
	}
	instance, err := dnsmessage.NewName(service.Instance + "." + kind.String())
	if err != nil {
		return fmt.Errorf("instance: %w", err)
	}
	host, err := dnsmessage.NewName(service.Host)
	if err != nil {
		return fmt.Errorf("host: %w", err)
	}
	header := func(name dnsmessage.Name, flush dnsmessage.Class) dnsmessage.ResourceHeader {
		return dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET | flush, TTL: ttl}
	}
	steps := []func() error{
		b.StartAnswers,
		func() error { return b.PTRResource(header(kind, 0), dnsmessage.PTRResource{PTR: instance}) }, // shared with other media
		func() error {
			return b.SRVResource(header(instance, cacheFlush), dnsmessage.SRVResource{Target: host, Port: service.Port})
		},
		func() error {
			return b.TXTResource(header(instance, cacheFlush), dnsmessage.TXTResource{TXT: texts(service)})
		},
		// Without the flush: each address has a packet of its own, and would drive the others out.
		func() error {
			if addr.Is4() {
				return b.AResource(header(host, 0), dnsmessage.AResource{A: addr.As4()})
			}
			return b.AAAAResource(header(host, 0), dnsmessage.AAAAResource{AAAA: addr.As16()})
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func texts(service mdns.ServiceInstance) []string {
	all := make([]string, len(service.Text))
	for i, e := range service.Text {
		all[i] = e.Key + "=" + string(e.Value)
	}
	return all
}
