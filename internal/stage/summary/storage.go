package summary

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// Disk is a whole disk as disko lays it out.
type Disk struct {
	Name       string      `json:"name"`
	Device     string      `json:"device"`
	Selector   string      `json:"selector"` // what the machine's disk is found by, instead of a device; empty without one
	Kept       bool        `json:"kept"`     // setup never formats it
	Table      string      `json:"table"`    // disko's content type: gpt, table, luks, zfs, ...
	Partitions []Partition `json:"partitions"`
}

// Partition is a part of a [Disk]. Use says what it is for: esp, bios, root, data, swap, luks, zfs, lvm, raid, foreign
// (another system's) or other.
type Partition struct {
	Name       string `json:"name"`
	Label      string `json:"label"`
	Size       string `json:"size"` // as disko spells it
	Use        string `json:"use"`
	Content    string `json:"content"`
	Format     string `json:"format"`
	MountPoint string `json:"mountPoint"`
	Pool       string `json:"pool"`
}

func disks(h hive.Host) []Disk {
	out := []Disk{}
	for _, d := range h.Storage.Disks {
		disk := Disk{
			Name: d.Name, Device: d.Device, Selector: selectorText(d.Selector), Kept: d.Additional, Table: d.Table, Partitions: []Partition{},
		}
		for _, p := range d.Partitions {
			disk.Partitions = append(disk.Partitions, Partition{
				Name: p.Name, Label: p.Label, Size: p.Size, Use: use(p, h.Boot.ESP),
				Content: p.Content, Format: p.Format, MountPoint: p.MountPoint, Pool: p.Pool,
			})
		}
		out = append(out, disk)
	}
	return out
}

func fileSystems(h hive.Host) []FileSystem {
	out := []FileSystem{}
	for _, f := range h.Storage.FileSystems {
		out = append(out, FileSystem{f.MountPoint, f.Device, f.Type})
	}
	slices.SortStableFunc(out, func(a, b FileSystem) int { return cmp.Compare(a.MountPoint, b.MountPoint) })
	return out
}

// use judges by the strongest evidence first: content, then mount point, then the partition type's code.
func use(p hive.Partition, esp string) string {
	switch p.Content {
	case "swap", "luks", "zfs":
		return p.Content
	case "lvm_pv":
		return "lvm"
	case "mdraid":
		return "raid"
	}
	code := strings.ToUpper(p.Type)
	switch {
	case code == "EF00" || (esp != "" && p.MountPoint == esp):
		return "esp"
	case code == "EF02":
		return "bios"
	case slices.Contains(strings.Fields(p.MountPoint), "/"): // btrfs mounts several subvolumes
		return "root"
	case foreign(p, code):
		return "foreign"
	case p.MountPoint != "" || p.Content == "btrfs" || p.Format != "":
		return "data"
	}
	return "other"
}

// foreign are Windows' own partitions (sgdisk's codes for basic data, reserved and recovery) and its file systems.
func foreign(p hive.Partition, code string) bool {
	windows := slices.Contains([]string{"0700", "0C01", "2700"}, code) && p.MountPoint == ""
	return windows || strings.HasPrefix(p.Format, "ntfs") || p.Format == "BitLocker"
}

// shortDevice is "sda" for /dev/sda and "by-id virtio-OS" for /dev/disk/by-id/virtio-OS.
func shortDevice(path string) string {
	if by, ok := strings.CutPrefix(path, "/dev/disk/"); ok {
		return strings.Replace(by, "/", " ", 1)
	}
	return strings.TrimPrefix(path, "/dev/")
}

// place is where the disk is, or what it is found by.
func (d Disk) place() string { return cmp.Or(d.Selector, shortDevice(d.Device), d.Name) }

// selectorText is for example "serial S64DNX0T, size 500G".
func selectorText(s hive.Selector) string {
	var parts []string
	for _, v := range [][2]string{{"serial ", s.Serial}, {"wwn ", s.WWN}, {"by-id ", s.ByID}, {"size ", s.Size}} {
		if v[1] != "" {
			parts = append(parts, v[0]+v[1])
		}
	}
	return strings.Join(parts, ", ")
}

// text is for example "by-id virtio-OS: ESP vfat /boot, root ext4 /".
func (d Disk) text() string {
	var parts []string
	for _, p := range d.Partitions {
		parts = append(parts, p.text())
	}
	if len(parts) == 0 {
		parts = present(d.Table)
	}
	name := d.place()
	if d.Kept {
		name += " (kept)"
	}
	if len(parts) == 0 {
		return name
	}
	return name + ": " + strings.Join(parts, ", ")
}

func (p Partition) text() string {
	words := present(p.Name, p.holds(), p.MountPoint)
	if len(words) > 1 && strings.HasPrefix(words[1], p.Name) && p.Name != "" { // "zfs tank" says it all
		words = words[1:]
	}
	return strings.Join(words, " ")
}

// holds is what is on a partition: "ext4", "zfs tank", "luks".
func (p Partition) holds() string {
	content := p.Format
	if p.Content != "filesystem" {
		content = cmp.Or(p.Content, p.Format)
	}
	return strings.Join(present(strings.TrimSuffix(content, "_pv"), p.Pool), " ")
}

// diskTexts has a line for each disk; without disko it names the file systems.
func (h Host) diskTexts() []string {
	var out []string
	for _, d := range h.Disks {
		out = append(out, d.text())
	}
	if len(out) > 0 || len(h.FileSystems) == 0 {
		return out
	}
	var mounts []string
	for _, f := range h.FileSystems {
		mounts = append(mounts, strings.Join(present(f.MountPoint, f.Type, shortDevice(f.Device)), " "))
	}
	return []string{strings.Join(mounts, ", ")}
}

// shares divides a bar of the given width among the sizes of the partitions, which are as disko spells them. The size of
// the disk is not a fact, so what takes the rest counts as three times all that is fixed, and at least 64 GiB. Every
// part gets at least least, and the shares add up to width exactly (provided there is room).
func shares(sizes []string, width, least int) []int {
	weights := weigh(sizes)
	var total int64
	for _, w := range weights {
		total += w
	}
	out := make([]int, len(sizes))
	spare := width - least*len(sizes)
	if len(sizes) == 0 || spare < 0 {
		return even(len(sizes), width)
	}
	used, widest := 0, 0
	for i, w := range weights {
		out[i] = least + int(int64(spare)*w/total)
		used += out[i]
		if out[i] > out[widest] {
			widest = i
		}
	}
	out[widest] += width - used
	return out
}

func even(n, width int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = width*(i+1)/n - width*i/n
	}
	return out
}

// weigh gives sizes in MiB, at least 1 each.
func weigh(sizes []string) []int64 {
	const gib = 1024
	out := make([]int64, len(sizes))
	var fixed int64
	for i, s := range sizes {
		if n, ok := mebibytes(s); ok {
			out[i] = max(n, 1)
			fixed += out[i]
		}
	}
	rest := max(3*fixed, 64*gib)
	for i, s := range sizes {
		if out[i] > 0 {
			continue
		}
		percent, err := strconv.ParseInt(strings.TrimSuffix(s, "%"), 10, 64)
		if err != nil || percent < 1 || percent > 100 || !strings.HasSuffix(s, "%") {
			percent = 100
		}
		out[i] = max(rest*percent/100, 1)
	}
	return out
}

// mebibytes reads 512M, 1.5G, 8GiB, as sgdisk does: a unit is a power of 1024. A size that counts from the end of the
// disk (-8G), a percentage or an empty one takes what is left, which is not a number yet.
func mebibytes(s string) (int64, bool) {
	s = strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(s)), "+")
	s = strings.TrimSuffix(strings.TrimSuffix(s, "B"), "I")
	if s == "" {
		return 0, false
	}
	shift := strings.IndexByte("KMGTP", s[len(s)-1])
	if shift < 0 {
		return 0, false
	}
	n, err := strconv.ParseFloat(s[:len(s)-1], 64)
	if err != nil || n <= 0 || n > 1e6 {
		return 0, false
	}
	for range shift {
		n *= 1024
	}
	return int64(n / 1024), true
}
