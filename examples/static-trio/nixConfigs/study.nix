# A desktop that boots in either way: GRUB for BIOS and UEFI, installed to the fallback path.
{
  imports = [ ../common ];
  hive.network = {
    match.mac = "00:1e:4f:9a:10:03";
    bridge = "br0";
    address = "192.168.1.13/24";
  };
  hive.partitioning.format.disk.main = {
    device = "/dev/disk/by-id/ata-Samsung_SSD_860_EVO_1TB_S3Z8NB0K";
    content = {
      type = "gpt";
      partitions = {
        study-grub = {
          size = "1M";
          type = "EF02";
          priority = 1;
        };
        study-esp = {
          size = "1G";
          type = "EF00";
          content = {
            type = "filesystem";
            format = "vfat";
            mountpoint = "/boot/efi";
          };
        };
        study-root = {
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
  boot.loader = {
    efi.efiSysMountPoint = "/boot/efi";
    grub = {
      efiSupport = true;
      efiInstallAsRemovable = true;
    };
  };
  # the deploying machine itself
  hive.deployment.allowLocalDeployment = true;
}
