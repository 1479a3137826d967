# Option declarations, and the definitions given to them.
{ lib }:
let
  inherit (lib) showOption;
in
{
  isOption = lib.isType "option";
  mkOption = attrs: { _type = "option"; } // attrs;
  mkEnableOption =
    name:
    lib.mkOption {
      default = false;
      example = true;
      description = "Whether to enable ${name}.";
      type = lib.types.bool;
    };
  mkPackageOption =
    pkgs: name:
    {
      nullable ? false,
      default ? name,
      example ? null,
      extraDescription ? "",
      pkgsText ? "pkgs",
    }:
    let
      path = lib.toList default;
      text = lib.concatStringsSep "." ([ pkgsText ] ++ path);
    in
    lib.mkOption (
      {
        type = (if nullable then lib.types.nullOr else lib.id) lib.types.package;
        description = "The ${lib.concatStringsSep "." (lib.toList name)} package to use." + lib.optionalString (extraDescription != "") " ${extraDescription}";
      }
      // lib.optionalAttrs (default != null) {
        default = lib.attrByPath path (throw "${text} cannot be found in ${pkgsText}") pkgs;
        defaultText = lib.literalExpression text;
      }
      // lib.optionalAttrs (example != null) { inherit example; }
    );
  mkSinkUndeclaredOptions = attrs: lib.mkOption ({
    internal = true;
    visible = false;
    default = false;
    type = lib.types.unspecified;
  } // attrs);

  literalExpression = text: { _type = "literalExpression"; inherit text; };
  literalExample = lib.literalExpression;
  literalMD = text: { _type = "literalMD"; inherit text; };
  mdDoc = text: text;

  getValues = map (def: def.value);
  getFiles = map (def: def.file);
  mergeDefaultOption =
    loc: defs:
    let
      values = lib.getValues defs;
      first = builtins.head values;
    in
    if builtins.length values == 1 then
      first
    else if builtins.all lib.isFunction values then
      x: lib.mergeDefaultOption loc (map (f: { file = ""; value = f x; }) values)
    else if builtins.all builtins.isList values then
      builtins.concatLists values
    else if builtins.all builtins.isAttrs values then
      builtins.foldl' (a: b: a // b) { } values
    else if builtins.all builtins.isBool values then
      builtins.any lib.id values
    else if builtins.all builtins.isString values then
      lib.concatStrings values
    else
      lib.mergeEqualOption loc defs;
  mergeOneOption = lib.mergeUniqueOption { message = ""; };
  mergeUniqueOption =
    {
      message,
      merge ? null,
    }:
    loc: defs:
    if builtins.length defs == 1 then
      (if merge == null then (builtins.head defs).value else merge loc defs)
    else
      throw "The option `${showOption loc}' is defined multiple times while it's expected to be unique.${lib.optionalString (message != "") "\n${message}"}\nDefinition values:${lib.options.showDefs defs}";
  mergeEqualOption =
    loc: defs:
    (builtins.foldl' (
      first: def:
      if def.value == first.value then
        first
      else
        throw "The option `${showOption loc}' has conflicting definition values:${lib.options.showDefs [ first def ]}\nUse `lib.mkForce value` or `lib.mkDefault value` to change the priority on any of these definitions."
    ) (builtins.head defs) (builtins.tail defs)).value;

  showOption =
    parts:
    lib.concatMapStringsSep "." (
      part: if builtins.elem part [ "*" "<name>" "<function body>" ] then part else lib.strings.escapeNixIdentifier part
    ) parts;
  showFiles = lib.concatMapStringsSep " and " (f: "`${f}'");
  # As in nixpkgs, a value longer than five lines is cut.
  showDefs = lib.concatMapStrings (
    def:
    let
      shown = builtins.tryEval (
        lib.generators.toPretty { } (lib.generators.withRecursion { depthLimit = 10; throwOnDepthLimit = false; } def.value)
      );
      lines = lib.splitString "\n" shown.value;
      body =
        if builtins.length lines > 1 then
          ":" + lib.concatMapStrings (l: "\n    ${l}") (lib.take 5 lines ++ lib.optional (builtins.length lines > 5) "...")
        else
          ": ${shown.value}";
    in
    "\n- In `${def.file}'" + lib.optionalString shown.success body
  );
  showOptionWithDefLocs = opt: "${showOption opt.loc}, with values defined in:\n${lib.concatMapStringsSep "\n" (f: "  - ${f}") opt.files}\n";
  unknownModule = "<unknown-file>";

  # Every option below a set of options as one flat list, for an option reference.
  optionAttrSetToDocList = lib.optionAttrSetToDocList' [ ];
  optionAttrSetToDocList' =
    _: options:
    builtins.concatMap (
      opt:
      let
        visible = opt.visible or true;
        text = v:
          if v ? _type && v ? text then
            v
          else
            lib.literalExpression (lib.generators.toPretty { allowPrettyValues = true; } v);
        doc = {
          inherit (opt) loc;
          name = showOption opt.loc;
          description = opt.description or null;
          declarations = builtins.filter (x: x != lib.unknownModule) opt.declarations;
          internal = opt.internal or false;
          visible = if builtins.isBool visible then visible else visible == "shallow";
          readOnly = opt.readOnly or false;
          type = opt.type.description or "unspecified";
        }
        // lib.optionalAttrs (opt ? example) { example = text opt.example; }
        // lib.optionalAttrs (opt ? defaultText || opt ? default) { default = text (opt.defaultText or opt.default); };
        sub = opt.type.getSubOptions opt.loc;
      in
      [ doc ] ++ lib.optionals (visible == true && sub != { }) (lib.optionAttrSetToDocList' [ ] sub)
    ) (lib.collect lib.isOption options);
  scrubOptionValue = x: if lib.isDerivation x then {
    type = "derivation";
    drvPath = x.name;
    outPath = x.name;
    name = x.name;
  }
  else if builtins.isAttrs x then
    builtins.mapAttrs (_: lib.scrubOptionValue) (removeAttrs x [ "_args" ])
  else if builtins.isList x then
    map lib.scrubOptionValue x
  else
    x;
}
