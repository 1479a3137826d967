# The pinned sources of a generated tree, through the lock file of its workspace. No network is needed for what was
# fetched once: the store path follows from the hash.
{ tree }:
let
  hive = builtins.fromJSON (builtins.readFile (tree + "/hive.json"));
  workspace = tree + "/${hive.workspace}";
  lock = builtins.fromJSON (builtins.readFile (workspace + "/versions.lock.json"));
  source =
    pin:
    if pin.path or "" != "" then
      # a pinned folder: the content that was locked, wherever it came from
      builtins.path {
        path = /. + pin.path;
        name = "source";
        sha256 = pin.narHash;
      }
    else
      builtins.fetchTarball {
        inherit (pin) url;
        name = "source";
        sha256 = pin.narHash;
      };
  pinOf = name: lock.pins."nixos/${name}" or lock.pins.nixos;
in
{
  inherit workspace;
  nixpkgs = source lock.pins.nixos;
  nixpkgsOf = name: source (pinOf name);
  disko = if lock.pins ? disko then source lock.pins.disko else null;
}
