# The small installation image.
{ lib, ... }:
{
  imports = [
    ../../profiles/minimal.nix
    ./installation-cd-base.nix
  ];
  documentation = { man.enable = lib.mkOverride 500 true; doc.enable = lib.mkOverride 500 true; };
  fonts.fontconfig.enable = lib.mkOverride 500 false;
  isoImage.edition = lib.mkOverride 500 "minimal";
}
