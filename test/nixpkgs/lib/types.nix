# Option types.
#
# A type says what a definition may be (check), how definitions become a value (merge), what it is called in messages
# (description) and how two declarations of it become one (typeMerge).
{ lib }:
let
  inherit (builtins) all attrNames concatMap elem filter head isAttrs isBool isFunction isInt isList isString length map mapAttrs;
  inherit (lib) showOption mergeEqualOption mergeOneOption;

  mkOptionType =
    {
      name,
      description ? name,
      descriptionClass ? null,
      check ? _: true,
      merge ? lib.mergeDefaultOption,
      emptyValue ? { },
      getSubOptions ? _: { },
      getSubModules ? null,
      substSubModules ? _: null,
      functor ? lib.types.defaultFunctor name,
      typeMerge ? lib.types.defaultTypeMerge functor,
      nestedTypes ? { },
      deprecationMessage ? null,
    }:
    {
      _type = "option-type";
      inherit name description descriptionClass deprecationMessage;
      inherit check merge emptyValue typeMerge nestedTypes;
      inherit getSubOptions getSubModules substSubModules;
      inherit functor;
    };

  plain = name: description: check: mkOptionType {
    inherit name description check;
    descriptionClass = "noun";
    merge = mergeEqualOption;
  };

  # The description of an inner type, in parentheses unless its class is one of those given.
  inner = classes: t: if elem (t.descriptionClass or null) classes then t.description else "(${t.description})";

  # A type around others: its parts are merged one by one with those of another declaration.
  around = name: parts: make: {
    inherit name;
    wrapped = if length parts == 1 then head parts else null;
    payload = parts;
    type = null;
    binOp =
      a: b:
      let
        merged = lib.zipListsWith (x: y: x.typeMerge y.functor) a b;
      in
      if length a != length b || elem null merged then null else merged;
    build = make;
  };

  mergeElements =
    elemType: loc: name: defs:
    lib.mergeDefinitions (loc ++ [ name ]) elemType defs;
  byName = defs: builtins.zipAttrsWith (_: ds: ds) (map (def: mapAttrs (_: value: { inherit (def) file; inherit value; }) def.value) defs);

  ints =
    let
      between = lowest: highest: lib.types.addCheck lib.types.int (x: x >= lowest && x <= highest) // {
        name = "intBetween";
        description = "integer between ${toString lowest} and ${toString highest} (both inclusive)";
      };
      sized =
        lowest: highest: name: description:
        between lowest highest
        // {
          inherit name;
          description = "${description}; between ${toString lowest} and ${toString highest} (both inclusive)";
        };
      unsigned = bits: range: sized 0 (range - 1) "unsignedInt${toString bits}" "${toString bits} bit unsigned integer";
      signed = bits: half: sized (0 - half) (half - 1) "signedInt${toString bits}" "${toString bits} bit signed integer";
    in
    {
      inherit between;
      positive = lib.types.addCheck lib.types.int (x: x > 0) // {
        name = "positiveInt";
        description = "positive integer, meaning >0";
        descriptionClass = "nonRestrictiveClause";
      };
      unsigned = lib.types.addCheck lib.types.int (x: x >= 0) // {
        name = "unsignedInt";
        description = "unsigned integer, meaning >=0";
        descriptionClass = "nonRestrictiveClause";
      };
      u8 = unsigned 8 256;
      u16 = unsigned 16 65536;
      u32 = unsigned 32 4294967296;
      s8 = signed 8 128;
      s16 = signed 16 32768;
      s32 = signed 32 2147483648;
    };

  attrsWith =
    name: description: lazy: elemType:
    mkOptionType {
      inherit name;
      description = "${description} of ${inner [ "noun" "composite" ] elemType}";
      descriptionClass = "composite";
      check = isAttrs;
      merge =
        loc: defs:
        let
          merged = mapAttrs (n: mergeElements elemType loc n) (byName defs);
        in
        if lazy then
          mapAttrs (_: m: m.optionalValue.value or elemType.emptyValue.value or m.mergedValue) merged
        else
          mapAttrs (_: m: m.mergedValue) (lib.filterAttrs (_: m: m.isDefined) merged);
      emptyValue.value = { };
      getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "<name>" ]);
      inherit (elemType) getSubModules;
      substSubModules = m: attrsWith name description lazy (elemType.substSubModules m);
      functor = around name [ elemType ] (parts: attrsWith name description lazy (head parts));
      nestedTypes.elemType = elemType;
    };

  separated =
    sep: name: description:
    mkOptionType {
      inherit name description;
      descriptionClass = "noun";
      check = isString;
      merge = _: defs: lib.concatStringsSep sep (lib.getValues defs);
      functor = lib.types.defaultFunctor name // {
        payload = sep;
        binOp = a: b: if a == b then a else null;
        build = _: separated sep name description;
      };
    };
in
rec {
  inherit mkOptionType ints;
  types = lib.types;
  isType = type: x: x._type or "" == type;
  setType = typeName: value: value // { _type = typeName; };
  isOptionType = isType "option-type";

  defaultFunctor = name: {
    inherit name;
    type = lib.types.${name} or null;
    wrapped = null;
    payload = null;
    binOp = _: _: null;
    build = _: lib.types.${name} or null;
  };
  # Two types of the same name are one type; what they are built around is merged too. null: they do not go together.
  defaultTypeMerge =
    f: f':
    let
      payload = f.binOp f.payload f'.payload;
    in
    if f.name != f'.name then
      null
    else if f.payload or null == null && f'.payload or null == null then
      f.build null
    else if f.payload or null == null || f'.payload or null == null || payload == null then
      null
    else
      f.build payload;

  raw = mkOptionType { name = "raw"; description = "raw value"; descriptionClass = "noun"; merge = mergeOneOption; };
  anything = mkOptionType {
    name = "anything";
    description = "anything";
    descriptionClass = "noun";
    merge =
      loc: defs:
      let
        kind = builtins.typeOf (head defs).value;
        same = all (def: builtins.typeOf def.value == kind) defs;
        derivations = builtins.any (def: lib.isStringLike def.value) defs;
      in
      if same && kind == "set" && !derivations then
        (lazyAttrsOf anything).merge loc defs
      else if same && kind == "lambda" then
        x: anything.merge (loc ++ [ "<function body>" ]) (map (def: { inherit (def) file; value = def.value x; }) defs)
      else if same && kind == "list" && length defs == 1 then
        (listOf anything).merge loc defs
      else
        mergeEqualOption loc defs;
  };
  unspecified = mkOptionType { name = "unspecified"; description = "unspecified value"; descriptionClass = "noun"; };
  optionType = mkOptionType {
    name = "optionType";
    description = "optionType";
    check = x: x._type or null == "option-type";
    merge = loc: defs:
      if length defs == 1 then
        (head defs).value
      else
        throw "The option `${showOption loc}' has several types as definitions, which the miniature does not merge.";
  };

  bool = plain "bool" "boolean" isBool;
  boolByOr = bool // { merge = _: defs: builtins.any (def: def.value) defs; };
  int = plain "int" "signed integer" isInt;
  port = ints.u16;
  float = plain "float" "floating point number" builtins.isFloat;
  number = either int float;
  numbers = {
    between = lo: hi: addCheck number (x: x >= lo && x <= hi) // { name = "numberBetween"; };
    nonnegative = addCheck number (x: x >= 0) // {
      name = "numberNonnegative";
      description = "nonnegative integer or floating point number, meaning >=0";
    };
    positive = addCheck number (x: x > 0) // {
      name = "numberPositive";
      description = "positive integer or floating point number, meaning >0";
    };
  };
  str = plain "str" "string" isString;
  nonEmptyStr = plain "nonEmptyStr" "non-empty string" (x: isString x && builtins.match "[ \t\n]*" x == null);
  singleLineStr = plain "singleLineStr" "(optionally newline-terminated) single-line string" (
    x: isString x && builtins.match "[^\n\r]*\n?" x != null
  ) // {
    merge = loc: defs: lib.removeSuffix "\n" (mergeEqualOption loc defs);
  };
  strMatching = pattern:
    plain "strMatching ${lib.strings.escapeNixString pattern}" "string matching the pattern ${pattern}" (x: isString x && builtins.match pattern x != null);
  lines = separated "\n" "lines" "strings concatenated with \"\\n\"";
  commas = separated "," "commas" "strings concatenated with \",\"";
  envVar = separated ":" "envVar" "strings concatenated with \":\"";
  separatedString = sep: separated sep "separatedString" (if sep == "" then "Concatenated string" else "strings concatenated with ${builtins.toJSON sep}");
  string = str;
  passwdEntry =
    entryType:
    addCheck entryType (x: !(lib.hasInfix ":" x || lib.hasInfix "\n" x))
    // {
      name = "passwdEntry ${entryType.name}";
      description = "${inner [ "noun" ] entryType}, not containing newlines or colons";
      descriptionClass = "nonRestrictiveClause";
    };
  path = plain "path" "path" (x: lib.isStringLike x && builtins.substring 0 1 (toString x) == "/");
  pathInStore = plain "pathInStore" "path in the Nix store" (x: lib.isStringLike x && lib.hasPrefix builtins.storeDir (toString x));
  package = mkOptionType {
    name = "package";
    description = "package";
    descriptionClass = "noun";
    check = x: lib.isDerivation x || lib.isStorePath x;
    merge = loc: defs: let v = mergeOneOption loc defs; in if lib.isDerivation v then v else lib.toDerivation v;
  };
  pkgs = plain "pkgs" "Nixpkgs package set" (x: x._type or null == "pkgs");
  shellPackage = package // { check = x: lib.isDerivation x && x ? shellPath; };
  attrs = mkOptionType {
    name = "attrs";
    description = "attribute set";
    check = isAttrs;
    merge = _: builtins.foldl' (acc: def: acc // def.value) { };
    emptyValue.value = { };
  };

  listOf =
    elemType:
    mkOptionType {
      name = "listOf";
      description = "list of ${inner [ "noun" "composite" ] elemType}";
      descriptionClass = "composite";
      check = isList;
      merge =
        loc: defs:
        map (e: e.mergedValue) (filter (e: e.isDefined) (lib.concatLists (
          lib.imap1 (
            n: def:
            lib.imap1 (
              m: value:
              mergeElements elemType loc "[definition ${toString n}-entry ${toString m}]" [ { inherit (def) file; inherit value; } ]
            ) def.value
          ) defs
        )));
      emptyValue.value = [ ];
      getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "*" ]);
      inherit (elemType) getSubModules;
      substSubModules = m: listOf (elemType.substSubModules m);
      functor = around "listOf" [ elemType ] (parts: listOf (head parts));
      nestedTypes.elemType = elemType;
    };
  nonEmptyListOf = elemType: addCheck (listOf elemType) (l: l != [ ]) // {
    description = "non-empty ${(listOf elemType).description}";
    emptyValue = { };
  };
  attrsOf = attrsWith "attrsOf" "attribute set" false;
  lazyAttrsOf = attrsWith "lazyAttrsOf" "lazy attribute set" true;
  loaOf = attrsOf;

  uniq = unique { message = ""; };
  unique =
    { message }:
    type:
    type
    // {
      name = "unique";
      merge = lib.mergeUniqueOption { inherit message; inherit (type) merge; };
      substSubModules = m: unique { inherit message; } (type.substSubModules m);
      functor = around "unique" [ type ] (parts: unique { inherit message; } (head parts));
      typeMerge = defaultTypeMerge (around "unique" [ type ] (parts: unique { inherit message; } (head parts)));
    };
  nullOr =
    elemType:
    mkOptionType rec {
      name = "nullOr";
      description = "null or ${inner [ "noun" "conjunction" ] elemType}";
      descriptionClass = "conjunction";
      check = x: x == null || elemType.check x;
      merge =
        loc: defs:
        let
          nulls = lib.count (def: def.value == null) defs;
        in
        if nulls == length defs then
          null
        else if nulls != 0 then
          throw "The option `${showOption loc}` is defined both null and not null, in ${lib.showFiles (lib.getFiles defs)}."
        else
          elemType.merge loc defs;
      emptyValue.value = null;
      inherit (elemType) getSubOptions getSubModules;
      substSubModules = m: nullOr (elemType.substSubModules m);
      functor = around name [ elemType ] (parts: nullOr (head parts));
      nestedTypes.elemType = elemType;
    };
  functionTo =
    elemType:
    mkOptionType {
      name = "functionTo";
      description = "function that evaluates to a(n) ${inner [ "noun" "composite" ] elemType}";
      descriptionClass = "composite";
      check = lib.isFunction;
      merge = loc: defs: {
        __functionArgs = lib.zipAttrsWith (_: builtins.all lib.id) (map (def: lib.functionArgs def.value) defs);
        __functor = _: x: (mergeElements elemType loc "<function body>" (map (def: { inherit (def) file; value = def.value x; }) defs)).mergedValue;
      };
      inherit (elemType) getSubModules;
      getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "<function body>" ]);
      substSubModules = m: functionTo (elemType.substSubModules m);
      functor = around "functionTo" [ elemType ] (parts: functionTo (head parts));
    };
  enum =
    values:
    let
      show = v:
        if isString v then
          "\"${v}\""
        else if isBool v then lib.boolToString v else if isInt v then toString v else "<${builtins.typeOf v}>";
    in
    mkOptionType {
      name = "enum";
      description =
        if values == [ ] then
          "impossible (empty enum)"
        else if length values == 1 then
          "value ${show (head values)} (singular enum)"
        else
          "one of ${lib.concatMapStringsSep ", " show values}";
      descriptionClass = if length values < 2 then "noun" else "conjunction";
      check = x: elem x values;
      merge = mergeEqualOption;
      functor = defaultFunctor "enum" // {
        payload = values;
        binOp = a: b: lib.unique (a ++ b);
        build = enum;
      };
    };
  either =
    t1: t2:
    mkOptionType {
      name = "either";
      description = "${inner [ "noun" "conjunction" ] t1} or ${inner [ "noun" "conjunction" "composite" ] t2}";
      descriptionClass = "conjunction";
      check = x: t1.check x || t2.check x;
      merge =
        loc: defs:
        let
          ofType = t: all (def: t.check def.value) defs;
        in
        if ofType t1 then t1.merge loc defs else if ofType t2 then t2.merge loc defs else mergeOneOption loc defs;
      functor = around "either" [ t1 t2 ] (parts: either (head parts) (lib.last parts));
      nestedTypes = { left = t1; right = t2; };
    };
  oneOf = ts: builtins.foldl' either (head ts) (builtins.tail ts);
  coercedTo =
    from: coerce: to:
    mkOptionType {
      name = "coercedTo";
      description = "${inner [ "noun" ] to} or ${inner [ "noun" ] from} convertible to it";
      check = x: (from.check x && to.check (coerce x)) || to.check x;
      merge = loc: defs: to.merge loc (map (def: def // {
        value = if from.check def.value then coerce def.value else def.value;
      }) defs);
      inherit (to) emptyValue getSubOptions getSubModules;
      substSubModules = m: coercedTo from coerce (to.substSubModules m);
      typeMerge = _: null;
      nestedTypes = { coercedType = from; finalType = to; };
    };
  addCheck = type: check: type // { check = x: type.check x && check x; };

  deferredModule = deferredModuleWith { };
  deferredModuleWith =
    {
      staticModules ? [ ],
    }:
    mkOptionType {
      name = "deferredModule";
      description = "module";
      descriptionClass = "noun";
      check = x: isAttrs x || isFunction x || path.check x;
      merge = loc: defs: {
        imports = staticModules ++ map (def: lib.setDefaultModuleLocation "${def.file}, via option ${showOption loc}" def.value) defs;
      };
    };
  submodule =
    modules:
    submoduleWith {
      shorthandOnlyDefinesConfig = true;
      modules = lib.toList modules;
    };
  submoduleWith =
    {
      modules,
      specialArgs ? { },
      shorthandOnlyDefinesConfig ? false,
      description ? null,
      class ? null,
    }@attrs:
    let
      asModule =
        def:
        if isAttrs def.value && shorthandOnlyDefinesConfig then
          { _file = def.file; config = def.value; }
        else
          lib.setDefaultModuleLocation def.file def.value;
      eval =
        loc: extra:
        lib.evalModules {
          inherit specialArgs class;
          prefix = loc;
          modules = modules ++ [ { _module.args.name = lib.mkOptionDefault (lib.last loc); } ] ++ extra;
        };
      freeform = (eval [ "<name>" ] [ ])._module.freeformType;
    in
    mkOptionType {
      name = "submodule";
      description =
        if description != null then
          description
        else if shorthandOnlyDefinesConfig && freeform != null then freeform.description else "submodule";
      check = x: isAttrs x || isFunction x || path.check x;
      merge = loc: defs: (eval loc (map asModule defs)).config;
      emptyValue.value = { };
      getSubOptions = prefix: let o = (eval (prefix ++ lib.optional (prefix == [ ]) "<name>") [ ]).options; in removeAttrs o [ "_module" ];
      getSubModules = modules;
      substSubModules = m: submoduleWith (attrs // { modules = m; });
      functor = {
        name = "submodule";
        type = submoduleWith;
        wrapped = null;
        payload = attrs;
        binOp = a: b: a // b // {
          modules = a.modules ++ b.modules;
          specialArgs = a.specialArgs or { } // b.specialArgs or { };
        };
        build = submoduleWith;
      };
    };
}
