package vm

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// seat is what the name of a network card says about where it sits (systemd.net-naming-scheme(7), versions 252 to 256).
type seat struct {
	at      *place // enp2s0f1: on PCI
	many    bool   // the name has a function, so that its device has several
	slot    int    // ens3: in a hotplug slot
	onboard int    // eno1: the firmware's number for it
	order   int    // eth2: after eth0 and eth1; -1 is anywhere
}

// The patterns of names that tell a place, without the ports, virtual functions and USB ways that our cards do not have.
const (
	number  = `(0|[1-9][0-9]{0,4})`
	byPlace = `^enp` + number + `s` + number + `(?:f` + number + `)?$`
	bySlot  = `^ens` + number + `(?:f` + number + `)?$`
	byBoard = `^eno` + number + `$`
	byOrder = `^eth` + number + `$`
)

// Limits: of the slot number in a PCI Express port (13 bits), and of the instance in SMBIOS (8 bits).
const (
	lastSlot    = 8191
	lastOnboard = 255
)

// seatOf reads a name; false is one that no card gets by where it sits.
func seatOf(name string) (seat, bool) {
	if m := regexp.MustCompile(byPlace).FindStringSubmatch(name); m != nil {
		p := place{decimal(m[1]), decimal(m[2]), decimal(m[3])}
		return seat{at: &p, many: m[3] != "", order: -1}, p.device < 32 && p.function < 8 && p.free()
	}
	if m := regexp.MustCompile(bySlot).FindStringSubmatch(name); m != nil {
		s := seat{slot: decimal(m[1]), many: m[2] != "", order: -1}
		if s.many {
			s.at = &place{bus: -s.slot, function: decimal(m[2])}
		}
		return s, s.slot > 0 && s.slot <= lastSlot && decimal(m[2]) < 8
	}
	if m := regexp.MustCompile(byBoard).FindStringSubmatch(name); m != nil {
		s := seat{onboard: decimal(m[1]), order: -1}
		return s, s.onboard > 0 && s.onboard <= lastOnboard
	}
	if m := regexp.MustCompile(byOrder).FindStringSubmatch(name); m != nil {
		return seat{order: decimal(m[1])}, true
	}
	return seat{order: -1}, false
}

// decimal reads digits that a pattern has let through; none are 0.
func decimal(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}

// CanName tells whether a card can be placed so that Linux and udev give it this name by themselves: eno1 (the firmware numbers it), ens3
// (its hotplug slot), enp0s25 and enp2s0f1 (its place on PCI), or eth0, which it gets where the system does not rename cards. Other names
// are given by rules (to a card's MAC address, for instance), or belong to other hardware: wlp3s0, enp0s20f0u1 on USB, enp1s0f0np0 with
// ports. [NameRule] helps there.
func CanName(name string) bool {
	_, ok := seatOf(name)
	return ok
}

// CanPlace tells whether a card can sit where udev would call it path in ID_PATH: pci-0000:00:1f.6.
func CanPlace(path string) bool {
	_, ok := cardPlace(path)
	return ok
}

func cardPlace(path string) (place, bool) {
	p, ok := readPlace(strings.TrimPrefix(path, "pci-"))
	return p, ok && strings.HasPrefix(path, "pci-") && p.free()
}

// NameRule is the udev rule that gives the card with this MAC address (lower case, with colons) a name that [CanName] says no card gets by
// itself. It has to be in every system of the machine.
func NameRule(mac, name string) string {
	return fmt.Sprintf("ACTION==\"add\", SUBSYSTEM==\"net\", ATTR{address}==%q, NAME=%q\n", mac, name)
}
