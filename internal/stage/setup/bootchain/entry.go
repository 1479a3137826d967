package bootchain

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/blockdev"
	"nixos-staged-hive/internal/hive"
)

// Registration is what the firmware now has.
type Registration struct {
	Number  string   // of the entry, for example Boot0004
	Label   string   // ours, or the one that the loader's installer gave to the same file
	Disk    string   // of the EFI system partition
	PartID  string   // its GUID, as it is on the disk
	Program string   // what is started, with backslashes
	Changed bool     // the entry is new or was another
	Removed []string // names of entries of earlier installations of this host
}

// Label is how setup calls the entry of a host in the firmware's menu.
func Label(host string) string { return host + " (nixos-staged-hive)" }

// Entry makes the firmware start the installed system next, and first from then on: one entry with the partition's GUID as it is on the disk, at
// the head of BootOrder, and BootNext. Entries of earlier installations of the host go. All is read again. Where that fails (no variables, no
// room for them) the registration is empty, and it is a warning if the loader is also where firmware looks without an entry, and an error otherwise.
//
// A BIOS has no such thing: call it for machines that were started by UEFI.
func Entry(root string, h hive.MediumHost, c Chain) (Registration, []hive.Problem) {
	r, err := enter(variables{Variables}, root, h, c)
	if err == nil {
		return r, nil
	}
	p := hive.Problem{
		Host: h.Name, Option: "boot.loader", Severity: hive.Error, Rule: "boot-entry",
		Message: fmt.Sprintf("the firmware did not take an entry for the system: %v", err),
		Way:     "add the entry in the firmware's setup (start " + c.Program + " from the disk), or delete others there to make room and run setup again",
	}
	if c.Fallback {
		p.Severity = hive.Warning
		p.Message += `; it starts from the disk by \EFI\BOOT, if the disk comes first`
		p.Way = "take the medium out before the machine restarts, or choose the disk in the firmware's menu"
	}
	return Registration{}, []hive.Problem{p}
}

func enter(v variables, root string, h hive.MediumHost, c Chain) (Registration, error) {
	if c.Program == "" {
		return Registration{}, errors.New("no boot loader for UEFI was found")
	}
	disk, number, err := espOf(root, h)
	if err != nil {
		return Registration{}, err
	}
	p, err := partition(disk, number)
	if err != nil {
		return Registration{}, err
	}
	p.file = c.Program
	if c.Loader == "systemd-boot" {
		if err := v.forgetChoices(); err != nil {
			return Registration{}, err
		}
	}
	r, err := register(v, Label(h.Name), p)
	r.Disk = disk
	return r, err
}

// espOf finds the disk of the EFI system partition that is mounted, and its number there, in sysfs.
func espOf(root string, h hive.MediumHost) (disk string, number int, err error) {
	point := h.Plan.Boot.ESP
	v, ok := at(volumesBelow(root), point)
	if !ok || v.point != path.Clean(point) {
		return "", 0, fmt.Errorf("nothing is mounted at %s", path.Join(root, point))
	}
	folder, err := filepath.EvalSymlinks("/sys/dev/block/" + v.number)
	if err != nil {
		return "", 0, fmt.Errorf("find the disk of %s: %w", v.source, inside(err))
	}
	text, err := os.ReadFile(filepath.Join(folder, "partition"))
	if err != nil {
		return "", 0, fmt.Errorf("%s at %s is no partition of a disk, and firmware finds no other", v.source, point)
	}
	number, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return "", 0, fmt.Errorf("read the number of %s: %w", v.source, err)
	}
	return "/dev/" + strings.ReplaceAll(filepath.Base(filepath.Dir(folder)), "!", "/"), number, nil
}

// partition reads the table on the disk itself: the kernel may still have an older one, and udev an even older GUID.
func partition(disk string, number int) (program, error) {
	f, err := os.Open(disk)
	if err != nil {
		return program{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	if err := forget(f); err != nil {
		return program{}, fmt.Errorf("%s: %w", disk, err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return program{}, err
	}
	table, err := blockdev.ReadGPT(f, size, 0)
	if err != nil {
		return program{}, fmt.Errorf("%s: read the partition table: %w", disk, err)
	}
	p, ok := table.Partition(number)
	if !ok {
		return program{}, fmt.Errorf("%s: the table on the disk has no partition %d", disk, number)
	}
	return program{number: uint32(number), start: p.First, size: p.Last - p.First + 1, guid: p.ID}, nil
}

// register brings the variables there and reads them again.
func register(v variables, label string, want program) (Registration, error) {
	devicePath, err := want.path()
	if err != nil {
		return Registration{}, err
	}
	options, err := v.options()
	if err != nil {
		return Registration{}, err
	}
	order, err := v.order()
	if err != nil {
		return Registration{}, err
	}
	n, option, changed := choose(options, order, label, want, devicePath)
	r := Registration{Number: optionName(n), Label: option.description, PartID: want.guid, Program: want.file, Changed: changed}
	if err := v.write(optionName(n), guidGlobal, option.bytes()); err != nil {
		return r, err
	}
	for _, other := range sortedKeys(options) {
		if other == n || options[other].description != label {
			continue
		}
		if err := v.remove(optionName(other), guidGlobal); err != nil {
			return r, err
		}
		r.Removed = append(r.Removed, optionName(other))
		order = slices.DeleteFunc(order, func(i uint16) bool { return i == other })
	}
	order = slices.Insert(slices.DeleteFunc(order, func(i uint16) bool { return i == n }), 0, n)
	if err := v.head(n, order); err != nil {
		return r, err
	}
	return r, confirm(v, n, want)
}

// forgetChoices removes what somebody chose in systemd-boot's menu for an earlier system: it would go before loader.conf.
func (v variables) forgetChoices() error {
	for _, name := range []string{"LoaderEntryDefault", "LoaderEntryOneShot"} {
		if err := v.remove(name, guidLoader); err != nil {
			return err
		}
	}
	return nil
}

// head makes the entry the first of the order and the next one.
func (v variables) head(n uint16, order []uint16) error {
	if err := v.write("BootOrder", guidGlobal, numberBytes(order...)); err != nil {
		return err
	}
	return v.write("BootNext", guidGlobal, numberBytes(n))
}

// choose takes the entry that is the wanted one already, whoever made it; else ours of an earlier installation, or another one for the same
// file, to be corrected; else a number that nothing uses.
func choose(options map[uint16]loadOption, order []uint16, label string, want program, devicePath []byte) (uint16, loadOption, bool) {
	made := loadOption{attributes: loadActive, description: label, path: devicePath}
	var own, sameFile []uint16
	for _, n := range sortedKeys(options) {
		o := options[n]
		is, ok := readProgram(o.path)
		if ok && is.same(want) && is.start == want.start && is.size == want.size && o.active() {
			return n, o, false
		}
		if o.description == label {
			own = append(own, n)
		}
		if ok && is.same(want) {
			sameFile = append(sameFile, n)
		}
	}
	if again := append(own, sameFile...); len(again) > 0 {
		return again[0], made, true
	}
	n := uint16(0)
	for taken(options, order, n) {
		n++
	}
	return n, made, true
}

// taken includes numbers that are only in the order: firmware may remember something else by them.
func taken(options map[uint16]loadOption, order []uint16, n uint16) bool {
	_, used := options[n]
	return used || slices.Contains(order, n)
}

func sortedKeys(options map[uint16]loadOption) []uint16 {
	keys := make([]uint16, 0, len(options))
	for n := range options {
		keys = append(keys, n)
	}
	slices.Sort(keys)
	return keys
}

// confirm reads the variables again: firmware may accept a write and keep something else.
func confirm(v variables, n uint16, want program) error {
	value, err := v.read(optionName(n), guidGlobal)
	if err != nil {
		return err
	}
	o, err := readLoadOption(value)
	if err != nil {
		return err
	}
	if is, ok := readProgram(o.path); !ok || is.guid != want.guid || !strings.EqualFold(is.file, want.file) {
		return fmt.Errorf("the firmware keeps another %s than was written", optionName(n))
	}
	next, err := v.read("BootNext", guidGlobal)
	if err != nil {
		return err
	}
	order, err := v.order()
	if err != nil {
		return err
	}
	if got := numbers(next); len(got) != 1 || got[0] != n {
		return errors.New("the firmware keeps another BootNext than was written")
	}
	if len(order) == 0 || order[0] != n {
		return errors.New("the firmware keeps another BootOrder than was written")
	}
	return nil
}
