# The modules one definition consists of. Every stage takes the same list, so no stage can drift from the others.
{
  definition, # path of the user's file or folder
  name, # the host's one name
  workspace, # folder that holds the definitions
  generated ? workspace + "/generated", # where hardware-configuration.nix is kept
  disko ? null, # the pinned disko, null without one
  without ? [ ], # parts left out, because the definition declares the same options itself
  deployment ? true, # declare `deployment.*`; Colmena brings its own
}:
let
  has = part: !(builtins.elem part without);
  aliases = builtins.map (n: ../modules/aliases + "/${n}.nix") (builtins.filter has (import ./aliases.nix));
  hardware = generated + "/${name}/hardware-configuration.nix";
  when = condition: module: if condition then [ module ] else [ ];
in
[
  definition
  ../modules
  # The original project's definitions import its modules from here; ours take their place.
  {
    key = "nixos-staged-hive/disabled";
    disabledModules = [
      (toString (workspace + "/bin/modules"))
      (toString (workspace + "/bin/modules/default.nix"))
    ];
  }
  (
    { lib, ... }:
    {
      key = "nixos-staged-hive/name";
      # above the option's own default, below anything a person writes
      networking.hostName = lib.mkOverride 1400 name;
    }
  )
]
++ aliases
++ when (deployment && has "deployment") ../modules/parts/deployment.nix
++ when (disko != null && has "disko") (disko + "/module.nix")
++ when (builtins.pathExists hardware) hardware
