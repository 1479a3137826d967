# The network of a medium. For one host it is the host's own. For several, it has the settings of each host that name a card by
# its MAC address and need nothing made on top of it: they fit no other machine. A card that no settings are for asks DHCP, and
# always has a link-local address, so that a medium can be reached in a network nobody thought of.
{ hosts }:
{ lib, options, ... }:
let
  alone = builtins.length hosts == 1;

  # The lines of the section [Match] of a unit.
  matched =
    text:
    let
      sections = lib.splitString "[" text;
      match = lib.findFirst (lib.hasPrefix "Match]\n") "" sections;
    in
    lib.splitString "\n" match;
  layered = text: lib.any (line: lib.any (key: lib.hasPrefix "${key}=" line) joins) (lib.splitString "\n" text);
  joins = [ "Bond" "Bridge" "IPVLAN" "MACVLAN" "MACVTAP" "VLAN" "VRF" "VXLAN" ];
  ofOneCard =
    file: text:
    lib.hasSuffix ".network" file
    && lib.any (l: lib.hasPrefix "MACAddress=" l || lib.hasPrefix "PermanentMACAddress=" l) (matched text)
    && !(layered text);
  # names keep the order, and those of two hosts apart
  unambiguous = host: lib.mapAttrs' (file: text: lib.nameValuePair "10-${host.name}-${file}" text) (lib.filterAttrs ofOneCard host.units);

  units = if alone then (builtins.head hosts).units else lib.foldl' (a: h: a // unambiguous h) { } hosts;
in
{
  networking = {
    hostName = lib.mkForce (if alone then "${(builtins.head hosts).hostName}-setup" else "nixos-setup");
    useNetworkd = true;
    useDHCP = lib.mkForce false;
    wireless.enable = lib.mkForce false;
    # setup announces the medium by multicast DNS
    firewall.allowedUDPPorts = [ 5353 ];
    firewall.logRefusedConnections = false;
  };
  systemd.network = {
    enable = true;
    units = lib.mapAttrs (_: text: { inherit text; }) units;
    # the last one in networkd's order: what names a card goes first
    networks."zz-nixos-staged-hive" = {
      matchConfig = {
        Type = "ether";
        Kind = "!*";
      };
      networkConfig = {
        DHCP = "yes";
        IPv6AcceptRA = true;
        LinkLocalAddressing = "ipv6";
      };
      # the identity that mini and full system have, so that the address stays
      dhcpV4Config = {
        ClientIdentifier = "mac";
        UseHostname = false;
      };
    };
  }
  # nothing on a medium waits for a network that may not be there
  // lib.optionalAttrs (lib.hasAttrByPath [ "systemd" "network" "wait-online" "enable" ] options) { wait-online.enable = false; };
}
