# A miniature of nixpkgs: the interface that this project's Nix code and tests touch, and nothing that could be run.
#
# Its packages are text files that say what they stand for. What it evaluates says something about our code; it says
# nothing about NixOS. See test/README.md.
{
  system ? null,
  localSystem ? if system == null then builtins.currentSystem else system,
  crossSystem ? null,
  config ? { },
  overlays ? [ ],
  crossOverlays ? [ ],
  ...
}@args:
let
  lib = import ./lib;
  buildPlatform = lib.systems.elaborate localSystem;
  hostPlatform = if crossSystem == null then buildPlatform else lib.systems.elaborate crossSystem;

  base = import ./pkgs {
    inherit
      lib
      config
      overlays
      hostPlatform
      buildPlatform
      ;
    path = ./.;
    # the same packages with more overlays
    appendOverlays = extra: import ./. (args // { overlays = overlays ++ extra; });
  };
in
lib.fix (lib.foldl' (lib.flip lib.extends) base (overlays ++ crossOverlays))
