# The least nixpkgs that Colmena takes for one: the library of the miniature, and an eval-config.nix beside it. For tests of how
# Colmena is run, where not even the miniature's modules matter.
{ system ? builtins.currentSystem, config ? { }, overlays ? [ ], ... }:
{
  inherit system config overlays;
  lib = import ../../../../../test/nixpkgs/lib;
  path = ./.;
  stdenv.hostPlatform = { inherit system; };
}
