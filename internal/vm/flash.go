package vm

import (
	"cmp"
	"encoding/json"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// findFlash gives the first firmware whose two files are there. An explicit one is taken as it is: that a file is missing is said by
// whoever opens it.
func findFlash(wish Flash, env func(string) string, dirs []string) Flash {
	for _, f := range []Flash{wish, {Code: env("STAGED_HIVE_OVMF_CODE"), Vars: env("STAGED_HIVE_OVMF_VARS")}} {
		if f.Code != "" && f.Vars != "" {
			f.CodeFormat, f.VarsFormat = cmp.Or(f.CodeFormat, "raw"), cmp.Or(f.VarsFormat, "raw")
			return f
		}
	}
	for _, f := range slices.Concat(describedFlash(env, dirs), usualFlash(dirs)) {
		if f.exists() {
			return f
		}
	}
	return Flash{}
}

func (f Flash) exists() bool {
	return regular(f.Code) && regular(f.Vars)
}

func regular(name string) bool {
	s, err := os.Stat(name)
	return err == nil && s.Mode().IsRegular()
}

// description is the part of a firmware description that matters here. The format is QEMU's docs/interop/firmware.json.
type description struct {
	Interfaces []string `json:"interface-types"`
	Mapping    struct {
		Device     string    `json:"device"`
		Mode       string    `json:"mode"`
		Executable flashFile `json:"executable"`
		Template   flashFile `json:"nvram-template"`
	} `json:"mapping"`
	Targets []struct {
		Architecture string   `json:"architecture"`
		Machines     []string `json:"machines"`
	} `json:"targets"`
	Features []string `json:"features"`
}

type flashFile struct {
	Filename string `json:"filename"`
	Format   string `json:"format"`
}

// describedFlash lists the firmware that packages describe for QEMU, in the order the format asks for: by file name, and of equal
// names the first of user's, administrator's and packages' folder.
func describedFlash(env func(string) string, dirs []string) []Flash {
	config := env("XDG_CONFIG_HOME")
	if config == "" && env("HOME") != "" {
		config = filepath.Join(env("HOME"), ".config")
	}
	folders := []string{"/etc/qemu/firmware"}
	if config != "" {
		folders = []string{filepath.Join(config, "qemu/firmware"), "/etc/qemu/firmware"}
	}
	for _, d := range append(slices.Clone(dirs), "/usr/share/qemu") {
		folders = append(folders, filepath.Join(d, "firmware"))
	}
	files := map[string]string{}
	for _, folder := range folders {
		found, _ := filepath.Glob(filepath.Join(folder, "*.json")) // the pattern is well-formed
		for _, file := range found {
			if _, known := files[filepath.Base(file)]; !known {
				files[filepath.Base(file)] = file
			}
		}
	}
	var flashes []Flash
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if f, ok := readDescription(files[name]); ok {
			flashes = append(flashes, f)
		}
	}
	return flashes
}

// readDescription passes over what is no plain UEFI firmware for x86_64: Secure Boot with keys would refuse our boot loaders, and
// firmware that needs system management mode is slow without KVM.
func readDescription(file string) (Flash, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Flash{}, false
	}
	var d description
	if json.Unmarshal(text, &d) != nil || !d.fits() {
		return Flash{}, false
	}
	code, vars := d.Mapping.Executable, d.Mapping.Template
	return Flash{code.Filename, vars.Filename, cmp.Or(code.Format, "raw"), cmp.Or(vars.Format, "raw")}, true
}

func (d description) fits() bool {
	m := d.Mapping
	if !slices.Contains(d.Interfaces, "uefi") || m.Device != "flash" || m.Mode != "" && m.Mode != "split" || m.Template.Filename == "" {
		return false
	}
	for _, f := range []string{"enrolled-keys", "requires-smm", "secure-boot"} {
		if slices.Contains(d.Features, f) {
			return false
		}
	}
	for _, t := range d.Targets {
		q35 := func(pattern string) bool { ok, err := path.Match(pattern, "pc-q35-7.2"); return err == nil && ok }
		if t.Architecture == "x86_64" && slices.ContainsFunc(t.Machines, q35) {
			return true
		}
	}
	return false
}

// usualFlash lists files where packages without descriptions have them.
func usualFlash(dirs []string) []Flash {
	var flashes []Flash
	add := func(dir, code, vars string) {
		flashes = append(flashes, Flash{filepath.Join(dir, code), filepath.Join(dir, vars), "raw", "raw"})
	}
	for _, d := range dirs { // what QEMU itself builds; its variables serve 32 and 64 bits
		add(d, "edk2-x86_64-code.fd", "edk2-i386-vars.fd")
	}
	add("/usr/share/OVMF", "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd")                 // Debian, Ubuntu
	add("/usr/share/OVMF", "OVMF_CODE.fd", "OVMF_VARS.fd")                       // older ones
	add("/usr/share/edk2/ovmf", "OVMF_CODE.fd", "OVMF_VARS.fd")                  // Fedora
	add("/usr/share/edk2/x64", "OVMF_CODE.4m.fd", "OVMF_VARS.4m.fd")             // Arch
	add("/usr/share/edk2-ovmf/x64", "OVMF_CODE.fd", "OVMF_VARS.fd")              // Arch until 2024
	add("/run/libvirt/nix-ovmf", "OVMF_CODE.fd", "OVMF_VARS.fd")                 // NixOS with libvirtd
	add("/usr/share/qemu", "ovmf-x86_64-4m-code.bin", "ovmf-x86_64-4m-vars.bin") // openSUSE
	return flashes
}
