package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pion/mdns/v2"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// askEvery is how often the question is repeated while Find listens: a packet may be lost, and the network may just have come up.
const askEvery = 500 * time.Millisecond

// Find listens for the given time, or until the context ends, and gives the media that answered, sorted by name, each once with all
// its addresses. None is no error; no interface to ask on is.
func Find(ctx context.Context, timeout time.Duration) ([]Medium, error) {
	found := &finder{media: map[string]*Medium{}}
	conns, err := ask(found)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	if err != nil {
		return nil, fmt.Errorf("look for media: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for _, c := range conns {
		if err := c.Browse(ctx, Service); err != nil {
			return nil, fmt.Errorf("look for media: %w", err)
		}
	}
	<-ctx.Done()
	return found.sorted(), nil
}

// ask opens one conversation for each link. (The library mixes up the zones of several.)
func ask(found *finder) ([]*mdns.Conn, error) {
	there, err := places()
	if err != nil {
		return nil, err
	}
	var conns []*mdns.Conn
	problems := []error{errors.New("no network interface is up and has an address")}
	asked := map[int]bool{}
	for _, p := range there {
		if asked[p.index] {
			continue
		}
		asked[p.index] = true
		conn, err := askOn(p, found)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		conns = append(conns, conn)
	}
	if len(conns) > 0 {
		return conns, nil
	}
	return nil, errors.Join(problems[min(1, len(problems)-1):]...)
}

func askOn(p place, found *finder) (*mdns.Conn, error) {
	link, err := net.InterfaceByIndex(p.index)
	if err != nil {
		return nil, fmt.Errorf("look at interface %s: %w", p.name, err)
	}
	var four *ipv4.PacketConn
	var six *ipv6.PacketConn
	four, err = listen4()
	if err != nil {
		return nil, err
	}
	if six, err = listen6(); err != nil {
		six = nil // IPv6 is off
	}
	conn, err := talk(link, four, six, mdns.WithQueryInterval(askEvery))
	if err != nil {
		return nil, err
	}
	conn.OnServiceDiscovered(func(e mdns.ServiceEvent) { found.add(e, p.name) })
	return conn, nil
}

type finder struct {
	mu    sync.Mutex
	media map[string]*Medium
}

// maxFound bounds what a hostile network can make us remember.
const maxFound = 1000

// add takes an answer that came over a link. The library passes on services of any type that it hears of.
func (f *finder) add(e mdns.ServiceEvent, link string) {
	if !strings.EqualFold(e.Instance.Service, Service) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	told := mediumOf(e.Instance)
	m := f.media[told.Name]
	if m == nil {
		if len(f.media) >= maxFound {
			return
		}
		m = &Medium{}
		f.media[told.Name] = m
	}
	told.Addresses = m.Addresses // what is told last holds, but addresses add up
	*m = told
	addr := e.Addr.Unmap()
	strange := addr.Zone() != "" && addr.Zone() != link // heard of on another link
	if !addr.IsValid() || strange || addr.IsLoopback() || addr.IsMulticast() || addr.IsUnspecified() || len(m.Addresses) >= maxFound {
		return
	}
	if !slices.Contains(m.Addresses, addr) {
		m.Addresses = append(m.Addresses, addr)
	}
}

func (f *finder) sorted() []Medium {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]Medium, 0, len(f.media))
	for _, m := range f.media {
		slices.SortFunc(m.Addresses, func(a, b netip.Addr) int {
			return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Compare(b))
		})
		all = append(all, *m)
	}
	slices.SortFunc(all, func(a, b Medium) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// rank puts first what is most easily typed and routed.
func rank(a netip.Addr) int {
	switch {
	case a.Is4() && !a.IsLinkLocalUnicast():
		return 0
	case !a.IsLinkLocalUnicast():
		return 1
	case a.Is4():
		return 2
	}
	return 3
}
