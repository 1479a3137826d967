{
  hive.partitioning.format.disk.main = {
    device = "/dev/disk/by-id/nvme-Samsung_SSD_980_500GB_S64DNX0T123456";
    content = {
      type = "gpt";
      partitions = {
        cellar-esp = {
          size = "1G";
          type = "EF00";
          content = {
            type = "filesystem";
            format = "vfat";
            mountpoint = "/boot";
          };
        };
        cellar-swap = {
          size = "8G";
          content.type = "swap";
        };
        cellar-root = {
          size = "100%";
          content = {
            type = "btrfs";
            subvolumes = {
              "@" = {
                mountpoint = "/";
                mountOptions = [ "compress=zstd" ];
              };
              "@home".mountpoint = "/home";
              "@nix" = {
                mountpoint = "/nix";
                mountOptions = [
                  "compress=zstd"
                  "noatime"
                ];
              };
            };
          };
        };
      };
    };
  };
}
