# The law of the mini system: what nix/lib/carry.nix reads from it is what it read from the host.
# Returns the settings that differ, each as { path, host, mini }; an empty list is the law kept.
{ tree, name }:
let
  path = text: /. + text;
  generated = path tree;
  pins = import (generated + "/_hive/lib/pins.nix") { tree = generated; };
  nixpkgs = pins.nixpkgsOf name;
  host = builtins.fromJSON (builtins.readFile (generated + "/${name}/host.json"));
  mini = import (nixpkgs + "/nixos/lib/eval-config.nix") {
    system = null;
    modules = [ (generated + "/${name}/mini_sys.nix") ];
  };
  inherit (mini) lib;
  again = import (generated + "/_hive/lib/carry.nix") {
    inherit lib;
    inherit (mini) config options pkgs;
    baseModules = import (nixpkgs + "/nixos/modules/module-list.nix");
  };
  key = c: builtins.toJSON c.path;
  table =
    list:
    builtins.listToAttrs (
      map (c: {
        name = key c;
        inherit (c) value;
      }) list
    );
  # through JSON once, as the host's values went
  before = table host.carried;
  after = table (builtins.fromJSON (builtins.toJSON again.carried));
  units = lib.mapAttrs (_: u: u.text) (
    lib.filterAttrs (_: u: (u.enable or true) && (u.text or null) != null) mini.config.systemd.network.units
  );
  differ =
    a: b:
    map (n: {
      path = n;
      host = a.${n} or "(not set)";
      mini = b.${n} or "(not set)";
    }) (builtins.filter (n: !(a ? ${n} && b ? ${n} && a.${n} == b.${n})) (builtins.attrNames (a // b)));
in
differ before after ++ differ (lib.mapAttrs (_: builtins.unsafeDiscardStringContext) host.units) units
