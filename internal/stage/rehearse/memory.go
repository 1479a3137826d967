package rehearse

import (
	"os"
	"strconv"
	"strings"
)

// availableMemory is what the kernel thinks can be had without swapping (MemAvailable in proc_meminfo(5)), in bytes; 4 GiB where it does not
// say.
func availableMemory() int64 {
	const guess = 4 << 30
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return guess
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "MemAvailable:" {
			if kib, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				return kib << 10
			}
		}
	}
	return guess
}
