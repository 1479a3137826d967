# Everything a generated tree builds, for `nix-build generated -A NAME.iso`:
#   NAME.iso     the installation image (stage 0)
#   NAME.mini    the mini system (stage 1)
#   NAME.full    the full system as the hive has it (stage 2), without what Colmena adds
#   NAME.format  the script that formats and mounts the disks of the host; it asks nothing
{ tree }:
let
  pins = import (tree + "/_hive/lib/pins.nix") { inherit tree; };
  hive = builtins.fromJSON (builtins.readFile (tree + "/hive.json"));
  evaluate =
    name: modules:
    (import (pins.nixpkgsOf name + "/nixos/lib/eval-config.nix") {
      system = null;
      inherit modules;
    }).config.system.build;
  host =
    name: h:
    let
      full =
        extraModules:
        (import (tree + "/_hive/lib/host.nix") {
          inherit name;
          nixpkgs = pins.nixpkgsOf name;
          inherit (pins) workspace disko;
          generated = tree;
          definition = pins.workspace + "/${h.definition}";
          without = h.without;
          inherit nodes extraModules;
        });
    in
    {
      iso = (evaluate name [ (tree + "/${name}/iso.nix") ]).isoImage;
      mini = (evaluate name [ (tree + "/${name}/mini_sys.nix") ]).toplevel;
      full = (full [ { hive.hosts.entries = hive.entries; } ]).config.system.build.toplevel;
      format =
        (full [ ({ lib, ... }: { hive.partitioning.additional = lib.mkForce { }; }) ]).config.system.build.diskoScript;
    };
  nodes = builtins.mapAttrs (
    name: h:
    import (tree + "/_hive/lib/host.nix") {
      inherit name nodes;
      nixpkgs = pins.nixpkgsOf name;
      inherit (pins) workspace disko;
      generated = tree;
      definition = pins.workspace + "/${h.definition}";
      without = h.without;
    }
  ) hive.hosts;
in
builtins.mapAttrs host hive.hosts
