# `netmask` of the original project: the prefix length that belongs to `ip`.
{ lib, ... }:
{
  options.netmask = lib.mkOption {
    type = lib.types.nullOr (lib.types.ints.between 0 128);
    default = null;
    description = "Prefix length of `ip`. {option}`hive.network.address` takes both in one: `192.168.1.10/24`.";
  };
}
