package vm

import (
	"errors"
	"fmt"
	"regexp"
)

// nameLimit is how long names of disks, cards, networks and snapshots may be: QEMU's node names have at most 31 bytes with our prefix.
const nameLimit = 24

// machineNameLimit is that of a host name.
const machineNameLimit = 63

// checkName refuses what cannot be part of a file name, an identifier of QEMU and an option's value alike.
func checkName(what, name string) error {
	limit := nameLimit
	if what == "machine" {
		limit = machineNameLimit
	}
	if len(name) > limit || !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`).MatchString(name) {
		return fmt.Errorf("%q is no name for a %s: up to %d letters, digits, dots, minuses and underscores, the first a letter or digit",
			name, what, limit)
	}
	return nil
}

// check refuses descriptions that no lab can run. What hardware QEMU can show is judged by deviceArguments.
func (m Machine) check() error {
	errs := []error{checkName("machine", m.Name)}
	if m.Firmware != BIOS && m.Firmware != UEFI {
		errs = append(errs, fmt.Errorf("firmware %q is neither %s nor %s", m.Firmware, BIOS, UEFI))
	}
	if m.CPUs < 0 || m.MemoryMiB < 0 {
		errs = append(errs, errors.New("processors and memory cannot be negative"))
	}
	seen := map[string]bool{}
	unique := func(what, name string) {
		if seen[what+name] {
			errs = append(errs, fmt.Errorf("two %ss are called %q", what, name))
		}
		seen[what+name] = true
		errs = append(errs, checkName(what, name))
	}
	for _, d := range m.Disks {
		unique("disk", d.Name)
		if d.SizeBytes <= 0 || d.SizeBytes%512 != 0 {
			errs = append(errs, fmt.Errorf("disk %s: its size of %d bytes is no number of sectors", d.Name, d.SizeBytes))
		}
	}
	for _, c := range m.Cards {
		unique("card", c.Name)
	}
	return errors.Join(errs...)
}
