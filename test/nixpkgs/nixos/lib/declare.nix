# Short forms for option declarations. The miniature describes no options: the real ones are documented.
{ lib }:
let
  inherit (lib) mkOption types;
in
{
  need = type: mkOption { inherit type; };
  opt = type: default: mkOption { inherit type default; };
  on = mkOption { type = types.bool; default = true; };
  off = mkOption { type = types.bool; default = false; };
  # An option that is accepted and has no meaning here.
  accept = mkOption { type = types.anything; default = { }; };
  sub = module: types.attrsOf (types.submodule module);
}
