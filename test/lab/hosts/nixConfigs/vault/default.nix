# A server with encrypted disks: UEFI, systemd-boot, LVM in LUKS. The tests add a second disk to its imports.
{
  imports = [
    ../../common
    ./main.nix
  ];
}
