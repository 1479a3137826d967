# `k3s.*` of the original project described containers that never worked end to end. The names are accepted so that
# definitions evaluate, and a warning says that nothing reads them.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  text =
    description:
    mkOption {
      type = types.nullOr types.str;
      default = null;
      inherit description;
    };
  cfg = config.k3s;
in
{
  options.k3s = {
    version = text "Version of K3s; the pin in versions.json decides.";
    init.ip = text "Address of the first server.";
    server = {
      name = text "Name of the server.";
      ip = text "Address of the server.";
      manifests = mkOption {
        type = types.listOf types.path;
        default = [ ];
        description = "Manifests of the server.";
      };
      extraConfig = mkOption {
        type = types.nullOr types.path;
        default = null;
        description = "Further configuration of the server.";
      };
    };
    agent = {
      name = text "Name of the agent.";
      ip = text "Address of the agent.";
    };
  };
  config.warnings = lib.optional (cfg.init.ip != null || cfg.server.name != null || cfg.agent.name != null) ''
    k3s.* of the original project is accepted and not used: no K3s is set up from it.
  '';
}
