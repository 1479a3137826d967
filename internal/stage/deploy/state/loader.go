package state

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// bootFiles is what a host's boot loaders have been told. There may be several: the one before is often left on the disk.
type bootFiles struct {
	loader  string              // LoaderInfo: the boot loader that has started the machine, where it says so
	chosen  string              // LoaderEntryDefault: set with bootctl or in the menu, in front of loader.conf
	last    string              // LoaderEntryLastBooted, which "@saved" means
	configs map[string]int64    // configuration files and when they were written, in seconds since 1970
	lines   map[string][]string // the lines that matter, by file
	order   []string            // the files of lines, as they came
}

// config takes "TIME PATH".
func (b *bootFiles) config(value string) error {
	made, name, _ := strings.Cut(value, " ")
	n, err := strconv.ParseInt(made, 10, 64)
	if err != nil || name == "" {
		return fmt.Errorf("not a time and a path")
	}
	if b.configs == nil {
		b.configs = map[string]int64{}
	}
	b.configs[name] = n
	return nil
}

// line takes "PATH:TEXT".
func (b *bootFiles) line(value string) error {
	name, text, found := strings.Cut(value, ":")
	if !found {
		return fmt.Errorf("not a path and a line")
	}
	if b.lines == nil {
		b.lines = map[string][]string{}
	}
	if b.lines[name] == nil {
		b.order = append(b.order, name)
	}
	b.lines[name] = append(b.lines[name], text)
	return nil
}

// next is the system that the next boot takes, empty where that cannot be told. A choice for one boot only (LoaderEntryOneShot,
// grub-reboot) is not looked at.
//
// What counts is the boot loader that has started the machine, and where it does not say so, the one whose configuration was written last:
// NixOS writes it at each installation of a generation.
func (b *bootFiles) next() string {
	newest := ""
	for _, name := range sortedByTime(b.configs) {
		if strings.HasPrefix(b.loader, "systemd-boot") && path.Base(name) != "loader.conf" {
			continue
		}
		newest = name
	}
	switch path.Base(newest) {
	case "loader.conf":
		return b.systemdBoot(newest)
	case "grub.cfg":
		return b.grub(newest)
	case "extlinux.conf":
		return b.extlinux(newest)
	}
	return ""
}

func sortedByTime(files map[string]int64) []string {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int { return cmp.Or(cmp.Compare(files[x], files[y]), cmp.Compare(x, y)) })
	return names
}

var initParameter = regexp.MustCompile(`(?:^|\s)init=["']?(\S+)/init["']?(?:\s|$)`)

// booted is the system that a kernel command line starts.
func booted(line string) string {
	m := initParameter.FindStringSubmatch(line)
	if m == nil || !storePath.MatchString(m[1]) {
		return ""
	}
	return m[1]
}

// word splits off the first word of a line.
func word(line string) (first, rest string) {
	line = strings.TrimSpace(line)
	i := strings.IndexAny(line, " \t")
	if i < 0 {
		return line, ""
	}
	return line[:i], strings.TrimSpace(line[i:])
}

// extlinux follows DEFAULT to its LABEL (syslinux' and U-Boot's extlinux.conf; NixOS writes "nixos-default").
func (b *bootFiles) extlinux(file string) string {
	want, label := "", ""
	systems := map[string]string{}
	for _, line := range b.lines[file] {
		key, value := word(line)
		switch strings.ToLower(key) {
		case "default":
			want = value
		case "label":
			label = value
		case "append":
			systems[label] = booted(value)
		}
	}
	return systems[want]
}

// entry is a file of the Boot Loader Specification (type 1).
type entry struct {
	id                          string // the name of the file without a counter of tries
	sortKey, version, machineID string
	system                      string
	spent                       bool // all tries are used up
}

var counter = regexp.MustCompile(`\+([0-9]+)(-[0-9]+)?(\.conf)$`)

func (b *bootFiles) entries() []entry {
	var all []entry
	for _, file := range b.order {
		if !strings.HasSuffix(path.Dir(file), "/loader/entries") {
			continue
		}
		e := entry{id: strings.ToLower(path.Base(file))}
		if m := counter.FindStringSubmatch(e.id); m != nil {
			e.id, e.spent = counter.ReplaceAllString(e.id, "$3"), strings.Trim(m[1], "0") == ""
		}
		for _, line := range b.lines[file] {
			e.take(line)
		}
		all = append(all, e)
	}
	slices.SortStableFunc(all, compareEntries)
	return all
}

func (e *entry) take(line string) {
	key, value := word(line)
	switch strings.ToLower(key) {
	case "sort-key":
		e.sortKey = value
	case "version":
		e.version = value
	case "machine-id":
		e.machineID = value
	case "options":
		e.system = cmp.Or(e.system, booted(value))
	}
}

// compareEntries is the order of systemd-boot's menu (src/boot/efi/boot.c, v255, config_entry_compare).
func compareEntries(x, y entry) int {
	if x.spent != y.spent {
		return map[bool]int{true: 1, false: -1}[x.spent]
	}
	if (x.sortKey == "") != (y.sortKey == "") {
		return map[bool]int{true: 1, false: -1}[x.sortKey == ""]
	}
	byKey := 0
	if x.sortKey != "" {
		byKey = cmp.Or(cmp.Compare(x.sortKey, y.sortKey), cmp.Compare(x.machineID, y.machineID), -compareVersions(x.version, y.version))
	}
	return cmp.Or(byKey, -compareVersions(x.id, y.id))
}

var versionPart = regexp.MustCompile(`[0-9]+|[A-Za-z]+|[^0-9A-Za-z]+`)

// compareVersions orders numbers by value and the rest as text: enough for names that differ in a generation's number.
func compareVersions(x, y string) int {
	xs, ys := versionPart.FindAllString(x, -1), versionPart.FindAllString(y, -1)
	for i := range min(len(xs), len(ys)) {
		a, b := strings.TrimLeft(xs[i], "0"), strings.TrimLeft(ys[i], "0")
		if !digits(xs[i]) || !digits(ys[i]) {
			a, b = xs[i], ys[i]
		} else if len(a) != len(b) {
			return cmp.Compare(len(a), len(b))
		}
		if c := cmp.Compare(a, b); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(xs), len(ys))
}

func digits(s string) bool { return s[0] >= '0' && s[0] <= '9' }

// systemdBoot chooses as systemd-boot does (v255, config_select_default_entry): the firmware's variable, then loader.conf, each a pattern;
// else the first entry of its menu.
func (b *bootFiles) systemdBoot(file string) string {
	all := b.entries()
	configured := ""
	for _, line := range b.lines[file] {
		if key, value := word(line); strings.EqualFold(key, "default") {
			configured = value
		}
	}
	for _, pattern := range []string{b.chosen, configured} {
		if pattern == "@saved" {
			pattern = b.last
		}
		for _, e := range all {
			if matched, err := path.Match(strings.ToLower(pattern), e.id); err == nil && matched {
				return e.system
			}
		}
	}
	if len(all) > 0 {
		return all[0].system
	}
	return ""
}
