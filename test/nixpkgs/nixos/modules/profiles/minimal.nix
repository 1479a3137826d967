# Less of everything.
{ lib, ... }:
let
  off = lib.mkDefault false;
in
{
  documentation = { enable = off; doc.enable = off; info.enable = off; man.enable = off; nixos.enable = off; };
  boot.enableContainers = off;
  environment.noXlibs = lib.mkDefault true;
  environment.defaultPackages = lib.mkDefault [ ];
  environment.stub-ld.enable = off;
  programs.command-not-found.enable = off;
  services.udisks2.enable = off;
  xdg = { autostart.enable = off; icons.enable = off; mime.enable = off; sounds.enable = off; };
}
