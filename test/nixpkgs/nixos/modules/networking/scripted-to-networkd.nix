# networking.interfaces and its relatives as units of networkd, where networking.useNetworkd says so.
{ config, lib, ... }:
let
  inherit (lib) mkIf mkMerge mkDefault optionalAttrs;
  cfg = config.networking;
  dhcp = on: if on then "yes" else "no";
  onNetwork = name: settings: { networks."40-${name}" = settings; };

  route = r: {
    routeConfig = { Destination = "${r.address}/${toString r.prefixLength}"; } // optionalAttrs (r.via != null) { Gateway = r.via; } // r.options;
  };
  gateways = builtins.filter (g: g != null && g.address != "") [ cfg.defaultGateway6 cfg.defaultGateway ];
  gatewaysOf =
    i:
    map (g: { routeConfig = { Gateway = g.address; } // optionalAttrs (g.metric != null) { Metric = g.metric; }; }) (
      builtins.filter (g: g.interface == i.name) gateways
    );
  interface = i: mkMerge [
    (onNetwork i.name {
      name = mkDefault i.name;
      DHCP = mkDefault (dhcp (if i.useDHCP != null then i.useDHCP else cfg.useDHCP && i.ipv4.addresses == [ ]));
      address = map (a: "${a.address}/${toString a.prefixLength}") (i.ipv4.addresses ++ i.ipv6.addresses);
      routes = map route (i.ipv4.routes ++ i.ipv6.routes) ++ gatewaysOf i;
      networkConfig.IPv6PrivacyExtensions = "kernel";
      linkConfig =
        optionalAttrs (i.macAddress != null) { MACAddress = i.macAddress; }
        // optionalAttrs (i.mtu != null) { MTUBytes = toString i.mtu; };
    })
    (mkIf i.wakeOnLan.enable {
      links."40-${i.name}" = { matchConfig.OriginalName = i.name; linkConfig.WakeOnLan = "magic"; };
    })
    (mkIf i.virtual {
      netdevs."40-${i.name}" = {
        netdevConfig = { Name = i.name; Kind = if lib.hasPrefix "tap" i.name then "tap" else i.virtualType; };
        tapConfig = optionalAttrs (lib.hasPrefix "tap" i.name) { User = i.virtualOwner; };
      };
    })
  ];

  member = key: name: i: onNetwork i { DHCP = lib.mkForce "no"; networkConfig.${key} = name; };
  bridge = name: b: mkMerge ([
    { netdevs."40-${name}".netdevConfig = { Name = name; Kind = "bridge"; }; }
  ] ++ map (member "Bridge" name) b.interfaces);
  bond =
    name: b:
    mkMerge (
      [
        {
          netdevs."40-${name}" = {
            netdevConfig = { Name = name; Kind = "bond"; };
            bondConfig = lib.mapAttrs' (n: v: lib.nameValuePair ({
              mode = "Mode";
              miimon = "MIIMonitorSec";
              lacp_rate = "LACPTransmitRate";
              xmit_hash_policy = "TransmitHashPolicy";
            }.${n} or n) (if n == "miimon" then "${v}ms" else v)) b.driverOptions;
          };
        }
      ]
      ++ map (member "Bond" name) b.interfaces
    );
  vlan = name: v: mkMerge [
    { netdevs."40-${name}" = { netdevConfig = { Name = name; Kind = "vlan"; }; vlanConfig.Id = v.id; }; }
    (onNetwork v.interface { vlan = [ name ]; })
  ];
  macvlan = name: m: mkMerge [
    {
      netdevs."40-${name}" = {
        netdevConfig = { Name = name; Kind = "macvlan"; };
        macvlanConfig = optionalAttrs (m.mode != null) { Mode = m.mode; };
      };
    }
    (onNetwork m.interface { macvlan = [ name ]; })
  ];

  # With DHCP wanted on every card that nothing else names.
  anyCard = {
    networks."99-ethernet-default-dhcp" = {
      matchConfig.Name = [ "en*" "eth*" ];
      DHCP = "yes";
      networkConfig.IPv6PrivacyExtensions = "kernel";
    };
    networks."99-wireless-client-dhcp" = {
      matchConfig.WLANInterfaceType = "station";
      DHCP = "yes";
      networkConfig.IPv6PrivacyExtensions = "kernel";
      dhcpV4Config.RouteMetric = 1025;
      ipv6AcceptRAConfig.RouteMetric = 1025;
    };
  };
in
{
  # What others are made of is an interface too.
  config.networking.interfaces = lib.genAttrs (
    lib.concatMap (x: x.interfaces) (builtins.attrValues cfg.bridges ++ builtins.attrValues cfg.bonds)
    ++ map (x: x.interface) (builtins.attrValues cfg.vlans ++ builtins.attrValues cfg.macvlans)
  ) (_: { });

  config.systemd.network = mkIf cfg.useNetworkd (
    mkMerge (
      [
        { enable = true; }
        (mkIf cfg.useDHCP anyCard)
      ]
      ++ map interface (builtins.attrValues cfg.interfaces)
      ++ lib.mapAttrsToList bridge cfg.bridges
      ++ lib.mapAttrsToList bond cfg.bonds
      ++ lib.mapAttrsToList vlan cfg.vlans
      ++ lib.mapAttrsToList macvlan cfg.macvlans
    )
  );

  # a bridge made in the initrd needs its driver there
  config.boot.initrd.availableKernelModules = mkIf config.boot.initrd.network.enable (lib.optional (cfg.bridges != { }) "bridge");

  config.assertions = map (name: {
    assertion = cfg.useNetworkd -> (cfg.${name} != null -> cfg.${name}.interface != null);
    message = "networking.${name}.interface is not optional when using networkd.";
  }) [ "defaultGateway" "defaultGateway6" ];
}
