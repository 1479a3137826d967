package vm

import "errors"

// Layout is the disks of a machine in which a definition finds its disks under the names it uses.
type Layout struct {
	Disks []Disk // one for each device, in their order; only SizeBytes is left to be set
	// Fillers are small disks that nothing names: the sda without which there would be no sdb. The machine needs them too.
	Fillers []Disk
	// Differences from the real disks, each a sentence for the user.
	Differences []string
	// UdevRules give the disks those names that no virtual hardware brings about. They have to come after udev's own
	// 60-persistent-storage.rules in every system of the machine, initrd included. Empty if none are needed.
	UdevRules string
}

// DisksFor gives the disks of a machine by the paths under which its definition names them. What is no disk or clashes is told at once.
func DisksFor(devices []string) (Layout, error) {
	return Layout{}, errors.New("not yet")
}

// CanName tells whether a card can be placed so that Linux and udev give it this name by themselves.
func CanName(name string) bool { return false }

// NameRule is the udev rule that gives the card with this MAC address a name that [CanName] says no card gets by itself.
func NameRule(mac, name string) string { return "" }
