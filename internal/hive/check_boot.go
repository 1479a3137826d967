package hive

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The partition type GUIDs of the UEFI specification (5.3.3) and of GRUB's BIOS boot partition; sgdisk's short codes for
// them are EF00 and EF02.
const (
	guidESP      = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
	guidBIOSBoot = "21686148-6449-6E6F-744E-656564454649"
)

// smallestESP is the least an EFI system partition should have, in bytes. A kernel with its initrd takes up to 200 MiB
// and two systems with their generations share the partition.
const smallestESP = 512 << 20

// platform refuses platforms we have no medium for: its program is built for these two.
func platform(_ scope, h Host) []Problem {
	const way = `set nixpkgs.hostPlatform = "x86_64-linux"; or "aarch64-linux"`
	switch h.System {
	case "x86_64-linux", "aarch64-linux":
		return nil
	case "":
		return one(Error, "nixpkgs.hostPlatform", "the platform of the host is not known", way)
	}
	return one(Error, "nixpkgs.hostPlatform", h.System+" has no installation medium", way)
}

// bootLoader refuses a system that nothing starts.
func bootLoader(_ scope, h Host) []Problem {
	if h.Boot.CustomLoader || h.Boot.Loader != "none" && h.Boot.Loader != "" {
		return nil
	}
	way := `set boot.loader.systemd-boot.enable = true; for UEFI, or boot.loader.grub.device = "/dev/disk/by-id/..."; for BIOS`
	if strings.HasPrefix(h.System, "aarch64") {
		way = "set boot.loader.systemd-boot.enable = true; for UEFI, or boot.loader.generic-extlinux-compatible.enable = true; for a board with U-Boot"
	}
	return one(Error, "boot.loader", "no boot loader is enabled: the installed host would not start", way)
}

// bootsBIOS reports whether the boot loader writes a BIOS boot sector.
func bootsBIOS(b Boot) bool {
	return b.Firmware == "bios" || b.Firmware == "both"
}

// bootsUEFI reports whether the boot loader is started by UEFI firmware.
func bootsUEFI(b Boot) bool {
	return b.Firmware == "uefi" || b.Firmware == "both"
}

// hasBIOS reports whether machines of the platform can have a BIOS at all.
func hasBIOS(system string) bool {
	return system == "" || strings.HasPrefix(system, "x86_64-") || strings.HasPrefix(system, "i686-")
}

// firmwarePlatform refuses a BIOS boot sector for machines that have no BIOS: GRUB has no such target there.
func firmwarePlatform(_ scope, h Host) []Problem {
	if !bootsBIOS(h.Boot) || hasBIOS(h.System) {
		return nil
	}
	return one(Error, "boot.loader", fmt.Sprintf("the boot loader is installed for a BIOS, which no %s machine has", h.System),
		"set boot.loader.systemd-boot.enable = true; boot.loader.grub.enable = false;")
}

// espMount refuses a UEFI boot loader without a mounted EFI system partition: nixos-install would write the loader to the
// root file system, where no firmware looks (and bootctl refuses a partition of another type).
func espMount(_ scope, h Host) []Problem {
	if !bootsUEFI(h.Boot) || len(h.Storage.FileSystems) == 0 {
		return nil
	}
	const option = "boot.loader.efi.efiSysMountPoint"
	esp := espPath(h)
	fs, mounted := mountedAt(h, esp)
	switch {
	case !mounted && h.Boot.Loader == "grub" && len(fatMounts(h)) > 1:
		return nil // boot.loader.grub.mirroredBoots: each copy has its own mount point
	case !mounted:
		return one(Error, option, fmt.Sprintf("the boot loader goes to %s, but nothing is mounted there", esp), espWay(h, esp))
	case fs.Type != "vfat" && fs.Type != "msdos" && fs.Type != "auto":
		return one(Error, fmt.Sprintf("fileSystems.%q.fsType", esp),
			fmt.Sprintf("is %s, but UEFI firmware reads FAT only", fs.Type), espWay(h, esp))
	}
	return espType(h, esp)
}

// espPath is where the EFI system partition is mounted, NixOS' default if the facts do not say.
func espPath(h Host) string {
	if h.Boot.ESP == "" {
		return "/boot"
	}
	return h.Boot.ESP
}

func mountedAt(h Host, path string) (FileSystem, bool) {
	for _, fs := range h.Storage.FileSystems {
		if fs.MountPoint == path {
			return fs, true
		}
	}
	return FileSystem{}, false
}

// espWay points to a FAT file system that is mounted elsewhere, else asks for one.
func espWay(h Host, esp string) string {
	if mounts := fatMounts(h); len(mounts) > 0 && mounts[0] != esp {
		return fmt.Sprintf("set boot.loader.efi.efiSysMountPoint = %q;", mounts[0])
	}
	if len(h.Storage.Disks) > 0 {
		return fmt.Sprintf(`add a partition to the disk: ESP = { type = "EF00"; size = "1G"; content = { type = "filesystem"; format = "vfat"; mountpoint = %q; }; };`, esp)
	}
	return fmt.Sprintf(`mount the EFI system partition: fileSystems.%q = { device = "/dev/disk/by-uuid/..."; fsType = "vfat"; };`, esp)
}

// fatMounts are the mount points of FAT file systems that look like they are for booting.
func fatMounts(h Host) []string {
	var found []string
	for _, fs := range h.Storage.FileSystems {
		if fs.Type == "vfat" && (strings.HasPrefix(fs.MountPoint, "/boot") || strings.HasPrefix(fs.MountPoint, "/efi")) {
			found = append(found, fs.MountPoint)
		}
	}
	return found
}

// espType wants disko's partition at the mount point to have the type firmware looks for. The old "table" layout has
// flags in place of types and is left alone.
func espType(h Host, esp string) []Problem {
	for _, d := range h.Storage.Disks {
		for _, p := range d.Partitions {
			if p.MountPoint != esp || d.Table != "gpt" || d.Additional || isType(p, "EF00", guidESP) {
				continue
			}
			return one(Error, partitionOption(d, p)+".type",
				fmt.Sprintf("is %q: firmware does not recognise the partition at %s as an EFI system partition", p.Type, esp),
				`set type = "EF00"; for the partition`)
		}
	}
	return nil
}

func partitionOption(d Disk, p Partition) string {
	return fmt.Sprintf("disko.devices.disk.%s.content.partitions.%s", d.Name, p.Name)
}

func isType(p Partition, code, guid string) bool {
	return strings.EqualFold(p.Type, code) || strings.EqualFold(p.Type, guid)
}

// espSize warns of an EFI system partition that a second kernel fills up: the deployment after that fails.
func espSize(_ scope, h Host) []Problem {
	if !bootsUEFI(h.Boot) {
		return nil
	}
	for _, d := range h.Storage.Disks {
		for _, p := range d.Partitions {
			size, known := parseSize(p.Size)
			if d.Additional || p.MountPoint != espPath(h) || !known || size >= smallestESP {
				continue
			}
			return one(Warning, partitionOption(d, p)+".size",
				fmt.Sprintf("%s is small for the kernels of the mini system, the full system and their generations", p.Size),
				`set size = "1G"; before the host is installed (later the disk would have to be formatted anew)`)
		}
	}
	return nil
}

// parseSize reads a partition size as sgdisk does, in bytes: a number with K, M, G, T or P, all powers of 1024. It is
// false for percentages, sector counts and what it does not know.
func parseSize(text string) (bytes int64, ok bool) {
	text = strings.ToUpper(strings.TrimSpace(text))
	text = strings.TrimSuffix(strings.TrimSuffix(text, "B"), "I")
	if text == "" {
		return 0, false
	}
	power := strings.IndexByte("KMGTP", text[len(text)-1])
	n, err := strconv.ParseInt(strings.TrimPrefix(text[:len(text)-1], "+"), 10, 64)
	if power < 0 || err != nil || n < 0 || n > 1<<(52-10*power) {
		return 0, false
	}
	return n << (10 * (power + 1)), true
}

// grubBIOS refuses a BIOS GRUB without a disk, or with a GPT disk that has no room for it: between GPT and the first
// partition there is none, so GRUB's core goes to a partition of type EF02 or the installation of the loader fails.
func grubBIOS(_ scope, h Host) []Problem {
	if h.Boot.Loader != "grub" || !bootsBIOS(h.Boot) || !hasBIOS(h.System) {
		return nil
	}
	if len(h.Boot.GrubDevices) == 0 {
		if h.Boot.Firmware == "both" {
			return nil
		}
		return one(Error, "boot.loader.grub.devices", "GRUB has no disk to write its boot sector to",
			`set boot.loader.grub.device = "/dev/disk/by-id/..."; or add a partition to disko's disk: boot = { type = "EF02"; size = "1M"; };`)
	}
	for _, d := range h.Storage.Disks {
		if slices.Contains(h.Boot.GrubDevices, d.Device) && d.Table == "gpt" && !hasPartition(d, "EF02", guidBIOSBoot) {
			return one(Error, "disko.devices.disk."+d.Name+".content.partitions", noRoomForGrub(d), grubWay(d))
		}
	}
	return nil
}

func hasPartition(d Disk, code, guid string) bool {
	return slices.ContainsFunc(d.Partitions, func(p Partition) bool { return isType(p, code, guid) })
}

func noRoomForGrub(d Disk) string {
	layout := "has no partition of type EF02"
	if hasPartition(d, "EF00", guidESP) {
		layout = "is laid out for UEFI only"
	}
	return fmt.Sprintf("GRUB is to write a BIOS boot sector to %s, but the disk %s: the boot loader would not install", d.Device, layout)
}

func grubWay(d Disk) string {
	way := `add a first partition: boot = { type = "EF02"; size = "1M"; priority = 1; };`
	if hasPartition(d, "EF00", guidESP) {
		return way + " or, for a UEFI machine, set boot.loader.systemd-boot.enable = true; boot.loader.grub.enable = false;"
	}
	return way
}

// grubRemovable refuses what GRUB cannot do at once: install to the fallback path and enter itself in the firmware.
func grubRemovable(_ scope, h Host) []Problem {
	if h.Boot.Loader != "grub" || !h.Boot.Removable || !h.Boot.TouchVariables {
		return nil
	}
	return one(Error, "boot.loader.efi.canTouchEfiVariables",
		"excludes boot.loader.grub.efiInstallAsRemovable: GRUB goes to the fallback path or into the firmware's menu, not both",
		"set boot.loader.efi.canTouchEfiVariables = false;")
}
