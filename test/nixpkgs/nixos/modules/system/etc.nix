# environment.etc: the files below /etc.
{ config, lib, pkgs, ... }:
let
  inherit (lib) types;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt on need sub;
  files = builtins.filter (f: f.enable) (builtins.attrValues config.environment.etc);
in
{
  options.environment.etc = opt (sub (
    { name, config, options, ... }:
    {
      options = {
        enable = on;
        target = opt types.str name;
        text = opt (types.nullOr types.lines) null;
        source = need types.path;
        mode = opt types.str "symlink";
        uid = opt types.int 0;
        gid = opt types.int 0;
        user = opt types.str "+${toString config.uid}";
        group = opt types.str "+${toString config.gid}";
      };
      config.source = lib.mkIf (config.text != null) (
        lib.mkDerivedConfig options.text (pkgs.writeText ("etc-" + builtins.replaceStrings [ "/" ] [ "-" ] name))
      );
    }
  )) { };
  # one line for each file; the activation of the miniature installs nothing
  config.system.build.etc = pkgs.writeText "etc" (lib.concatMapStrings (f: "${f.target} ${f.mode} ${f.source}\n") files);
}
