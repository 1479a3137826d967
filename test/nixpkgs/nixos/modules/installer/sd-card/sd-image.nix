# sdImage.*: an image that is a list of what would be on it.
{ config, lib, pkgs, ... }:
let
  inherit (lib) types;
  inherit (import ../../../lib/declare.nix { inherit lib; }) opt off on;
  cfg = config.sdImage;
in
{
  options.sdImage = {
    imageName = opt types.str "${cfg.imageBaseName}-${config.system.nixos.label}-${pkgs.stdenv.hostPlatform.system}.img";
    imageBaseName = opt types.str "nixos-sd-image";
    storePaths = opt (types.listOf types.package) [ ];
    rootPartitionUUID = opt (types.nullOr types.str) null;
    firmwareSize = opt types.int 30;
    firmwarePartitionName = opt types.str "FIRMWARE";
    populateFirmwareCommands = opt types.lines "";
    populateRootCommands = opt types.lines "";
    postBuildCommands = opt types.lines "";
    compressImage = on;
    expandOnBoot = on;
  };
  config = {
    fileSystems."/" = { device = "/dev/disk/by-label/NIXOS_SD"; fsType = "ext4"; };
    fileSystems."/boot/firmware" = {
      device = "/dev/disk/by-label/${cfg.firmwarePartitionName}";
      fsType = "vfat";
      options = [ "nofail" "noauto" ];
    };
    sdImage.storePaths = [ config.system.build.toplevel ];
    system.build.sdImage = pkgs.writeText cfg.imageName (
      "a stand-in for an SD card image, from the test miniature of nixpkgs\nlabel: NIXOS_SD\n"
      + lib.concatMapStrings (p: "store: ${p}\n") cfg.storePaths
    );
  };
}
