package machine

import (
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/blockdev"
	"nixos-staged-hive/internal/hive"
)

// mount is a line of mountinfo (proc_pid_mountinfo(5)).
type mount struct {
	number, point, source string
}

func (s *surveyed) addMount(line string) error {
	f := strings.Fields(line)
	dash := 6
	for dash < len(f) && f[dash] != "-" {
		dash++
	}
	if dash+2 >= len(f) {
		return errors.New("no line of mountinfo")
	}
	s.mounts = append(s.mounts, mount{number: f[2], point: unescape(f[4]), source: unescape(f[dash+2])})
	return nil
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

// medium finds the disk that the running system lives on. The root of a NixOS medium is in RAM, its store in a file on /iso.
func (s surveyed) medium(devices []hive.Device) string {
	for _, point := range []string{"/iso", "/nix/.ro-store", "/nix/store", "/nix", "/"} {
		if disk := s.diskOf(point, devices, 0); disk != "" {
			return disk
		}
	}
	return ""
}

// diskOf follows what is mounted at a point down to a whole disk: through partitions, mappers and files behind loop devices.
func (s surveyed) diskOf(point string, devices []hive.Device, depth int) string {
	m, ok := s.mounted(point)
	if !ok || depth > 8 {
		return ""
	}
	found, ok := deviceOf(m, devices)
	if !ok {
		return ""
	}
	_, disks, _ := blockdev.Find(devices, found.Number)
	for _, disk := range disks {
		if file := s.loops[disk.Number]; file != "" {
			if behind := s.diskOf(s.holding(file), devices, depth+1); behind != "" {
				return behind
			}
			continue
		}
		if disk.Kind != "loop" {
			return disk.Path
		}
	}
	return ""
}

// mounted is the uppermost of what is mounted at a point.
func (s surveyed) mounted(point string) (found mount, ok bool) {
	for _, m := range s.mounts {
		if m.point == point {
			found, ok = m, true
		}
	}
	return found, ok
}

// holding is the mount point of the file system that a file is on.
func (s surveyed) holding(file string) string {
	best := ""
	for _, m := range s.mounts {
		if within(file, m.point) && len(m.point) >= len(best) {
			best = m.point
		}
	}
	return best
}

func within(file, folder string) bool {
	return file == folder || strings.HasPrefix(file, strings.TrimSuffix(path.Clean(folder), "/")+"/")
}

// deviceOf finds what is mounted. A btrfs or ZFS has a device number of its own: the one is told by its source or by lsblk, the other by
// the pool.
func deviceOf(m mount, devices []hive.Device) (found hive.Device, ok bool) {
	if d, _, ok := blockdev.Find(devices, m.number); ok {
		return d, true
	}
	pool, _, _ := strings.Cut(m.source, "/")
	for _, disk := range devices {
		disk.Walk(func(d hive.Device) {
			if !ok && (d.Path == m.source || strings.HasPrefix(m.source, "/dev/") && slices.Contains(d.Mounts, m.point) || pool != "" && d.Content == "zfs_member" && d.Label == pool) {
				found, ok = d, true
			}
		})
	}
	return found, ok
}
