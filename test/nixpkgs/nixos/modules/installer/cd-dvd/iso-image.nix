# isoImage.*: an image that is a list of what would be on it.
{ config, lib, pkgs, ... }:
let
  inherit (lib) types mkOption;
  inherit (import ../../../lib/declare.nix { inherit lib; }) opt off on;
  cfg = config.isoImage;
  extension = lib.optionalString cfg.compressImage ".zst";
in
{
  options.isoImage = {
    isoName = mkOption {
      type = types.str;
      default = "${cfg.isoBaseName}-${config.system.nixos.label}-${pkgs.stdenv.hostPlatform.system}.iso";
    };
    isoBaseName = opt types.str config.system.nixos.distroId;
    volumeID = opt types.str "nixos-${config.system.nixos.release}-${pkgs.stdenv.hostPlatform.linuxArch}";
    compressImage = off;
    squashfsCompression = opt (types.nullOr types.str) "zstd -Xcompression-level 19";
    edition = opt types.str "";
    contents = opt (types.listOf types.attrs) [ ];
    storeContents = opt (types.listOf types.package) [ ];
    includeSystemBuildDependencies = off;
    makeBiosBootable = opt types.bool pkgs.stdenv.hostPlatform.isx86;
    makeEfiBootable = off;
    makeUsbBootable = off;
    prependToMenuLabel = opt types.str "";
    appendToMenuLabel = opt types.str " Installer";
    forceTextMode = off;
    efiSplashImage = opt types.anything null;
    splashImage = opt types.anything null;
    grubTheme = opt types.anything null;
    syslinuxTheme = opt types.lines "";
  };
  config = {
    # the medium carries its own system, and boots by itself
    isoImage.storeContents = [ config.system.build.toplevel ];
    boot.loader.grub.enable = lib.mkImageMediaOverride false;
    boot.loader.timeout = lib.mkDefault 10;
    boot.kernelParams = [ "root=LABEL=${cfg.volumeID}" "boot.shell_on_fail" ];
    boot.initrd.availableKernelModules = [ "squashfs" "iso9660" "uas" "overlay" ];
    boot.initrd.kernelModules = [ "loop" "overlay" ];
    fileSystems = lib.mapAttrs (_: lib.mkImageMediaOverride) {
      "/" = { fsType = "tmpfs"; device = "none"; options = [ "mode=0755" ]; };
      "/iso" = { device = "/dev/root"; neededForBoot = true; noCheck = true; };
      "/nix/.ro-store" = { fsType = "squashfs"; device = "/iso/nix-store.squashfs"; options = [ "loop" ]; neededForBoot = true; };
      "/nix/.rw-store" = { fsType = "tmpfs"; options = [ "mode=0755" ]; neededForBoot = true; device = "none"; };
      "/nix/store" = {
        fsType = "overlay";
        device = "overlay";
        options = [ "lowerdir=/nix/.ro-store" "upperdir=/nix/.rw-store/store" "workdir=/nix/.rw-store/work" ];
        depends = [ "/nix/.ro-store" "/nix/.rw-store/store" "/nix/.rw-store/work" ];
      };
    };
    assertions = [
      {
        assertion = builtins.stringLength cfg.volumeID <= 32;
        message = "isoImage.volumeID ${cfg.volumeID} is ${toString (builtins.stringLength cfg.volumeID)} characters. That is longer than the limit of 32 characters.";
      }
    ];
    system.build.isoImage = pkgs.runCommand cfg.isoName { } ''
      mkdir -p $out/iso $out/nix-support
      {
        echo "a stand-in for an installation image, from the test miniature of nixpkgs"
        echo ${lib.escapeShellArg "volume: ${cfg.volumeID}"}
        for path in ${toString cfg.storeContents}; do echo "store: $path"; done
        ${lib.concatMapStrings (c: "echo ${lib.escapeShellArg "file: ${c.target} ${c.source}"}\n") cfg.contents}
      } > $out/iso/${lib.escapeShellArg cfg.isoName}
      # files lie in it as they lie on a medium: whole, uncompressed, on sectors of 2048 bytes
      truncate -s %2048 $out/iso/${lib.escapeShellArg cfg.isoName}
      ${lib.concatMapStrings (c: ''
        if [ -f ${c.source} ]; then cat ${c.source} >> $out/iso/${lib.escapeShellArg cfg.isoName}; fi
      '') cfg.contents}
      echo "file iso $out/iso/${cfg.isoName}${extension}" > $out/nix-support/hydra-build-products
    '';
  };
}
