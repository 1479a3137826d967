package vm

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// deviceArguments gives QEMU's arguments for the machine's hardware, from -nodefaults on: board, firmware, disks, cards, medium, USB and
// the order they are booted in. Left to the caller are how it runs (-accel, -cpu, -smp, -m, -kernel), its screen (-vga std) and what it is
// connected to besides disks and cables (-serial, -qmp, -display).
//
// BIOS boots the medium if one is in, then the disks in the order of m; SeaBIOS tries no disk but the first,
// and a memory card, which QEMU cannot give an order, only where nothing has one. UEFI firmware boots the medium
// if one is in, then what its variables say, then what it finds.
func deviceArguments(m Machine, files machineFiles, host Host) ([]string, error) {
	h := hardware{machine: m, files: files}
	h.board(host)
	h.usb()
	h.disks()
	h.cards()
	h.medium()
	bridges, err := layOut(h.parts)
	if err := errors.Join(append(h.errs, err)...); err != nil {
		return nil, fmt.Errorf("hardware of %s: %w", m.Name, err)
	}
	arguments := slices.Concat(h.arguments, bridges)
	for _, p := range h.parts {
		arguments = append(arguments, "-device", p.argument())
	}
	return append(arguments, h.behind...), nil
}

// hardware gathers what a machine consists of.
type hardware struct {
	machine     Machine
	files       machineFiles
	arguments   []string // that need nothing before them
	parts       []*part  // PCI devices
	behind      []string // arguments for what is attached to these
	controllers []*controller
	errs        []error
}

func (h *hardware) refuse(format string, args ...any) {
	h.errs = append(h.errs, fmt.Errorf(format, args...))
}

func (h *hardware) add(words ...string) { h.arguments = append(h.arguments, words...) }

// device makes the value of -device or -blockdev from the driver and properties in pairs; those without a value are left to QEMU.
func device(driver string, properties ...string) []string {
	words := []string{driver}
	for i := 0; i+1 < len(properties); i += 2 {
		if properties[i+1] != "" {
			words = append(words, properties[i]+"="+comma(properties[i+1]))
		}
	}
	return words
}

// board is Intel's Q35 with a south bridge whose hotplug is left to the bridges themselves: only so has a bridge's slot the number it is
// given (with ACPI in between QEMU 6.1 and newer count slots themselves).
func (h *hardware) board(host Host) {
	machine := "q35,smm=off,sata=off,vmport=off"
	h.add("-nodefaults", "-no-user-config")
	if h.machine.Firmware == UEFI {
		code := host.OVMF
		h.add("-blockdev", "node-name=firmware,read-only=on,driver="+cmp.Or(code.CodeFormat, "raw")+",file.driver=file,file.filename="+comma(code.Code))
		h.add("-blockdev", "node-name="+nvramNode+",driver=qcow2,file.driver=file,file.filename="+comma(h.files.nvram))
		// Firmware that has no disk to boot from would wait for a network that has nothing for it.
		h.add("-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n", "-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n")
		machine += ",pflash0=firmware,pflash1=" + nvramNode
	}
	h.add("-machine", machine, "-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off")
}

// Ports of the USB controller, each for every speed. The medium has the last one, so that disks are counted from the first.
const (
	usbPorts   = 15
	mediumPort = usbPorts
)

// usb is always there, and where boards have it unless something else is wanted there: a medium that is in or not must not move other
// devices. It is the first controller for USB, and with that the machine's own.
func (h *hardware) usb() {
	at := place{0, 0x14, 0}
	if h.wants(at) {
		h.controller(USB, nil, 0)
		return
	}
	h.controller(USB, &at, 0)
}

// wants tells whether something else than USB is to be on the device of bus 0 that p is.
func (h *hardware) wants(p place) bool {
	there := func(q place) bool { return q.bus == p.bus && q.device == p.device }
	for _, d := range h.machine.Disks {
		if s, ok := readPath(d.Path); ok && s.bus != USB && there(s.at) {
			return true
		}
	}
	for _, c := range h.machine.Cards {
		if q, ok := cardPlace(c.Path); ok && there(q) {
			return true
		}
		if s, ok := seatOf(c.Interface); ok && s.at != nil && there(*s.at) {
			return true
		}
	}
	return false
}

// controller is a PCI device that disks are attached to.
type controller struct {
	bus   Bus
	at    *place // nil is anywhere
	nth   int    // of those anywhere
	id    string
	ports map[int]string // what is on them
}

// controller finds the one of this kind at this place, or puts it in. Anywhere is any that the machine has got as its nth own.
func (h *hardware) controller(b Bus, at *place, nth int) *controller {
	for _, c := range h.controllers {
		if c.bus == b && c.nth == nth && (at == nil || c.at != nil && *c.at == *at) {
			return c
		}
	}
	c := &controller{bus: b, at: at, nth: nth, id: fmt.Sprintf("%s%d", b, len(h.controllers)), ports: map[int]string{}}
	h.controllers = append(h.controllers, c)
	driver := map[Bus][]string{
		SATA: device("ich9-ahci", "id", c.id),
		SCSI: device("virtio-scsi-pci", "id", c.id),
		USB:  device("qemu-xhci", "id", c.id, "p2", strconv.Itoa(usbPorts), "p3", strconv.Itoa(usbPorts)),
	}[b]
	h.parts = append(h.parts, &part{arguments: driver, want: at, owner: "the controller for " + string(b)})
	return c
}

// cards in the order of their names eth0, eth1; others after them.
func (h *hardware) cards() {
	cards := slices.Clone(h.machine.Cards)
	order := func(c Card) int {
		if s, ok := seatOf(c.Interface); ok && s.order >= 0 {
			return s.order
		}
		return 1 << 20
	}
	slices.SortStableFunc(cards, func(a, b Card) int { return cmp.Compare(order(a), order(b)) })
	for _, c := range cards {
		h.card(c)
	}
}

func (h *hardware) card(c Card) {
	p := &part{owner: "card " + c.Name}
	if c.Interface != "" {
		s, ok := seatOf(c.Interface)
		if !ok {
			h.refuse("card %s: none gets the name %s by where it sits", c.Name, c.Interface)
		}
		p.want, p.slot, p.many = s.at, s.slot, s.many
		h.onboard(c, s, p)
	}
	h.cardAt(c, p)
	p.arguments = device(cardDriver(p.want), "id", cardDevice(c.Name), "mac", cmp.Or(c.MAC, madeMAC(h.machine.Name, c.Name)))
	p.arguments = append(p.arguments, "romfile=") // without it nothing boots from the network
	if socket := h.files.plugs[c.Name]; socket != "" {
		h.add("-netdev", "stream,id="+cardNetdev(c.Name)+",server=off,addr.type=unix,addr.path="+comma(socket))
		p.arguments = append(p.arguments, "netdev="+cardNetdev(c.Name))
	}
	h.parts = append(h.parts, p)
}

// cardAt adds what the card's path wants to what its name wants.
func (h *hardware) cardAt(c Card, p *part) {
	if c.Path == "" {
		return
	}
	at, ok := cardPlace(c.Path)
	if !ok {
		h.refuse("card %s: no card can be at %s", c.Name, c.Path)
		return
	}
	if p.want != nil && p.want.bus >= 0 && *p.want != at || p.want != nil && p.want.function != at.function {
		h.refuse("card %s: what is called %s is not at %s", c.Name, c.Interface, c.Path)
	}
	p.want = &at
}

// onboard has the firmware number the card, in its SMBIOS tables (type 41). QEMU can only tell it of cards on bus 0.
func (h *hardware) onboard(c Card, s seat, p *part) {
	if s.onboard == 0 {
		return
	}
	if at, ok := cardPlace(c.Path); ok && at.bus != 0 {
		h.refuse("card %s: %s cannot be at %s", c.Name, c.Interface, c.Path)
	}
	h.behind = append(h.behind, "-smbios", fmt.Sprintf("type=41,designation=%s,instance=%d,kind=ethernet,pcidev=%s",
		comma(p.owner), s.onboard, cardDevice(c.Name)))
}

// cardDriver is QEMU's model: virtio, but where the network of Intel's boards is, the one that is there.
func cardDriver(at *place) string {
	if at != nil && (*at == place{0, southBridge, 6} || *at == place{0, 0x19, 0}) {
		return "e1000e"
	}
	return "virtio-net-pci"
}

// madeMAC makes an address that stays the same. The second digit says that nobody sold it.
func madeMAC(machine, card string) string {
	sum := sha256.Sum256([]byte(machine + "\x00" + card))
	return fmt.Sprintf("52:54:00:%02x:%02x:%02x", sum[0], sum[1], sum[2])
}

// medium is a stick, because that is what real ones are.
func (h *hardware) medium() {
	if h.files.medium == "" {
		return
	}
	h.add("-blockdev", "node-name="+mediumNode+",driver=raw,read-only=on,file.driver=file,file.filename="+comma(h.files.medium))
	order := ""
	if !h.files.diskFirst {
		order = "1"
	} else if h.machine.Firmware == BIOS {
		order = strconv.Itoa(len(h.machine.Disks) + 2)
	}
	c := h.controller(USB, nil, 0)
	h.attach(device("usb-storage", "id", mediumDevice, "bus", c.id+".0", "port", strconv.Itoa(mediumPort), "drive", mediumNode,
		"removable", "on", "bootindex", order))
}

func (h *hardware) attach(words []string) {
	h.behind = append(h.behind, "-device", strings.Join(words, ","))
}

// disks with a path take their ports first. Then come the others, on each bus in the order in which Linux shall find them.
func (h *hardware) disks() {
	rows := map[Bus][]Disk{}
	for _, d := range h.machine.Disks {
		if d.Path != "" {
			h.disk(d, 0, 0)
			continue
		}
		rows[d.Bus] = append(rows[d.Bus], d)
	}
	for _, b := range slices.Sorted(maps.Keys(rows)) {
		row := inOrder(rows[b])
		for i, d := range row {
			if n, ok := rank(d); ok && n != i {
				h.refuse("disk %s: it cannot be %s: there are too few disks before it, or another has that name", d.Name, d.Device)
			}
			h.disk(d, i, len(row))
		}
	}
}

// bootOrder is when the disk is tried: after a kernel that QEMU starts itself, which is 0, and the medium, 1. UEFI firmware has variables for
// that, and QEMU would overwrite them.
func (h *hardware) bootOrder(d Disk) string {
	if h.machine.Firmware == UEFI {
		return ""
	}
	return strconv.Itoa(slices.IndexFunc(h.machine.Disks, func(x Disk) bool { return x.Name == d.Name }) + 2)
}

// disk adds the image, and the device on its bus. What the guest has written and flushed must survive QEMU's end, not this computer's: it is
// handed to the kernel here (no-flush), which is many times faster than waiting for its disk.
//
// index is its place in the row of count disks on its bus that have no path.
func (h *hardware) disk(d Disk, index, count int) {
	h.add("-blockdev", "node-name="+diskNode(d.Name)+",driver=qcow2,discard=unmap,detect-zeroes=unmap,cache.no-flush=on,"+
		"file.driver=file,file.cache.no-flush=on,file.discard=unmap,file.filename="+comma(h.files.disks[d.Name]))
	if err := d.fits(); err != nil {
		h.refuse("disk %s: %w", d.Name, err)
		return
	}
	var at *place
	s, ok := readPath(d.Path)
	if ok {
		at = &s.at
	}
	if d.Path != "" && (!ok || s.bus != d.Bus) {
		h.refuse("disk %s: no %s disk can be at %s", d.Name, d.Bus, d.Path)
		return
	}
	switch d.Bus {
	case Virtio, NVMe, MMC:
		h.alone(d, at)
	case SATA:
		h.onSATA(d, s, index, count)
	case SCSI:
		h.onSCSI(d, at, s.port)
	case USB:
		h.onUSB(d, at, s.port)
	default:
		h.refuse("disk %s: there is no bus %q", d.Name, d.Bus)
	}
}

// alone is for disks that have a PCI device of their own.
func (h *hardware) alone(d Disk, at *place) {
	id, node, order := diskDevice(d.Name), diskNode(d.Name), h.bootOrder(d)
	p := &part{want: at, owner: "disk " + d.Name, onExpress: d.Bus == NVMe}
	switch d.Bus {
	case Virtio:
		p.arguments = device("virtio-blk-pci", "id", id, "drive", node, "serial", d.Serial, "bootindex", order)
	case NVMe:
		p.arguments = device("nvme", "id", "nvme-"+d.Name, "serial", cmp.Or(d.Serial, d.Name))
		// Without a UUID of zeros QEMU would make up another one at each start, and udev a link of it.
		h.attach(device("nvme-ns", "id", id, "bus", "nvme-"+d.Name, "drive", node, "bootindex", order,
			"uuid", "00000000-0000-0000-0000-000000000000"))
	case MMC:
		p.arguments = device("sdhci-pci", "id", "mmc-"+d.Name)
		h.attach(device("sd-card", "id", id, "bus", "pcie.0/mmc-"+d.Name+"/sd-bus", "drive", node))
	}
	h.parts = append(h.parts, p)
}

func hexNumber(digits string) string {
	if digits == "" {
		return ""
	}
	return "0x" + digits
}

// sataPorts is how many disks an AHCI controller of QEMU takes.
const sataPorts = 6

// onSATA: one controller sits where the board has it. Several have to be found in the order of their disks, the one on the board last.
func (h *hardware) onSATA(d Disk, s spot, index, count int) {
	at := &s.at
	if d.Path == "" {
		at = &place{0, southBridge, 2}
	}
	if count > sataPorts {
		at = nil
	}
	c := h.controller(SATA, at, index/sataPorts)
	port, ok := h.occupy(c, d, s.port, sataPorts)
	if !ok {
		return
	}
	h.attach(device("ide-hd", "id", diskDevice(d.Name), "bus", fmt.Sprintf("%s.%d", c.id, port-1), "drive", diskNode(d.Name),
		"model", d.Model, "serial", d.Serial, "wwn", hexNumber(d.WWN), "bootindex", h.bootOrder(d)))
}

func (h *hardware) onSCSI(d Disk, at *place, port int) {
	c := h.controller(SCSI, at, 0)
	port, ok := h.occupy(c, d, port, 256)
	if !ok {
		return
	}
	h.attach(device("scsi-hd", "id", diskDevice(d.Name), "bus", c.id+".0", "scsi-id", strconv.Itoa(port-1), "drive", diskNode(d.Name),
		"vendor", d.Vendor, "product", d.Model, "serial", d.Serial, "device_id", d.Serial, "wwn", hexNumber(d.WWN),
		"bootindex", h.bootOrder(d)))
}

// onUSB: the disk behind the USB device is one of its own, because that is what says vendor and product.
func (h *hardware) onUSB(d Disk, at *place, port int) {
	c := h.controller(USB, at, 0)
	port, ok := h.occupy(c, d, port, mediumPort-1)
	if !ok {
		return
	}
	bridge := "usb-" + d.Name
	h.attach(device("usb-bot", "id", bridge, "bus", c.id+".0", "port", strconv.Itoa(port), "serial", d.Serial))
	h.attach(device("scsi-hd", "id", diskDevice(d.Name), "bus", bridge+".0", "drive", diskNode(d.Name),
		"vendor", d.Vendor, "product", d.Model, "bootindex", h.bootOrder(d)))
}

// occupy takes the port for the disk, or the first that is left if it is 0.
func (h *hardware) occupy(c *controller, d Disk, port, limit int) (taken int, ok bool) {
	if port == 0 {
		for port = 1; c.ports[port] != ""; port++ {
		}
	}
	if port > limit {
		h.refuse("disk %s: its bus %s has %d ports", d.Name, d.Bus, limit)
		return 0, false
	}
	if other := c.ports[port]; other != "" {
		h.refuse("disks %s and %s cannot be on the same port", other, d.Name)
		return 0, false
	}
	c.ports[port] = d.Name
	return port, true
}

// fits tells what the disk asks for that its bus does not have.
func (d Disk) fits() error {
	if d.Bus == MMC && bits.OnesCount64(uint64(d.SizeBytes)) != 1 {
		return fmt.Errorf("memory cards have sizes that are powers of two, not %d bytes", d.SizeBytes)
	}
	return nil
}
