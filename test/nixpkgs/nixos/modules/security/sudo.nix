# sudo, its relatives, and what else guards a machine.
{ config, lib, pkgs, ... }:
let
  inherit (lib) types;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt off on sub accept;
  rule = types.submodule {
    options = {
      users = opt (types.listOf (types.either types.str types.int)) [ ];
      groups = opt (types.listOf (types.either types.str types.int)) [ ];
      host = opt types.str "ALL";
      runAs = opt types.str "ALL:ALL";
      commands = opt (types.listOf (types.either types.str (types.submodule {
        options = { command = lib.mkOption { type = types.str; }; options = opt (types.listOf types.str) [ ]; };
      }))) [ ];
    };
  };
  like = enable: {
    inherit enable;
    wheelNeedsPassword = on;
    execWheelOnly = off;
    extraRules = opt (types.listOf rule) [ ];
    extraConfig = opt types.lines "";
    defaultOptions = opt (types.listOf types.str) [ ];
  };
in
{
  options.security = {
    sudo = like on // {
      keepTerminfo = on;
      defaultOptions = opt (types.listOf types.str) [ "SETENV" ];
      package = opt types.package null // { default = pkgs.sudo; };
    };
    sudo-rs = like off;
    doas = {
      enable = off;
      wheelNeedsPassword = on;
      extraRules = opt (types.listOf types.attrs) [ ];
      extraConfig = opt types.lines "";
    };
    polkit = { enable = off; extraConfig = opt types.lines ""; };
    rtkit.enable = off;
    apparmor.enable = off;
    tpm2.enable = off;
    pam = accept;
    acme = accept;
    pki = { certificates = opt (types.listOf types.str) [ ]; certificateFiles = opt (types.listOf types.path) [ ]; };
    wrappers = accept;
    protectKernelImage = off;
    audit = accept;
    auditd.enable = off;
  };
  # root and wheel, before the rules of anybody else
  config.security.sudo = lib.mkIf config.security.sudo.enable {
    extraRules =
      let
        rule = options: who: who // { commands = [ { command = "ALL"; inherit options; } ]; };
        options = config.security.sudo.defaultOptions;
      in
      lib.mkBefore [
        (rule options { users = [ "root" ]; })
        (rule (options ++ lib.optional (!config.security.sudo.wheelNeedsPassword) "NOPASSWD") { groups = [ "wheel" ]; })
      ];
  };
  config.environment.systemPackages = lib.optional config.security.sudo.enable config.security.sudo.package;
}
