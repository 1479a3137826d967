# Services that examples and tests turn on. Each is an option that is kept, a line among the services, and no more.
{ config, lib, pkgs, ... }:
let
  inherit (lib) types;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt off on accept;
  strings = opt (types.listOf types.str) [ ];
  text = opt types.lines "";
  maybe = type: opt (types.nullOr type) null;
  tristate = enum: default: opt (types.enum enum) default;
  agent = config.services.k3s.enable && config.services.k3s.role == "agent";
  service = enable: description: lib.mkIf enable { inherit description; wantedBy = [ "multi-user.target" ]; };
in
{
  options.services = {
    resolved = {
      enable = off;
      dnssec = tristate [ "true" "allow-downgrade" "false" ] "false";
      dnsovertls = tristate [ "true" "opportunistic" "false" ] "false";
      llmnr = tristate [ "true" "resolve" "false" ] "true";
      domains = opt (types.listOf types.str) null // { default = config.networking.search; };
      fallbackDns = maybe (types.listOf types.str);
      extraConfig = text;
    };
    getty = { autologinUser = maybe types.str; autologinOnce = off; helpLine = text; greetingLine = text; };
    k3s = {
      enable = off;
      package = opt types.package null // { default = pkgs.k3s; };
      role = opt (types.enum [ "server" "agent" ]) "server";
      serverAddr = opt types.str "";
      clusterInit = off;
      token = opt types.str "";
      tokenFile = maybe types.path;
      environmentFile = maybe types.path;
      extraFlags = opt (types.coercedTo (types.listOf types.str) (lib.concatStringsSep " ") types.str) "";
      disableAgent = off;
      configPath = maybe types.path;
    };
    udisks2.enable = off;
    fwupd.enable = off;
    nscd.enable = on;
    cron = { enable = off; systemCronJobs = strings; };
    dbus.enable = on;
    avahi = { enable = off; nssmdns4 = off; publish = accept; };
    tailscale = { enable = off; authKeyFile = maybe types.path; };
    nginx = { enable = off; virtualHosts = opt (types.attrsOf types.anything) { }; recommendedProxySettings = off; };
    fail2ban.enable = off;
    qemuGuest.enable = off;
    spice-vdagentd.enable = off;
    openiscsi = { enable = off; name = maybe types.str; };
    xserver = {
      enable = off;
      xkb = { layout = opt types.str "us"; variant = opt types.str ""; options = opt types.str "terminate:ctrl_alt_bksp"; };
      displayManager = accept;
      desktopManager = accept;
      videoDrivers = opt (types.listOf types.str) [ "modesetting" "fbdev" ];
    };
    printing.enable = off;
    pipewire = accept;
    prometheus = accept;
    grafana = accept;
    postgresql = accept;
    samba = accept;
    nfs = accept;
    dnsmasq = accept;
    unbound = accept;
    home-assistant = accept;
    thermald.enable = off;
    haveged.enable = off;
    chrony.enable = off;
    irqbalance.enable = off;
  };
  config = {
    # the driver gets in the way of CUPS
    boot.blacklistedKernelModules = lib.mkIf config.services.printing.enable [ "usblp" ];
    systemd.services = {
      k3s = service config.services.k3s.enable "k3s service";
      nginx = service config.services.nginx.enable "Nginx Web Server";
      tailscaled = service config.services.tailscale.enable "Tailscale node agent";
    };
    assertions = [
      {
        assertion = !agent || config.services.k3s.configPath != null || config.services.k3s.serverAddr != "";
        message = "serverAddr or configPath (with 'server' key) should be set if role is 'agent'";
      }
      {
        assertion = !agent || config.services.k3s.configPath != null || config.services.k3s.tokenFile != null || config.services.k3s.token != "";
        message = "token or tokenFile or configPath (with 'token' or 'token-file' keys) should be set if role is 'agent'";
      }
    ];
  };
}
