# `gateway`, the original project's name of hive.network.gateway.
{ lib, ... }:
{
  imports = [ (lib.mkAliasOptionModule [ "gateway" ] [ "hive" "network" "gateway" ]) ];
}
