package state

import (
	"fmt"
	"strings"
	"testing"
)

// sys is a system's store path by one letter.
func sys(letter string) string {
	return "/nix/store/" + strings.Repeat(letter, 32) + "-nixos-system-web1-24.05"
}

func lines(file string, text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.Trim(text, "\n"), "\n") {
		fmt.Fprintf(&b, "line\t%s:%s\n", file, line)
	}
	return b.String()
}

// generationEntry is an entry as systemd-boot-builder.py (24.05) writes it.
func generationEntry(name string, number int, letter string) string {
	return lines("/boot/loader/entries/"+name, fmt.Sprintf("sort-key nixos\nversion Generation %d NixOS 24.05, Linux Kernel 6.6.32\noptions init=%s/init loglevel=4", number, sys(letter)))
}

// grubCfg is the part of a grub.cfg of install-grub.pl (24.05) that the script sends, with this default.
func grubCfg(chosen string) string {
	return "config\t100 /boot/grub/grub.cfg\n" + lines("/boot/grub/grub.cfg", `
      set default="${next_entry}"
      set default=`+chosen+`
    }
menuentry "Windows" --id win {
}
menuentry "NixOS"  {
  linux ($drive2)/kernels/x-bzImage init=`+sys("a")+`/init loglevel=4
}
submenu "NixOS - All configurations" --class submenu {
menuentry "NixOS - Configuration 2 (2026-01-02 - 24.05)"  {
  linux ($drive2)/kernels/x-bzImage init=`+sys("a")+`/init loglevel=4
}
submenu "> NixOS - Configuration 1 (2026-01-01 - 24.05)" --class submenu {
menuentry "NixOS - Configuration 1 - Default (2026-01-01 - 24.05)"  {
  linux ($drive2)/kernels/x-bzImage init=`+sys("b")+`/init
}
}
}`)
}

func TestNextBoot(t *testing.T) {
	t.Parallel()
	three := generationEntry("nixos-generation-2.conf", 2, "b") + generationEntry("nixos-generation-10.conf", 10, "c") + generationEntry("nixos-generation-9.conf", 9, "d")
	loader := func(chosen string) string {
		return "config\t200 /boot/loader/loader.conf\n" + lines("/boot/loader/loader.conf", "default "+chosen) + three
	}
	extlinux := "config\t300 /boot/extlinux/extlinux.conf\n" + lines("/boot/extlinux/extlinux.conf",
		"DEFAULT nixos-default\nLABEL nixos-1-default\n  APPEND init="+sys("b")+"/init\nLABEL nixos-default\n  APPEND init="+sys("a")+"/init loglevel=4")
	for _, tt := range []struct{ name, said, want string }{
		{"nothing", "", ""},
		{"only root may look", "hidden\t/boot\n", ""},
		{"systemd-boot", loader("nixos-generation-9.conf"), sys("d")},
		{"a pattern takes the newest", loader("nixos-*"), sys("c")},
		{"a name that is not there: the first of the menu", loader("nixos-generation-7.conf"), sys("c")},
		{"set with bootctl", loader("nixos-generation-9.conf") + "LoaderEntryDefault\tnixos-generation-2.conf\n", sys("b")},
		{"set with bootctl, and gone", loader("nixos-generation-9.conf") + "LoaderEntryDefault\tnixos-generation-3.conf\n", sys("d")},
		{"the one of the last boot", loader("@saved") + "LoaderEntryLastBooted\tnixos-generation-2.conf\n", sys("b")},
		{"an entry that counts tries", loader("nixos-generation-11.conf") + generationEntry("nixos-generation-11+2-1.conf", 11, "a"), sys("a")},
		{"an entry without tries comes last", loader("nixos-*") + generationEntry("nixos-generation-11+0-3.conf", 11, "a"), sys("c")},
		{"something else than NixOS", loader("memtest.conf") + lines("/boot/loader/entries/memtest.conf", "version 1"), ""},
		{"GRUB", grubCfg("1"), sys("a")},
		{"GRUB by title", grubCfg("NixOS"), sys("a")},
		{"GRUB by id", grubCfg("win"), ""},
		{"GRUB in a submenu", grubCfg("2>1>0"), sys("b")},
		{"GRUB at a submenu", grubCfg("2>1"), sys("b")},
		{"GRUB, saved", grubCfg(`"${saved_entry}"`) + lines("/boot/grub/grubenv", "saved_entry=2>0"), sys("a")},
		{"GRUB, not there: the first", grubCfg("7"), ""},
		{"extlinux", extlinux, sys("a")},
		{"what was written last", loader("nixos-generation-9.conf") + extlinux, sys("a")},
		{"what has started the machine", loader("nixos-generation-9.conf") + extlinux + "LoaderInfo\tsystemd-boot 255.6\n", sys("d")},
		{"started by what cannot be seen", extlinux + "LoaderInfo\tsystemd-boot 255.6\n", ""},
	} {
		got, err := parse([]byte("T\n"+tt.said+"T\n"), "T")
		if err != nil || got.Default != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.name, got.Default, err, tt.want)
		}
	}
}
