package bootchain

import (
	"cmp"
	"os"
	"path"
	"slices"
	"strings"
)

// systemdBoot follows the way of systemd-boot: from its own files over loader.conf to the entry it takes (systemd 249 to 257, and the Boot
// Loader Specification).
func (v *verifier) systemdBoot() {
	esp := v.host.Plan.Boot.ESP
	if esp == "" {
		v.broken("esp", "the host has systemd-boot and no EFI system partition")
		return
	}
	v.programs(esp, "EFI/systemd/systemd-boot")
	conf, err := v.tree.anyCase(path.Join(esp, "loader/loader.conf"))
	if err != nil {
		v.broken("loader-configuration", "the boot loader has no configuration: %v", err)
		return
	}
	text, err := v.tree.read(conf)
	if err != nil {
		v.broken("loader-configuration", "the configuration of the boot loader: %v", err)
		return
	}
	v.systemdEntry(esp, conf, loaderDefault(string(text)))
}

// systemdEntry judges the entry that the pattern chooses, and warns of others that would not start.
func (v *verifier) systemdEntry(esp, conf, pattern string) {
	entries := v.systemdEntries(esp)
	if len(entries) == 0 {
		v.broken("entry-missing", "the boot loader has no entry: %s is empty", path.Join(esp, "loader/entries"))
		return
	}
	chosen, ok := chooseEntry(entries, pattern)
	if !ok {
		v.broken("entry-missing", "no entry fits the default %q of %s: there are %s", pattern, conf, strings.Join(entryNames(entries), ", "))
		return
	}
	v.proven(conf)
	v.kernel(v.located(chosen))
	for _, e := range entries {
		if e.file != chosen.file {
			v.stale(v.located(e))
		}
	}
}

// systemdEntries reads the entries on the EFI system partition, and those of an extended boot partition that is mounted at /boot.
func (v *verifier) systemdEntries(esp string) []bootEntry {
	var entries []bootEntry
	for _, boot := range slices.Compact([]string{esp, "/boot"}) {
		folder, err := v.tree.anyCase(path.Join(boot, "loader/entries"))
		if err != nil {
			continue
		}
		files, err := os.ReadDir(v.tree.outside(folder))
		if err != nil {
			v.broken("entry-missing", "read the entries of the boot loader: %v", inside(err))
			continue
		}
		for _, f := range files {
			name := path.Join(folder, f.Name())
			if !strings.HasSuffix(strings.ToLower(f.Name()), ".conf") {
				continue
			}
			text, err := v.tree.read(name)
			if err != nil {
				v.broken("entry-missing", "read an entry of the boot loader: %v", err)
				continue
			}
			e := readEntry(string(text))
			e.file, e.boot = name, boot
			entries = append(entries, e)
		}
	}
	return entries
}

// located turns the paths of an entry, which begin at its own file system, into those of the system.
func (v *verifier) located(e bootEntry) entry {
	find := func(name string) string {
		if name == "" {
			return path.Join(e.boot, "(no file)")
		}
		if found, err := v.tree.anyCase(path.Join(e.boot, name)); err == nil {
			return found
		}
		return path.Join(e.boot, name) // the comparison tells that it is not there
	}
	out := entry{name: path.Base(e.file), kernel: find(e.linux), commandLine: e.options}
	for _, i := range e.initrds {
		out.initrds = append(out.initrds, find(i))
	}
	return out
}

// programs wants the loader where its own entry points to, and where firmware looks without one. name is its path without architecture.
func (v *verifier) programs(esp, name string) {
	suffixes, ok := efiSuffixes(v.host.Plan.Platform)
	if !ok {
		v.broken("esp", "no UEFI firmware is known for %s", v.host.Plan.Platform)
		return
	}
	program, err := v.program(esp, name, suffixes)
	if err == nil {
		v.chain.Program = program
	}
	fallback, errFallback := v.program(esp, "EFI/BOOT/BOOT", suffixes)
	if errFallback == nil {
		v.chain.Fallback = true
		v.chain.Program = cmp.Or(v.chain.Program, fallback)
	}
	switch {
	case err != nil && (errFallback != nil || !v.host.Plan.Boot.Removable):
		v.broken("loader-missing", "the boot loader is not on the EFI system partition: %v", err)
	case errFallback != nil && v.host.Plan.Boot.Loader == "systemd-boot":
		v.broken("loader-missing", "the boot loader is not where firmware looks that knows no entry: %v", errFallback)
	}
}

// program finds a PE file of one of the architectures, and gives its path as firmware writes it.
func (v *verifier) program(esp, name string, suffixes []efiSuffix) (string, error) {
	var last error
	for _, s := range suffixes {
		file, err := v.tree.anyCase(path.Join(esp, name+s.name+".efi"))
		if err == nil {
			err = v.tree.isProgram(file, s.machine)
		}
		if err == nil {
			v.proven(file)
			return firmwarePath(esp, file), nil
		}
		if last == nil {
			last = err
		}
	}
	return "", last
}

// firmwarePath is the path of a file on the EFI system partition with the separators of UEFI.
func firmwarePath(esp, file string) string {
	inside, _ := below(file, path.Clean(esp))
	return strings.ReplaceAll(inside, "/", `\`)
}

func entryNames(entries []bootEntry) []string {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = path.Base(e.file)
	}
	return names
}
