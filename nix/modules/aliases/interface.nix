# `interface`, the original project's name of hive.network.interface.
{ lib, ... }:
{
  imports = [ (lib.mkAliasOptionModule [ "interface" ] [ "hive" "network" "interface" ]) ];
}
