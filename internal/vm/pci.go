package vm

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// place is where a device sits on PCI, by the numbers Linux gives (domain 0). A bus below zero is the one behind the hotplug slot of that
// number, whatever its own number will be.
type place struct{ bus, device, function int }

// readPlace reads "0000:00:1f.6", as Linux and udev's ID_PATH spell it: hexadecimal.
func readPlace(text string) (place, bool) {
	m := regexp.MustCompile(`^0000:([0-9a-f]{2}):([01][0-9a-f])\.([0-7])$`).FindStringSubmatch(text)
	if m == nil {
		return place{}, false
	}
	return place{hexadecimal(m[1]), hexadecimal(m[2]), hexadecimal(m[3])}, true
}

// hexadecimal reads digits that a pattern has let through.
func hexadecimal(digits string) int {
	n, err := strconv.ParseUint(digits, 16, 16)
	if err != nil {
		return 0
	}
	return int(n)
}

func (p place) String() string { return fmt.Sprintf("0000:%02x:%02x.%x", p.bus, p.device, p.function) }

// address is the place on its bus as QEMU wants it.
func (p place) address() string { return fmt.Sprintf("%x.%x", p.device, p.function) }

// Devices of bus 0 that a q35 board with a screen has by itself: the host bridge, the screen (QEMU puts -vga std first), and the south
// bridge with ISA, SMBus and, if there are SATA disks, AHCI.
const (
	hostBridge  = 0x00
	screen      = 0x01
	southBridge = 0x1f
)

// free tells whether a definition can have something there.
func (p place) free() bool {
	if p.bus != 0 {
		return p.bus > 0 && p.bus <= lastBus
	}
	switch p.device {
	case hostBridge, screen:
		return false
	case southBridge:
		return p.function != 0 && p.function != 3
	}
	return true
}

// lastBus leaves room below 256 for buses that only lead to others.
const lastBus = 250

// part is a PCI device that wants a place.
type part struct {
	arguments []string // the driver first, then properties; bus and address come with the place
	want      *place   // nil is anywhere
	slot      int      // number of the hotplug slot it sits in; 0 is none
	many      bool     // tells that its device has several functions
	owner     string   // for errors: "card lan"
	at        string   // where it was put, as properties of QEMU
	onExpress bool     // it is made for PCI Express and works nowhere else
}

// bus is a bus behind a bridge. Bridges get their numbers from the firmware, which counts them in the order of their places.
type bus struct {
	number       int // 0 is any
	slot         int // number of the hotplug slot that the bus is
	conventional bool
	parts        []*part
	id           string
}

// fillLimit is how many bridges without anything behind them are put in to get a bus to its number. More would be slow to start; beyond, a
// second host bridge begins at a number of its own.
const fillLimit = 24

// layOut gives each part its place and returns what has to come before the parts on QEMU's command line.
func layOut(parts []*part) ([]string, error) {
	b := mainboard{used: map[place]string{}}
	b.used[place{0, hostBridge, 0}] = "the host bridge"
	b.used[place{0, screen, 0}] = "the screen"
	b.used[place{0, southBridge, 0}] = "the south bridge"
	b.used[place{0, southBridge, 3}] = "the south bridge"
	for _, p := range parts {
		b.settle(p)
	}
	b.companions()
	b.bridges()
	for _, p := range parts {
		if p.at == "" {
			b.anywhere(p)
		}
	}
	return b.arguments, errors.Join(b.errs...)
}

type mainboard struct {
	used      map[place]string // by whom
	buses     []*bus
	loners    []*part // what is put in only so that a device has a first function
	arguments []string
	errs      []error
}

func (b *mainboard) refuse(format string, args ...any) {
	b.errs = append(b.errs, fmt.Errorf(format, args...))
}

// settle notes what a part wants.
func (b *mainboard) settle(p *part) {
	if p.want == nil && p.slot == 0 {
		return
	}
	if p.want == nil {
		p.want = &place{bus: -p.slot}
	}
	if by, taken := b.used[*p.want]; taken {
		b.refuse("%s and %s cannot both be at %s", by, p.owner, p.want)
		return
	}
	b.used[*p.want] = p.owner
	if p.want.bus == 0 {
		p.at = "bus=pcie.0,addr=" + p.want.address()
		return
	}
	to := b.bus(p)
	to.parts = append(to.parts, p)
	if p.want.device != 0 {
		to.conventional = true
	}
	if to.conventional && slices.ContainsFunc(to.parts, func(p *part) bool { return p.onExpress }) {
		b.refuse("%s cannot be at %s: what is there is no PCI Express", p.owner, p.want)
	}
}

// bus finds the one with the part's number, or its slot.
func (b *mainboard) bus(p *part) *bus {
	number := max(p.want.bus, 0)
	i := slices.IndexFunc(b.buses, func(x *bus) bool {
		return number != 0 && x.number == number || p.slot != 0 && x.slot == p.slot
	})
	if i < 0 {
		i = len(b.buses)
		b.buses = append(b.buses, &bus{})
	}
	to := b.buses[i]
	if to.number != 0 && number != 0 && to.number != number || to.slot != 0 && p.slot != 0 && to.slot != p.slot {
		b.refuse("%s cannot be in slot %d and at %s: others are there", p.owner, p.slot, p.want)
	}
	to.number, to.slot = max(to.number, number), max(to.slot, p.slot)
	return to
}

// companions puts something at function 0 where only others are wanted: without it nobody looks for them. A source of randomness does no
// harm and needs no name.
func (b *mainboard) companions() {
	for _, at := range slices.SortedFunc(maps.Keys(b.used), place.compare) {
		first := place{at.bus, at.device, 0}
		if b.used[first] != "" {
			continue
		}
		b.used[first] = "a companion of " + b.used[at]
		p := &part{arguments: []string{"virtio-rng-pci"}, want: &first, many: true}
		b.loners = append(b.loners, p)
		if at.bus == 0 {
			p.at = "bus=pcie.0,addr=" + first.address()
			continue
		}
		for _, x := range b.buses {
			if at.bus > 0 && x.number == at.bus || at.bus < 0 && x.slot == -at.bus {
				x.parts = append(x.parts, p)
			}
		}
	}
}

func (p place) compare(q place) int {
	return (p.bus<<8 | p.device<<3 | p.function) - (q.bus<<8 | q.device<<3 | q.function)
}

// bridges puts in a bridge for each bus, in the order of their numbers, those with any number last on the first host bridge.
func (b *mainboard) bridges() {
	numbered := slices.DeleteFunc(slices.Clone(b.buses), func(x *bus) bool { return x.number == 0 })
	slices.SortFunc(numbered, func(x, y *bus) int { return x.number - y.number })
	chains := []chain{{root: "pcie.0"}}
	for _, x := range numbered {
		last := &chains[len(chains)-1]
		if x.number-last.end() > fillLimit {
			chains = append(chains, chain{root: "host" + strconv.Itoa(x.number), first: x.number - 1})
			last = &chains[len(chains)-1]
		}
		for last.end()+1 < x.number {
			last.buses = append(last.buses, &bus{})
		}
		last.buses = append(last.buses, x)
	}
	for _, x := range b.buses {
		if x.number == 0 {
			chains[0].buses = append(chains[0].buses, x)
		}
	}
	if len(chains) > 1 && chains[0].end() >= chains[1].first {
		b.refuse("more than %d hotplug slots and PCI buses", chains[1].first)
	}
	for _, c := range chains {
		b.chain(c)
	}
	for _, p := range b.loners {
		b.arguments = append(b.arguments, "-device", p.argument())
	}
}

// chain is the bridges on one host bridge.
type chain struct {
	root  string
	first int // number of the host bridge's own bus
	buses []*bus
}

func (c chain) end() int { return c.first + len(c.buses) }

func (b *mainboard) chain(c chain) {
	if c.first != 0 {
		at := b.vacant(1)
		b.arguments = append(b.arguments, "-device", fmt.Sprintf("pxb-pcie,id=%s,bus=pcie.0,addr=%x,bus_nr=%d", c.root, at[0], c.first))
	}
	at := make([]int, (len(c.buses)+7)/8)
	for i := range at {
		at[i] = i
	}
	if c.first == 0 {
		at = b.vacant(len(at))
	}
	for i, x := range c.buses {
		b.bridge(x, c.first+i+1, fmt.Sprintf("bus=%s,addr=%x.%x", c.root, at[i/8], i%8))
	}
}

// bridge puts in the bridge to a bus. Only buses that are hotplug slots get a slot: udev names a card after its slot wherever it has one.
// A small window for input and output each would use up the 64 KiB there are.
func (b *mainboard) bridge(x *bus, number int, at string) {
	x.id = "bus" + strconv.Itoa(number)
	switch {
	case x.conventional:
		b.arguments = append(b.arguments, "-device", fmt.Sprintf("i82801b11-bridge,id=%s,%s,multifunction=on", x.id, at))
	case x.slot != 0:
		b.arguments = append(b.arguments, "-device",
			fmt.Sprintf("pcie-root-port,id=%s,%s,multifunction=on,chassis=%d,slot=%d,io-reserve=0", x.id, at, number, x.slot))
	default:
		b.arguments = append(b.arguments, "-device",
			fmt.Sprintf("pcie-root-port,id=%s,%s,multifunction=on,chassis=%d,hotplug=off,io-reserve=0", x.id, at, number))
	}
	for _, p := range x.parts {
		p.at = "bus=" + x.id + ",addr=" + p.want.address()
	}
}

// vacant takes devices of bus 0 on which nothing is wanted, in ascending order: from those where boards have bridges, as long as there are.
func (b *mainboard) vacant(n int) []int {
	var found []int
	for _, device := range append(span(0x18, 0x1e), span(0x02, 0x17)...) {
		if len(found) < n && b.unused(device) {
			found = append(found, device)
			b.used[place{0, device, 0}] = "a bridge"
		}
	}
	for len(found) < n {
		b.refuse("more devices than PCI has places for")
		found = append(found, 0)
	}
	slices.Sort(found)
	return found
}

func span(from, to int) []int {
	var all []int
	for i := from; i <= to; i++ {
		all = append(all, i)
	}
	return all
}

func (b *mainboard) unused(device int) bool {
	for function := range 8 {
		if b.used[place{0, device, function}] != "" {
			return false
		}
	}
	return true
}

// anywhere puts a part on the first device of bus 0 that is left. Linux finds devices in this order: what comes first is vda and eth0.
func (b *mainboard) anywhere(p *part) {
	for device := 0x02; device < southBridge; device++ {
		if b.unused(device) {
			b.used[place{0, device, 0}] = p.owner
			p.at = fmt.Sprintf("bus=pcie.0,addr=%x.0", device)
			return
		}
	}
	b.refuse("%s: more devices than PCI has places for", p.owner)
}

// argument is the part as the value of -device.
func (p *part) argument() string {
	words := append(slices.Clone(p.arguments), p.at)
	if p.many {
		words = append(words, "multifunction=on")
	}
	return strings.Join(words, ",")
}
