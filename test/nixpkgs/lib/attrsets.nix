# Attribute sets.
{ lib }:
let
  inherit (builtins) attrNames mapAttrs listToAttrs;
in
{
  inherit (builtins)
    attrNames
    catAttrs
    getAttr
    hasAttr
    intersectAttrs
    isAttrs
    listToAttrs
    mapAttrs
    removeAttrs
    zipAttrsWith
    ;
  attrValues = builtins.attrValues;
  getAttrs = names: set: lib.genAttrs names (name: set.${name});
  overrideExisting = old: new: mapAttrs (n: v: new.${n} or v) old;
  attrVals = names: set: map (n: set.${n}) names;
  attrByPath =
    path: default: set:
    if path == [ ] then
      set
    else if set ? ${builtins.head path} then
      lib.attrByPath (builtins.tail path) default set.${builtins.head path}
    else
      default;
  hasAttrByPath =
    path: set:
    path == [ ] || (set ? ${builtins.head path} && lib.hasAttrByPath (builtins.tail path) set.${builtins.head path});
  getAttrFromPath = path: set: lib.attrByPath path (throw "cannot find attribute `${lib.concatStringsSep "." path}'") set;
  setAttrByPath =
    path: value: if path == [ ] then value else { ${builtins.head path} = lib.setAttrByPath (builtins.tail path) value; };
  nameValuePair = name: value: { inherit name value; };
  mapAttrs' = f: set: listToAttrs (map (n: f n set.${n}) (attrNames set));
  mapAttrsToList = f: set: map (n: f n set.${n}) (attrNames set);
  attrsToList = lib.mapAttrsToList lib.nameValuePair;
  concatMapAttrs = f: set: lib.mergeAttrsList (lib.mapAttrsToList f set);
  mergeAttrsList = builtins.foldl' (a: b: a // b) { };
  genAttrs = names: f: listToAttrs (map (name: lib.nameValuePair name (f name)) names);
  filterAttrs = pred: set: listToAttrs (map (n: lib.nameValuePair n set.${n}) (builtins.filter (n: pred n set.${n}) (attrNames set)));
  filterAttrsRecursive =
    pred: set:
    mapAttrs (_: v: if builtins.isAttrs v then lib.filterAttrsRecursive pred v else v) (lib.filterAttrs pred set);
  foldlAttrs = f: init: set: builtins.foldl' (acc: n: f acc n set.${n}) init (attrNames set);
  foldAttrs =
    op: nul: sets:
    builtins.zipAttrsWith (_: lib.foldr op nul) sets;
  collect =
    pred: attrs:
    if pred attrs then
      [ attrs ]
    else if builtins.isAttrs attrs then
      builtins.concatMap (lib.collect pred) (builtins.attrValues attrs)
    else
      [ ];
  mapAttrsRecursive = lib.mapAttrsRecursiveCond (_: true);
  mapAttrsRecursiveCond =
    cond: f: set:
    let
      go = path: mapAttrs (n: v: if builtins.isAttrs v && cond v then go (path ++ [ n ]) v else f (path ++ [ n ]) v);
    in
    go [ ] set;
  zipAttrs = builtins.zipAttrsWith (_: values: values);
  zipAttrsWithNames =
    names: f: sets:
    lib.genAttrs names (name: f name (builtins.catAttrs name sets));
  recursiveUpdateUntil =
    stop: a: b:
    let
      go =
        path: l: r:
        l
        // mapAttrs (
          n: v:
          if l ? ${n} && !(stop (path ++ [ n ]) l.${n} v) then go (path ++ [ n ]) l.${n} v else v
        ) r;
    in
    go [ ] a b;
  recursiveUpdate = lib.recursiveUpdateUntil (_: l: r: !(builtins.isAttrs l && builtins.isAttrs r));
  matchAttrs =
    pattern: attrs:
    builtins.all (
      n:
      attrs ? ${n}
      && (if builtins.isAttrs pattern.${n} then builtins.isAttrs attrs.${n} && lib.matchAttrs pattern.${n} attrs.${n} else pattern.${n} == attrs.${n})
    ) (attrNames pattern);
  updateManyAttrsByPath =
    updates: set:
    builtins.foldl' (
      acc: u: lib.recursiveUpdateUntil (path: _: _: path == u.path) acc (lib.setAttrByPath u.path (u.update (lib.getAttrFromPath u.path acc)))
    ) set updates;
  optionalAttrs = cond: set: if cond then set else { };
  isDerivation = x: x.type or null == "derivation";
  toDerivation = path: { type = "derivation"; name = baseNameOf path; outPath = builtins.storePath path; };
  recurseIntoAttrs = set: set // { recurseForDerivations = true; };
  dontRecurseIntoAttrs = set: set // { recurseForDerivations = false; };
  cartesianProductOfSets =
    sets:
    builtins.foldl' (acc: n: builtins.concatMap (done: map (v: done // { ${n} = v; }) sets.${n}) acc) [ { } ] (attrNames sets);
  cartesianProduct = lib.cartesianProductOfSets;
  mapCartesianProduct = f: sets: map f (lib.cartesianProductOfSets sets);
  getOutput = output: pkg: if pkg.outputSpecified or false then pkg else pkg.${output} or pkg.out or pkg;
  getBin = lib.getOutput "bin";
  getLib = lib.getOutput "lib";
  getDev = lib.getOutput "dev";
  getMan = lib.getOutput "man";
  chooseDevOutputs = map lib.getDev;
  showAttrPath = path:
    if path == [ ] then
      "<root attribute path>"
    else
      lib.concatMapStringsSep "." lib.strings.escapeNixIdentifier path;
  unionOfDisjoint =
    a: b:
    let
      both = attrNames (builtins.intersectAttrs a b);
    in
    (a // b) // lib.genAttrs both (n: throw "unionOfDisjoint: collision on ${n}; complete list: ${toString both}");
}
