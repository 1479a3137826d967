package machine

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// Fits tells whether the host's system would start on the machine and be reached there: processor, firmware, Secure Boot, memory, network
// cards. An error is what leaves a machine that does not come back.
func Fits(p hive.Plan, m hive.Machine) []hive.Problem {
	f := fit{p, m}
	return slices.Concat(f.platform(), f.firmware(), f.secureBoot(), f.memory(), f.network())
}

type fit struct {
	plan    hive.Plan
	machine hive.Machine
}

func (f fit) problem(severity hive.Severity, option, rule, message, way string) []hive.Problem {
	return []hive.Problem{{Host: f.plan.Name, Option: option, Severity: severity, Rule: rule, Message: message, Way: way}}
}

// platform allows what the processor can: a 64-bit one of Intel's kind also starts a 32-bit system, though not from 64-bit UEFI.
func (f fit) platform() []hive.Problem {
	want, is := f.plan.Platform, f.machine.Platform
	if want == is || want == "i686-linux" && is == "x86_64-linux" && f.machine.Firmware == "bios" {
		return nil
	}
	return f.problem(hive.Error, "nixpkgs.hostPlatform", "wrong-platform", fmt.Sprintf("the host is built for %s, and the machine is %s", want, is),
		fmt.Sprintf("set nixpkgs.hostPlatform = %s; and write the medium again, or use the right machine", text(is)))
}

func (f fit) firmware() []hive.Problem {
	want, is := f.plan.Boot.Firmware, f.machine.Firmware
	const option = "boot.loader"
	switch {
	case want == is || want == "unknown" || want == "both" && is != "board":
		return nil
	case want == "uefi" && is == "bios":
		return f.problem(hive.Error, option, "wrong-firmware", "the host's boot loader needs UEFI, and this machine was started the BIOS way: it would not start from the disk",
			"start the medium by its entry with UEFI in the firmware's menu (turn CSM or Legacy off), or choose GRUB with a partition of type EF02 for a machine without UEFI")
	case want == "bios" && is == "uefi":
		return f.problem(hive.Error, option, "wrong-firmware", "the host's boot loader is for a BIOS, and this machine was started by UEFI: it may not start from the disk",
			"start the medium by its entry without UEFI in the firmware's menu (CSM or Legacy), or set boot.loader.systemd-boot.enable = true; with a partition of type EF00 at /boot")
	case want == "board" && is == "uefi" && f.plan.Platform != "x86_64-linux":
		return nil // U-Boot itself speaks UEFI, and reads extlinux.conf as well
	}
	return f.problem(hive.Error, option, "wrong-firmware", fmt.Sprintf("the host's boot loader is for %s, and the machine has %s", firmwareName(want), firmwareName(is)),
		"choose the boot loader for what the machine has: systemd-boot for UEFI, GRUB for a BIOS, generic-extlinux-compatible for a board with U-Boot")
}

func firmwareName(firmware string) string {
	switch firmware {
	case "uefi":
		return "UEFI"
	case "bios":
		return "a BIOS"
	case "board":
		return "a boot loader of the board (device tree)"
	case "both":
		return "UEFI and BIOS"
	}
	return firmware
}

// secureBoot refuses loaders that are not signed: those that NixOS itself installs never are.
func (f fit) secureBoot() []hive.Problem {
	if !f.machine.Secure {
		return nil
	}
	if f.plan.Boot.Loader == "custom" {
		return f.problem(hive.Warning, "boot.loader", "secure-boot", "Secure Boot is on: the machine starts only if the host's own boot loader is signed with a key that the firmware knows",
			"enrol the keys first, or turn Secure Boot off in the firmware")
	}
	return f.problem(hive.Error, "boot.loader", "secure-boot", "Secure Boot is on, and the host's boot loader is not signed: the firmware would refuse it",
		"turn Secure Boot off in the firmware's setup")
}

// memory warns of less than what evaluating and activating a full system takes (Nix alone uses several hundred MiB for it).
func (f fit) memory() []hive.Problem {
	const little = 960 << 20 // a machine with 1 GiB tells somewhat less
	if f.machine.Memory >= little {
		return nil
	}
	return f.problem(hive.Warning, "", "little-memory", fmt.Sprintf("the machine has %d MiB of memory: installing and later deployments may run out of it", f.machine.Memory>>20),
		"give it at least 1 GiB, or a swap partition and zramSwap.enable = true;")
}

// network wants each interface of the plan on the machine.
func (f fit) network() []hive.Problem {
	var found []hive.Problem
	for _, i := range f.plan.Interfaces {
		switch {
		case i.MAC != "" && (hardware(i) || i.Parent == ""):
			found = append(found, f.byMAC(i)...)
		case hardware(i) && i.Name != "":
			found = append(found, f.byName(i, i.Name)...)
		case hardware(i):
			found = append(found, f.anyCard(i)...)
		default:
			for _, parent := range strings.Fields(i.Parent) {
				found = append(found, f.byName(i, parent)...)
			}
		}
	}
	return found
}

const macOption = "hive.network.match.mac"

func (f fit) byMAC(i hive.Interface) []hive.Problem {
	for _, c := range f.machine.Cards {
		if sameMAC(c.MAC, i.MAC) {
			return f.cable(i, c)
		}
	}
	if i.Name != "" && hardware(i) && f.has(i.Name) { // stock NixOS sets a MAC address this way
		return f.problem(hive.Warning, macOption, "card-mac", fmt.Sprintf("%s has another MAC address than %s on this machine: %s", i.Name, i.MAC, f.cards()),
			"correct the address, unless the card is to get it")
	}
	severity := hive.Error
	if !hardware(i) {
		severity = hive.Warning // a bridge may have a MAC address of its own
	}
	return f.problem(severity, macOption, "card-missing", fmt.Sprintf("no card of the machine has the MAC address %s: %s", i.MAC, f.cards()), f.wayToCard())
}

func (f fit) byName(i hive.Interface, name string) []hive.Problem {
	for _, c := range f.machine.Cards {
		if matches(name, c.Name) {
			return f.cable(i, c)
		}
	}
	if f.planned(name) || regexp.MustCompile(`^vlan[0-9]+$`).MatchString(name) {
		return nil // made by the system itself
	}
	message := fmt.Sprintf("the machine has no network card %s: %s", name, f.cards())
	if regexp.MustCompile(`^(eth|wlan)[0-9]+$`).MatchString(name) && len(f.machine.Cards) > 0 {
		// the host may name its cards otherwise than the medium does (networking.usePredictableInterfaceNames)
		return f.problem(hive.Warning, "hive.network.interface", "card-missing", message, f.wayToCard())
	}
	if len(i.Addresses) == 0 && f.others(i) {
		return f.problem(hive.Warning, "hive.network.interface", "card-missing", message, f.wayToCard())
	}
	return f.problem(hive.Error, "hive.network.interface", "card-missing", message+": the host would not be reachable", f.wayToCard())
}

// anyCard judges an interface that takes whichever card there is.
func (f fit) anyCard(i hive.Interface) []hive.Problem {
	wired := slices.DeleteFunc(slices.Clone(f.machine.Cards), func(c hive.Card) bool { return c.Wireless })
	switch {
	case len(f.machine.Cards) == 0:
		return f.problem(hive.Error, "hive.network", "card-missing", "the machine has no network card that the medium has a driver for: the host would not be reachable",
			"plug a card in, or find out which driver it needs: lspci -k")
	case len(wired) > 1 && len(i.Addresses) > 0:
		return f.problem(hive.Warning, "hive.network.match", "card-ambiguous",
			fmt.Sprintf("every network card gets %s, and the machine has several: %s", list(i.Addresses), f.cards()), f.wayToCard())
	}
	return nil
}

// cable warns of a card that nothing is plugged into. It may be on purpose: the machine is put to its place later.
func (f fit) cable(i hive.Interface, c hive.Card) []hive.Problem {
	if c.Carrier || c.Wireless || len(i.Addresses) == 0 {
		return nil
	}
	return f.problem(hive.Warning, "hive.network", "no-carrier", fmt.Sprintf("nothing is connected to %s (%s), which is to have %s", c.Name, c.MAC, list(i.Addresses)),
		"plug the cable in, or into the right socket: "+f.cards())
}

func (f fit) has(name string) bool {
	return slices.ContainsFunc(f.machine.Cards, func(c hive.Card) bool { return matches(name, c.Name) })
}

// planned reports whether another interface of the plan makes this one.
func (f fit) planned(name string) bool {
	return slices.ContainsFunc(f.plan.Interfaces, func(i hive.Interface) bool { return i.Name == name && !hardware(i) })
}

// others reports whether the host can be reached another way than by one of its interfaces.
func (f fit) others(i hive.Interface) bool {
	return slices.ContainsFunc(f.plan.Interfaces, func(o hive.Interface) bool {
		return o.Name != i.Name && hardware(o) && (o.Name != "" && f.has(o.Name) ||
			slices.ContainsFunc(f.machine.Cards, func(c hive.Card) bool { return sameMAC(c.MAC, o.MAC) }))
	})
}

// cards are those of the machine, for a person.
func (f fit) cards() string {
	if len(f.machine.Cards) == 0 {
		return "it has none"
	}
	words := make([]string, len(f.machine.Cards))
	for i, c := range f.machine.Cards {
		state := "no cable"
		if c.Carrier {
			state = "connected"
		}
		words[i] = fmt.Sprintf("%s (%s, %s, %s)", c.Name, c.MAC, c.Driver, state)
	}
	return "it has " + list(words)
}

// wayToCard is ready to paste: the card that is connected, if one is.
func (f fit) wayToCard() string {
	c, ok := BestCard(f.machine)
	if !ok {
		return "plug a card in, or find out which driver it needs: lspci -k"
	}
	return cardLine(c)
}

// BestCard is the card that a host of this machine is most likely to use: wired, connected, fast.
func BestCard(m hive.Machine) (best hive.Card, ok bool) {
	worth := func(c hive.Card) int {
		n := min(c.Speed, 1_000_000)
		if c.Carrier {
			n += 4_000_000
		}
		if !c.Wireless {
			n += 2_000_000
		}
		return n
	}
	for _, c := range m.Cards {
		if !ok || worth(c) > worth(best) {
			best, ok = c, true
		}
	}
	return best, ok
}

// matches compares a name with shell patterns as systemd.network(5) has them.
func matches(pattern, name string) bool {
	fits, err := path.Match(pattern, name)
	return err == nil && fits
}
