package bootchain

import (
	"os"
	"path"
	"strconv"
	"strings"
)

// volume is a file system that is mounted at or below the root of the installed system.
type volume struct {
	point   string // below the root of the installed system, "/" for itself
	inside  string // which folder of the file system is there: the subvolume of a btrfs, "/" otherwise
	kind    string // ext4, btrfs, zfs, ...
	source  string // device, or data set of ZFS
	number  string // MAJOR:MINOR
	id      string // UUID, or serial number of FAT, as GRUB searches for it
	label   string
	mounted string // where it is now
}

// volumesBelow reads what is mounted at root and below. A folder that is no mount point of its own has none.
func volumesBelow(root string) []volume {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	volumes := readMounts(string(text), root)
	for i, v := range volumes {
		volumes[i].id, volumes[i].label = identity(v.source, v.kind)
	}
	return volumes
}

// readMounts reads mountinfo (proc_pid_mountinfo(5)). Of several that are mounted over each other at one place the last one counts.
func readMounts(text, root string) []volume {
	root = path.Clean(root)
	var found []volume
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		dash := 6
		for dash < len(f) && f[dash] != "-" {
			dash++
		}
		if dash+2 >= len(f) {
			continue
		}
		mounted := unescape(f[4])
		point, ok := below(mounted, root)
		if !ok {
			continue
		}
		v := volume{point: point, inside: unescape(f[3]), kind: f[dash+1], source: unescape(f[dash+2]), number: f[2], mounted: mounted}
		found = append(without(found, point), v)
	}
	return found
}

func without(volumes []volume, point string) []volume {
	var left []volume
	for _, v := range volumes {
		if v.point != point {
			left = append(left, v)
		}
	}
	return left
}

// below gives the path of something as seen from root.
func below(name, root string) (string, bool) {
	if name == root || root == "/" {
		return path.Join("/", strings.TrimPrefix(name, root)), true
	}
	rest, ok := strings.CutPrefix(name, root+"/")
	return "/" + rest, ok
}

// unescape turns \040 and the like back into what they stand for.
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

// at gives the volume that holds a path of the installed system.
func at(volumes []volume, name string) (best volume, ok bool) {
	for _, v := range volumes {
		if _, inside := below(path.Clean(name), v.point); inside && (!ok || len(v.point) > len(best.point)) {
			best, ok = v, true
		}
	}
	return best, ok
}
