# Conditions a configuration must meet, and warnings about it.
{ lib, ... }:
let
  inherit (lib) types;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt accept;
in
{
  options = {
    assertions = opt (types.listOf types.unspecified) [ ] // { internal = true; };
    warnings = opt (types.listOf types.str) [ ] // { internal = true; };
    meta = accept // { internal = true; };
  };
}
