# The options of nixos-staged-hive. Definitions need not import this: the program adds it. Importing it as well does no
# harm, because a module with a key is taken once.
{
  key = "nixos-staged-hive";
  imports = [
    ./admin.nix
    ./deployment.nix
    ./hosts.nix
    ./mini.nix
    ./network.nix
    ./partitioning.nix
    ./rollout.nix
    ./setup.nix
    ./ssh.nix
  ];
}
