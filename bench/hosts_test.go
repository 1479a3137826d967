package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeHosts makes a workspace of n hosts, ten kinds of them in turn, as a hive grows: some shared files, no two hosts alike.
func writeHosts(t *testing.T, dir string, n int) []string {
	t.Helper()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("common/default.nix", common)
	write("common/admin.pub", key+"\n")
	kinds := kinds()
	var names []string
	for i := range n {
		name := fmt.Sprintf("host%02d", i+1)
		names = append(names, name)
		text := kinds[i%len(kinds)]
		for from, to := range map[string]string{
			"NUMBER": fmt.Sprint(i + 11), "DISK": fmt.Sprintf("/dev/disk/by-id/ata-Example_%04d", i),
			"MAC": fmt.Sprintf("52:54:00:00:00:%02x", i), "HOSTID": fmt.Sprintf("%08x", 0xabc000+i),
		} {
			text = strings.ReplaceAll(text, from, to)
		}
		write("nixConfigs/"+name+".nix", text)
	}
	return names
}

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICdYbNfeEQSVeOPnI+AQGuJncpybjNpzYnMjRlikR4Jj mia@laptop"

const common = `{ lib, pkgs, ... }:
{
  hive.admin = {
    name = "mia";
    sshKeys = [ (builtins.readFile ./admin.pub) ];
    hashedPasswordFile = "/var/lib/secrets/admin.password";
  };
  time.timeZone = "Europe/Berlin";
  i18n.defaultLocale = "de_DE.UTF-8";
  console.keyMap = "de";
  environment.systemPackages = [ pkgs.git pkgs.htop ];
  system.stateVersion = "24.05";
  nixpkgs.hostPlatform = lib.mkDefault "x86_64-linux";
}
`

const (
	efi = `
  boot.loader.systemd-boot.enable = true;
  hive.partitioning.format.disk.main = {
    device = "DISK";
    content = {
      type = "gpt";
      partitions.ESP = { size = "1G"; type = "EF00"; content = { type = "filesystem"; format = "vfat"; mountpoint = "/boot"; }; };
      partitions.root = { size = "100%"; content = ROOT; };
    };
  };`
	ext4   = `{ type = "filesystem"; format = "ext4"; mountpoint = "/"; }`
	static = `
  hive.network = { match.mac = "MAC"; address = "192.168.1.NUMBER/24"; gateway = "192.168.1.1"; nameservers = [ "192.168.1.1" ]; };`
	dhcp = `
  hive.network = { interface = "ens3"; address = "dhcp"; };`
)

func host(settings ...string) string {
	return "{ config, lib, pkgs, ... }:\n{\n  imports = [ ../common ];" + strings.Join(settings, "") + "\n}\n"
}

// kinds are ten sorts of machines.
func kinds() []string {
	on := func(root string) string { return strings.ReplaceAll(efi, "ROOT", root) }
	bios := `
  boot.loader.grub.enable = true;
  hive.partitioning.format.disk.main = {
    device = "DISK";
    content = {
      type = "gpt";
      partitions.grub = { size = "1M"; type = "EF02"; };
      partitions.root = { size = "100%"; content = ` + ext4 + `; };
    };
  };`
	unmanaged := `
  boot.loader.systemd-boot.enable = true;
  fileSystems."/" = { device = "/dev/disk/by-label/nixos"; fsType = "ext4"; };
  fileSystems."/boot" = { device = "/dev/disk/by-label/ESP"; fsType = "vfat"; };
  networking.interfaces.eno1.ipv4.addresses = [ { address = "192.168.1.NUMBER"; prefixLength = 24; } ];
  networking.defaultGateway = "192.168.1.1";`
	return []string{
		host(on(ext4), dhcp),
		host(on(ext4), static, "\n  services.nginx.enable = true;\n  networking.firewall.allowedTCPPorts = [ 80 443 ];"),
		host(bios, static, "\n  services.postgresql.enable = true;"),
		host(on(`{ type = "btrfs"; subvolumes = { "/root".mountpoint = "/"; "/home".mountpoint = "/home"; "/nix".mountpoint = "/nix"; }; }`), static),
		host(on(`{ type = "luks"; name = "crypt"; content = `+ext4+`; }`), dhcp, "\n  networking.networkmanager.enable = lib.mkForce false;"),
		host(unmanaged, "\n  services.prometheus.enable = true;\n  services.grafana = { enable = true; settings.server.domain = \"metrics.home.arpa\"; };"),
		host(unmanaged, "\n  services.printing.enable = true;\n  services.avahi.enable = true;\n  hardware.bluetooth.enable = true;"),
		host(on(ext4), static, "\n  nixpkgs.hostPlatform = \"aarch64-linux\";\n  boot.kernelPackages = pkgs.linuxPackages_6_6;"),
		host(on(ext4), static, "\n  networking.hostId = \"HOSTID\";\n  boot.supportedFilesystems = [ \"zfs\" ];\n  virtualisation.docker.enable = true;"),
		host(on(ext4), static, "\n  nixpkgs.config.allowUnfree = true;\n  users.users.guest = { isNormalUser = true; openssh.authorizedKeys.keys = [ \""+key+"\" ]; };"),
	}
}
