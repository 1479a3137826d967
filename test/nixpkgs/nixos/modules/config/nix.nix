# nix.*: the settings of Nix on the machine.
{ config, lib, pkgs, ... }:
let
  inherit (lib) types;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt off on accept;
  atom = types.nullOr (types.oneOf [ types.bool types.int types.float types.str types.path types.package ]) // {
    description = "Nix config atom (null, bool, int, float, str, path or package)";
  };
  strings = default: opt (types.listOf types.str) default;
in
{
  imports = [
    (lib.mkRenamedOptionModule [ "nix" "trustedUsers" ] [ "nix" "settings" "trusted-users" ])
    (lib.mkRenamedOptionModule [ "nix" "autoOptimiseStore" ] [ "nix" "settings" "auto-optimise-store" ])
  ];
  options.nix = {
    enable = on;
    package = opt types.package null // { default = pkgs.nix; };
    channel.enable = on;
    extraOptions = opt types.lines "";
    nixPath = opt (types.listOf types.str) [
      "nixpkgs=/nix/var/nix/profiles/per-user/root/channels/nixos" "nixos-config=/etc/nixos/configuration.nix"
      "/nix/var/nix/profiles/per-user/root/channels"
    ];
    registry = accept;
    checkConfig = on;
    distributedBuilds = off;
    buildMachines = opt (types.listOf types.attrs) [ ];
    optimise = { automatic = off; dates = strings [ "03:45" ]; };
    gc = {
      automatic = off;
      dates = opt types.singleLineStr "03:15";
      options = opt types.singleLineStr "";
      persistent = on;
      randomizedDelaySec = opt types.singleLineStr "0";
    };
    daemonCPUSchedPolicy = opt types.str "other";
    daemonIOSchedClass = opt types.str "best-effort";
    settings = opt (types.submodule {
      freeformType = types.attrsOf (types.either atom (types.listOf atom));
      options = {
        max-jobs = opt (types.either types.int (types.enum [ "auto" ])) "auto";
        cores = opt types.int 0;
        auto-optimise-store = off;
        sandbox = opt (types.either types.bool (types.enum [ "relaxed" ])) true;
        sandbox-fallback = off;
        extra-sandbox-paths = strings [ ];
        require-sigs = on;
        substituters = strings [ ];
        trusted-substituters = strings [ ];
        trusted-public-keys = strings [ ];
        trusted-users = strings [ "root" ];
        allowed-users = strings [ "*" ];
        system-features = strings [ "nixos-test" "benchmark" "big-parallel" "kvm" ];
      };
    }) { };
  };
  config = {
    nix.settings = {
      substituters = lib.mkAfter [ "https://cache.nixos.org/" ];
      trusted-public-keys = [ "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=" ];
    };
    environment.etc."nix/nix.conf".text = lib.concatStrings (
      lib.mapAttrsToList (n: v: "${n} = ${if builtins.isBool v then lib.boolToString v else toString v}\n") config.nix.settings
    );
  };
}
