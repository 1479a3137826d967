package discovery

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pion/mdns/v2"
	"golang.org/x/net/dns/dnsmessage"

	"nixos-staged-hive/internal/testbed/need"
)

// The roles of this test binary in network namespaces of their own, where nothing of the machine's network is touched.
const roleKey = "STAGED_HIVE_TEST_DISCOVERY"

func TestMain(m *testing.M) {
	if os.Getenv(roleKey) == "announce" {
		announceFromStdin()
		return
	}
	os.Exit(m.Run())
}

// announceFromStdin is a medium: each line is what it has become, and the end of the input its end.
func announceFromStdin() {
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	var medium Medium
	lines := bufio.NewScanner(os.Stdin)
	next := func() bool {
		if !lines.Scan() {
			return false
		}
		var m Medium
		if json.Unmarshal(lines.Bytes(), &m) != nil {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		medium = m
		return true
	}
	next()
	go func() {
		for next() {
		}
		cancel()
	}()
	err := Announce(ctx, func() Medium {
		mu.Lock()
		defer mu.Unlock()
		return medium
	})
	if err != nil {
		panic(err)
	}
}

// inNetwork runs the test again in a network namespace of its own, and reports whether it is that run.
func inNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv(roleKey) == "find" {
		return true
	}
	need.Root(t)
	need.Program(t, "ip")
	need.Program(t, "nsenter")
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), roleKey+"=find")
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if out, err := again.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}

// cabled is a medium at the other end of a cable.
type cabled struct {
	t     *testing.T
	pid   string
	input io.WriteCloser
	ended chan error
	port  string // our end
}

// plug starts a medium and a cable to it. Neither end has an address yet but the link-local one of IPv6.
func plug(t *testing.T, port string, m Medium) *cabled {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleKey+"=announce")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &cabled{t: t, pid: strconv.Itoa(cmd.Process.Pid), input: input, ended: make(chan error, 1), port: port}
	go func() { c.ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = input.Close() })
	c.become(m)
	c.ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", c.pid)
	c.ip("link", "set", port, "up")
	c.there("link", "set", "eth0", "up")
	return c
}

func (c *cabled) become(m Medium) {
	c.t.Helper()
	line, err := json.Marshal(m)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.input.Write(append(line, '\n')); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cabled) ip(arguments ...string) {
	c.t.Helper()
	if out, err := exec.CommandContext(c.t.Context(), "ip", arguments...).CombinedOutput(); err != nil {
		c.t.Fatalf("ip %s: %v: %s", strings.Join(arguments, " "), err, out)
	}
}

// there runs ip at the medium's end.
func (c *cabled) there(arguments ...string) {
	c.t.Helper()
	arguments = append([]string{"-t", c.pid, "-n", "ip"}, arguments...)
	if out, err := exec.CommandContext(c.t.Context(), "nsenter", arguments...).CombinedOutput(); err != nil {
		c.t.Fatalf("nsenter %s: %v: %s", strings.Join(arguments, " "), err, out)
	}
}

// until looks for media until they are as wanted, for a minute at most.
func until(t *testing.T, wanted func([]Medium) bool) []Medium {
	t.Helper()
	var last []Medium
	for range 70 {
		var err error
		if last, err = Find(t.Context(), 900*time.Millisecond); wanted(last) {
			return last
		}
		if err != nil { // no link: that took no time
			time.Sleep(500 * time.Millisecond)
		}
	}
	t.Fatalf("never found as wanted; the last time: %+v", last)
	return nil
}

func kinds(m Medium) (four, six, local int) {
	for _, a := range m.Addresses {
		switch {
		case a.Is4():
			four++
		case a.IsLinkLocalUnicast():
			local++
		default:
			six++
		}
	}
	return four, six, local
}

func TestMediaAreFoundWithAllTheirAddressesAsTheseComeAndGo(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	medium := Medium{Name: "web1-setup", Hosts: []string{"web1"}, Fingerprint: "SHA256:abc", Version: "1.2", State: "waiting", Port: 22}
	c := plug(t, "a0", medium)

	found := until(t, func(all []Medium) bool { return len(all) == 1 && len(all[0].Addresses) == 1 })
	if a := found[0].Addresses[0]; !a.IsLinkLocalUnicast() || a.Zone() != "a0" {
		t.Errorf("without an address of its network it is at %v, not at a link-local one of our link", a)
	}
	if diff := cmp.Diff(medium, found[0], cmpopts.IgnoreFields(Medium{}, "Addresses")); diff != "" {
		t.Error(diff)
	}

	// DHCP arrives
	c.ip("addr", "add", "10.1.0.1/24", "dev", "a0")
	c.ip("addr", "add", "fd00::1/64", "dev", "a0", "nodad")
	c.there("addr", "add", "10.1.0.7/24", "dev", "eth0")
	c.there("addr", "add", "10.1.0.8/24", "dev", "eth0")
	c.there("addr", "add", "fd00::7/64", "dev", "eth0", "nodad")
	found = until(t, func(all []Medium) bool { return len(all) == 1 && len(all[0].Addresses) == 4 })
	want := []netip.Addr{netip.MustParseAddr("10.1.0.7"), netip.MustParseAddr("10.1.0.8"), netip.MustParseAddr("fd00::7")}
	if got := found[0].Addresses[:3]; !slices.Equal(got, want) {
		t.Errorf("found at %v, want %v first", got, want)
	}

	// another lease, and work
	c.there("addr", "flush", "dev", "eth0", "scope", "global")
	c.there("addr", "add", "10.1.0.9/24", "dev", "eth0")
	medium.State = "installing 40%"
	c.become(medium)
	until(t, func(all []Medium) bool {
		return len(all) == 1 && all[0].State == "installing 40%" && !slices.Contains(all[0].Addresses, want[0])
	})

	// the cable
	c.there("link", "set", "eth0", "down")
	until(t, func(all []Medium) bool { return len(all) == 0 })
	c.there("link", "set", "eth0", "up")
	until(t, func(all []Medium) bool { return len(all) == 1 && all[0].Addresses[0].Is4() })
}

func TestSeveralMediaAreFoundOverSeveralLinks(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	many := make([]string, 60)
	for i := range many {
		many[i] = "host-number-" + strconv.Itoa(i)
	}
	plug(t, "a0", Medium{Name: "web1-setup", Hosts: []string{"web1"}, Port: 22})
	plug(t, "a1", Medium{Name: "all-setup", Hosts: many, Port: 2222})
	found := until(t, func(all []Medium) bool { return len(all) == 2 })
	if diff := cmp.Diff(many, found[0].Hosts); diff != "" || found[0].Port != 2222 {
		t.Error(found[0].Port, diff)
	}
	for i, zone := range []string{"a1", "a0"} {
		if _, _, local := kinds(found[i]); local != 1 || found[i].Addresses[0].Zone() != zone {
			t.Errorf("%s is at %v, want one address on %s", found[i].Name, found[i].Addresses, zone)
		}
	}
}

// What browses all the time (avahi, systemd-resolved) hears it at once, without asking.
func TestAMediumSaysWhenItComesAndGoodbyeWhenItGoes(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	c := plug(t, "a0", Medium{Name: "web1-setup", Port: 22})
	c.ip("addr", "add", "10.1.0.1/24", "dev", "a0")
	c.there("addr", "add", "10.1.0.7/24", "dev", "eth0")
	heard := listen(t, "a0")
	until4 := func(what string, wanted func(dnsmessage.Resource) bool) {
		t.Helper()
		for r := range heard {
			if wanted(r) {
				return
			}
		}
		t.Fatalf("never heard: %s", what)
	}
	until4("an announcement", func(r dnsmessage.Resource) bool { return r.Header.Type == dnsmessage.TypePTR && r.Header.TTL > 0 })
	_ = c.input.Close()
	until4("goodbye", func(r dnsmessage.Resource) bool { return r.Header.Type == dnsmessage.TypePTR && r.Header.TTL == 0 })
	if err := <-c.ended; err != nil {
		t.Error(err)
	}
}

// listen gives the answers that are multicast over IPv4 on a link.
func listen(t *testing.T, link string) <-chan dnsmessage.Resource {
	t.Helper()
	there, err := places()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := listen4()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	for _, p := range there {
		if p.name != link || !p.addr.Is4() {
			continue
		}
		if err := conn.JoinGroup(mustLink(t, p.index), group4()); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	heard := make(chan dnsmessage.Resource)
	go func() {
		defer close(heard)
		packet := make([]byte, 9000)
		for {
			n, _, _, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(packet[:n]) != nil {
				continue
			}
			for _, r := range m.Answers {
				select {
				case heard <- r:
				case <-t.Context().Done():
					return
				}
			}
		}
	}()
	return heard
}

func TestAMediumWithoutANetworkIsNotFoundButSaysWhy(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	if _, err := Find(t.Context(), time.Millisecond); err == nil || !strings.Contains(err.Error(), "no network interface is up") {
		t.Errorf("got %v", err)
	}
}

func TestWhatCannotBeAnnouncedIsRefused(t *testing.T) {
	for name, m := range map[string]Medium{
		"no name": {Port: 22}, "a domain": {Name: "web1.lan", Port: 22}, "long": {Name: strings.Repeat("a", 64), Port: 22},
		"no port": {Name: "a"}, "port": {Name: "a", Port: 65536},
	} {
		if err := Announce(t.Context(), func() Medium { return m }); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestTextStaysWithinItsBoundsAndComesBack(t *testing.T) {
	hosts := make([]string, 500)
	for i := range hosts {
		hosts[i] = "name-" + strconv.Itoa(i)
	}
	m := Medium{Name: "m", Port: 22, Hosts: append([]string{"", "a,b", strings.Repeat("x", 300)}, hosts...), State: strings.Repeat("ä", 200)}
	service, err := m.service()
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, e := range service.Text {
		if n := len(e.Key) + 1 + len(e.Value); n > 255 {
			t.Errorf("%s has %d bytes", e.Key, n)
		}
		total += len(e.Key) + len(e.Value) + 2
	}
	if total > 1350 {
		t.Errorf("the record has %d bytes: with the others it does not fit into a packet", total)
	}
	back := mediumOf(service)
	if len(back.Hosts) < 90 || !slices.Equal(back.Hosts, hosts[:len(back.Hosts)]) {
		t.Errorf("%d hosts came back: %v", len(back.Hosts), back.Hosts)
	}
	if want := strings.Repeat("ä", 100); back.State != want {
		t.Errorf("state %q", back.State)
	}
}

func TestOnlyMediaAndSoundAddressesAreTaken(t *testing.T) {
	f := &finder{media: map[string]*Medium{}}
	say := func(service, addr string) {
		f.add(mdns.ServiceEvent{
			Instance: mdns.ServiceInstance{Instance: "m", Service: service, Port: 22}, Addr: netip.MustParseAddr(addr),
		}, "eth0")
	}
	say("_http._tcp", "10.0.0.1")
	if got := f.sorted(); len(got) != 0 {
		t.Errorf("another service was taken: %v", got)
	}
	for _, addr := range []string{"fe80::1%eth1", "127.0.0.1", "224.0.0.1", "0.0.0.0", "fe80::1%eth0", "169.254.1.1", "fd00::1", "10.0.0.1", "::ffff:10.0.0.1"} {
		say(Service, addr)
	}
	want := []string{"10.0.0.1", "fd00::1", "169.254.1.1", "fe80::1%eth0"}
	var got []string
	for _, a := range f.sorted()[0].Addresses {
		got = append(got, a.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func FuzzWhatIsAnnouncedCannotHarm(f *testing.F) {
	f.Add("hosts0", "a,b")
	f.Add("state", "\x1b[2J")
	f.Fuzz(func(t *testing.T, key, value string) {
		m := mediumOf(mdns.ServiceInstance{Instance: "m", Text: []mdns.TXTEntry{{Key: key, Value: []byte(value)}}})
		for _, h := range m.Hosts {
			if h == "" || strings.Contains(h, ",") {
				t.Errorf("host %q", h)
			}
		}
	})
}

func mustLink(t *testing.T, index int) *net.Interface {
	t.Helper()
	link, err := net.InterfaceByIndex(index)
	if err != nil {
		t.Fatal(err)
	}
	return link
}
