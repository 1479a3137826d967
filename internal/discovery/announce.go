package discovery

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"time"

	"github.com/pion/mdns/v2"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// lookEvery is how often addresses and the medium's state are looked at. Asking the kernel is cheap, and works the same whatever gave
// the address: DHCP, a router, a cable that is put in again.
const lookEvery = 2 * time.Second

// Announce answers for the medium on all interfaces until the context ends, and then says goodbye. It follows addresses as they come
// and go, and asks now what the medium is each time it looks; it may start before there is any network. The end of the context is no
// error.
func Announce(ctx context.Context, now func() Medium) error {
	a := announcer{responders: map[place]*responder{}}
	defer a.close()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := a.follow(now()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

type announcer struct {
	service    mdns.ServiceInstance
	responders map[place]*responder
}

// follow makes what is announced equal to the medium and the addresses of now.
func (a *announcer) follow(m Medium) error {
	service, err := m.service()
	if err != nil {
		return err
	}
	before := a.service
	a.service = service
	switch before.Text = service.Text; {
	case !reflect.DeepEqual(before, service): // another name or port: begin anew
		a.close()
	default:
		for _, r := range a.responders {
			_ = r.conn.UpdateTXT(service.Instance, service.Service, service.Text) // nothing to do where nothing changed
		}
	}
	there, err := places()
	if err != nil {
		return err
	}
	a.match(there)
	return nil
}

// match starts and ends responders. One that cannot be started, mostly because the address is about to change again, is tried again
// the next time.
func (a *announcer) match(there []place) {
	keep := map[place]bool{}
	for _, p := range there {
		keep[p] = true
		r := a.responders[p]
		if r == nil {
			var err error
			if r, err = respond(p, a.service); err != nil {
				continue
			}
			a.responders[p] = r
		}
		if r.announced < announcements { // RFC 6762, 8.3: at least twice
			r.announced++
			r.say(a.service, announceTTL)
		}
	}
	for p, r := range a.responders {
		if !keep[p] {
			delete(a.responders, p)
			_ = r.conn.Close() // without a goodbye: the other addresses go on
		}
	}
}

const announcements = 2

func (a *announcer) close() {
	for p, r := range a.responders {
		r.say(r.service, 0)
		_ = r.conn.Close()
		delete(a.responders, p)
	}
}

// responder answers with one address.
type responder struct {
	conn      *mdns.Conn
	service   mdns.ServiceInstance
	addr      netip.Addr
	link      *net.Interface
	four      *ipv4.PacketConn // of the two the one of the address's family; the library's too
	six       *ipv6.PacketConn
	announced int
}

func respond(p place, service mdns.ServiceInstance) (*responder, error) {
	link, err := net.InterfaceByIndex(p.index)
	if err != nil {
		return nil, fmt.Errorf("look at interface %s: %w", p.name, err)
	}
	r := &responder{service: service, addr: p.addr, link: link}
	if p.addr.Is4() {
		r.four, err = listen4()
	} else {
		r.six, err = listen6() // only over IPv6, which tells the receiver the zone of a link-local address
	}
	if err != nil {
		return nil, err
	}
	r.conn, err = talk(link, r.four, r.six,
		mdns.WithLocalNames(service.Instance+"."+service.Domain), mdns.WithLocalAddress(p.addr.AsSlice()), mdns.WithService(service))
	return r, err
}

// say multicasts the whole of the service, unasked. An error means that the link is gone, which follow will see.
func (r *responder) say(service mdns.ServiceInstance, ttl uint32) {
	packet, err := announcement(service, r.addr, ttl)
	if err != nil {
		return
	}
	if r.four != nil {
		if r.four.SetMulticastInterface(r.link) == nil {
			_, _ = r.four.WriteTo(packet, nil, group4())
		}
		return
	}
	if r.six.SetMulticastInterface(r.link) == nil {
		_, _ = r.six.WriteTo(packet, nil, group6())
	}
}
