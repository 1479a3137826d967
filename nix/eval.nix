# Entry of the program: facts of the selected hosts of a workspace.
#
#   nix-instantiate --eval --strict --json eval.nix --argstr request FILE
#
# request is a JSON file:
#   { workspace, generated, nixpkgs, disko, diskoVersion, mark, catch, deep, select: [NAME],
#     hosts: { NAME: { definition: PATH relative to the workspace, without: [PART] } } }
#
# The facts of each host are traced as one line as soon as they are known:
#   trace: MARK {"name":NAME,"facts":{...}}   or   trace: MARK {"name":NAME,"thrown":true}
# so that a host which ends the process takes nothing with it: those before it have been told, it is the next of select,
# and the caller goes on behind it. With catch, what Nix can catch is told as thrown. Warnings traced above a line belong
# to its host. mark is a word nobody can guess, so that no definition can tell facts of its own.
{ request }:
let
  ask = builtins.fromJSON (builtins.readFile request);
  path = text: /. + text;
  nixpkgs = path ask.nixpkgs;
  workspace = path ask.workspace;
  disko = if (ask.disko or null) == null then null else path ask.disko;
  baseModules = import (nixpkgs + "/nixos/modules/module-list.nix") ++ [ (nixpkgs + "/nixos/lib/eval-config.nix") ];

  # One package set for all hosts that ask for the same: most of what hosts have in common.
  lib = import (nixpkgs + "/lib");
  packages =
    system: unfree:
    import nixpkgs {
      inherit system;
      config = if unfree then { allowUnfree = true; } else { };
      overlays = [ ];
    };
  shared = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (system: {
    free = packages system false;
    unfree = packages system true;
  });
  sharing =
    { config, options, ... }:
    let
      cfg = config.nixpkgs;
      opt = options.nixpkgs;
      set = o: (opt.${o}.highestPrio or 1500) < (lib.mkDefault null).priority;
      system =
        if opt ? hostPlatform && opt.hostPlatform.isDefined then cfg.hostPlatform.system else cfg.system;
      plain =
        !opt.pkgs.isDefined
        && cfg.overlays == [ ]
        && cfg.crossSystem == null
        && !(set "localSystem")
        && !(set "buildPlatform")
        && !(cfg ? hostPlatform && opt.hostPlatform.isDefined && cfg.hostPlatform ? gcc);
      kind = if cfg.config == { } then "free" else if cfg.config == { allowUnfree = true; } then "unfree" else null;
    in
    {
      _module.args.pkgs = lib.mkIf (plain && kind != null && shared ? ${system}) (
        lib.mkForce shared.${system}.${if kind == null then "free" else kind}
      );
    };

  evaluate =
    name: h:
    import ./lib/host.nix {
      inherit
        nixpkgs
        name
        workspace
        disko
        nodes
        ;
      generated = path ask.generated;
      definition = workspace + "/${h.definition}";
      without = h.without or [ ];
      extraModules = [ sharing ];
    };
  # kept only for definitions that look at other hosts; a host's own evaluation can be forgotten once it is told
  nodes = builtins.mapAttrs evaluate ask.hosts;

  facts =
    name:
    import ./lib/facts.nix {
      inherit name baseModules;
      definition = ask.hosts.${name}.definition;
      nixpkgs = ask.nixpkgs;
      diskoVersion = ask.diskoVersion or "";
      deep = ask.deep;
      without = ask.hosts.${name}.without or [ ];
      host = evaluate name ask.hosts.${name};
    };
  told =
    name:
    let
      json = builtins.toJSON {
        inherit name;
        facts = facts name;
      };
      r = builtins.tryEval json;
    in
    if !ask.catch then
      json
    else if r.success then
      r.value
    else
      builtins.toJSON {
        inherit name;
        thrown = true;
      };
  tell = name: builtins.trace "${ask.mark} ${told name}" name;
in
{
  schema = import ./lib/schema.nix;
  hosts = map tell ask.select;
}
