# sshd.
{ config, lib, ... }:
let
  inherit (lib) types;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt off on;
  cfg = config.services.openssh;
  word = v: if v == true then "yes" else if v == false then "no" else toString v;
  strings = default: opt (types.listOf types.str) default;
  maybe = type: opt (types.nullOr type) null;
  atom = types.nullOr (types.oneOf [ types.bool types.int types.float types.str ]) // { description = "atom (null, bool, int, float or string)"; };
  renamed = old: new: lib.mkRenamedOptionModule [ "services" "openssh" old ] [ "services" "openssh" "settings" new ];
in
{
  imports = [
    (renamed "permitRootLogin" "PermitRootLogin")
    (renamed "passwordAuthentication" "PasswordAuthentication")
    (renamed "kbdInteractiveAuthentication" "KbdInteractiveAuthentication")
    (renamed "forwardX11" "X11Forwarding")
    (renamed "logLevel" "LogLevel")
  ];
  options.services.openssh = {
    enable = off;
    startWhenNeeded = off;
    openFirewall = on;
    allowSFTP = on;
    ports = opt (types.listOf types.port) [ 22 ];
    listenAddresses = opt (types.listOf types.attrs) [ ];
    hostKeys = opt (types.listOf types.attrs) [
      { type = "rsa"; bits = 4096; path = "/etc/ssh/ssh_host_rsa_key"; }
      { type = "ed25519"; path = "/etc/ssh/ssh_host_ed25519_key"; }
    ];
    banner = maybe types.lines;
    authorizedKeysFiles = strings [ ];
    authorizedKeysInHomedir = on;
    authorizedKeysCommand = opt types.str "none";
    authorizedKeysCommandUser = opt types.str "nobody";
    sftpFlags = strings [ ];
    extraConfig = opt types.lines "";
    moduliFile = opt types.str "";
    settings = opt (types.submodule {
      freeformType = types.attrsOf atom;
      options = {
        PermitRootLogin = opt (types.enum [
          "yes" "without-password" "prohibit-password" "forced-commands-only" "no"
        ]) "prohibit-password";
        PasswordAuthentication = on;
        KbdInteractiveAuthentication = on;
        LogLevel = opt (types.enum [ "QUIET" "FATAL" "ERROR" "INFO" "VERBOSE" "DEBUG" "DEBUG1" "DEBUG2" "DEBUG3" ]) "INFO";
        UsePAM = on;
        UseDns = off;
        X11Forwarding = off;
        StrictModes = on;
        PrintMotd = off;
        GatewayPorts = opt types.str "no";
        AuthorizedPrincipalsFile = opt types.str "none";
        AllowUsers = maybe (types.listOf types.str);
        AllowGroups = maybe (types.listOf types.str);
        DenyUsers = maybe (types.listOf types.str);
        DenyGroups = maybe (types.listOf types.str);
        Ciphers = maybe (types.listOf types.str);
        Macs = maybe (types.listOf types.str);
        KexAlgorithms = maybe (types.listOf types.str);
      };
    }) { };
  };
  config = lib.mkIf cfg.enable {
    networking.firewall.allowedTCPPorts = lib.optionals cfg.openFirewall cfg.ports;
    users.users.sshd = { isSystemUser = true; group = "sshd"; };
    users.groups.sshd = { };
    systemd.services.sshd = { description = "SSH Daemon"; wantedBy = [ "multi-user.target" ]; };
    environment.etc."ssh/sshd_config".text = lib.concatMapStrings (p: "Port ${toString p}\n") cfg.ports + lib.concatStrings (
      lib.mapAttrsToList (n: v: lib.optionalString (v != null) "${n} ${word v}\n") cfg.settings
    );
  };
}
