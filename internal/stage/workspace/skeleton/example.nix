# An ordinary NixOS configuration, made by `nixos-staged-hive init` to start from.
#
# Every *.nix file in this folder, and every folder with a default.nix, is one host. Its name is the name of the file
# or folder, and its host name too unless networking.hostName says otherwise. The hive.* options need no import.
{ lib, ... }:
{
  # What kind of processor the machine has: x86_64-linux, or aarch64-linux for most ARM boards.
  nixpkgs.hostPlatform = lib.mkDefault "@system@";

  # The account you administer the machine with: it may use sudo, and logs in over SSH with a key.
  hive.admin = {
    name = "@admin@";
    sshKeys = [
      "@key@"
    ];
    # The password for sudo and the console, as `mkpasswd` prints it. As long as there is none, sudo cannot be used,
    # and the keys above may log in as root instead.
    # hashedPassword = "$y$j9T$...";
  };

  # How the machine is reached, in all stages: on the installation medium, too.
  hive.network = {
    address = "dhcp";

    # A fixed address instead:
    # address = "192.168.1.10/24";
    # gateway = "192.168.1.1";
    # nameservers = [ "192.168.1.1" ];

    # Which network card, if there are several:
    # match.mac = "52:54:00:12:34:56";
  };

  # The disks, in the words of disko. A fresh installation ERASES every disk named here.
  hive.partitioning.format = {
    disk.main = {
      # Names in /dev/disk/by-id stay with the disk; /dev/sda may be another one after the next boot.
      # `ls -l /dev/disk/by-id` on the machine, or on the booted medium, shows them.
      device = "/dev/disk/by-id/ata-EXAMPLE_SSD_CHANGE_ME";
      content = {
        type = "gpt";
        partitions = {
          ESP = {
            size = "1G";
            type = "EF00";
            content = {
              type = "filesystem";
              format = "vfat";
              mountpoint = "/boot";
            };
          };
          root = {
            size = "100%";
            content = {
              type = "filesystem";
              format = "ext4";
              mountpoint = "/";
            };
          };
        };
      };
    };
  };

  # How the machine starts. This is for UEFI; a machine with a BIOS wants boot.loader.grub and its disk.
  boot.loader.systemd-boot.enable = true;
  boot.loader.efi.canTouchEfiVariables = true;

  # Words to choose hosts by: nixos-staged-hive hive deploy --on @home
  hive.deployment.tags = [ "home" ];

  # The NixOS release of the first installation. Leave it as it is when you upgrade.
  system.stateVersion = "@stateVersion@";
}
