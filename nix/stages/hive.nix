# Stage 2: the Colmena hive of a generated tree. Definitions are imported as they are; hive.json adds only what the hosts
# know of each other. Colmena 0.4 and 0.5 both take it.
{ tree }:
let
  pins = import (tree + "/_hive/lib/pins.nix") { inherit tree; };
  hive = builtins.fromJSON (builtins.readFile (tree + "/hive.json"));
  names = builtins.attrNames hive.hosts;
  packages =
    name:
    import (pins.nixpkgsOf name) {
      system = hive.hosts.${name}.system;
      config = { };
      overlays = [ ];
    };
  node =
    name: host:
    import (tree + "/_hive/lib/modules.nix") {
      inherit name;
      inherit (pins) workspace disko;
      inherit (host) without;
      generated = tree;
      definition = pins.workspace + "/${host.definition}";
      deployment = false;
    }
    ++ [
      (
        { lib, ... }:
        {
          key = "nixos-staged-hive/hive";
          hive.hosts.entries = hive.entries;
          # where and as whom the host is reached, unless the definition says
          deployment = {
            targetHost = lib.mkOverride 1400 host.targetHost;
            targetUser = lib.mkOverride 1400 host.targetUser;
          };
        }
      )
    ];
in
assert hive.schema == import ./../lib/schema.nix || throw "hive.json has schema ${toString hive.schema}: run `nixos-staged-hive generate` again";
{
  meta = {
    name = "nixos-staged-hive";
    description = "Generated from ${baseNameOf (toString pins.workspace)}";
    nixpkgs = import pins.nixpkgs { overlays = [ ]; config = { }; };
    nodeNixpkgs = builtins.listToAttrs (
      map (name: {
        inherit name;
        value = packages name;
      }) names
    );
    # a deployment names its hosts
    allowApplyAll = false;
  };
}
// builtins.mapAttrs node hive.hosts
