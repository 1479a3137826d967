# The facts of all hosts as anybody would ask for them: one Nix, one host after the other, with what nix/lib has and none of
# what nix/eval.nix does to be fast (one package set for all, several evaluators, a heap to start with). bench/ measures
# against it.
{ request }:
let
  ask = builtins.fromJSON (builtins.readFile request);
  path = text: /. + text;
  nixpkgs = path ask.nixpkgs;
  workspace = path ask.workspace;
  lib = path ask.tree + "/lib";
  facts =
    name: h:
    import (lib + "/facts.nix") {
      inherit name;
      inherit (ask) nixpkgs diskoVersion deep;
      inherit (h) definition;
      without = [ ];
      baseModules = import (nixpkgs + "/nixos/modules/module-list.nix") ++ [ (nixpkgs + "/nixos/lib/eval-config.nix") ];
      host = import (lib + "/host.nix") {
        inherit nixpkgs name workspace;
        generated = workspace + "/generated";
        disko = path ask.disko;
        definition = workspace + "/${h.definition}";
      };
    };
in
builtins.attrValues (builtins.mapAttrs facts ask.hosts)
