package bootchain

import (
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
)

const (
	espKernel = "/boot/EFI/nixos/2-linux-6.6.31-bzImage.efi"
	espInitrd = "/boot/EFI/nixos/3-initrd-linux-6.6.31-initrd.efi"
	first1    = "/boot/loader/entries/nixos-generation-1.conf"
	conf      = "/boot/loader/loader.conf"
)

// withSystemdBoot is what systemd-boot-builder.py of NixOS 24.05 leaves.
func withSystemdBoot(t *testing.T) *installed {
	i := install(t, hive.Boot{Loader: "systemd-boot", Firmware: "uefi", ESP: "/boot"})
	i.write("/boot/EFI/systemd/systemd-bootx64.efi", pe(0x8664))
	i.write("/boot/EFI/BOOT/BOOTX64.EFI", pe(0x8664))
	i.write(conf, "timeout 5\ndefault nixos-generation-1.conf\nconsole-mode keep\n")
	i.write(espKernel, i.read(linux))
	i.write(espInitrd, i.read(initrd))
	i.write(first1, "title NixOS\nsort-key nixos\nversion Generation 1 NixOS Uakari 24.05\nlinux /EFI/nixos/2-linux-6.6.31-bzImage.efi\n"+
		"initrd /EFI/nixos/3-initrd-linux-6.6.31-initrd.efi\noptions init="+toplevel+"/init loglevel=4\nmachine-id 81538e3a6aac4952ace2e0c2363176e9\n")
	return i
}

func TestSystemdBootIsFollowedToTheSystem(t *testing.T) {
	i := withSystemdBoot(t)
	c, problems := i.verify()
	if len(problems) > 0 {
		t.Fatalf("problems of a good system: %v", problems)
	}
	if c.Entry != "nixos-generation-1.conf" || c.Kernel != espKernel || len(c.Initrds) != 1 || c.Initrds[0] != espInitrd ||
		c.CommandLine != "init="+toplevel+"/init loglevel=4" || c.Program != `\EFI\systemd\systemd-bootx64.efi` || !c.Fallback {
		t.Errorf("the chain is %+v", c)
	}
	if len(c.Proven) != 6 {
		t.Errorf("proven are %q", c.Proven)
	}
}

func TestSystemdBootThatWouldNotStartIsTold(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(i *installed)
		rules  []string
		says   string
	}{
		{"the ESP was never written", func(i *installed) { i.remove("/boot"); i.write("/boot/x", "") }, []string{"loader-missing", "loader-configuration"}, "systemd-bootx64.efi"},
		{"no loader of its own", func(i *installed) { i.remove("/boot/EFI/systemd") }, []string{"loader-missing"}, "systemd-bootx64.efi"},
		{"no fallback", func(i *installed) { i.remove("/boot/EFI/BOOT") }, []string{"loader-missing"}, "knows no entry"},
		{"a loader that was cut off", func(i *installed) { i.write("/boot/EFI/systemd/systemd-bootx64.efi", pe(0x8664)[:0x300]) }, []string{"loader-missing"}, "ends after 768 bytes"},
		{"zeros instead of a loader", func(i *installed) { i.write("/boot/EFI/BOOT/BOOTX64.EFI", strings.Repeat("\x00", 1024)) }, []string{"loader-missing"}, "no program of UEFI"},
		{"a loader of another architecture", func(i *installed) { i.write("/boot/EFI/systemd/systemd-bootx64.efi", pe(0xaa64)) }, []string{"loader-missing"}, "0xaa64 instead of 0x8664"},
		{"no loader.conf", func(i *installed) { i.remove(conf) }, []string{"loader-configuration"}, "loader.conf"},
		{"a default that is not there", func(i *installed) { i.change(conf, "generation-1", "generation-2") }, []string{"entry-missing"}, "nixos-generation-1.conf"},
		{"no entries", func(i *installed) { i.remove(first1) }, []string{"entry-missing"}, "has no entry"},
		{"no kernel", func(i *installed) { i.remove(espKernel) }, []string{"boot-file"}, espKernel},
		{"no initrd", func(i *installed) { i.remove(espInitrd) }, []string{"boot-file"}, "no such file"},
		{"an entry without an initrd", func(i *installed) { i.change(first1, "initrd /", "# initrd /") }, []string{"initrd-missing"}, "no initrd"},
		{"an initrd with other bytes", func(i *installed) { i.change(espInitrd, "initrd", "initrx") }, []string{"boot-file"}, "at byte 5"},
		{"an initrd that was cut off", func(i *installed) { i.write(espInitrd, i.read(initrd)[:1<<20]) }, []string{"boot-file"}, "ends after 1048576 bytes"},
		{"an initrd with more", func(i *installed) { i.write(espInitrd, i.read(initrd)+"more") }, []string{"boot-file"}, "is longer"},
		{"an initrd with its secrets", func(i *installed) {
			i.write(espInitrd, i.read(initrd)+"secrets")
			i.write(toplevel+"/append-initrd-secrets", "#!/bin/sh\n")
		}, nil, ""},
		{"a kernel of no length, in the store too", func(i *installed) { i.write(espKernel, ""); i.write(linux, "") }, []string{"boot-file"}, "is empty"},
		{"another system", func(i *installed) { i.change(first1, toplevel, gone) }, []string{"wrong-system"}, gone},
		{"init= given again", func(i *installed) { i.change(first1, "loglevel=4", "init=/bin/sh") }, []string{"wrong-system"}, "starts /bin/sh"},
		{"the profile of another system", func(i *installed) {
			i.write(gone+"/init", "")
			i.link("/nix/var/nix/profiles/system-1-link", gone)
		}, []string{"profile"}, gone},
		{"a profile that leads nowhere", func(i *installed) { i.remove("/nix/var/nix/profiles/system-1-link") }, []string{"profile"}, "leads nowhere"},
		{"a profile in a circle", func(i *installed) { i.link("/nix/var/nix/profiles/system-1-link", "system") }, []string{"profile"}, "too many levels"},
		{"a system without init", func(i *installed) { i.remove(toplevel + "/init") }, []string{"system-missing"}, "no init"},
		{"an incomplete closure", func(i *installed) { i.remove("/nix/store/00000000000000000000000000000003-initrd-linux-6.6.31") }, []string{"closure", "boot-file"}, "1 of 3"},
		{"an entry of an earlier system", func(i *installed) {
			i.write("/boot/loader/entries/nixos-generation-7.conf", "title NixOS\nlinux /EFI/nixos/x\noptions init="+gone+"/init\n")
		}, []string{"warning stale-entry"}, "nixos-generation-7.conf"},
		{"an entry of another distribution", func(i *installed) {
			i.write("/boot/loader/entries/arch.conf", "title Arch\nlinux /vmlinuz\noptions root=/dev/sda2\n")
		}, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := withSystemdBoot(t)
			tt.change(i)
			var said strings.Builder
			for _, p := range i.expect(tt.rules...) {
				said.WriteString(p.Message + "\n")
			}
			if !strings.Contains(said.String(), tt.says) {
				t.Errorf("%q is not in %s", tt.says, said.String())
			}
		})
	}
}

func TestSystemdBootReadsNamesAsFATDoes(t *testing.T) {
	i := withSystemdBoot(t)
	i.rename("/boot/EFI/BOOT", "/boot/EFI/boot")
	i.rename("/boot/EFI/boot/BOOTX64.EFI", "/boot/EFI/boot/bootx64.efi")
	i.change(first1, "/EFI/nixos/2", `\efi\NixOS\2`)
	i.rename(first1, "/boot/loader/entries/Nixos-Generation-1.CONF")
	c, problems := i.verify()
	if len(problems) > 0 || c.Kernel != espKernel {
		t.Errorf("chain %+v, problems %v", c, problems)
	}
}

func TestSystemdBootWithABootPartitionBesideTheESP(t *testing.T) {
	i := withSystemdBoot(t)
	i.host.Plan.Boot.ESP = "/efi"
	i.rename("/boot/EFI/systemd", "/efi/EFI/systemd")
	i.rename("/boot/EFI/BOOT", "/efi/EFI/BOOT")
	i.rename(conf, "/efi/loader/loader.conf")
	i.expect()
}

func TestSystemdBootOfABootPartitionOnAnArm(t *testing.T) {
	i := withSystemdBoot(t)
	i.host.Plan.Platform = "aarch64-linux"
	i.expect("loader-missing")
	i.write("/boot/EFI/systemd/systemd-bootaa64.efi", pe(0xaa64))
	i.write("/boot/EFI/BOOT/BOOTAA64.EFI", pe(0xaa64))
	i.expect()
}

func TestLoaderDefault(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"as NixOS writes it", "timeout 5\ndefault nixos-generation-12.conf\n", "nixos-generation-12.conf"},
		{"the last one counts", "default a\n\n# default b\ndefault\tc\n", "c"},
		{"none", "timeout 5\ndefault\n", ""},
	} {
		if got := loaderDefault(tt.text); got != tt.want {
			t.Errorf("%s: got %q", tt.name, got)
		}
	}
}

func TestSystemdBootChoosesAsItSorts(t *testing.T) {
	files := func(names ...string) []bootEntry {
		var all []bootEntry
		for _, n := range names {
			all = append(all, bootEntry{file: "/boot/loader/entries/" + n, sortKey: "nixos", version: strings.TrimSuffix(n, ".conf")})
		}
		return all
	}
	for _, tt := range []struct {
		name    string
		entries []bootEntry
		pattern string
		want    string
	}{
		{"exactly", files("nixos-generation-1.conf", "nixos-generation-10.conf"), "nixos-generation-1.conf", "nixos-generation-1.conf"},
		{"without the ending", files("nixos-generation-1.conf"), "nixos-generation-1", "nixos-generation-1.conf"},
		{"the newest", files("nixos-generation-9.conf", "nixos-generation-10.conf", "nixos-generation-2.conf"), "nixos-*", "nixos-generation-10.conf"},
		{"with a counter", files("nixos-generation-1+3.conf"), "nixos-generation-1.conf", "nixos-generation-1+3.conf"},
		{"with no try left", files("nixos-generation-2+0-3.conf", "nixos-generation-1.conf"), "nixos-*", "nixos-generation-1.conf"},
		{"a key before none", append([]bootEntry{{file: "zzz.conf"}}, files("nixos-generation-1.conf")...), "", "nixos-generation-1.conf"},
		{"no key: the last name", []bootEntry{{file: "a.conf"}, {file: "b.conf"}}, "*", "b.conf"},
		{"none fits", files("nixos-generation-1.conf"), "arch-*", ""},
		{"a broken pattern", files("nixos-generation-1.conf"), "[", ""},
	} {
		got, ok := chooseEntry(tt.entries, tt.pattern)
		if name := got.file[strings.LastIndex(got.file, "/")+1:]; name != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: got %q", tt.name, name)
		}
	}
}

func FuzzLoaderFiles(f *testing.F) {
	f.Add("default nixos-*\n", "title x\nsort-key y\nlinux \\a\ninitrd b\noptions c\noptions d\nversion 1.2+0-1\n")
	f.Fuzz(func(t *testing.T, conf, text string) {
		e := readEntry(text)
		e.file = conf
		if got, ok := chooseEntry([]bootEntry{e, {file: "a+0.conf"}}, loaderDefault(conf)); ok && got.file != conf && got.file != "a+0.conf" {
			t.Errorf("chose %+v", got)
		}
		if strings.Contains(e.linux, `\`) {
			t.Errorf("the path %q has a backslash", e.linux)
		}
		readExtlinux(text)
	})
}
