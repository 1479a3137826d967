# What stock modules get as the argument `utils`.
{ lib, config, pkgs }:
rec {
  pathsNeededForBoot = [ "/" "/nix" "/nix/store" "/var" "/var/log" "/var/lib" "/var/lib/nixos" "/etc" "/usr" ];
  fsNeededForBoot = fs: fs.neededForBoot || builtins.elem fs.mountPoint pathsNeededForBoot;
  fsBefore = a: b: lib.hasPrefix (lib.removeSuffix "/" a.mountPoint + "/") b.mountPoint;
  escapeSystemdPath = s: builtins.replaceStrings [ "/" "-" " " ] [ "-" "\\x2d" "\\x20" ] (lib.removePrefix "/" s);
  toShellPath = shell: if lib.isDerivation shell then "/run/current-system/sw${shell.shellPath}" else shell;
}
