# host: a definition evaluated by the pinned nixpkgs' own eval-config.nix. eval.nix and the installation medium call it.
{
  nixpkgs, # path of the pinned source
  name,
  definition,
  workspace,
  generated ? workspace + "/generated",
  disko ? null,
  without ? [ ],
  nodes ? { }, # the other hosts, as Colmena passes them
  extraModules ? [ ],
}:
import (nixpkgs + "/nixos/lib/eval-config.nix") {
  # `name` and `nodes` as definitions written for Colmena expect them
  specialArgs = {
    inherit name nodes;
  };
  modules =
    import ./modules.nix {
      inherit
        definition
        name
        workspace
        generated
        disko
        without
        ;
    }
    ++ extraModules;
}
