# Entry of the program: facts of the selected hosts of a workspace.
#
#   nix-instantiate --eval --strict --json eval.nix --argstr request FILE
#
# request is a JSON file:
#   { workspace, generated, nixpkgs, disko, diskoVersion, select: [NAME],
#     hosts: { NAME: { definition: PATH relative to the workspace, without: [PART] } } }
#
# The result is { schema, hosts: [ { name, facts } | { name, thrown: true } ] } in the order of select. As each host is
# done a line `trace: staged-hive host NAME` goes to stderr, so warnings above it belong to it. A host that throws is
# marked and leaves the others alone; what Nix cannot catch ends the process, and the caller asks for fewer hosts.
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

  hosts = builtins.mapAttrs (
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
    }
  ) ask.hosts;
  nodes = hosts;

  facts =
    name:
    import ./lib/facts.nix {
      inherit name baseModules;
      definition = ask.hosts.${name}.definition;
      nixpkgs = ask.nixpkgs;
      diskoVersion = ask.diskoVersion or "";
      without = ask.hosts.${name}.without or [ ];
      host = hosts.${name};
    };
  one =
    name:
    let
      f = facts name;
      r = builtins.tryEval (builtins.deepSeq f f);
      result =
        if r.success then
          {
            inherit name;
            facts = r.value;
          }
        else
          {
            inherit name;
            thrown = true;
          };
    in
    builtins.seq r.success (builtins.trace "staged-hive host ${name}" result);
in
{
  schema = import ./lib/schema.nix;
  hosts = map one ask.select;
}
