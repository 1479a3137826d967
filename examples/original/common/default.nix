# Written for the original project: its modules imported by path, its names of options, the key read from the home folder.
{ lib, ... }:
let
  key = builtins.getEnv "HOME" + "/.ssh/id_ed25519.pub";
in
{
  imports = [ ../bin/modules ];
  admin = {
    name = "admin";
    hashedPwd = "$6$rounds=500000$example$rHGmuqIlU6oMOXlDTP2d6CdDFQ4HPdDs/gFYu/IPg5m97SIhYOcFpsqE/BvSMLFZHxDTWJzNfrS6G1xJy5YXO0";
    sshKeys = lib.optional (builtins.pathExists key) (builtins.readFile key) ++ [
      (builtins.readFile ./admin.pub)
    ];
  };
  nixpkgs.hostPlatform = "x86_64-linux";
  system.stateVersion = "24.05";
}
