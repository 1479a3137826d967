# Tools of a rescue system.
{ lib, pkgs, ... }:
{
  environment.systemPackages = [
    pkgs.vim pkgs.parted pkgs.gptfdisk pkgs.ntfs3g pkgs.efibootmgr pkgs.nvme-cli pkgs.smartmontools pkgs.pciutils pkgs.usbutils
  ];
  boot.supportedFilesystems = lib.genAttrs [ "btrfs" "cifs" "f2fs" "ntfs" "vfat" "xfs" ] (_: true) // { zfs = lib.mkDefault true; };
  networking.hostId = lib.mkDefault "8425e349";
}
