# hive.admin: the one account a host is administered with.
{ config, lib, ... }:
let
  inherit (lib) mkIf mkOption types;
  cfg = config.hive.admin;
  hasPassword = cfg.hashedPassword != null || cfg.hashedPasswordFile != null;
in
{
  options.hive.admin = {
    name = mkOption {
      type = types.str;
      default = "admin";
      example = "mia";
      description = "Login name of the administrator, a member of wheel.";
    };
    sshKeys = mkOption {
      type = types.listOf types.str;
      default = [ ];
      apply = map (lib.removeSuffix "\n");
      example = [ "ssh-ed25519 AAAAC3Nza... mia@laptop" ];
      description = ''
        Public keys that may log in as the administrator, each a line of authorized_keys. A line break at the end, as
        `builtins.readFile` leaves it, does no harm.
      '';
    };
    hashedPassword = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "$y$j9T$...";
      description = ''
        Hash of the administrator's password as `mkpasswd` prints it. The password is for sudo and the console; ssh takes
        keys only. The hash is readable in the Nix store: prefer `hive.admin.hashedPasswordFile`.
      '';
    };
    hashedPasswordFile = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "/var/lib/secrets/admin-password";
      description = "File on the host that holds the hash of the administrator's password, one line.";
    };
  };

  # Without keys and password nobody could log in, so nobody is created (D11).
  config = mkIf (cfg.sshKeys != [ ] || hasPassword) {
    users.users.${cfg.name} = {
      isNormalUser = lib.mkDefault true;
      extraGroups = [ "wheel" ];
      openssh.authorizedKeys.keys = cfg.sshKeys;
      hashedPassword = mkIf (cfg.hashedPassword != null) cfg.hashedPassword;
      hashedPasswordFile = mkIf (cfg.hashedPasswordFile != null) cfg.hashedPasswordFile;
    };
    # The copy of a system is never escalated by Colmena: the one who pushes it must be trusted with unsigned paths.
    nix.settings.trusted-users = [
      "root"
      cfg.name
    ];
  };
}
