# nixpkgs.*: which package set the configuration is made of.
{
  config,
  options,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  inherit (import ../../lib/declare.nix { inherit lib; }) need opt;
  cfg = config.nixpkgs;
  isSet = name: options.nixpkgs.${name}.highestPrio < (lib.mkOptionDefault null).priority;
  platform = lib.types.either types.str types.attrs;
  hasPlatform = options.nixpkgs.hostPlatform.isDefined;

  packages =
    if options.nixpkgs.pkgs.isDefined then
      cfg.pkgs.appendOverlays cfg.overlays
    else
      import ../../.. {
        inherit (cfg) config overlays;
        localSystem = if hasPlatform then cfg.buildPlatform else cfg.localSystem;
        crossSystem =
          if !hasPlatform then
            cfg.crossSystem
          else if cfg.hostPlatform.system == cfg.buildPlatform.system then null else cfg.hostPlatform;
      };
in
{
  options.nixpkgs = {
    pkgs = need types.pkgs;
    config = opt (types.addCheck types.attrs (_: true)) { } // {
      # settings of several modules are one set
      type = lib.mkOptionType {
        name = "nixpkgs-config";
        description = "nixpkgs config";
        check = x: builtins.isAttrs x || lib.isFunction x;
        merge =
          _: defs:
          let
            read = v: if lib.isFunction v then v { inherit pkgs; } else v;
          in
          lib.foldl' (a: def: lib.recursiveUpdate a (read def.value)) { } defs;
      };
    };
    overlays = opt (types.listOf (lib.mkOptionType {
      name = "nixpkgs-overlay";
      description = "nixpkgs overlay";
      check = lib.isFunction;
      merge = lib.mergeOneOption;
    })) [ ];
    hostPlatform = need platform // { apply = lib.systems.elaborate; };
    buildPlatform = mkOption {
      type = platform;
      default = cfg.hostPlatform;
      apply = lib.systems.elaborate;
    };
    localSystem = mkOption {
      type = types.attrs;
      default = { inherit (cfg) system; };
      apply = lib.systems.elaborate;
    };
    crossSystem = opt (types.nullOr types.attrs) null;
    system = mkOption {
      type = types.str;
      default =
        if hasPlatform then
          throw "Neither nixpkgs.system nor its relatives are to be read where nixpkgs.hostPlatform is set."
        else
          throw "Neither nixpkgs.hostPlatform nor the legacy option nixpkgs.system has been set.";
    };
    flake.source = opt (types.nullOr types.str) null;
    flake.setNixPath = opt types.bool false;
    flake.setFlakeRegistry = opt types.bool false;
  };

  config = {
    _module.args.pkgs = packages;
    assertions =
      let
        legacy = builtins.filter isSet [ "localSystem" "crossSystem" ];
      in
      [
        {
          assertion = !(hasPlatform && legacy != [ ]);
          message = "Your system configures nixpkgs with the platform parameter nixpkgs.hostPlatform, and also with ${lib.concatMapStringsSep ", " (n: "nixpkgs.${n}") legacy}.";
        }
        {
          assertion = !options.nixpkgs.pkgs.isDefined || cfg.config == { };
          message = "Your system configures nixpkgs with an externally created instance, which has a config of its own.";
        }
      ];
  };
}
