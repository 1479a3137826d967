# Values, numbers and messages.
{ lib }:
let
  escape = builtins.fromJSON "\"\\u001b\"";
  release = lib.strings.fileContents ./.version;
  versionSuffix = "pre-miniature";
in
{
  inherit (builtins)
    add
    addErrorContext
    bitAnd
    bitOr
    bitXor
    ceil
    deepSeq
    floor
    genericClosure
    isBool
    isFloat
    isInt
    lessThan
    pathExists
    readFile
    seq
    sub
    unsafeGetAttrPos
    ;
  inherit release versionSuffix;
  version = release + versionSuffix;
  codeName = "Miniature";
  oldestSupportedRelease = 2305;
  isInOldestRelease = wanted: wanted <= 2305;
  revisionWithDefault = default: default;
  nixpkgsVersion = release + versionSuffix;
  inNixShell = builtins.getEnv "IN_NIX_SHELL" != "";
  inPureEvalMode = !(builtins ? currentSystem);

  id = x: x;
  const = x: _: x;
  pipe = builtins.foldl' (x: f: f x);
  flip = f: a: b: f b a;
  "or" = a: b: a || b;
  "and" = a: b: a && b;
  xor = a: b: a != b;
  concat = a: b: a ++ b;
  mergeAttrs = a: b: a // b;
  mapNullable = f: a: if a == null then a else f a;
  defaultTo = default: a: if a == null then default else a;
  boolToString = b: if b then "true" else "false";
  min = a: b: if a < b then a else b;
  max = a: b: if a > b then a else b;
  mod = a: b: a - b * (a / b);
  compare = a: b: if a < b then -1 else if a > b then 1 else 0;
  splitByAndCompare =
    p: yes: no: a: b:
    if p a then (if p b then yes a b else -1) else if p b then 1 else no a b;
  importJSON = path: builtins.fromJSON (builtins.readFile path);
  importTOML = path: builtins.fromTOML (builtins.readFile path);

  # The wording and the colour codes are those of 24.05: programs recognise warnings by them.
  warn = msg: builtins.trace "${escape}[1;31mwarning: ${msg}${escape}[0m";
  warnIf = condition: msg: if condition then lib.warn msg else x: x;
  warnIfNot = condition: msg: if condition then x: x else lib.warn msg;
  info = msg: builtins.trace "INFO: ${msg}";
  throwIf = condition: msg: if condition then throw msg else x: x;
  throwIfNot = condition: msg: if condition then x: x else throw msg;
  showWarnings = warnings: value: builtins.foldl' (x: w: lib.warn w x) value warnings;

  isFunction = f: builtins.isFunction f || (f ? __functor && builtins.isFunction (f.__functor f));
  functionArgs = f:
    if f ? __functor then
      f.__functionArgs or (builtins.functionArgs (f.__functor f))
    else
      builtins.functionArgs f;
  setFunctionArgs = f: args: {
    __functor = _: f;
    __functionArgs = args;
  };
  toFunction = v: if lib.isFunction v then v else _: v;
  toHexString =
    n:
    let
      digit = d: builtins.substring d 1 "0123456789ABCDEF";
      go = i: if i < 16 then digit i else go (i / 16) + digit (lib.mod i 16);
    in
    go n;
}
