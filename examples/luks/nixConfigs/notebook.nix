# A notebook with an encrypted root, unlocked by a passphrase at boot.
{
  hive.admin = {
    sshKeys = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICdYbNfeEQSVeOPnI+AQGuJncpybjNpzYnMjRlikR4Jj mia@laptop" ];
    hashedPasswordFile = "/var/lib/secrets/admin.password";
  };
  hive.network = {
    match.path = "pci-0000:00:1f.6";
    address = "dhcp";
  };
  hive.partitioning.format.disk.main = {
    device = "/dev/disk/by-id/nvme-SKHynix_HFS512GDE9X084N_FNB1N5531";
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
        crypt = {
          size = "100%";
          content = {
            type = "luks";
            name = "cryptroot";
            settings.allowDiscards = true;
            # read by the medium while it formats, never by the installed system
            passwordFile = "/run/secrets/disk-password";
            content = {
              type = "filesystem";
              format = "xfs";
              mountpoint = "/";
            };
          };
        };
      };
    };
  };
  boot.loader.systemd-boot.enable = true;
  boot.kernelParams = [ "rd.luks.options=timeout=0" ];
  nixpkgs.hostPlatform = "x86_64-linux";
  system.stateVersion = "24.05";
}
