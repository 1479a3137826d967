{
  hive.network = {
    match.mac = "52:54:00:77:00:13";
    address = "192.168.77.13/24";
  };
  hive.partitioning.disks.main.serial = "VAULT-MAIN";
  hive.partitioning.format = {
    disk.main.content = {
      type = "gpt";
      partitions = {
        ESP = {
          size = "512M";
          type = "EF00";
          content = {
            type = "filesystem";
            format = "vfat";
            mountpoint = "/boot";
            mountOptions = [ "umask=0077" ];
          };
        };
        crypt = {
          size = "100%";
          content = {
            type = "luks";
            name = "vault";
            content = {
              type = "lvm_pv";
              vg = "vault";
            };
          };
        };
      };
    };
    lvm_vg.vault = {
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
            format = "ext4";
            mountpoint = "/home";
          };
        };
      };
    };
  };
  boot.loader.systemd-boot.enable = true;
  boot.loader.efi.canTouchEfiVariables = true;
  # stage 1 asks for the passphrase at the last one: where the keyboard is; the tests see on the other one that it begins
  boot.kernelParams = [
    "console=ttyS0,115200"
    "console=tty0"
  ];
  boot.consoleLogLevel = 6;
}
