# networking.*: names, addresses, routes.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt off on need sub accept;
  cfg = config.networking;
  maybe = type: opt (types.nullOr type) null;
  strings = opt (types.listOf types.str) [ ];

  address = bits: types.submodule {
    options = { address = need types.str; prefixLength = need (types.addCheck types.int (n: n >= 0 && n <= bits)); };
  };
  route = bits: types.submodule {
    options = {
      address = need types.str;
      prefixLength = need (types.addCheck types.int (n: n >= 0 && n <= bits));
      type = maybe types.str;
      via = maybe types.str;
      options = opt (types.attrsOf types.str) { };
    };
  };
  family = bits: { addresses = opt (types.listOf (address bits)) [ ]; routes = opt (types.listOf (route bits)) [ ]; };
  interface =
    { name, ... }:
    {
      options = {
        name = opt types.str name;
        useDHCP = maybe types.bool;
        macAddress = maybe types.str;
        mtu = maybe types.int;
        virtual = off;
        virtualOwner = opt types.str "root";
        virtualType = opt types.str "tun";
        wakeOnLan.enable = off;
        tempAddress = opt types.str "default";
        proxyARP = off;
        ipv4 = family 32;
        ipv6 = family 128;
      };
    };
  gateway = types.nullOr (types.coercedTo types.str (address: { inherit address; }) (types.submodule {
    options = { address = need types.str; interface = maybe types.str; metric = maybe types.int; };
  }));
  vlan = { options = { id = need types.int; interface = need types.str; }; };
  bridge = { options = { interfaces = need (types.listOf types.str); rstp = off; }; };
  bond = { options = { interfaces = need (types.listOf types.str); driverOptions = opt (types.attrsOf types.str) { }; }; };
  macvlan = { options = { interface = need types.str; mode = maybe types.str; }; };
  hostLine = address: names: "${address} ${lib.concatStringsSep " " names}\n";
in
{
  imports = [
    (lib.mkRenamedOptionModule [ "networking" "hostname" ] [ "networking" "hostName" ])
  ];
  options.networking = {
    hostName = opt (types.strMatching "^$|^[[:alnum:]]([[:alnum:]_-]{0,61}[[:alnum:]])?$") config.system.nixos.distroId;
    hostId = maybe types.str;
    domain = maybe types.str;
    fqdn = mkOption {
      readOnly = true;
      type = types.str;
      default =
        if cfg.hostName != "" && cfg.domain != null then
          "${cfg.hostName}.${cfg.domain}"
        else
          throw "The FQDN is required but cannot be determined: networking.domain is not set.";
    };
    fqdnOrHostName = mkOption {
      readOnly = true;
      type = types.str;
      default = if cfg.domain == null then cfg.hostName else cfg.fqdn;
    };
    nameservers = strings;
    search = strings;
    useDHCP = on;
    useNetworkd = off;
    useHostResolvConf = off;
    interfaces = opt (types.attrsOf (types.submodule interface)) { };
    defaultGateway = opt gateway null;
    defaultGateway6 = opt gateway null;
    defaultGatewayWindowSize = maybe types.int;
    vlans = opt (sub vlan) { };
    bridges = opt (sub bridge) { };
    bonds = opt (sub bond) { };
    macvlans = opt (sub macvlan) { };
    sits = accept;
    vswitches = opt (types.attrsOf types.attrs) { };
    wireguard = accept;
    hosts = opt (types.attrsOf (types.listOf types.str)) { };
    extraHosts = opt types.lines "";
    hostFiles = opt (types.listOf types.path) [ ];
    enableIPv6 = on;
    tempAddresses = opt types.str "default";
    dhcpcd = {
      enable = on;
      persistent = off;
      denyInterfaces = strings;
      allowInterfaces = maybe (types.listOf types.str);
      extraConfig = opt types.lines "";
      wait = opt types.str "any";
    };
    networkmanager = { enable = off; unmanaged = strings; dns = opt types.str "default"; wifi = accept; };
    wireless = {
      enable = off;
      interfaces = strings;
      networks = opt (types.attrsOf types.attrs) { };
      userControlled.enable = off;
      environmentFile = maybe types.path;
    };
    usePredictableInterfaceNames = on;
    timeServers = opt (types.listOf types.str) [
      "0.nixos.pool.ntp.org" "1.nixos.pool.ntp.org" "2.nixos.pool.ntp.org" "3.nixos.pool.ntp.org"
    ];
    localCommands = opt types.lines "";
    resolvconf = accept;
    proxy = accept;
  };
  config = {
    assertions = lib.mapAttrsToList (name: _: {
      assertion = builtins.stringLength name < 16;
      message = "The name of networking.interfaces.\"${name}\" is too long, it needs to be less than 16 characters.\n";
    }) cfg.interfaces
    ++ [
      {
        assertion = cfg.hostId == null || builtins.match "[0-9a-fA-F]{8}" cfg.hostId != null;
        message = "Invalid value given to the networking.hostId option.";
      }
    ];
    networking.hosts =
      let
        names = lib.optional (cfg.hostName != "" && cfg.domain != null) cfg.fqdn ++ lib.optional (cfg.hostName != "") cfg.hostName;
      in
      { "127.0.0.2" = names; } // lib.optionalAttrs cfg.enableIPv6 { "::1" = names; };
    boot.kernelModules = lib.mkMerge [
      (lib.mkOrder 1006 (
        lib.optional (builtins.any (i: i.virtual) (builtins.attrValues cfg.interfaces)) "tun"
        ++ lib.optional (cfg.bonds != { }) "bonding"
      ))
      (lib.mkAfter (lib.optional cfg.networkmanager.enable "ctr"))
    ];
    boot.extraModprobeConfig = lib.optionalString (cfg.bonds != { }) "options bonding max_bonds=0";
    networking.useDHCP = lib.mkIf cfg.networkmanager.enable (lib.mkDefault false);
    environment.etc.hostname.text = cfg.hostName + "\n";
    environment.etc.hosts.text = lib.concatStrings (lib.mapAttrsToList hostLine cfg.hosts) + cfg.extraHosts;
  };
}
