# What every installation image has.
{ lib, ... }:
{
  imports = [
    ./iso-image.nix
    ../../profiles/all-hardware.nix
    ../../profiles/base.nix
    ../../profiles/installation-device.nix
  ];
  isoImage.makeEfiBootable = true;
  isoImage.makeUsbBootable = true;
  swapDevices = lib.mkImageMediaOverride [ ];
  boot.initrd.luks.devices = lib.mkImageMediaOverride { };
  system.stateVersion = lib.mkDefault lib.trivial.release;
}
