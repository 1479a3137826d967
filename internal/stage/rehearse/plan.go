package rehearse

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/vm"
)

// Plan is what a rehearsal would run: one guest for each host, and the networks between them.
type Plan struct {
	Guests   []Guest
	Networks []vm.Network
}

// Guest is a host as it is rehearsed.
type Guest struct {
	Host    hive.Host
	Machine vm.Machine
	// Differences from the real machine, each a sentence for the user.
	Differences []string

	needs needs
	reach address
}

// needs are what the systems of a guest have to have in addition, see nix/stages/rehearsal.nix.
type needs struct {
	UdevRules        string   `json:"udevRules"`
	FirstModules     []string `json:"firstModules"`     // kernel modules that the initrd loads before it looks for hardware
	MediumParameters []string `json:"mediumParameters"` // kernel parameters of the medium
	AsksAtScreen     bool     `json:"asksAtScreen"`     // it asks for a passphrase where a keyboard is
}

// memoryMiB is what one machine has: the medium holds what it changes in memory, and installs from a compressed store.
const memoryMiB = 2048

// Plan says what would be rehearsed on which machines. Everything that stands against it is told at once.
func (r Rehearsal) Plan() (Plan, error) {
	var plan Plan
	var problems []error
	if cmpOrHive(r.Until).before(r.From) {
		problems = append(problems, fmt.Errorf("a rehearsal that starts from %s cannot stop after %s", r.From, r.Until))
	}
	networks, reach, wrong := networks(r.Hosts, r.Online)
	plan.Networks = networks
	problems = append(problems, wrong...)
	for _, h := range r.Hosts {
		problems = append(problems, refusals(h, cmpOrHive(r.Until))...)
		g, err := guestOf(h, reach[h.Name])
		if err != nil {
			problems = append(problems, err)
		}
		plan.Guests = append(plan.Guests, g)
	}
	return plan, errors.Join(problems...)
}

// cmpOrHive is where a rehearsal ends: at the end, if nothing is said.
func cmpOrHive(s Stage) Stage {
	if s == Blank {
		return Hive
	}
	return s
}

// refusals are the reasons why a host cannot be rehearsed, however its machine looks.
func refusals(h hive.Host, until Stage) []error {
	var all []error
	refuse := func(format string, args ...any) {
		all = append(all, fmt.Errorf(h.Name+": "+format, args...))
	}
	if h.System != "x86_64-linux" {
		refuse("it is for %s: only x86_64-linux can be rehearsed", h.System)
	}
	if !formats(h) {
		refuse("disko formats none of its disks, so that there is nothing to install on: hive.partitioning.format lays them out")
	}
	if until == Hive && !h.SSH.Enable {
		refuse("its full system has no SSH, so that nobody could look at it: --until mini rehearses the stages before")
	}
	if f := h.Boot.Firmware; f != "bios" && f != "uefi" && f != "both" {
		refuse("its boot loader is for %s: a virtual machine has BIOS or UEFI", strings.Replace(f, "unknown", "an unknown firmware", 1))
	}
	return all
}

func formats(h hive.Host) bool {
	return slices.ContainsFunc(h.Storage.Disks, func(d hive.Disk) bool { return !d.Additional })
}

func keepsDisks(h hive.Host) bool {
	return slices.ContainsFunc(h.Storage.Disks, func(d hive.Disk) bool { return d.Additional })
}

// encrypted reports whether the host asks for a passphrase when it boots.
func encrypted(h hive.Host) bool { return len(h.Storage.LUKS) > 0 }

// guestOf gives a host a machine that looks like the one in its definition.
func guestOf(h hive.Host, reach address) (Guest, error) {
	g := Guest{Host: h, reach: reach}
	g.Machine = vm.Machine{Name: h.Name, Firmware: firmware(h), MemoryMiB: memoryMiB}
	var devices []string
	for _, d := range h.Storage.Disks {
		devices = append(devices, pathOf(d))
	}
	layout, err := vm.DisksFor(devices)
	if err != nil {
		return g, fmt.Errorf("%s: %w", h.Name, err)
	}
	for i, d := range layout.Disks {
		d.SizeBytes = size(h.Storage.Disks[i])
		choose(&d, h.Storage.Disks[i].Selector)
		g.Machine.Disks = append(g.Machine.Disks, d)
	}
	g.Machine.Disks = append(g.Machine.Disks, layout.Fillers...)
	g.bootFirst(devices)
	g.Differences = layout.Differences
	g.needs = needs{
		UdevRules: layout.UdevRules, AsksAtScreen: encrypted(h),
		// lists for Nix, to which null is none
		FirstModules: append([]string{}, layout.FirstModules...), MediumParameters: append([]string{}, layout.KernelParameters...),
	}
	g.cards()
	if encrypted(h) {
		g.Differences = append(g.Differences, "its disks are encrypted with a passphrase of the rehearsal, which is typed for you")
	}
	if h.Setup.Unattended {
		g.Differences = append(g.Differences, "its installation is begun by the rehearsal: by itself it would begin before it has the secrets of the rehearsal")
	}
	return g, nil
}

// bootFirst brings the disks with GRUB's boot sector to the front: the firmware of a virtual machine tries only one. Their names in the guest do
// not depend on this order.
func (g *Guest) bootFirst(devices []string) {
	boots := map[string]bool{}
	for i, device := range devices {
		boots[g.Machine.Disks[i].Name] = slices.Contains(g.Host.Boot.GrubDevices, device)
	}
	slices.SortStableFunc(g.Machine.Disks, func(a, b vm.Disk) int {
		switch {
		case boots[a.Name] == boots[b.Name]:
			return 0
		case boots[a.Name]:
			return -1
		}
		return 1
	})
}

// firmware is UEFI where the host can do both: that is what today's machines start with.
func firmware(h hive.Host) vm.Firmware {
	if h.Boot.Firmware == "bios" {
		return vm.BIOS
	}
	return vm.UEFI
}

// size is large enough for what disko makes of the disk. Images hold only what is written to them, so generosity costs nothing.
func size(d hive.Disk) int64 {
	const gib = 1 << 30
	total := int64(32 * gib)
	for _, p := range d.Partitions {
		total += partitionSize(p.Size)
	}
	return total
}

// partitionSize reads a fixed size as disko (sgdisk) spells it: a number with K, M, G, T or P, powers of 1024. Percentages and what is
// not understood count nothing.
func partitionSize(text string) int64 {
	if text == "" {
		return 0
	}
	shift := map[byte]uint{'K': 10, 'M': 20, 'G': 30, 'T': 40, 'P': 50}[strings.ToUpper(text)[len(text)-1]]
	n, err := strconv.ParseInt(text[:len(text)-1], 10, 32)
	if shift == 0 || err != nil || n < 0 {
		return 0
	}
	return n << shift
}

// cards gives the machine a card for each network card that the definition speaks of.
func (g *Guest) cards() {
	for _, i := range g.Host.Network.Interfaces {
		if i.Parent != "" || i.Kind == "wireless" || (i.Kind != "ethernet" && i.MAC == "") {
			continue
		}
		card := vm.Card{Name: "card" + strconv.Itoa(len(g.Machine.Cards)), MAC: strings.ToLower(i.MAC), Network: g.reach.network}
		if i.Kind == "ethernet" {
			g.place(&card, i)
		}
		g.Machine.Cards = append(g.Machine.Cards, card)
	}
}

// place puts a card where it gets the name of the interface, or has a rule name it.
func (g *Guest) place(card *vm.Card, i hive.Interface) {
	switch {
	case i.Name == "":
		g.placeByPath(card)
	case vm.CanName(i.Name):
		card.Interface = i.Name
	default:
		if card.MAC == "" {
			card.MAC = inventedMAC(g.Host.Name, card.Name)
		}
		g.needs.UdevRules += vm.NameRule(card.MAC, i.Name)
		g.Differences = append(g.Differences, fmt.Sprintf("the card is named %s by a rule: no place in a virtual machine gives it that name", i.Name))
	}
}

// matchPath finds where a unit of systemd-networkd says that its card sits.
var matchPath = regexp.MustCompile(`(?m)^Path=(pci-\S+)$`)

// placeByPath puts a card that is known by neither name nor address where the network units look for one.
func (g *Guest) placeByPath(card *vm.Card) {
	for _, name := range slices.Sorted(maps.Keys(g.Host.Network.Units)) {
		m := matchPath.FindStringSubmatch(g.Host.Network.Units[name])
		taken := m != nil && slices.ContainsFunc(g.Machine.Cards, func(c vm.Card) bool { return c.Path == m[1] })
		if card.MAC == "" && m != nil && !taken && vm.CanPlace(m[1]) {
			card.Path = m[1]
			return
		}
	}
}

// inventedMAC is a locally administered address that is the same in every run.
func inventedMAC(host, card string) string {
	sum := sha256.Sum256([]byte(host + "\x00" + card))
	return fmt.Sprintf("52:54:00:%02x:%02x:%02x", sum[0], sum[1], sum[2])
}

// describe is the machine in one line.
func (g Guest) describe() string {
	var disks []string
	for _, d := range g.Machine.Disks {
		disks = append(disks, string(d.Bus))
	}
	return fmt.Sprintf("%s, %d MiB, disks: %s, network cards: %d", strings.ToUpper(string(g.Machine.Firmware)), g.Machine.MemoryMiB,
		strings.Join(disks, " "), len(g.Machine.Cards))
}
