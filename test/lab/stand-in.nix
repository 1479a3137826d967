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
  isHollow = s: hollow ? ${s.pname or (builtins.parseDrvName s.name).name};
  # what is made of hollow sources can be made of them as well
  needs = s: isDownload s && !(isHollow s);
  downloads = drv: needs (drv.src or null) || builtins.any needs (lib.toList (drv.srcs or [ ]));

  shell =
    name: script:
    derivation {
      inherit name script;
      system = "x86_64-linux";
      builder = "/bin/bash";
      args = [
        "-c"
        # not the last command: bash would become it, and Nix kills a builder that closes its output before it ends
        "export PATH=/usr/bin:/bin; eval \"$script\"; exit 0"
      ];
    };

  emptyFolder = shell "hollow" "mkdir $out";
  emptyFile = shell "hollow" ": > $out";
  emptyDownload = drv: if (drv.outputHashMode or "flat") == "recursive" then emptyFolder else emptyFile;

  missing =
    pname: name:
    let
      why = table.absent.${pname} or "add a row for it to test/lab/packages.nix: Debian packages, or a line in hollow";
    in
    shell "${name}-missing" ''
      echo ${lib.escapeShellArg "the lab has no package for ${pname}: ${why}"} >&2
      exit 1
    '';

  # The attributes of drv, with what `real` builds. Each output is the whole package, so that files of one may name those of
  # another, as Debian's do; only what is for reading is empty.
  swap =
    drv: real:
    let
      content = r: {
        inherit (r) drvPath outPath drvAttrs;
        outputName = "out";
      };
      forReading = listed [
        "debug"
        "devdoc"
        "devman"
        "doc"
        "info"
        "man"
      ];
      outputs = drv.outputs or [ "out" ];
      each = lib.genAttrs outputs (o: drv.${o} // content (if forReading ? ${o} then emptyFolder else real) // more);
      more = each // {
        overrideAttrs = f: stand (drv.overrideAttrs f);
        all = map (o: each.${o}) outputs;
      };
    in
    drv // content real // more;

  stand =
    drv:
    let
      inherit (drv) name;
      pname = drv.pname or (builtins.parseDrvName name).name;
      plain = drv // {
        overrideAttrs = f: stand (drv.overrideAttrs f);
      };
    in
    if table.packages ? ${pname} && (drv ? pname || downloads drv) then
      # the one attribute that must be true: it is a folder's name
      swap drv repack.packages.${pname} // lib.optionalAttrs (pname == "linux") { modDirVersion = repack.kernel; }
    else if isDownload drv then
      if lib.hasPrefix "empty-" name then
        plain
      else
        swap drv (if hollow ? ${pname} then emptyDownload drv else missing pname name)
    else if hollow ? ${pname} then
      swap drv emptyFolder
    else if downloads drv then
      swap drv (missing pname name)
    else
      plain;
in
stand
