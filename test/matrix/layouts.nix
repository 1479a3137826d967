# The layouts of the crash matrix, each a definition. Disks are named by their serial numbers, as a machine with several has to.
let
  esp = {
    size = "192M";
    type = "EF00";
    content = {
      type = "filesystem";
      format = "vfat";
      mountpoint = "/boot";
      mountOptions = [ "umask=0077" ];
    };
  };
  ext4 = mountpoint: {
    type = "filesystem";
    format = "ext4";
    inherit mountpoint;
  };
  rest = content: {
    size = "100%";
    inherit content;
  };
  disk = serial: partitions: {
    device = "/dev/disk/by-id/virtio-${serial}";
    type = "disk";
    content = {
      type = "gpt";
      inherit partitions;
    };
  };
  main = partitions: {
    disko.devices.disk.main = disk "main" ({ inherit esp; } // partitions);
  };
in
{
  plain = main { root = rest (ext4 "/"); };

  btrfs = main {
    root = rest {
      type = "btrfs";
      extraArgs = [ "-f" ];
      subvolumes = {
        "/root".mountpoint = "/";
        "/nix" = {
          mountpoint = "/nix";
          mountOptions = [ "noatime" ];
        };
      };
    };
  };

  luks = {
    imports = [
      (main {
        root = rest {
          type = "luks";
          name = "crypted";
          extraFormatArgs = [ "--pbkdf pbkdf2 --pbkdf-force-iterations 1000" ];
          settings.keyFile = "/run/disk.key";
          content = ext4 "/";
        };
      })
    ];
    # the installed initrd has the key: nobody is there to type it
    boot.initrd.luks.devices.crypted.preOpenCommands = "mkdir -p /run; printf %s 'the key of the matrix' > /run/disk.key";
  };

  lvm = {
    imports = [
      (main {
        pv = rest {
          type = "lvm_pv";
          vg = "pool";
        };
      })
    ];
    disko.devices.lvm_vg.pool = {
      type = "lvm_vg";
      lvs = {
        root = {
          size = "450M";
          content = ext4 "/";
        };
        home = {
          size = "100M";
          content = ext4 "/home";
        };
      };
    };
  };

  # a second disk with data alone: main breaks, is replaced by a blank one, and mode add puts the system onto it
  two = {
    imports = [ (main { root = rest (ext4 "/"); }) ];
    disko.devices.disk.second = disk "second" { home = rest (ext4 "/home"); };
  };
}
