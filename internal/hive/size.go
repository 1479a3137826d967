package hive

import "fmt"

// Size writes a number of bytes for a person, as makers of disks count: in powers of 1000, with two digits at least ("1.8 TB", "512 GB").
func Size(bytes int64) string {
	for _, unit := range []struct {
		name string
		is   float64
	}{{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		switch value := float64(bytes) / unit.is; {
		case value >= 9.95: // which would be rounded to 10.0
			return fmt.Sprintf("%.0f %s", value, unit.name)
		case value >= 0.9995: // which would be rounded to 1000 of the next smaller unit
			return fmt.Sprintf("%.1f %s", value, unit.name)
		}
	}
	return fmt.Sprintf("%d B", bytes)
}
