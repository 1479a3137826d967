# A virtual machine with one disk and an address from the DHCP server: the smallest useful definition.
{
  hive.admin.sshKeys = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICdYbNfeEQSVeOPnI+AQGuJncpybjNpzYnMjRlikR4Jj mia@laptop" ];
  # The hash stays on the machine: in the Nix store everybody could read it.
  hive.admin.hashedPasswordFile = "/var/lib/admin-password";

  hive.network = {
    interface = "ens3";
    address = "dhcp";
  };

  hive.partitioning.format.disk.main = {
    device = "/dev/disk/by-id/virtio-OS";
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
            mountOptions = [ "umask=0077" ];
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

  boot.loader.systemd-boot.enable = true;
  nixpkgs.hostPlatform = "x86_64-linux";
  system.stateVersion = "24.05";
}
