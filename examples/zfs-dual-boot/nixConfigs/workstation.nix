# A workstation that keeps its Windows: a ZFS pool on a disk of its own is formatted, the Windows disk is only mounted.
{ pkgs, ... }:
{
  hive.admin = {
    name = "mia";
    sshKeys = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICdYbNfeEQSVeOPnI+AQGuJncpybjNpzYnMjRlikR4Jj mia@laptop" ];
    hashedPasswordFile = "/var/lib/secrets/mia.password";
  };
  hive.network = {
    match.mac = "a8:a1:59:00:be:01";
    address = "dhcp";
  };

  # ZFS refuses the pool of another host: one id for the medium, the mini system and the full system
  networking.hostId = "5f1c09aa";
  boot.zfs.devNodes = "/dev/disk/by-partlabel";
  services.zfs.autoScrub.enable = true;

  hive.partitioning.format = {
    disk.system = {
      device = "/dev/disk/by-id/nvme-WD_BLACK_SN850X_2000GB_23421A800123";
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
          zfs = {
            size = "100%";
            content = {
              type = "zfs";
              pool = "tank";
            };
          };
        };
      };
    };
    zpool.tank = {
      type = "zpool";
      options.ashift = "12";
      rootFsOptions = {
        compression = "zstd";
        acltype = "posixacl";
        xattr = "sa";
        mountpoint = "none";
      };
      datasets = {
        root = {
          type = "zfs_fs";
          mountpoint = "/";
          options.mountpoint = "legacy";
        };
        home = {
          type = "zfs_fs";
          mountpoint = "/home";
          options.mountpoint = "legacy";
        };
        nix = {
          type = "zfs_fs";
          mountpoint = "/nix";
          options = {
            mountpoint = "legacy";
            atime = "off";
          };
        };
      };
    };
  };
  # Kept as it is: disko never sees the Windows disk, NixOS mounts its data partition when it is there.
  fileSystems."/mnt/windows" = {
    device = "/dev/disk/by-partuuid/7d9a1f55-2c41-4c58-9a1e-2f0c5a64c1de";
    fsType = "ntfs3";
    options = [
      "nofail"
      "ro"
    ];
  };
  hive.setup = {
    scripts = [
      (pkgs.writeShellScriptBin "show-windows" "exec lsblk -o NAME,SIZE,FSTYPE,LABEL")
    ];
    preScript = [ "show-windows" ];
  };

  boot.loader = {
    systemd-boot.enable = true;
    efi.canTouchEfiVariables = true;
  };
  time.hardwareClockInLocalTime = true; # as Windows keeps it
  nixpkgs.hostPlatform = "x86_64-linux";
  system.stateVersion = "24.05";
}
