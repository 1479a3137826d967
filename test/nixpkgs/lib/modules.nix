# The module system: from modules to options and a configuration.
#
# The order in which definitions are merged, the priorities and the wording of the error messages are those of nixpkgs
# 24.05, because programs depend on them. Left out: deprecated arguments, `options' sets inside mkOption, positions of
# declarations, documentation of types.
{ lib }:
let
  inherit (builtins) attrNames concatMap elem filter head isAttrs isFunction isList isString length mapAttrs;
  inherit (lib) showOption isOption isType;

  # --- Reading modules ---

  fileOf = module: fallback: module._file or fallback;

  # One module as a set with the attributes file, key, class, imports, disabled, options, config.
  unify =
    file: key: module:
    let
      structured = module ? config || module ? options;
      known = [ "_class" "_file" "key" "disabledModules" "imports" "options" "config" "meta" "freeformType" ];
      extra = filter (n: !(elem n known)) (attrNames module);
      withFreeform = config:
        if module ? freeformType then
          lib.mkMerge [ config { _module.freeformType = module.freeformType; } ]
        else
          config;
      withMeta = config: if structured && module ? meta then lib.mkMerge [ config { inherit (module) meta; } ] else config;
    in
    if !(isAttrs module) then
      throw "Expected a module, but found a value of type ${builtins.typeOf module}, while trying to load a module into ${toString file}."
    else if elem (module._type or "") [ "if" "override" "merge" "order" ] then
      unify file key { config = module; }
    else if structured && extra != [ ] then
      throw "Module `${key}' has an unsupported attribute `${head extra}'. Beside `config' or `options' it belongs into `config' (namely: ${toString extra})."
    else
      {
        file = toString (fileOf module file);
        key = toString (module.key or key);
        class = module._class or null;
        imports = (module.require or [ ]) ++ (module.imports or [ ]);
        disabled = module.disabledModules or [ ];
        options = module.options or { };
        config = withMeta (
          withFreeform (
            if structured then
              module.config or { }
            else
              removeAttrs module [ "_class" "_file" "key" "disabledModules" "require" "imports" "freeformType" ]
          )
        );
      };

  applyArgs =
    file: f: args:
    let
      named = mapAttrs (
        name: _:
        builtins.addErrorContext "while evaluating the module argument `${name}' in \"${file}\":" (
          args.${name} or args.config._module.args.${name}
        )
      ) (lib.functionArgs f);
    in
    f (args // named);

  load =
    parentFile: fallbackKey: args: m:
    if isFunction m || m ? __functor then
      unify parentFile fallbackKey (applyArgs parentFile m args)
    else if isAttrs m then
      if m._type or "module" == "module" || elem (m._type or "") [ "if" "override" "merge" ] then
        unify parentFile fallbackKey m
      else
        throw "Could not load a value as a module, because it is of type ${lib.strings.escapeNixString m._type}${lib.optionalString (fallbackKey != parentFile) ", in file ${toString parentFile}"}."
    else if isList m then
      throw "Module imports can't be nested lists. Definitions: ${lib.options.showDefs [ { file = parentFile; value = m; } ]}"
    else
      let
        file = toString m;
        content = import m;
      in
      unify file file (if lib.isFunction content then applyArgs file content args else content);

  # The modules with everything they import, each once, disabled ones left out; breadth first, then turned around: later
  # imports come first in merged lists.
  collect =
    class: modulesPath: initial: args:
    let
      tree =
        parentFile: parentKey: modules:
        lib.imap1 (
          n: m:
          let
            module = load parentFile "${parentKey}:anon-${toString n}" args m;
          in
          checkClass class module
          // { children = tree module.file module.key module.imports; }
        ) modules;
      roots = tree lib.unknownModule "" initial;
      disabledIn = concatMap (m: map (disabledKey m.file) m.disabled ++ disabledIn m.children);
      disabledKey =
        file: m:
        if isString m then
          (if lib.hasPrefix "/" m then m else "${toString modulesPath}/${m}")
        else if isAttrs m then
          m.key or (throw "Module `${file}` contains a disabledModules item that is an attribute set without key")
        else
          toString m;
      disabled = disabledIn roots;
      keep = if disabled == [ ] then lib.id else filter (m: !(elem m.key disabled));
    in
    lib.reverseList (builtins.genericClosure { startSet = keep roots; operator = m: keep m.children; });

  checkClass =
    class: module:
    if class != null && module.class != null && class != module.class then
      throw "The module ${module.file} was imported into ${class} instead of ${module.class}."
    else
      module;

  # --- Properties: mkIf, mkMerge, mkOverride, mkOrder ---

  # Pushes the properties of a set of definitions down to its attributes.
  pushDown =
    cfg:
    if !(cfg ? _type) then
      [ cfg ]
    else if cfg._type == "merge" then
      concatMap pushDown cfg.contents
    else if cfg._type == "if" then
      map (mapAttrs (_: lib.mkIf cfg.condition)) (pushDown cfg.content)
    else if cfg._type == "override" then
      map (mapAttrs (_: lib.mkOverride cfg.priority)) (pushDown cfg.content)
    else
      [ cfg ];

  # The values that remain of one definition after its conditions.
  discharge =
    def:
    if def._type or "" == "merge" then
      concatMap discharge def.contents
    else if def._type or "" == "if" then
      if lib.isBool def.condition then
        lib.optionals def.condition (discharge def.content)
      else
        throw "‘mkIf’ called with a non-Boolean condition"
    else
      [ def ];

  priorityOf = value: if value._type or "" == "override" then value.priority else lib.modules.defaultOverridePriority;

  keepHighest =
    defs:
    let
      highestPrio = builtins.foldl' (prio: def: lib.min (priorityOf def.value) prio) 9999 defs;
    in
    {
      inherit highestPrio;
      values = concatMap (
        def:
        lib.optional (priorityOf def.value == highestPrio) (
          if def.value._type or "" == "override" then def // { value = def.value.content; } else def
        )
      ) defs;
    };

  inOrder =
    defs:
    let
      strip = def: if isType "order" def.value then def // { value = def.value.content; inherit (def.value) priority; } else def;
    in
    if builtins.any (def: isType "order" def.value) defs then
      builtins.sort (a: b: a.priority or lib.modules.defaultOrderPriority < b.priority or lib.modules.defaultOrderPriority) (map strip defs)
    else
      defs;

  mergeDefinitions = loc: type: defs: rec {
    prioritised = keepHighest (
      concatMap (
        def:
        map (value: { inherit (def) file; inherit value; }) (
          builtins.addErrorContext "while evaluating definitions from `${def.file}':" (discharge def.value)
        )
      ) defs
    );
    inherit (prioritised) highestPrio;
    values = inOrder prioritised.values;
    isDefined = values != [ ];
    mergedValue =
      if !isDefined then
        throw "The option `${showOption loc}' is used but not defined."
      else if builtins.all (def: type.check def.value) values then
        type.merge loc values
      else
        throw "A definition for option `${showOption loc}' is not of type `${type.description}'. Definition values:${lib.options.showDefs (filter (def: !(type.check def.value)) values)}";
    optionalValue = if isDefined then { value = mergedValue; } else { };
  };

  # --- Merging declarations and definitions ---

  # Several declarations of one option become one, if nothing but their types must be merged.
  mergeDeclarations =
    loc: decls:
    builtins.foldl' (
      done: decl:
      let
        opt = decl.options;
        both = attr: done ? ${attr} && opt ? ${attr};
        merged = done.type.typeMerge opt.type.functor;
        mergeable = !(done ? type && opt ? type) || merged != null;
      in
      if both "default" || both "example" || both "description" || both "apply" || !mergeable then
        throw "The option `${showOption loc}' in `${decl.file}' is already declared in ${lib.showFiles done.declarations}."
      else
        done
        // opt
        // lib.optionalAttrs (done ? type && opt ? type) { type = merged; }
        // { declarations = done.declarations ++ [ decl.file ]; }
    ) { inherit loc; _type = "option"; declarations = [ ]; } decls;

  # Types that contain modules learn where the option was declared: it is the file their errors name.
  locateType = type: file:
    if type.getSubModules or null == null then
      type
    else
      type.substSubModules (map (m: setLocation file m) type.getSubModules);
  setLocation = file: m: { _file = file; imports = [ m ]; };

  evalOption =
    loc: opt: defs:
    let
      withDefault = lib.optional (opt ? default) {
        file = head opt.declarations;
        value = lib.mkOptionDefault opt.default;
      } ++ defs;
      type = opt.type or lib.types.unspecified;
      merged =
        if opt.readOnly or false && length withDefault > 1 then
          let
            shown = map (def: def // { value = (mergeDefinitions loc type [ def ]).mergedValue; }) withDefault;
          in
          throw "The option `${showOption loc}' is read-only, but it's set multiple times. Definition values:${lib.options.showDefs shown}"
        else
          mergeDefinitions loc type withDefault;
      value = if opt ? apply then opt.apply merged.mergedValue else merged.mergedValue;
      warned =
        if type.deprecationMessage or null == null then
          value
        else
          lib.warn "The type `types.${type.name}' of option `${showOption loc}' is deprecated. ${type.deprecationMessage}" value;
    in
    opt
    // {
      inherit type;
      value = builtins.addErrorContext "while evaluating the option `${showOption loc}':" warned;
      inherit (merged) isDefined highestPrio;
      definitions = map (def: def.value) merged.values;
      definitionsWithLocations = merged.values;
      files = map (def: def.file) merged.values;
      declarationPositions = map (file: { inherit file; line = null; column = null; }) opt.declarations;
      __toString = _: showOption loc;
    };

  # decls are sets { file, options }, defs sets { file, value }. Returns the tree of evaluated options and the definitions
  # that belong to none. The two stay apart: modules may look at which options there are before they define any.
  mergeTree =
    prefix: decls: defs:
    let
      declarations = builtins.zipAttrsWith (_: all: all) (
        concatMap (d: if d.options == { } then [ ] else [
          (mapAttrs (_: options: { inherit (d) file; inherit options; }) d.options)
        ]) decls
      );
      definitions = builtins.zipAttrsWith (_: all: all) (
        concatMap (
          d: map (cfg: mapAttrs (_: value: { inherit (d) file; inherit value; }) (checkSet prefix d.file cfg)) (pushDown d.value)
        ) defs
      );
      results = mapAttrs (
        name: decls:
        let
          loc = prefix ++ [ name ];
          defs = definitions.${name} or [ ];
          optionDecls = filter (d: isOption d.options) decls;
          sets = filter (d: !(isOption d.options)) decls;
        in
        if optionDecls == [ ] then
          mergeTree loc decls defs
        else if sets == [ ] then
          {
            options = evalOption loc (locate (mergeDeclarations loc decls)) defs;
            unmatched = [ ];
          }
        else
          parentError loc (head optionDecls) sets
      ) declarations;
      locate = opt: if opt ? type then opt // { type = locateType opt.type (head opt.declarations); } else opt;
      stray = concatMap (
        name: if declarations ? ${name} then [ ] else map (def: def // { loc = prefix ++ [ name ]; }) definitions.${name}
      ) (attrNames definitions);
    in
    {
      options = mapAttrs (_: r: r.options) results;
      unmatched = concatMap (r: r.unmatched) (builtins.attrValues results) ++ stray;
    };

  checkSet =
    prefix: file: cfg:
    if isAttrs cfg then
      cfg
    else
      throw "In module `${file}', you're trying to define a value of type `${builtins.typeOf cfg}'\nrather than an attribute set for the option\n`${showOption prefix}'!\n\nNothing below it matches this definition.";

  parentError =
    loc: decl: sets:
    throw "The option `${showOption loc}' in module `${decl.file}' would be a parent of the following options, but its type `${decl.options.type.description or "<no description>"}' does not support nested options.\n${
      lib.concatMapStringsSep "\n" (
        d: lib.concatMapStringsSep "\n" (n: " - option(s) with prefix `${showOption (loc ++ [ n ])}' in module `${d.file}'") (attrNames d.options)
      ) sets
    }";

  # --- The whole ---

  evalModules =
    {
      modules,
      prefix ? [ ],
      specialArgs ? { },
      class ? null,
    }:
    let
      internalModule = {
        _file = "lib/modules.nix";
        key = "lib/modules.nix";
        options._module = {
          args = lib.mkOption {
            type = lib.types.lazyAttrsOf lib.types.raw;
            internal = prefix != [ ];
            description = "Additional arguments passed to each module.";
          };
          check = lib.mkOption {
            type = lib.types.bool;
            internal = true;
            default = true;
            description = "Whether to check that all definitions have a declaration.";
          };
          freeformType = lib.mkOption {
            type = lib.types.nullOr lib.types.optionType;
            internal = true;
            default = null;
            description = "The type of all definitions without a declaration, if they are allowed.";
          };
          specialArgs = lib.mkOption {
            readOnly = true;
            internal = true;
            description = "Arguments that every module gets and that `imports' may use.";
          };
        };
        config._module = {
          args = {
            inherit extendModules;
            moduleType = type;
          };
          inherit specialArgs;
        };
      };

      args = { inherit lib config options specialArgs; _class = class; _prefix = prefix; } // specialArgs;
      loaded = collect class (specialArgs.modulesPath or "") (modules ++ [ internalModule ]) args;
      merged = mergeTree prefix loaded (map (m: { inherit (m) file; value = m.config; }) loaded);
      options = merged.options;
      declared = lib.mapAttrsRecursiveCond (v: !(isOption v)) (_: opt: opt.value) options;

      freeform = declared._module.freeformType;
      config =
        if freeform == null || merged.unmatched == [ ] then
          declared
        else
          lib.recursiveUpdate (freeform.merge prefix (
            map (def: {
              inherit (def) file;
              value = lib.setAttrByPath (lib.drop (length prefix) def.loc) def.value;
            }) merged.unmatched
          )) declared;

      checked =
        value:
        if freeform == null && declared._module.check && merged.unmatched != [ ] then
          let
            first = head merged.unmatched;
            defs = filter (def: def.loc == first.loc) merged.unmatched;
            nothingDeclared = attrNames options == [ "_module" ];
          in
          throw "The option `${showOption first.loc}' does not exist. Definition values:${lib.options.showDefs defs}${lib.optionalString nothingDeclared "\n\nIt seems as if you're trying to declare an option by placing it into `config' rather than `options'!"}"
        else
          value;

      extendModules =
        {
          modules ? [ ],
          specialArgs ? { },
          prefix ? [ ],
        }:
        evalModules {
          modules = regularModules ++ modules;
          specialArgs = givenArgs // specialArgs;
          prefix = if prefix == [ ] then givenPrefix else prefix;
          inherit class;
        };
      regularModules = modules;
      givenArgs = specialArgs;
      givenPrefix = prefix;
      type = lib.types.submoduleWith { inherit modules specialArgs class; };
    in
    {
      _type = "configuration";
      options = checked options;
      config = checked (removeAttrs config [ "_module" ]);
      _module = checked config._module;
      inherit extendModules type class;
    };

  # --- Options under another name ---

  rename =
    {
      from,
      to,
      visible,
      warn,
      use,
      withPriority ? true,
      condition ? true,
    }:
    { config, options, ... }:
    let
      fromOpt = lib.getAttrFromPath from options;
      toOf = lib.attrByPath to (abort "Renaming error: option `${showOption to}' does not exist.");
      toType = let opt = lib.attrByPath to { } options; in opt.type or (lib.types.submodule { });
      alias = if withPriority then lib.modules.mkAliasAndWrapDefsWithPriority else lib.mkAliasAndWrapDefinitions;
    in
    {
      options = lib.setAttrByPath from (
        lib.mkOption {
          inherit visible;
          description = "Alias of {option}`${showOption to}`.";
          apply = _: use (toOf config);
        }
        // lib.optionalAttrs (toType != null) { type = toType; }
      );
      config = lib.mkIf condition (
        lib.mkMerge [
          (lib.optionalAttrs (options ? warnings) {
            warnings = lib.optional (warn && fromOpt.isDefined) "The option `${showOption from}' defined in ${lib.showFiles fromOpt.files} has been renamed to `${showOption to}'.";
          })
          (alias (lib.setAttrByPath to) fromOpt)
        ]
      );
    };
in
{
  inherit evalModules mergeDefinitions;
  setDefaultModuleLocation = setLocation;
  unifyModuleSyntax = unify;
  importApply = path: args: { _file = path; imports = [ (import path args) ]; };

  mkIf = condition: content: { _type = "if"; inherit condition content; };
  mkAssert = assertion: message: content: lib.mkIf (if assertion then true else throw "\nFailed assertion: ${message}") content;
  mkMerge = contents: { _type = "merge"; inherit contents; };
  mkOverride = priority: content: { _type = "override"; inherit priority content; };
  mkOptionDefault = lib.mkOverride 1500;
  mkDefault = lib.mkOverride 1000;
  mkImageMediaOverride = lib.mkOverride 60;
  mkForce = lib.mkOverride 50;
  mkVMOverride = lib.mkOverride 10;
  defaultOverridePriority = 100;
  mkOrder = priority: content: { _type = "order"; inherit priority content; };
  mkBefore = lib.mkOrder 500;
  mkAfter = lib.mkOrder 1500;
  defaultOrderPriority = 1000;
  mkFixStrictness = lib.id;
  mkDerivedConfig = opt: f: lib.mkOverride (opt.highestPrio or lib.modules.defaultOverridePriority) (f opt.value);

  mkAliasDefinitions = lib.mkAliasAndWrapDefinitions lib.id;
  mkAliasAndWrapDefinitions = wrap: option: lib.mkIf (isOption option && option.isDefined) (wrap (lib.mkMerge option.definitions));
  mkAliasAndWrapDefsWithPriority =
    wrap: option:
    lib.mkIf (isOption option && option.isDefined) (
      wrap (lib.mkMerge (map (lib.mkOverride (option.highestPrio or lib.modules.defaultOverridePriority)) option.definitions))
    );

  doRename = rename;
  mkRenamedOptionModule = from: to: rename {
    inherit from to;
    visible = false;
    warn = true;
    use = builtins.trace "Obsolete option `${showOption from}' is used. It was renamed to `${showOption to}'.";
  };
  mkRenamedOptionModuleWith = { from, to, sinceRelease }: rename {
    inherit from to;
    visible = false;
    warn = lib.isInOldestRelease sinceRelease;
    use = lib.id;
  };
  mkAliasOptionModule = from: to: rename { inherit from to; visible = true; warn = false; use = lib.id; };
  mkAliasOptionModuleMD = lib.mkAliasOptionModule;
  mkRemovedOptionModule =
    path: replacement:
    { options, ... }:
    {
      options = lib.setAttrByPath path (
        lib.mkOption {
          visible = false;
          apply = _: throw "The option `${showOption path}' can no longer be used since it's been removed. ${replacement}";
        }
      );
      config.assertions =
        let
          opt = lib.getAttrFromPath path options;
        in
        [
          {
            assertion = !opt.isDefined;
            message = "The option definition `${showOption path}' in ${lib.showFiles opt.files} no longer has any effect; please remove it.\n${replacement}";
          }
        ];
    };
  mkMergedOptionModule =
    from: to: mergeFn:
    { config, options, ... }:
    {
      options = builtins.foldl' lib.recursiveUpdate { } (
        map (path: lib.setAttrByPath path (lib.mkOption { visible = false; default = "_mkMergedOptionModule"; })) from
      );
      config = lib.mkMerge [
        {
          warnings = filter (x: x != "") (
            map (
              path:
              let
                opt = lib.getAttrFromPath path options;
              in
              lib.optionalString (lib.getAttrFromPath path config != "_mkMergedOptionModule") "The option `${showOption path}' defined in ${lib.showFiles opt.files} has been changed to `${showOption to}' that has a different type."
            ) from
          );
        }
        (lib.setAttrByPath to (
          lib.mkMerge (
            lib.optional (builtins.any (path: lib.getAttrFromPath path config != "_mkMergedOptionModule") from) (mergeFn config)
          )
        ))
      ];
    };
  mkChangedOptionModule = from: to: changeFn: lib.mkMergedOptionModule [ from ] to changeFn;
}
