package machine

import (
	"errors"
	"fmt"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// Definition is a complete definition to start from, as Nix: a disko tree for the disk with an ext4 root, the boot loader that the firmware
// wants, the card that is connected and by what the machine is recognised. Boards that start from a device tree have no such tree: their
// loader lies on the medium.
func Definition(m hive.Machine, disk hive.Device) (string, error) {
	var boot, loader string
	switch m.Firmware {
	case "uefi":
		boot, loader = esp, "boot.loader.systemd-boot.enable = true;\n  boot.loader.efi.canTouchEfiVariables = true;"
	case "bios":
		boot, loader = biosBoot, "boot.loader.grub.enable = true; # disko tells it the disk, by the partition of type EF02"
	default:
		return "", errors.New("a board that starts from a device tree has no disk to lay out: install --all makes an image for its card")
	}
	var own strings.Builder
	if c, ok := BestCard(m); ok {
		fmt.Fprintf(&own, "\n  hive.network = {\n    %s\n    address = \"dhcp\"; # or for example \"192.168.1.10/24\" with a gateway\n  };\n",
			strings.TrimPrefix(cardLine(c), "hive.network."))
	}
	for _, l := range matchLines(m) {
		if !strings.Contains(l.Text, ".macs") || own.Len() == 0 { // the card of the network is recognised anyway
			own.WriteString("  " + l.Text + "\n")
		}
	}
	return fmt.Sprintf(definition, comment(m, disk), attributePlatform(m), loader, text(disk.Best()), boot, own.String()), nil
}

// definition takes a comment, the platform, the boot loader, the disk's path, its boot partition, and what else there is.
const definition = `# %s
{
  %s
  %s

  hive.partitioning.format.disk.main = {
    type = "disk";
    device = %s;
    content = {
      type = "gpt";
      partitions = {
%s
        root = {
          size = "100%%";
          content = {
            type = "filesystem";
            format = "ext4";
            mountpoint = "/";
          };
        };
      };
    };
  };
%s}
`

// esp has room for two systems with their generations; only root reads the random seed on it.
const esp = `        ESP = {
          size = "1G";
          type = "EF00";
          content = {
            type = "filesystem";
            format = "vfat";
            mountpoint = "/boot";
            mountOptions = [ "umask=0077" ];
          };
        };`

const biosBoot = `        boot = {
          size = "1M";
          type = "EF02"; # where GRUB lies on a GPT disk
          priority = 1;
        };`

func attributePlatform(m hive.Machine) string {
	return "nixpkgs.hostPlatform = " + text(m.Platform) + ";"
}

// comment says on one line what the definition was written for.
func comment(m hive.Machine, disk hive.Device) string {
	words := strings.Fields(m.Product.Vendor + " " + m.Product.Name)
	if len(words) == 0 {
		words = []string{"A machine"}
	}
	line := strings.Join(words, " ") + " with " + strings.Join(traits(disk), ", ")
	return strings.Join(strings.Fields(line), " ")
}

// HardwareConfiguration is what nixos-generate-config finds of hardware and a system cannot do without, as Nix: the platform, the drivers of the
// disks and the processor's microcode. File systems are left to the definition.
func HardwareConfiguration(m hive.Machine) string {
	var lines []string
	if modules := initrdModules(Usable(m)); len(modules) > 0 {
		lines = append(lines, "boot.initrd.availableKernelModules = "+texts(modules)+";")
	}
	if virtual, ok := virtualisation(m); ok {
		lines = append(lines, "boot.kernelModules = "+texts([]string{virtual})+";")
	}
	if vendor := microcode(m); vendor != "" {
		lines = append(lines, "hardware.cpu."+vendor+".updateMicrocode = lib.mkDefault config.hardware.enableRedistributableFirmware;")
	}
	lines = append(lines, "nixpkgs.hostPlatform = lib.mkDefault "+text(m.Platform)+";")
	return fmt.Sprintf("# What the hardware needs, as the machine told. Written anew by `nixos-staged-hive hardware`.\n"+
		"{\n  config,\n  lib,\n  modulesPath,\n  ...\n}:\n{\n  imports = [ (modulesPath + \"%s\") ];\n  %s\n}\n", scan(m), strings.Join(lines, "\n  "))
}

// scan is nixpkgs' profile for what cannot be told from a list of modules.
func scan(m hive.Machine) string {
	if hasModule(m, "virtio_pci") || m.Product.Vendor == "QEMU" {
		return "/profiles/qemu-guest.nix"
	}
	return "/installer/scan/not-detected.nix"
}

func virtualisation(m hive.Machine) (string, bool) {
	for _, name := range []string{"kvm_intel", "kvm_amd"} {
		if hasModule(m, name) {
			return strings.ReplaceAll(name, "_", "-"), true
		}
	}
	return "", false
}

func microcode(m hive.Machine) string {
	switch {
	case m.Platform != "x86_64-linux" || scan(m) != "/installer/scan/not-detected.nix":
		return ""
	case strings.Contains(m.CPU.Model, "Intel"):
		return "intel"
	case strings.Contains(m.CPU.Model, "AMD"):
		return "amd"
	}
	return ""
}

func hasModule(m hive.Machine, name string) bool {
	for _, module := range m.Modules {
		if underscored(module) == name {
			return true
		}
	}
	return false
}
