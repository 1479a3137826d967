# An old machine that boots with a BIOS from ext4.
{
  imports = [ ../common ];
  hive.network = {
    interface = "enp2s0";
    match.mac = "00:1e:4f:9a:10:01";
    address = "192.168.1.11/24";
  };
  hive.partitioning.format.disk.main = {
    device = "/dev/disk/by-id/ata-ST3500418AS_9VM0A1B2";
    content = {
      type = "gpt";
      partitions = {
        # GRUB's place on a GPT disk that is started by a BIOS
        grub = {
          size = "1M";
          type = "EF02";
          priority = 1;
        };
        attic-root = {
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
  hive.deployment.tags = [ "backup" ];
}
