# system.nixos.* and the state version.
{
  config,
  options,
  lib,
  ...
}:
let
  inherit (lib) types;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt;
  cfg = config.system.nixos;
  readOnly = type: value: opt type value // { readOnly = true; };
in
{
  options.system = {
    nixos = {
      release = readOnly types.str lib.trivial.release;
      codeName = readOnly types.str lib.trivial.codeName;
      versionSuffix = opt types.str lib.trivial.versionSuffix // { internal = true; };
      version = opt types.str "" // { internal = true; };
      revision = opt (types.nullOr types.str) null // { internal = true; };
      label = opt (types.strMatching "[a-zA-Z0-9:_\\.-]*") "";
      tags = opt (types.listOf types.str) [ ];
      distroId = opt types.str "nixos" // { internal = true; };
      distroName = opt types.str "NixOS" // { internal = true; };
      variant_id = opt (types.nullOr types.str) null;
    };
    stateVersion = opt types.str cfg.release // {
      # as in nixpkgs, whoever reads the default is warned, once
      apply = lib.warnIf (
        options.system.stateVersion.highestPrio == (lib.mkOptionDefault null).priority
      ) "system.stateVersion is not set, defaulting to ${cfg.release}.";
    };
    configurationRevision = opt (types.nullOr types.str) null;
  };
  config = {
    system.nixos = {
      version = lib.mkDefault (cfg.release + cfg.versionSuffix);
      label = lib.mkDefault (lib.concatStringsSep "-" (lib.sort (a: b: a < b) cfg.tags ++ [ cfg.version ]));
    };
    environment.etc."os-release".text = "ID=${cfg.distroId}\nNAME=${cfg.distroName}\nVERSION_ID=\"${cfg.release}\"\nBUILD_ID=\"${cfg.version}\"\n";
  };
}
