# Settings as files.
{ lib, pkgs }:
let
  inherit (lib) types;
  format = write: {
    type = types.attrsOf types.anything;
    generate = name: value: pkgs.writeText name (write value);
  };
  atom = types.nullOr (types.oneOf [ types.bool types.int types.float types.str ]);
in
{
  json = _: format builtins.toJSON // { type = types.anything; };
  yaml = _: format builtins.toJSON // { type = types.anything; };
  toml = _: format builtins.toJSON;
  ini = _: format (lib.generators.toINI { }) // { type = types.attrsOf (types.attrsOf atom); };
  iniWithGlobalSection = _: format builtins.toJSON;
  keyValue = _: format (lib.generators.toKeyValue { }) // { type = types.attrsOf atom; };
}
