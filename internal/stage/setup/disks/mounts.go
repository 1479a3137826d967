package disks

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// mount is a line of mountinfo (proc_pid_mountinfo(5)).
type mount struct {
	id     int
	number string // MAJOR:MINOR; of btrfs and ZFS one that is no device's
	root   string // folder of the file system that is mounted
	point  string
	kind   string // type of the file system
	source string
}

// readMounts gives all mounts in the order in which they were made.
func readMounts() ([]mount, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parseMounts(string(text))
}

func parseMounts(text string) ([]mount, error) {
	var mounts []mount
	for line := range strings.Lines(text) {
		m, err := parseMount(line)
		if err != nil {
			return nil, fmt.Errorf("read mountinfo: %q: %w", line, err)
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

func parseMount(line string) (mount, error) {
	f := strings.Fields(line)
	dash := 6
	for dash < len(f) && f[dash] != "-" {
		dash++
	}
	if dash+2 >= len(f) {
		return mount{}, errors.New("too few fields")
	}
	id, err := strconv.Atoi(f[0])
	if err != nil {
		return mount{}, fmt.Errorf("number of the mount: %w", err)
	}
	return mount{
		id: id, number: f[2], root: unescape(f[3]), point: unescape(f[4]),
		kind: f[dash+1], source: unescape(f[dash+2]),
	}, nil
}

// unescape turns \040 and the like, which the kernel writes for blanks and backslashes, back.
func unescape(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if code, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		out.WriteByte(text[i])
	}
	return out.String()
}

// below reports whether a path is a folder or inside of it.
func below(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

// mountOf is the mount that a path leads to, whatever else is mounted at the same path and hidden. The kernel tells its number for an open
// folder (fdinfo, Linux 3.15 and later).
func mountOf(path string, mounts []mount) (mount, error) {
	f, err := os.Open(path)
	if err != nil {
		return mount{}, err
	}
	defer f.Close() //nolint:errcheck // only looked at
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", f.Fd()))
	if err != nil {
		return mount{}, err
	}
	for line := range strings.Lines(string(text)) {
		value, ok := strings.CutPrefix(line, "mnt_id:")
		if !ok {
			continue
		}
		id, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil {
			return mount{}, fmt.Errorf("read the mount of %s: %w", path, err)
		}
		for _, m := range mounts {
			if m.id == id {
				return m, nil
			}
		}
	}
	return mount{}, fmt.Errorf("find the mount of %s: it is not among those of this process", path)
}
