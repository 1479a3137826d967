# A system somebody installs another one from.
{ lib, pkgs, ... }:
{
  imports = [ ../installer/scan/not-detected.nix ];
  config = {
    system.nixos.variant_id = lib.mkDefault "installer";
    services.getty.autologinUser = lib.mkForce "nixos";
    services.getty.helpLine = "A medium of the test miniature of nixpkgs.";
    users.users.nixos = { isNormalUser = true; extraGroups = [ "wheel" "networkmanager" "video" ]; initialHashedPassword = ""; };
    users.users.root.initialHashedPassword = "";
    security.sudo = { enable = lib.mkDefault true; wheelNeedsPassword = lib.mkImageMediaOverride false; };
    services.openssh.enable = lib.mkDefault true;
    services.openssh.settings.PermitRootLogin = lib.mkDefault "yes";
    networking.wireless = { enable = lib.mkDefault true; userControlled.enable = true; };
    systemd.services.wpa_supplicant.wantedBy = lib.mkOverride 50 [ ];
    environment.variables.GC_INITIAL_HEAP_SIZE = "1M";
    boot.swraid.enable = true;
    boot.swraid.mdadmConf = "PROGRAM ${pkgs.coreutils}/bin/true";
    networking.firewall.logRefusedConnections = lib.mkDefault false;
    nix.settings.trusted-users = [ "root" "nixos" ];
  };
}
