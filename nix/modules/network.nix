# hive.network: the address a host is reached at in every stage, by systemd-networkd.
{ config, lib, ... }:
let
  inherit (lib)
    mkDefault
    mkIf
    mkMerge
    mkOption
    optional
    optionalAttrs
    types
    ;
  cfg = config.hive.network;

  listOrOne = types.coercedTo types.str lib.singleton (types.listOf types.str);

  dhcp = builtins.elem "dhcp" cfg.address;
  static = builtins.filter (a: a != "dhcp") cfg.address;

  # A machine's cards are physical Ethernet: VLANs, bridges and macvlans made on top of one copy its MAC address, and
  # must not be matched by it.
  card =
    if cfg.match.mac != null then
      {
        MACAddress = cfg.match.mac;
        Type = "ether";
        Kind = "!*";
      }
    else if cfg.match.path != null then
      { Path = cfg.match.path; }
    else if cfg.interface != null then
      { Name = cfg.interface; }
    else
      {
        Type = "ether";
        Kind = "!*";
      };

  vlanName = "vlan${toString cfg.vlan}";

  # The layers from the card upwards; the last one carries the addresses.
  layers =
    [ { match = card; } ]
    ++ optional (cfg.vlan != null) {
      match.Name = vlanName;
      joins.vlan = [ vlanName ];
      netdev = {
        netdevConfig = {
          Name = vlanName;
          Kind = "vlan";
        };
        vlanConfig.Id = cfg.vlan;
      };
    }
    ++ optional (cfg.bridge != null) {
      match.Name = cfg.bridge;
      joins.bridge = [ cfg.bridge ];
      netdev.netdevConfig = {
        Name = cfg.bridge;
        Kind = "bridge";
      } // optionalAttrs (cfg.match.mac != null) { MACAddress = cfg.match.mac; };
    }
    ++ optional (cfg.macvlan != null) {
      match.Name = cfg.macvlan;
      joins.macvlan = [ cfg.macvlan ];
      netdev = {
        netdevConfig = {
          Name = cfg.macvlan;
          Kind = "macvlan";
        };
        # bridge mode: the host and macvlans of containers on the same card reach each other
        macvlanConfig.Mode = "bridge";
      };
    };

  addressed = {
    address = static;
    gateway = cfg.gateway;
    dns = cfg.nameservers;
    domains = cfg.search;
    networkConfig = {
      DHCP = if dhcp then "yes" else "no";
      IPv6AcceptRA = cfg.acceptRA;
      LinkLocalAddressing = "ipv6";
    };
    linkConfig.RequiredForOnline = "routable";
  }
  // optionalAttrs dhcp {
    # One identity in medium, mini and full system, or the server hands out a new address in each stage.
    dhcpV4Config = {
      ClientIdentifier = "mac";
      UseHostname = false;
    };
  };

  bare.networkConfig = {
    LinkLocalAddressing = "no";
    IPv6AcceptRA = false;
  };

  last = builtins.length layers - 1;
  unitOf =
    i: layer:
    mkMerge [
      { matchConfig = layer.match; }
      (if i == last then addressed else (builtins.elemAt layers (i + 1)).joins)
      (mkIf (i != last) bare)
      (mkIf (i == 0 && cfg.mtu != null) { linkConfig.MTUBytes = toString cfg.mtu; })
    ];
  unitName = i: "${toString (i + 1)}0-hive";
in
{
  options.hive.network = {
    address = mkOption {
      type = types.nullOr listOrOne;
      default = null;
      apply = a: if a == null then [ ] else a;
      example = "192.168.1.10/24";
      description = ''
        `"dhcp"`, an address with its prefix length, or a list of them (IPv4 and IPv6, `"dhcp"` beside them is fine).
        Unset, the host's own NixOS network settings are used in all stages.
      '';
    };
    interface = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "enp3s0";
      description = "Kernel name of the network card. `hive.network.match.mac` is safer: names can change with the kernel.";
    };
    match = {
      mac = mkOption {
        type = types.nullOr (types.strMatching "([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}");
        default = null;
        example = "52:54:00:12:34:56";
        description = "MAC address of the network card. It decides which card is used; `interface` is then only a name.";
      };
      path = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "pci-0000:03:00.0";
        description = "Persistent path of the network card, `ID_PATH` in `udevadm info`.";
      };
    };
    gateway = mkOption {
      type = types.nullOr listOrOne;
      default = null;
      apply = a: if a == null then [ ] else a;
      example = "192.168.1.1";
      description = "Default gateway, or a list with one for IPv4 and one for IPv6.";
    };
    nameservers = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "192.168.1.1" ];
      description = "Addresses of the name servers. With DHCP the server's own are used as well.";
    };
    search = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "home.arpa" ];
      description = "Domains in which short names are looked up.";
    };
    acceptRA = mkOption {
      type = types.bool;
      default = true;
      description = "Accept IPv6 router advertisements.";
    };
    vlan = mkOption {
      type = types.nullOr (types.ints.between 1 4094);
      default = null;
      example = 10;
      description = "802.1Q VLAN on the card. It is named `vlanN` and carries the addresses.";
    };
    bridge = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "br0";
      description = "Name of a bridge that takes the card (or its VLAN) as a port and carries the addresses.";
    };
    macvlan = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "vlan1";
      description = ''
        Name of a macvlan in bridge mode on top of the card that carries the addresses, so that the host can reach
        containers which have a macvlan on the same card.
      '';
    };
    mtu = mkOption {
      type = types.nullOr types.ints.positive;
      default = null;
      example = 9000;
      description = "Largest packet of the card, in bytes.";
    };
  };

  config = mkIf (cfg.address != [ ]) {
    networking = {
      useNetworkd = mkDefault true;
      # Other cards stay silent unless the definition says otherwise. Before mkDefault: nixos-generate-config writes mkDefault true into every
      # hardware-configuration.nix.
      useDHCP = lib.mkOverride 900 false;
      nameservers = mkIf (cfg.nameservers != [ ]) cfg.nameservers;
      search = mkIf (cfg.search != [ ]) cfg.search;
    };
    systemd.network = {
      enable = mkDefault true;
      networks = builtins.listToAttrs (
        lib.imap0 (i: layer: lib.nameValuePair (unitName i) (unitOf i layer)) layers
      );
      netdevs = builtins.listToAttrs (
        builtins.concatLists (
          lib.imap0 (i: layer: optional (layer ? netdev) (lib.nameValuePair (unitName i) layer.netdev)) layers
        )
      );
    };
  };
}
