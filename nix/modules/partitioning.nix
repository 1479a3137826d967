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
  # Merged as deep as they go: types.attrs would take the disks of one file and lose those of another without a word.
  tree = types.lazyAttrsOf types.anything;
  words =
    example: description:
    mkOption {
      type = types.nullOr types.str;
      default = null;
      inherit example description;
    };
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
      type = tree;
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
      type = tree;
      default = { };
      description = "`disko.devices` that are mounted and never formatted: disks with data to keep.";
    };
    disks = mkOption {
      default = { };
      example = {
        main.serial = "S64DNX0T123456";
        data = {
          byId = "ata-WDC_*";
          size = "4T";
        };
      };
      description = ''
        Disks that are found on the machine by what they are, under the names that they have in `format` or `additional`,
        which then need no `device`. `setup` goes on only if exactly one disk fits all that is said of it, and leaves the
        others alone. For disks with a GPT that nothing of the system names by path: a BIOS boot sector of GRUB does, and
        needs a path in `/dev/disk/by-id`. `setup disks` on the medium, or `nixos-staged-hive hardware`, shows what to write.
      '';
      type = types.attrsOf (
        types.submodule {
          options = {
            serial = words "S64DNX0T123456" "Serial number of the disk, whole and as `lsblk -o SERIAL` shows it.";
            wwn = words "0x5002538e40a1b2c3" "World wide name of the disk, with or without `0x`.";
            byId = words "nvme-Samsung_SSD_980_*" ''
              Name of the disk in `/dev/disk/by-id`, or a pattern for it: `*` stands for any signs, `?` for one, `[a-f]` for one
              of several.
            '';
            size = words "1T" ''
              Size of the disk: `"500G"` is anything within a tenth of it, `"400G-600G"` anything between the two. K, M, G, T and
              P are powers of 1000, as makers of disks count; with an `i` (`"512Gi"`) they are powers of 1024.
            '';
          };
        }
      );
    };
  };

  # Both trees are merged by disko's own types: a partition that both declare differently is an error, not a loss.
  config = lib.optionalAttrs (options ? disko) {
    disko = lib.mkMerge [
      (mkIf declared {
        devices = lib.mkMerge [
          cfg.format
          cfg.additional
        ];
        enableConfig = cfg.enable;
      })
      # setup makes the link once it has found the disk; internal/hive.DiskAlias has the same folder.
      (mkIf (cfg.disks != { }) {
        devices.disk = lib.mapAttrs (name: _: { device = lib.mkForce "/run/nixos-staged-hive/disk/${name}"; }) cfg.disks;
      })
    ];
  };
}
