package setup

import (
	"fmt"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// decision is what an unattended run does.
type decision struct {
	mode    hive.Mode
	confirm []string // what a person would have typed
}

// NobodyThereError says why an unattended run leaves a machine alone: what a person has to decide.
type NobodyThereError struct {
	Host string
	Why  string
}

func (e *NobodyThereError) Error() string {
	return fmt.Sprintf("%s is not installed unattended: %s", e.Host, e.Why)
}

// decide is the whole policy of unattended installation. It never destroys data that nobody named:
//
//   - all disks blank, or left by an installation of this host that never ended: they are laid out
//   - all disks of an earlier installation of this host: the system is installed anew and all data stays
//   - a disk with anything else is laid out only where the definition names it by its serial number (hive.partitioning.disks.NAME.serial), and
//     no other disk holds an earlier installation
//
// Anything else wants a person.
func decide(host string, targets []hive.Target) (decision, error) {
	var empty, own, named []hive.Target
	var foreign []string
	for _, t := range targets {
		switch {
		case t.Disk.Additional:
		case t.State == "blank", t.State == "interrupted":
			empty = append(empty, t)
		case t.State == "own":
			own = append(own, t)
		case t.Disk.Selector.Serial != "" && t.Disk.Selector.Serial == t.Device.Serial:
			named = append(named, t)
		default:
			foreign = append(foreign, fmt.Sprintf("disk %s (%s) is not blank (%s), and not named by its serial number in hive.partitioning.disks.%s.serial",
				t.Disk.Name, strings.TrimSpace(t.Device.Path+" "+t.Device.Model), strings.Join(t.Contents, ", "), t.Disk.Name))
		}
	}
	switch {
	case len(foreign) > 0:
		return decision{}, &NobodyThereError{host, strings.Join(foreign, "; ")}
	case len(own) > 0 && len(empty)+len(named) > 0:
		return decision{}, &NobodyThereError{host, fmt.Sprintf("disk %s holds an earlier installation and disk %s does not", own[0].Disk.Name, append(empty, named...)[0].Disk.Name)}
	case len(own) > 0:
		return decision{mode: hive.Keep}, nil
	}
	d := decision{mode: hive.Fresh}
	for _, t := range named {
		d.confirm = append(d.confirm, t.Device.Serial)
	}
	return d, nil
}
