# Modules in, a NixOS configuration out: the signature of the real eval-config.nix.
evalConfigArgs@{
  system ? builtins.currentSystem,
  pkgs ? null,
  baseModules ? import ../modules/module-list.nix,
  extraArgs ? { },
  specialArgs ? { },
  modules,
  # names the file of modules that have none: the one this function was called from
  modulesLocation ? (builtins.unsafeGetAttrPos "modules" evalConfigArgs).file or null,
  check ? true,
  prefix ? [ ],
  lib ? import ../../lib,
  extraModules ? [ ],
}:
let
  # As in nixpkgs: what the caller passed has the place of a default, and an own nixpkgs.hostPlatform makes it moot.
  given = {
    _file = ./eval-config.nix;
    key = ./eval-config.nix;
    config = lib.mkMerge (
      lib.optional (system != null) { nixpkgs.system = lib.mkDefault system; }
      ++ lib.optional (pkgs != null) { _module.args.pkgs = lib.mkForce pkgs; }
      ++ [
        {
          _module.args = extraArgs;
          _module.check = lib.mkDefault check;
        }
      ]
    );
  };
  located = map (lib.setDefaultModuleLocation modulesLocation) modules;
  user = if modulesLocation == null then modules else located;
  modulesArg = {
    _file = "virtual:nixos/lib/eval-config.nix";
    config._module.args = {
      inherit baseModules extraModules;
      modules = user;
    };
  };
  stock = lib.evalModules {
    inherit prefix;
    class = "nixos";
    modules = baseModules ++ extraModules ++ [ given modulesArg ];
    specialArgs = { modulesPath = toString ../modules; } // specialArgs;
  };
  nixos = stock.extendModules { modules = user; };
  withExtras =
    configuration:
    configuration
    // {
      inherit extraArgs lib;
      inherit (configuration._module.args) pkgs;
      extendModules = args: withExtras (configuration.extendModules args);
    };
in
withExtras nixos
