# A virtual machine with a fixed address and an encrypted ZFS pool over two disks, the second shared with Windows.
{ pkgs, ... }:
{
  imports = [
    ../../common
    ./partitioning.nix
  ];
  networking = {
    hostName = "zfsVM";
    hostId = "1c0ffee5";
    nameservers = [ "192.168.122.1" ];
  };
  ip = "192.168.122.15";
  netmask = 24;
  gateway = "192.168.122.1";
  subnet = "192.168.122.0/24";
  interface = "ens3";
  boot.loader = {
    systemd-boot.enable = true;
    efi.canTouchEfiVariables = true;
  };
  boot.supportedFilesystems = [
    "zfs"
    "ntfs"
  ];
  services.zfs.autoScrub.enable = true;
  setup = {
    scripts = [
      (pkgs.writeScriptBin "fix_windows" ''
        #!${pkgs.runtimeShell}
        exec ${pkgs.ntfs3g}/bin/ntfsfix /dev/disk/by-partlabel/disk-Windows-windows
      '')
    ];
    preScript = [ "fix_windows" ];
    files = [ ../../common/admin.pub ];
  };
  colmena.deployment.tags = [
    "vm"
    "zfs"
  ];
}
