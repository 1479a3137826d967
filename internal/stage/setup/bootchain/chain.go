package bootchain

import (
	"fmt"
	"path"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// Chain is what the machine will start, as it was read back. Paths are below the root of the installed system and begin with a slash.
type Chain struct {
	Loader string // as hive.Boot has it
	Entry  string // what the loader starts by default: a file or a title
	// Kernel and Initrds are the files that the loader reads, CommandLine what it gives to the kernel.
	Kernel      string
	Initrds     []string
	CommandLine string
	// Program is the loader on the EFI system partition that the firmware should start, as firmware writes paths: \EFI\systemd\systemd-bootx64.efi.
	// Empty without UEFI.
	Program string
	// Fallback tells that the loader is also where firmware looks that knows of no entry: \EFI\BOOT.
	Fallback bool
	// Proven are the files that were read and found to be right.
	Proven []string
}

// Verify reads the boot chain of the host back, installed at root ("/mnt"). Nothing is wrong with it if no problem is an error.
// What the system itself holds is compared with the closure that the medium says it has; see [Registered] for its database.
func Verify(root string, h hive.MediumHost) (Chain, []hive.Problem) {
	v := verifier{tree: tree{root}, host: h, volumes: volumesBelow(root)}
	v.verify()
	return v.chain, v.problems
}

// verifier gathers what is found.
type verifier struct {
	tree     tree
	host     hive.MediumHost
	volumes  []volume
	chain    Chain
	problems []hive.Problem
}

func (v *verifier) verify() {
	boot := v.host.Plan.Boot
	v.chain.Loader = boot.Loader
	v.system()
	v.closure()
	switch boot.Loader {
	case "systemd-boot":
		v.systemdBoot()
	case "grub":
		v.grub()
	case "extlinux":
		v.extlinux()
	default:
		v.warn("boot.loader", "loader-unproven", fmt.Sprintf("what the boot loader %q will start cannot be read back", boot.Loader),
			"look at it before the machine is restarted: its files are below "+v.tree.root)
	}
	v.room()
}

func (v *verifier) add(severity hive.Severity, option, rule, message, way string) {
	v.problems = append(v.problems, hive.Problem{Host: v.host.Name, Option: option, Severity: severity, Rule: rule, Message: message, Way: way})
}

func (v *verifier) warn(option, rule, message, way string) {
	v.add(hive.Warning, option, rule, message, way)
}

// again is the way out of most of what can be wrong: the phases are repeatable.
const again = "run setup again: it repeats the installation of the system and its boot loader; the log tells why they did not succeed"

// broken is an error in what the loader has.
func (v *verifier) broken(rule, format string, args ...any) {
	v.add(hive.Error, "boot.loader", rule, fmt.Sprintf(format, args...), again)
}

func (v *verifier) proven(file string) { v.chain.Proven = append(v.chain.Proven, file) }

// system looks at the profile, which later deployments and every loader's installer start from.
func (v *verifier) system() {
	const profile = "/nix/var/nix/profiles/system"
	is, err := v.tree.resolve(profile)
	switch {
	case err != nil:
		v.broken("profile", "the system profile leads nowhere: %v", err)
	case is != v.host.Toplevel:
		v.broken("profile", "the system profile is %s, and not the system that was to be installed: %s", is, v.host.Toplevel)
	default:
		v.proven(profile)
	}
	if _, err := v.tree.resolve(v.host.Toplevel + "/init"); err != nil {
		v.broken("system-missing", "the system has no init: %v", err)
	}
}

// kernel proves that what an entry names is the host's system: kernel and initrd equal to those in the store, and the system's init.
func (v *verifier) kernel(e entry) {
	v.chain.Entry, v.chain.Kernel, v.chain.Initrds, v.chain.CommandLine = e.name, e.kernel, e.initrds, e.commandLine
	if got := initOf(e.commandLine); got != v.host.Toplevel+"/init" {
		v.broken("wrong-system", "the default entry %s starts %s, and not %s", e.name, orNothing(got), v.host.Toplevel)
	}
	v.equal(e.kernel, v.host.Toplevel+"/kernel", false)
	if len(e.initrds) == 0 {
		v.broken("initrd-missing", "the default entry %s has no initrd", e.name)
		return
	}
	// NixOS appends boot.initrd.secrets to the copy of systemd-boot; GRUB gets them as a file of their own.
	_, err := v.tree.resolve(v.host.Toplevel + "/append-initrd-secrets")
	v.equal(e.initrds[0], v.host.Toplevel+"/initrd", err == nil)
	for _, more := range e.initrds[1:] {
		if err := v.tree.filled(more); err != nil {
			v.broken("initrd-missing", "the default entry %s: %v", e.name, err)
		}
	}
}

// equal compares a file that the loader reads with the store's. With more, the loader's may go on after it.
func (v *verifier) equal(file, original string, more bool) {
	if err := v.tree.equal(file, original, more); err != nil {
		v.broken("boot-file", "%v", err)
		return
	}
	v.proven(file)
}

// stale warns of an entry that would not start, if somebody chose it.
func (v *verifier) stale(e entry) {
	got := initOf(e.commandLine)
	if got == "" || !strings.HasPrefix(got, "/nix/store/") {
		return // another system's, and not ours to judge
	}
	if _, err := v.tree.resolve(got); err != nil {
		v.warn("boot.loader", "stale-entry", fmt.Sprintf("the entry %s starts %s, which is not there any more", e.name, path.Dir(got)),
			"the next deployment removes it; until then do not choose it")
	}
}

// entry is what a loader can start. Paths are below the root of the installed system.
type entry struct {
	name        string
	kernel      string
	initrds     []string
	commandLine string
}

// initOf is what the kernel is told to run. The last one counts.
func initOf(commandLine string) string {
	found := ""
	for _, word := range strings.Fields(commandLine) {
		if value, ok := strings.CutPrefix(word, "init="); ok {
			found = value
		}
	}
	return found
}

func orNothing(what string) string {
	if what == "" {
		return "nothing"
	}
	return what
}
