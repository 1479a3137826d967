package machine

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// Table is rows for a person; how they are drawn is not this package's business.
type Table struct {
	Title   string
	Columns []string
	Rows    [][]string
}

// Tables are what somebody looks for in a machine: what it is, its disks, its network cards.
func Tables(m hive.Machine) []Table {
	return []Table{about(m), disks(m), cards(m)}
}

func about(m hive.Machine) Table {
	t := Table{Title: "Machine", Columns: []string{"What", "Value"}}
	for _, row := range [][2]string{
		{"product", strings.TrimSpace(m.Product.Vendor + " " + m.Product.Name)},
		{"serial", m.Product.Serial},
		{"UUID", m.Product.UUID},
		{"processor", strings.TrimSpace(fmt.Sprintf("%s (%d cores, %s)", m.CPU.Model, m.CPU.Cores, m.Platform))},
		{"memory", memory(m.Memory)},
		{"firmware", firmwareName(m.Firmware) + secure(m)},
		{"kernel", m.Kernel},
	} {
		if row[1] != "" {
			t.Rows = append(t.Rows, row[:])
		}
	}
	return t
}

func secure(m hive.Machine) string {
	if m.Secure {
		return ", Secure Boot is on"
	}
	return ""
}

// memory is told in powers of 1024, as memory is sold.
func memory(bytes int64) string {
	if bytes < 10<<30 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
}

func disks(m hive.Machine) Table {
	t := Table{Title: "Disks", Columns: []string{"Disk", "Model", "Serial", "Size", "Bus", "Holds"}}
	for _, d := range m.Devices {
		if (d.Kind != "disk" && d.Kind != "rom") || auxiliary(d) {
			continue
		}
		t.Rows = append(t.Rows, []string{d.Path, d.Model, d.Serial, hive.Size(d.Bytes), d.Transport, holds(m, d)})
	}
	return t
}

// holds is what is on a disk, in a few words.
func holds(m hive.Machine, d hive.Device) string {
	var words []string
	if d.Path == m.Medium {
		words = append(words, "this medium")
	}
	d.Walk(func(d hive.Device) {
		if d.Content == "" {
			return
		}
		word := d.Content
		if label := cmp.Or(d.Label, d.PartLabel); label != "" {
			word += " " + strconv.Quote(label)
		}
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
	})
	switch {
	case len(words) > 0:
		return strings.Join(words, ", ")
	case d.Blank():
		return "nothing"
	}
	return cmp.Or(d.Table, "unknown") + " table"
}

func cards(m hive.Machine) Table {
	t := Table{Title: "Network cards", Columns: []string{"Card", "MAC", "Driver", "Link", "Addresses"}}
	for _, c := range m.Cards {
		t.Rows = append(t.Rows, []string{c.Name, c.MAC, c.Driver, linkState(c), strings.Join(c.Addresses, " ")})
	}
	return t
}

func linkState(c hive.Card) string {
	switch {
	case c.Carrier && c.Speed > 0:
		return fmt.Sprintf("up, %d Mbit/s", c.Speed)
	case c.Carrier:
		return "up"
	case c.Wireless:
		return "not joined"
	}
	return "no cable"
}

// Line is one line of a definition, ready to paste.
type Line struct {
	About string // what it is for
	Text  string // Nix, without a newline
}

// Lines are those that a definition of a host on this machine is likely to need: the disks and cards to name, what the machine is recognised
// by, the drivers of its disks.
func Lines(m hive.Machine) []Line {
	var lines []Line
	for _, d := range Usable(m) {
		about := strings.Join(traits(d), ", ")
		if d.Serial != "" {
			lines = append(lines, Line{about, diskLine("main", d, false)})
		}
		lines = append(lines, Line{about, diskLine("main", d, true)})
	}
	for _, c := range m.Cards {
		about := "card " + c.Name + ", " + linkState(c)
		lines = append(lines, Line{about, cardLine(c)}, Line{about, "hive.network.interface = " + text(c.Name) + ";"})
	}
	lines = append(lines, matchLines(m)...)
	if drivers := initrdModules(Usable(m)); len(drivers) > 0 {
		lines = append(lines, Line{"drivers of the disks", "boot.initrd.availableKernelModules = " + texts(drivers) + ";"})
	}
	return lines
}

// matchLines say by what a medium recognises the machine.
func matchLines(m hive.Machine) []Line {
	var lines []Line
	if c, ok := BestCard(m); ok && c.MAC != "" {
		lines = append(lines, Line{"recognise the machine by a card", "hive.setup.match.macs = " + texts([]string{c.MAC}) + ";"})
	}
	if m.Product.Serial != "" {
		lines = append(lines, Line{"recognise the machine by its serial number", "hive.setup.match.serials = " + texts([]string{m.Product.Serial}) + ";"})
	}
	if m.Product.UUID != "" {
		lines = append(lines, Line{"recognise the machine by its UUID", "hive.setup.match.uuids = " + texts([]string{m.Product.UUID}) + ";"})
	}
	return lines
}

// initrdModules are the drivers of disks, sorted, each once.
func initrdModules(devices []hive.Device) []string {
	var all []string
	for _, d := range devices {
		all = append(all, d.Drivers...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
