# `ip` of the original project: "dhcp" or an address; `netmask` completes it to CIDR notation.
{
  config,
  options,
  lib,
  ...
}:
let
  netmask = if options ? netmask then config.netmask else null;
  bare = config.ip == "dhcp" || netmask == null || lib.hasInfix "/" config.ip;
in
{
  options.ip = lib.mkOption {
    type = lib.types.nullOr lib.types.str;
    default = null;
    description = ''Former name of {option}`hive.network.address`: "dhcp" or an IPv4 address.'';
  };
  config.hive.network.address = lib.mkIf (config.ip != null) (
    if bare then config.ip else "${config.ip}/${toString netmask}"
  );
}
