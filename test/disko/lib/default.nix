# Types of devices, and what follows from them.
{
  lib,
  rootMountPoint ? "/mnt",
  ...
}:
let
  types = import ./types.nix { inherit lib; };
  meaning = import ./meaning.nix { inherit lib; };
  plan = import ./plan.nix { inherit lib rootMountPoint; };
in
{
  inherit types plan;
  inherit (types) toplevel;
  inherit (meaning) configuration;

  # The real scripts format and mount. These print their plan and fail, so that no test can take them for the real ones.
  scripts =
    pkgs: devices:
    let
      script =
        name: steps:
        pkgs.writeScript name ''
          #!/bin/sh
          # What the real script would do, by the test miniature of disko:
          ${lib.concatMapStrings (s: "#   ${s}\n") steps}
          echo "${name}: the test miniature of disko touches no disk" >&2
          exit 1
        '';
      make = suffix: {
        "diskoScript${suffix}" = script "disko" (plan.disko devices);
        "formatScript${suffix}" = script "disko-format" (plan.format devices);
        "mountScript${suffix}" = script "disko-mount" (plan.mount devices);
        "destroyScript${suffix}" = script "disko-destroy" (plan.destroy devices);
      };
      checked = lib.mapAttrs (_: s: if devices.disk == { } then throw "No disks defined, did you forget to import your disko config?" else s);
    in
    make "" // make "NoDeps" // checked { disko = script "disko" (plan.disko devices); };
}
