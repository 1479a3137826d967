# systemd.network: settings as data, and the units rendered from them.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types optionalString;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt off on sub need accept;
  cfg = config.systemd.network;
  strings = opt (types.listOf types.str) [ ];
  text = opt types.lines "";

  # As in nixpkgs: numbers and truth values are fine, a list repeats the key. Not checked here: which keys systemd knows.
  atom = types.oneOf [ types.bool types.int types.str types.path types.package ];
  section = opt (types.attrsOf (types.either atom (types.listOf atom))) { };
  sections = name: opt (types.listOf (types.submodule { options.${name} = section; })) [ ];

  show = v: if builtins.isBool v then lib.boolToString v else toString v;
  lines = attrs: lib.concatStrings (lib.concatLists (lib.mapAttrsToList (k: v: map (one: "${k}=${show one}\n") (lib.toList v)) attrs));
  block = name: attrs: extra: optionalString (attrs != { } || extra != "") "[${name}]\n${lines attrs}${extra}\n";
  repeat = key: lib.concatMapStrings (v: "${key}=${v}\n");

  common = {
    enable = on;
    matchConfig = section;
    linkConfig = section;
    extraConfig = text;
  };

  # Sections of a .network file that are plain sets, in the order in which they are written.
  plainSections = [
    [ "dhcpV4Config" "DHCPv4" ]
    [ "dhcpV6Config" "DHCPv6" ]
    [ "dhcpPrefixDelegationConfig" "DHCPPrefixDelegation" ]
    [ "ipv6AcceptRAConfig" "IPv6AcceptRA" ]
    [ "dhcpServerConfig" "DHCPServer" ]
    [ "ipv6SendRAConfig" "IPv6SendRA" ]
    [ "bridgeConfig" "Bridge" ]
    [ "lldpConfig" "LLDP" ]
  ];
  # Lists of names and the key that each name gets in [Network].
  joins = [
    [ "bridge" "Bridge" ]
    [ "bond" "Bond" ]
    [ "vrf" "VRF" ]
    [ "vlan" "VLAN" ]
    [ "macvlan" "MACVLAN" ]
    [ "macvtap" "MACVTAP" ]
    [ "vxlan" "VXLAN" ]
    [ "tunnel" "Tunnel" ]
    [ "xfrm" "Xfrm" ]
  ];

  network =
    { config, ... }:
    {
      options =
        common
        // builtins.listToAttrs (
          map (s: lib.nameValuePair (builtins.head s) section) plainSections
          ++ map (j: lib.nameValuePair (builtins.head j) strings) joins
        )
        // {
          networkConfig = section;
          name = opt (types.nullOr types.str) null;
          DHCP = opt (types.nullOr types.str) null;
          domains = opt (types.nullOr (types.listOf types.str)) null;
          address = strings;
          gateway = strings;
          dns = strings;
          ntp = strings;
          addresses = sections "addressConfig";
          routes = sections "routeConfig";
          routingPolicyRules = sections "routingPolicyRuleConfig";
          ipv6Prefixes = sections "ipv6PrefixConfig";
          dhcpServerStaticLeases = sections "dhcpServerStaticLeaseConfig";
        };
      config = {
        matchConfig = lib.mkIf (config.name != null) { Name = config.name; };
        networkConfig = lib.mkMerge [
          (lib.mkIf (config.DHCP != null) { inherit (config) DHCP; })
          (lib.mkIf (config.domains != null) { Domains = lib.concatStringsSep " " config.domains; })
        ];
      };
    };
  renderNetwork =
    n:
    let
      shortcuts =
        repeat "Address" n.address
        + repeat "Gateway" n.gateway
        + repeat "DNS" n.dns
        + repeat "NTP" n.ntp
        + lib.concatMapStrings (j: repeat (lib.last j) n.${builtins.head j}) joins;
    in
    block "Match" n.matchConfig ""
    + block "Link" n.linkConfig ""
    + "[Network]\n${lines n.networkConfig}${shortcuts}\n"
    + lib.concatMapStrings (a: block "Address" a.addressConfig "") n.addresses
    + lib.concatMapStrings (r: block "RoutingPolicyRule" r.routingPolicyRuleConfig "") n.routingPolicyRules
    + lib.concatMapStrings (r: block "Route" r.routeConfig "") n.routes
    + lib.concatMapStrings (s: block (lib.last s) n.${builtins.head s} "") plainSections
    + lib.concatMapStrings (p: block "IPv6Prefix" p.ipv6PrefixConfig "") n.ipv6Prefixes
    + lib.concatMapStrings (l: block "DHCPServerStaticLease" l.dhcpServerStaticLeaseConfig "") n.dhcpServerStaticLeases
    + n.extraConfig;

  netdevSections = [
    [ "vlanConfig" "VLAN" ]
    [ "bridgeConfig" "Bridge" ]
    [ "macvlanConfig" "MACVLAN" ]
    [ "vxlanConfig" "VXLAN" ]
    [ "tunnelConfig" "Tunnel" ]
    [ "tunConfig" "Tun" ]
    [ "tapConfig" "Tap" ]
    [ "wireguardConfig" "WireGuard" ]
    [ "bondConfig" "Bond" ]
    [ "vrfConfig" "VRF" ]
  ];
  netdev.options = common // {
    netdevConfig = section;
    wireguardPeers = sections "wireguardPeerConfig";
  } // builtins.listToAttrs (map (s: lib.nameValuePair (builtins.head s) section) netdevSections);
  renderNetdev =
    d:
    block "Match" d.matchConfig ""
    + block "NetDev" d.netdevConfig ""
    + lib.concatMapStrings (s: block (lib.last s) d.${builtins.head s} "") netdevSections
    + lib.concatMapStrings (p: block "WireGuardPeer" p.wireguardPeerConfig "") d.wireguardPeers
    + d.extraConfig;
  renderLink = l: block "Match" l.matchConfig "" + block "Link" l.linkConfig "" + l.extraConfig;

  unit =
    { name, config, ... }:
    {
      options = {
        enable = on;
        text = opt (types.nullOr types.str) null;
        overrideStrategy = opt types.str "asDropinIfExists";
        unit = need types.package // { internal = true; };
        aliases = strings;
        wantedBy = strings;
        requiredBy = strings;
      };
      config.unit = lib.mkDefault (pkgs.writeTextDir name (toString config.text));
    };
  rendered =
    suffix: render:
    lib.mapAttrs' (n: v: lib.nameValuePair "${n}.${suffix}" { inherit (v) enable; text = render v; });
  enabled = lib.filterAttrs (_: u: u.enable) cfg.units;
in
{
  options.systemd.network = {
    enable = off;
    networks = opt (types.attrsOf (types.submodule network)) { };
    netdevs = opt (types.attrsOf (types.submodule netdev)) { };
    links = opt (sub { options = common; }) { };
    units = opt (sub unit) { };
    config = {
      networkConfig = section;
      dhcpV4Config = section;
      dhcpV6Config = section;
      routeTables = opt (types.attrsOf types.int) { };
      addRouteTablesToIPRoute2 = on;
    };
    wait-online = {
      enable = on;
      anyInterface = mkOption { type = types.bool; default = config.networking.useDHCP; };
      ignoredInterfaces = strings;
      timeout = opt types.ints.unsigned 120;
      extraArgs = strings;
    };
  };
  config = lib.mkMerge [
    {
      systemd.network.wait-online.extraArgs =
        [ "--timeout=${toString cfg.wait-online.timeout}" ]
        ++ lib.optional cfg.wait-online.anyInterface "--any"
        ++ map (i: "--ignore=${i}") cfg.wait-online.ignoredInterfaces;
    }
    # links are read by udev, with or without networkd
    { systemd.network.units = rendered "link" renderLink cfg.links; }
    (lib.mkIf cfg.enable {
      systemd.network.units = rendered "network" renderNetwork cfg.networks // rendered "netdev" renderNetdev cfg.netdevs;
      services.resolved.enable = lib.mkDefault true;
      networking.dhcpcd.enable = lib.mkDefault false;
    })
    { environment.etc = lib.mapAttrs' (n: u: lib.nameValuePair "systemd/network/${n}" { source = "${u.unit}/${n}"; }) enabled; }
  ];
}
