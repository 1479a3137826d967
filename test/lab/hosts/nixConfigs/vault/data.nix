# A disk that comes later.
{
  hive.partitioning.disks.data.serial = "VAULT-DATA";
  hive.partitioning.format.disk.data.content = {
    type = "gpt";
    partitions.data = {
      size = "100%";
      content = {
        type = "filesystem";
        format = "ext4";
        mountpoint = "/data";
      };
    };
  };
}
