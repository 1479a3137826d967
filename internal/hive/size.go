package hive

import "fmt"

// Size writes a number of bytes for a person, as makers of disks count: in powers of 1000, with two digits at least ("1.8 TB", "512 GB").
func Size(bytes int64) string {
	for _, unit := range []struct {
		name string
		is   int64
	}{{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		switch {
		case bytes >= 10*unit.is:
			return fmt.Sprintf("%.0f %s", float64(bytes)/float64(unit.is), unit.name)
		case bytes >= unit.is:
			return fmt.Sprintf("%.1f %s", float64(bytes)/float64(unit.is), unit.name)
		}
	}
	return fmt.Sprintf("%d B", bytes)
}
