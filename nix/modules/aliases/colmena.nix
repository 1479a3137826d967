# `colmena.deployment.*`, the original project's names of hive.deployment.*.
{ lib, ... }:
let
  options = lib.attrNames (import ../../lib/deployment-options.nix {
    inherit lib;
    name = null;
  });
in
{
  imports = map (n: lib.mkAliasOptionModule [ "colmena" "deployment" n ] [ "hive" "deployment" n ]) options;
}
