# A desktop: UEFI, systemd-boot, ext4 on a SATA disk.
{
  imports = [ ../common ];
  hive.network = {
    interface = "enp3s0";
    address = "192.168.77.11/24";
  };
  hive.partitioning.format.disk.main = {
    device = "/dev/disk/by-id/ata-WDC_WD10EZEX_WCC6Y4HJ7KLM";
    content = {
      type = "gpt";
      partitions = {
        desk-esp = {
          size = "512M";
          type = "EF00";
          content = {
            type = "filesystem";
            format = "vfat";
            mountpoint = "/boot";
            mountOptions = [ "umask=0077" ];
          };
        };
        desk-root = {
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
  boot.loader.efi.canTouchEfiVariables = true;
}
