# An old server nobody stands in front of: BIOS, GRUB, everything in LVM, installed unattended.
{
  imports = [ ../common ];
  hive.setup.unattended = true;
  hive.network = {
    match.mac = "52:54:00:77:00:14";
    address = "192.168.77.14/24";
  };
  hive.partitioning.format = {
    disk.main = {
      device = "/dev/disk/by-id/ata-ST3500418AS_9VM0BARN";
      content = {
        type = "gpt";
        partitions = {
          grub = {
            size = "1M";
            type = "EF02";
            priority = 1;
          };
          pv = {
            size = "100%";
            content = {
              type = "lvm_pv";
              vg = "barn";
            };
          };
        };
      };
    };
    lvm_vg.barn = {
      type = "lvm_vg";
      lvs = {
        root = {
          size = "4G";
          content = {
            type = "filesystem";
            format = "ext4";
            mountpoint = "/";
          };
        };
        home = {
          size = "1G";
          content = {
            type = "filesystem";
            format = "xfs";
            mountpoint = "/home";
          };
        };
      };
    };
  };
  boot.kernelParams = [
    "console=tty0"
    "console=ttyS0,115200"
  ];
}
