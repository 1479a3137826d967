# `partitioning.*`, the original project's names of hive.partitioning.*.
{
  config,
  options,
  lib,
  ...
}:
let
  alias = from: to: lib.mkAliasOptionModule [ "partitioning" from ] [ "hive" "partitioning" to ];
  cfg = config.partitioning;
in
{
  imports = [
    (alias "format_disko" "format")
    (alias "additional_disko" "additional")
  ];
  options.partitioning.enable_disko = lib.mkOption {
    type = lib.types.bool;
    default = false;
    description = "Former name of {option}`hive.partitioning.enable`. Off unless set, as it was.";
  };
  # Definitions that use the old names get the old default; the new name wins.
  config.hive.partitioning.enable = lib.mkIf (
    cfg.enable_disko || options.partitioning.format_disko.isDefined
  ) (lib.mkDefault cfg.enable_disko);
}
