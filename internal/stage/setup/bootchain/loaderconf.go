package bootchain

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// bootEntry is a file of the Boot Loader Specification, type 1.
type bootEntry struct {
	file string // its path in the installed system
	boot string // mount point of its file system

	title, sortKey, machineID, version string
	linux                              string
	initrds                            []string
	options                            string
}

// loaderDefault is the pattern for the default entry in loader.conf (loader.conf(5)). The last one counts.
func loaderDefault(text string) string {
	pattern := ""
	for key, value := range settings(text) {
		if key == "default" {
			pattern = value
		}
	}
	return pattern
}

// readEntry reads an entry. Keys that appear more than once add up where the specification says so.
func readEntry(text string) bootEntry {
	var e bootEntry
	for key, value := range settings(text) {
		switch key {
		case "title":
			e.title = value
		case "sort-key":
			e.sortKey = value
		case "machine-id":
			e.machineID = value
		case "version":
			e.version = value
		case "linux":
			e.linux = slashes(value)
		case "initrd":
			e.initrds = append(e.initrds, slashes(value))
		case "options":
			e.options = strings.TrimSpace(e.options + " " + value)
		}
	}
	return e
}

// slashes makes a path of either spelling one of ours; systemd-boot takes both.
func slashes(name string) string { return strings.ReplaceAll(name, `\`, "/") }

// settings yields the lines "key value" of a file, without comments.
func settings(text string) func(yield func(key, value string) bool) {
	return func(yield func(key, value string) bool) {
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			end := strings.IndexAny(line, " \t")
			if end < 0 {
				continue
			}
			if !yield(line[:end], strings.Trim(strings.TrimSpace(line[end:]), `"`)) {
				return
			}
		}
	}
}

// chooseEntry takes the entry that systemd-boot would: the first, in its order, that fits the pattern.
func chooseEntry(entries []bootEntry, pattern string) (bootEntry, bool) {
	sorted := slices.SortedFunc(slices.Values(entries), inOrder)
	if pattern == "" {
		return first(sorted)
	}
	return first(slices.DeleteFunc(sorted, func(e bootEntry) bool { return !e.fits(pattern) }))
}

func first(entries []bootEntry) (bootEntry, bool) {
	if len(entries) == 0 {
		return bootEntry{}, false
	}
	return entries[0], true
}

// fits compares without regard to case, with and without the ending, as versions of systemd-boot differ in it.
func (e bootEntry) fits(pattern string) bool {
	id, _ := counted(strings.ToLower(path.Base(e.file)))
	pattern = strings.ToLower(pattern)
	for _, name := range []string{id, strings.TrimSuffix(id, ".conf")} {
		if ok, err := path.Match(pattern, name); err == nil && ok {
			return true
		}
	}
	return false
}

// counted takes the boot counter off a file name: "x+0-3.conf" is x.conf with no try left.
func counted(name string) (id string, exhausted bool) {
	stem := strings.TrimSuffix(name, ".conf")
	plus := strings.LastIndexByte(stem, '+')
	if plus < 0 {
		return name, false
	}
	left, _, _ := strings.Cut(stem[plus+1:], "-")
	if left == "" || strings.Trim(left, "0123456789") != "" {
		return name, false
	}
	return stem[:plus] + ".conf", strings.Trim(left, "0") == ""
}

// inOrder sorts as systemd-boot does: what has tries left before what has none; what has a sort key before what has none, by key, machine
// and version (the newest first); by name otherwise, the newest first.
func inOrder(a, b bootEntry) int {
	_, badA := counted(path.Base(a.file))
	_, badB := counted(path.Base(b.file))
	byKey := 0
	if a.sortKey != "" && b.sortKey != "" {
		byKey = cmp.Or(cmp.Compare(a.sortKey, b.sortKey), cmp.Compare(a.machineID, b.machineID), natural(b.version, a.version))
	}
	return cmp.Or(order(badA, badB), order(a.sortKey == "", b.sortKey == ""), byKey, natural(path.Base(b.file), path.Base(a.file)))
}

func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// natural compares with runs of digits as numbers: generation-9 before generation-10.
func natural(a, b string) int {
	for a != "" && b != "" {
		runA, digitsA := stretch(a)
		runB, digitsB := stretch(b)
		if digitsA && digitsB {
			x, y := strings.TrimLeft(runA, "0"), strings.TrimLeft(runB, "0")
			if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)); c != 0 {
				return c
			}
		} else if c := cmp.Compare(runA, runB); c != 0 {
			return c
		}
		a, b = a[len(runA):], b[len(runB):]
	}
	return cmp.Compare(len(a), len(b))
}

// stretch is the longest beginning of digits alone, or of none.
func stretch(s string) (text string, digits bool) {
	isDigit := func(c byte) bool { return '0' <= c && c <= '9' }
	digits = isDigit(s[0])
	end := 1
	for end < len(s) && isDigit(s[end]) == digits {
		end++
	}
	return s[:end], digits
}
