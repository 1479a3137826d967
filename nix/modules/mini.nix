# hive.mini: the way out for what the mini system cannot take over as data.
{ lib, ... }:
{
  options.hive.mini.modules = lib.mkOption {
    type = lib.types.listOf lib.types.path;
    default = [ ];
    example = lib.literalExpression "[ ./raid-card.nix ]";
    description = ''
      NixOS modules copied as they are beside the mini system and imported by it. Each is a single file that needs
      nothing but nixpkgs: it is for settings that are functions, packages or store paths and that the machine needs to
      boot.
    '';
  };
}
