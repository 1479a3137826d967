# `subnet` of the original project was read by its K3s agent alone. It is accepted so that definitions evaluate.
{ lib, ... }:
{
  options.subnet = lib.mkOption {
    type = lib.types.nullOr lib.types.str;
    default = null;
    description = "Network of the host in CIDR notation. Nothing reads it: the address knows its network.";
  };
}
