# What the machines of the lab share. admin.pub is put beside this file by the tests.
{ lib, ... }:
{
  hive.admin = {
    name = "mia";
    sshKeys = [ (lib.fileContents ./admin.pub) ];
  };
  security.sudo.wheelNeedsPassword = false;
  # An emulated timer comes late on a busy computer, which Linux takes for broken hardware.
  boot.kernelParams = [ "no_timer_check" ];
  nixpkgs.hostPlatform = "x86_64-linux";
  system.stateVersion = "24.05";
}
