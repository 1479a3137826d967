package hive

import "testing"

func TestSizesAreWrittenAsOnTheBox(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 500107862016: "500 GB", 1000204886016: "1.0 TB", 2000398934016: "2.0 TB", 18000207937536: "18 TB", 64 << 20: "67 MB",
		999499: "999 kB", 999999: "1.0 MB", 9949999999: "9.9 GB", 9950000000: "10 GB",
	} {
		if got := Size(bytes); got != want {
			t.Errorf("Size(%d) = %q, want %q", bytes, got, want)
		}
	}
}
