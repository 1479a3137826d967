let
  dataset = mountpoint: {
    type = "zfs_fs";
    inherit mountpoint;
    options.mountpoint = "legacy";
  };
in
{
  partitioning = {
    enable_disko = true;
    format_disko = {
      disk.OS = {
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
            zfs = {
              size = "100%";
              content = {
                type = "zfs";
                pool = "root";
              };
            };
          };
        };
      };
      zpool.root = {
        type = "zpool";
        rootFsOptions = {
          mountpoint = "none";
          encryption = "aes-256-gcm";
          keyformat = "passphrase";
          keylocation = "prompt";
        };
        datasets = {
          system = dataset "/";
          home = dataset "/home";
          tmp = dataset "/tmp";
          nix = dataset "/nix";
        };
      };
    };
    # the disk of Windows: mounted, never formatted
    additional_disko.disk.Windows = {
      type = "disk";
      device = "/dev/disk/by-id/virtio-Windows";
      content = {
        type = "gpt";
        partitions.windows = {
          size = "100%";
          content = {
            type = "filesystem";
            format = "ntfs";
            mountpoint = "/mnt/windows";
            mountOptions = [
              "nofail"
              "ro"
            ];
          };
        };
      };
    };
  };
}
