package blockdev

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
)

// probing looks at the devices it is given. blkid ends with 2 for a device on which nothing is, and with 8 for one that two programs would
// each take for its own.
const probing = `command -v blkid >/dev/null || exit 127
for device; do
  printf 'DEVICE=%s\n' "$device"
  blkid -p -o udev "$device"
done
exit 0
`

// Probe gives the devices with contents as they are on them now, children included. [List] tells what udev remembers, which is late after a
// program has written, and nothing where no udev runs. It runs sh and blkid (util-linux) and has to be root; it reads, and changes nothing.
func Probe(ctx context.Context, r run.Runner, devices []hive.Device) ([]hive.Device, error) {
	arguments := []string{"-s", "--"}
	for _, top := range devices {
		top.Walk(func(d hive.Device) { arguments = append(arguments, d.Path) })
	}
	out, err := run.Output(ctx, r, run.Command{Name: "sh", Args: arguments, Stdin: strings.NewReader(probing), Env: []string{"LC_ALL=C.UTF-8"}})
	if failed := (*run.Error)(nil); errors.As(err, &failed) && failed.ExitCode == 127 {
		return nil, &run.MissingError{Program: "blkid"}
	}
	if err != nil {
		return nil, fmt.Errorf("look at what is on block devices: %w", err)
	}
	return withContents(devices, parseProbe(out)), nil
}

// parseProbe gives blkid's words by device.
func parseProbe(out []byte) map[string]map[string]string {
	found := map[string]map[string]string{}
	words := map[string]string{}
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if key == "DEVICE" {
			words = map[string]string{}
			found[value] = words
			continue
		}
		words[key] = strings.TrimSpace(strings.Map(shown, unescape(value)))
	}
	return found
}

// unescape turns udev's \x20 into what it stands for.
func unescape(s string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(s, `\x`)
		out.WriteString(before)
		if !found {
			return out.String()
		}
		if v, err := strconv.ParseUint(after[:min(2, len(after))], 16, 8); err == nil && len(after) >= 2 {
			out.WriteByte(byte(v))
			after = after[2:]
		} else {
			out.WriteString(`\x`)
		}
		s = after
	}
}

func withContents(devices []hive.Device, found map[string]map[string]string) []hive.Device {
	var all []hive.Device
	for _, d := range devices {
		if words, ok := found[d.Path]; ok {
			d.Content, d.Label, d.ContentID = words["ID_FS_TYPE"], words["ID_FS_LABEL_ENC"], words["ID_FS_UUID"]
			if d.Content == "" {
				d.Content = firstOf(words["ID_FS_AMBIVALENT"])
			}
			d.Table, d.TableID = words["ID_PART_TABLE_TYPE"], strings.ToLower(words["ID_PART_TABLE_UUID"])
			if d.Kind == "part" {
				d.PartLabel, d.PartID = words["ID_PART_ENTRY_NAME"], strings.ToLower(words["ID_PART_ENTRY_UUID"])
				d.PartType = strings.ToLower(words["ID_PART_ENTRY_TYPE"])
			}
		}
		d.Children = withContents(d.Children, found)
		all = append(all, d)
	}
	return all
}

// firstOf reads "filesystem:ext4:1.0 raid:zfs_member:5000".
func firstOf(ambivalent string) string {
	first, _, _ := strings.Cut(ambivalent, " ")
	_, kind, _ := strings.Cut(first, ":")
	kind, _, _ = strings.Cut(kind, ":")
	return kind
}
