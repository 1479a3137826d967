# A 64-bit ARM board without UEFI: extlinux from the SD card image that NixOS lays out for such boards.
{ pkgs, ... }:
{
  nixpkgs.hostPlatform = "aarch64-linux";
  hive.admin = {
    sshKeys = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICdYbNfeEQSVeOPnI+AQGuJncpybjNpzYnMjRlikR4Jj mia@laptop" ];
    hashedPasswordFile = "/var/lib/secrets/admin.password";
  };
  hive.network = {
    interface = "end0";
    match.mac = "dc:a6:32:00:47:11";
    address = "192.168.1.47/24";
    gateway = "192.168.1.1";
    nameservers = [ "192.168.1.1" ];
  };
  boot.loader = {
    grub.enable = false;
    generic-extlinux-compatible.enable = true;
  };
  boot.kernelPackages = pkgs.linuxPackages_6_6;
  fileSystems."/" = {
    device = "/dev/disk/by-label/NIXOS_SD";
    fsType = "ext4";
  };
  system.stateVersion = "24.05";
}
