# `_disko_source` was how the original project passed disko around. The pinned disko is used instead.
{ lib, ... }:
{
  options._disko_source = lib.mkOption {
    type = lib.types.nullOr lib.types.path;
    default = null;
    internal = true;
    description = "Accepted and not used.";
  };
}
