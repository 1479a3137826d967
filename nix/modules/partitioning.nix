# hive.partitioning: the disks of a host, as trees of disko.
{
  config,
  options,
  lib,
  ...
}:
let
  inherit (lib) mkIf mkOption types;
  cfg = config.hive.partitioning;
  declared = cfg.format != { } || cfg.additional != { };
in
{
  options.hive.partitioning = {
    enable = mkOption {
      type = types.bool;
      default = declared;
      defaultText = lib.literalExpression "format != { } || additional != { }";
      description = "Take the file systems of the host from disko. Turned off, disko still formats on the medium and the definition says what is mounted.";
    };
    format = mkOption {
      type = types.attrs;
      default = { };
      example = lib.literalExpression ''
        {
          disk.main = {
            device = "/dev/disk/by-id/nvme-Samsung_SSD_980_S64DNX0T";
            content = {
              type = "gpt";
              partitions = {
                ESP = { size = "1G"; type = "EF00"; content = { type = "filesystem"; format = "vfat"; mountpoint = "/boot"; }; };
                root = { size = "100%"; content = { type = "filesystem"; format = "ext4"; mountpoint = "/"; }; };
              };
            };
          };
        }'';
      description = "`disko.devices` that `setup` formats and mounts. Everything on these disks is lost on a fresh installation.";
    };
    additional = mkOption {
      type = types.attrs;
      default = { };
      description = "`disko.devices` that are mounted and never formatted: disks with data to keep.";
    };
  };

  # Both trees are merged by disko's own types: a partition that both declare differently is an error, not a loss.
  config = lib.optionalAttrs (options ? disko) {
    disko = mkIf declared {
      devices = lib.mkMerge [
        cfg.format
        cfg.additional
      ];
      enableConfig = cfg.enable;
    };
  };
}
