# Values as text.
{ lib }:
let
  inherit (builtins) isAttrs isList isString typeOf;
  scalar =
    v:
    if builtins.isBool v then
      lib.boolToString v
    else if v == null then
      "null"
    else if isString v || builtins.isInt v || builtins.isFloat v || lib.isStringLike v then
      toString v
    else
      throw "generators.mkValueStringDefault: ${typeOf v} not supported";
in
{
  mkValueStringDefault = _: scalar;
  mkKeyValueDefault =
    { mkValueString ? scalar }:
    sep: k: v:
    "${lib.escape [ sep ] k}${sep}${mkValueString v}";
  toKeyValue =
    {
      mkKeyValue ? lib.generators.mkKeyValueDefault { } "=",
      listsAsDuplicateKeys ? false,
      indent ? "",
    }:
    attrs:
    lib.concatStrings (
      lib.concatLists (
        lib.mapAttrsToList (
          k: v: map (one: indent + mkKeyValue k one + "\n") (if listsAsDuplicateKeys && isList v then v else [ v ])
        ) attrs
      )
    );
  toINI =
    {
      mkSectionName ? lib.id,
      mkKeyValue ? lib.generators.mkKeyValueDefault { } "=",
      listsAsDuplicateKeys ? false,
    }:
    sections:
    lib.concatStringsSep "\n" (
      lib.mapAttrsToList (
        name: body: "[${mkSectionName name}]\n" + lib.generators.toKeyValue { inherit mkKeyValue listsAsDuplicateKeys; } body
      ) sections
    );
  toJSON = _: builtins.toJSON;
  toYAML = _: builtins.toJSON;
  withRecursion =
    {
      depthLimit,
      throwOnDepthLimit ? true,
    }:
    let
      go =
        depth: v:
        if depth > depthLimit then
          (if throwOnDepthLimit then throw "Exceeded maximum eval-depth limit of ${toString depthLimit}" else "<unevaluated>")
        else if lib.isDerivation v then
          v
        else if isAttrs v then
          builtins.mapAttrs (_: go (depth + 1)) v
        else if isList v then
          map (go (depth + 1)) v
        else
          v;
    in
    go 0;
  toPretty =
    {
      multiline ? true,
      indent ? "",
      allowPrettyValues ? false,
    }:
    let
      join = if multiline then "\n" else " ";
      go =
        ind: v:
        let
          inner = ind + "  ";
          pad = if multiline then inner else "";
          close = if multiline then ind else "";
          text =
            let
              lines = lib.splitString "\n" v;
              esc = builtins.replaceStrings [ "\${" "''" ] [ "''\${" "'''" ];
            in
            if multiline && builtins.length lines > 1 then
              "''${join}${pad}"
              + lib.concatMapStringsSep (join + pad) esc (lib.init lines)
              + (if lib.last lines == "" then join + close else join + pad + esc (lib.last lines))
              + "''"
            else
              "\"" + lib.escape [ "\"" "\\" ] (builtins.replaceStrings [ "\${" "\n" ] [ "\\\${" "\\n" ] v) + "\"";
        in
        if isString v then
          text
        else if v == null then
          "null"
        else if builtins.isBool v then
          lib.boolToString v
        else if builtins.isInt v || builtins.isFloat v || builtins.isPath v then
          toString v
        else if isList v then
          if v == [ ] then "[ ]" else "[" + join + lib.concatMapStringsSep join (e: pad + go inner e) v + join + close + "]"
        else if builtins.isFunction v || v ? __functor then
          "<function>"
        else if lib.isDerivation v then
          "<derivation ${v.name or "???"}>"
        else if allowPrettyValues && v ? __pretty then
          v.__pretty v.val
        else if v == { } then
          "{ }"
        else
          let
            assignment = n: e: "${pad}${lib.strings.escapeNixIdentifier n} = ${go inner e};";
          in
          "{" + join + lib.concatStringsSep join (lib.mapAttrsToList assignment v) + join + close + "}";
    in
    go indent;
  mkLuaInline = expr: { _type = "lua-inline"; inherit expr; };
  toGitINI = lib.generators.toINI { };
}
