# The hosts of a generated tree, evaluated as the hive evaluates them: each sees the others as `nodes`.
{ tree }:
let
  pins = import ./pins.nix { inherit tree; };
  hive = builtins.fromJSON (builtins.readFile (tree + "/hive.json"));
  # a host with further modules, for the stage that asks
  evaluate =
    name: extraModules:
    import ./host.nix {
      inherit name nodes extraModules;
      nixpkgs = pins.nixpkgsOf name;
      inherit (pins) workspace disko;
      generated = tree;
      definition = pins.workspace + "/${hive.hosts.${name}.definition}";
      inherit (hive.hosts.${name}) without;
    };
  nodes = builtins.mapAttrs (name: _: evaluate name [ ]) hive.hosts;
  configure =
    nixpkgs: modules:
    import (nixpkgs + "/nixos/lib/eval-config.nix") {
      system = null;
      inherit modules;
    };
in
{
  inherit pins hive evaluate;

  # What may be formatted: never a disk that is only mounted.
  formatting = name: evaluate name [ ({ lib, ... }: { hive.partitioning.additional = lib.mkForce { }; }) ];

  # A configuration of plain NixOS, such as a stage file, with the host's own nixpkgs.
  plain = name: configure (pins.nixpkgsOf name);
  # One that is no single host's.
  common = configure pins.nixpkgs;
}
