# What nixpkgs' mkDerivation becomes in the lab:
#   - a derivation that downloads nothing is built exactly as nixpkgs says;
#   - one whose pname is in the table of packages.nix keeps all its attributes, and its content comes from Debian;
#   - one that is listed as hollow is empty;
#   - any other that needs a download fails when it is built, and says what to add to the table.
# So the evaluation of a system is nixpkgs' own, and only what is built differs.
{ lib, repack }:
let
  inherit (repack) table;
  listed = list: lib.genAttrs list (_: null);
  hollow = listed table.hollow;

  isDownload = s: builtins.isAttrs s && (s.outputHash or null) != null;
  downloads = drv: isDownload (drv.src or null) || builtins.any isDownload (lib.toList (drv.srcs or [ ]));

  shell =
    name: outputs: script:
    derivation {
      inherit name outputs script;
      system = "x86_64-linux";
      builder = "/bin/bash";
      args = [
        "-c"
        # not the last command: bash would become it, and Nix kills a builder that closes its output before it ends
        "export PATH=/usr/bin:/bin; eval \"$script\"; exit 0"
      ];
    };

  empty = name: outputs: shell "${name}-hollow" outputs "for o in $outputs; do mkdir -p \"\${!o}\"; done";
  emptyDownload =
    drv: shell "${drv.name}-hollow" [ "out" ] (if (drv.outputHashMode or "flat") == "recursive" then "mkdir $out" else ": > $out");

  missing =
    pname: name: outputs:
    let
      why = table.absent.${pname} or "add a row for it to test/lab/packages.nix: Debian packages, or a line in hollow";
    in
    shell "${name}-missing" outputs ''
      echo ${lib.escapeShellArg "the lab has no package for ${pname}: ${why}"} >&2
      exit 1
    '';

  # The attributes of drv, with what `real` builds.
  swap =
    drv: real: outputs:
    let
      content = r: { inherit (r) drvPath outPath drvAttrs; };
      each = lib.genAttrs outputs (o: drv.${o} // content real.${o} // each);
    in
    drv // content real // each // { all = map (o: each.${o}) outputs; };

  stand =
    drv:
    let
      inherit (drv) name;
      pname = drv.pname or (builtins.parseDrvName name).name;
      outputs = drv.outputs or [ "out" ];
      isRow = table.packages ? ${pname};
      again = {
        overrideAttrs = f: stand (drv.overrideAttrs f);
      };
      with' = real: swap drv real outputs // again;
    in
    if (drv.outputHash or null) != null then
      if lib.hasPrefix "empty-" name then
        drv // again
      else
        with' (if hollow ? ${pname} then emptyDownload drv else missing pname name outputs)
    else if isRow && (drv ? pname || downloads drv) then
      with' (repack.package {
        inherit pname outputs;
        name = "${name}-debian";
      })
      // (if pname == "linux" then { modDirVersion = repack.kernel; } else { })
    else if hollow ? ${pname} then
      with' (empty name outputs)
    else if downloads drv then
      with' (missing pname name outputs)
    else
      drv // again;
in
stand
