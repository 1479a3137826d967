package bootchain

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// grub follows the way of GRUB: its core on each disk or its program on the EFI system partition, grub.cfg, and the entry it takes.
func (v *verifier) grub() {
	boot := v.host.Plan.Boot
	if boot.Firmware == "uefi" || boot.Firmware == "both" {
		v.grubProgram()
	}
	if boot.Firmware == "bios" || boot.Firmware == "both" {
		v.bootSectors()
	}
	files := v.grubFiles()
	if len(files) == 0 {
		v.broken("loader-configuration", "there is no grub/grub.cfg on the boot partition")
	}
	for _, file := range files {
		v.grubFile(file)
	}
}

// grubProgram finds the folder that grub-install --bootloader-id made: NixOS derives its name from the mount point.
func (v *verifier) grubProgram() {
	esp := v.host.Plan.Boot.ESP
	if esp == "" {
		v.broken("esp", "GRUB is for UEFI, and the host has no EFI system partition")
		return
	}
	if v.host.Plan.Boot.Removable {
		v.programs(esp, "EFI/BOOT/BOOT")
		return
	}
	names := []string{"NixOS-boot", "NixOS" + strings.ReplaceAll(path.Clean("/"+esp), "/", "-")}
	for _, folder := range append(names, v.vendors(esp)...) {
		if _, err := v.tree.anyCase(path.Join(esp, "EFI", folder)); err == nil {
			v.programs(esp, "EFI/"+folder+"/grub")
			return
		}
	}
	v.programs(esp, "EFI/"+names[0]+"/grub")
}

// vendors are the other folders that may be GRUB's.
func (v *verifier) vendors(esp string) []string {
	var found []string
	for _, name := range v.tree.list(path.Join(esp, "EFI")) {
		if strings.HasPrefix(strings.ToLower(name), "nixos") {
			found = append(found, name)
		}
	}
	return found
}

// grubFiles are the grub.cfg of each boot partition (boot.loader.grub.mirroredBoots has several).
func (v *verifier) grubFiles() []string {
	places := []string{"/boot", v.host.Plan.Boot.ESP}
	for _, f := range v.host.Plan.Storage.FileSystems {
		if strings.HasPrefix(f.MountPoint, "/boot") {
			places = append(places, f.MountPoint)
		}
	}
	var found []string
	for _, p := range places {
		if p == "" {
			continue
		}
		file, err := v.tree.anyCase(path.Join(p, "grub/grub.cfg"))
		if err == nil && !slices.Contains(found, file) {
			found = append(found, file)
		}
	}
	return found
}

func (v *verifier) grubFile(file string) {
	text, err := v.tree.read(file)
	if err != nil {
		v.broken("loader-configuration", "the configuration of the boot loader: %v", err)
		return
	}
	menu := readGrub(string(text))
	if len(menu.all()) == 0 {
		v.broken("entry-missing", "%s has no entry", file)
		return
	}
	chosen, ok := menu.chosen()
	if !ok {
		v.broken("entry-missing", "no entry of %s fits the default %q", file, menu.choice)
		return
	}
	e, err := v.grubEntry(file, menu, chosen)
	if err != nil {
		v.broken("boot-file", "%s: the default entry %q: %v", file, chosen.title, err)
		return
	}
	v.proven(file)
	v.kernel(e)
	if strings.Contains(menu.choice, "saved_entry") {
		v.savedEntry(path.Dir(file), chosen)
	}
	for _, other := range menu.all() {
		v.stale(entry{name: other.title, commandLine: other.commandLine})
	}
}

// savedEntry warns where GRUB remembers a choice of an earlier system (boot.loader.grub.default = "saved").
func (v *verifier) savedEntry(folder string, chosen grubEntry) {
	text, err := v.tree.read(path.Join(folder, "grubenv"))
	if err != nil {
		return
	}
	for line := range strings.Lines(string(text)) {
		saved, ok := strings.CutPrefix(strings.TrimSpace(line), "saved_entry=")
		if ok && saved != "" && saved != "0" && saved != chosen.title {
			v.warn("boot.loader.grub.default", "saved-entry", fmt.Sprintf("GRUB remembers another entry as the one to start: %q", saved),
				"choose the new system in its menu once, or remove "+path.Join(folder, "grubenv"))
		}
	}
}

// grubEntry finds the files of an entry where GRUB would.
func (v *verifier) grubEntry(file string, m grubMenu, g grubEntry) (entry, error) {
	e := entry{name: g.title, commandLine: g.commandLine}
	if g.linux == "" {
		return e, fmt.Errorf("starts no kernel")
	}
	var err error
	if e.kernel, err = v.grubPath(file, m, g, g.linux); err != nil {
		return e, err
	}
	for _, name := range g.initrds {
		found, err := v.grubPath(file, m, g, name)
		if err != nil {
			return e, err
		}
		e.initrds = append(e.initrds, found)
	}
	return e, nil
}

// grubPath turns ($drive1)//kernels/x into a path of the installed system: the file system that GRUB searches for has to be one of those
// that are mounted, or it would not find it, or find another system's. Without a drive it is that of grub.cfg itself.
func (v *verifier) grubPath(file string, m grubMenu, g grubEntry, name string) (string, error) {
	drive, inside, ok := strings.Cut(strings.TrimPrefix(name, "("), ")")
	if !strings.HasPrefix(name, "(") || !ok {
		home, _ := at(v.volumes, file)
		return v.within([]volume{home}, name)
	}
	variable := strings.TrimPrefix(drive, "$")
	s, known := g.drives[variable]
	if !known {
		s, known = m.drives[variable]
	}
	if !known || s.by == "file" {
		return "", fmt.Errorf("%s is on a drive that nothing in the configuration searches for", name)
	}
	var found []volume
	for _, volume := range v.volumes {
		if volume.answers(s) {
			found = append(found, volume)
		}
	}
	if len(found) == 0 {
		return "", fmt.Errorf("%s is on the file system with %s %s, and that is not one of the installed system", name, s.by, s.value)
	}
	return v.within(found, inside)
}

// answers reports whether GRUB's search finds the volume. A pool of ZFS is searched for by its name.
func (f volume) answers(s search) bool {
	switch {
	case f.kind == "zfs":
		pool, _, _ := strings.Cut(f.source, "/")
		return s.by == "label" && pool == s.value
	case s.by == "fs-uuid":
		return strings.EqualFold(f.id, s.value)
	}
	return f.label == s.value
}

// within finds a path of a file system in one of the places where that is mounted: its folders and subvolumes.
func (v *verifier) within(volumes []volume, name string) (string, error) {
	name = path.Clean("/" + name)
	best, bestInside := "", ""
	for _, f := range volumes {
		top := path.Clean("/" + f.inside)
		if f.kind == "zfs" { // GRUB's path is /dataset@/file
			_, set, _ := strings.Cut(f.source, "/")
			top = path.Join("/", set, "@")
		}
		rest, ok := below(name, top)
		if ok && len(top) > len(bestInside) {
			best, bestInside = path.Join("/", f.point, rest), top
		}
	}
	if best == "" {
		return "", fmt.Errorf("%s is in no part of its file system that is mounted", name)
	}
	return v.tree.anyCase(best)
}
