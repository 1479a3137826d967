# The packet filter: which ports are open.
{ config, lib, ... }:
let
  inherit (lib) types;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt off on sub;
  ports = opt (types.listOf types.port) [ ] // { apply = ports: lib.unique (builtins.sort builtins.lessThan ports); };
  ranges = opt (types.listOf (types.attrsOf types.port)) [ ];
  perInterface = {
    allowedTCPPorts = ports;
    allowedUDPPorts = ports;
    allowedTCPPortRanges = ranges;
    allowedUDPPortRanges = ranges;
  };
in
{
  options.networking = {
    firewall = perInterface // {
      enable = on;
      allowPing = on;
      checkReversePath = opt (types.either types.bool (types.enum [ "strict" "loose" ])) true;
      trustedInterfaces = opt (types.listOf types.str) [ ];
      interfaces = opt (sub { options = perInterface; }) { };
      logRefusedConnections = on;
      rejectPackets = off;
      extraCommands = opt types.lines "";
      extraStopCommands = opt types.lines "";
      extraInputRules = opt types.lines "";
    };
    nftables = { enable = off; ruleset = opt types.lines ""; };
    nat = {
      enable = off;
      externalInterface = opt (types.nullOr types.str) null;
      internalInterfaces = opt (types.listOf types.str) [ ];
      internalIPs = opt (types.listOf types.str) [ ];
      enableIPv6 = off;
    };
  };
  config = {
    networking.firewall.trustedInterfaces = [ "lo" ];
    # where nixpkgs names helpers of connection tracking: none by default
    boot.extraModprobeConfig = lib.mkIf config.networking.firewall.enable (lib.mkAfter "");
  };
}
