# A server with a 64-bit ARM processor and UEFI.
{
  nixpkgs.hostPlatform = "aarch64-linux";
  hive.admin = {
    sshKeys = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICdYbNfeEQSVeOPnI+AQGuJncpybjNpzYnMjRlikR4Jj mia@laptop" ];
    hashedPasswordFile = "/var/lib/secrets/admin.password";
  };
  hive.network = {
    match.mac = "0c:42:a1:00:00:80";
    address = "192.168.1.80/24";
    gateway = "192.168.1.1";
    nameservers = [ "192.168.1.1" ];
  };
  hive.partitioning.format.disk.ampere = {
    device = "/dev/disk/by-id/nvme-SAMSUNG_MZQL2960HCJR_S64FNE0R";
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
  boot.loader.systemd-boot.enable = true;
  system.stateVersion = "24.05";
}
