package blockdev

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// surveyed is what survey.sh told, by device path for links and by MAJOR:MINOR for the rest.
type surveyed struct {
	links   map[string][]string
	parts   map[string]place
	drivers map[string][]string
}

type place struct {
	number int
	start  int64 // bytes
}

// parseSurvey leaves out lines it does not understand: they cost a link or a driver, not the list.
func parseSurvey(text []byte) surveyed {
	s := surveyed{links: map[string][]string{}, parts: map[string]place{}, drivers: map[string][]string{}}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		switch {
		case len(f) == 3 && f[0] == "link":
			s.links[f[2]] = append(s.links[f[2]], f[1])
		case len(f) == 3 && f[0] == "driver" && !slices.Contains(s.drivers[f[1]], f[2]):
			s.drivers[f[1]] = append(s.drivers[f[1]], f[2])
		case len(f) == 4 && f[0] == "part":
			number, err1 := strconv.Atoi(f[2])
			start, err2 := strconv.ParseInt(f[3], 10, 54) // times 512 it still fits
			if err1 == nil && err2 == nil {
				s.parts[f[1]] = place{number, start * 512}
			}
		}
	}
	return s
}

// ranked gives the links of a device, the one to name it by first.
func (s surveyed) ranked(d hive.Device) []string {
	var links []string
	for _, link := range s.links[d.Path] {
		if rank(link) < unfit || d.Kind != "disk" && d.Kind != "part" {
			links = append(links, link)
		}
	}
	slices.SortFunc(links, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	return links
}

// The ranks of links, best first.
const (
	bySerial = iota // says maker and serial, which are printed on the disk
	byNumber        // a number that nobody but the disk says
	bySCSI          // the same number in another form
	byUSB           // the serial may be that of the cable
	byOther         // another name in by-id
	byPath          // a socket, not a disk
	unfit           // goes away with what is on the disk
)

// rank judges a link by its name. Names are made by udev's 60-persistent-storage.rules and 69-dm-lvm.rules (systemd 249 to 257).
func rank(link string) int {
	name, byID := strings.CutPrefix(link, "/dev/disk/by-id/")
	begins := func(prefixes ...string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	}
	switch {
	case !byID:
		return byPath
	case begins("dm-", "lvm-", "md-"):
		return unfit
	case begins("wwn-", "nvme-eui.", "nvme-nvme.", "nvme-uuid."):
		return byNumber
	case begins("nvme-", "ata-", "scsi-S", "mmc-", "virtio-"):
		return bySerial
	case begins("scsi-"): // a digit for the kind of number follows
		return bySCSI
	case begins("usb-"):
		return byUSB
	}
	return byOther
}
