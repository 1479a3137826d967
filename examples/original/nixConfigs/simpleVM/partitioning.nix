{
  partitioning.enable_disko = true;
  partitioning.format_disko.disk.OS = {
    type = "disk";
    device = "/dev/disk/by-id/virtio-OS";
    content = {
      type = "gpt";
      partitions = {
        EFI = {
          size = "512M";
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
}
