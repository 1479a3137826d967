# hive.ssh: keys only, and no root login once the administrator can deploy without it.
{ config, lib, ... }:
let
  inherit (lib) mkDefault mkOption types;
  admin = config.hive.admin;
  cfg = config.hive.ssh;
  hasPassword = admin.hashedPassword != null || admin.hashedPasswordFile != null;
  canDeploy =
    admin.sshKeys != [ ]
    && config.security.sudo.enable
    && (hasPassword || !config.security.sudo.wheelNeedsPassword);
in
{
  options.hive.ssh.enable = mkOption {
    type = types.bool;
    default = admin.sshKeys != [ ];
    defaultText = lib.literalExpression "config.hive.admin.sshKeys != [ ]";
    description = ''
      Run sshd with keys only. Root may log in by key only as long as the administrator could not deploy: without a
      password sudo cannot be answered, so the administrator's keys then open root as well.
    '';
  };

  config = lib.mkIf cfg.enable {
    services.openssh = {
      enable = mkDefault true;
      settings = {
        PasswordAuthentication = mkDefault false;
        KbdInteractiveAuthentication = mkDefault false;
        PermitRootLogin = mkDefault (if canDeploy then "no" else "prohibit-password");
      };
    };
    users.users.root.openssh.authorizedKeys.keys = lib.mkIf (!canDeploy) admin.sshKeys;
  };
}
