# The options of ./modules as data, for the reference in docs/options.md. No part of the program: it is not embedded.
#
#   nix-instantiate --eval --strict --json options-doc.nix --argstr nixpkgs PATH --argstr disko PATH
#
# Returns { options = [ option ]; aliases = [ option ]; }. An option is
# { name, type, description, default, example, declarations }; default and example are null, { nix = "text"; }, { markdown = "text"; }
# or { value = plain data; }.
{ nixpkgs, disko }:
let
  source = /. + nixpkgs;
  evaluated = import (source + "/nixos/lib/eval-config.nix") {
    system = null;
    # what a definition for Colmena gets; the name appears in no default, because that has a text
    specialArgs = {
      name = "host";
      nodes = { };
    };
    modules = [
      ./modules
      (/. + disko + "/module.nix")
      { nixpkgs.hostPlatform = "x86_64-linux"; }
    ]
    ++ map (n: ./modules/aliases + "/${n}.nix") (import ./lib/aliases.nix);
  };
  inherit (evaluated) options;
  inherit (evaluated.pkgs) lib;
  inherit (builtins)
    attrNames
    concatMap
    isAttrs
    removeAttrs
    toString
    ;

  root = toString ./.;
  declaration = d: "nix" + lib.removePrefix root (toString d);

  text = v: if isAttrs v then v.text or "" else v;
  literal =
    v:
    if isAttrs v && v._type or "" == "literalExpression" then
      { nix = v.text; }
    else if isAttrs v && v._type or "" == "literalMD" then
      { markdown = v.text; }
    else
      { value = v; };

  describe = option: {
    name = lib.showOption option.loc;
    type = option.type.description;
    description = text (option.description or "");
    default =
      if option ? defaultText then
        literal option.defaultText
      else if option ? default then
        literal option.default
      else
        null;
    example = if option ? example then literal option.example else null;
    declarations = map declaration option.declarations;
  };

  # Options below a set of them; submodules are looked into.
  walk =
    path: o:
    if lib.isOption o then
      lib.optionals (!(o.internal or false)) (
        let
          below = o.type.getSubOptions o.loc;
        in
        [ (describe o) ] ++ lib.optionals (below != { }) (walk o.loc (removeAttrs below [ "_module" ]))
      )
    else
      concatMap (n: walk (path ++ [ n ]) o.${n}) (attrNames o);
in
{
  options = walk [ "hive" ] options.hive;
  # each file of aliases has the name of the option, or set of options, that it declares
  aliases = concatMap (n: walk [ n ] options.${n}) (import ./lib/aliases.nix);
}
