# A miniature of the nixpkgs library: the functions that this project's Nix code and the examples use, written anew.
#
# Every part is reachable under its own name (lib.strings.concatStrings) and, where nixpkgs does so too, directly
# (lib.concatStrings).
let
  parts = lib: {
    trivial = import ./trivial.nix { inherit lib; };
    fixedPoints = import ./fixed-points.nix { inherit lib; };
    lists = import ./lists.nix { inherit lib; };
    attrsets = import ./attrsets.nix { inherit lib; };
    strings = import ./strings.nix { inherit lib; };
    customisation = import ./customisation.nix { inherit lib; };
    meta = import ./meta.nix { inherit lib; };
    filesystem = import ./filesystem.nix { inherit lib; };
    sources = import ./sources.nix { inherit lib; };
    debug = import ./debug.nix { inherit lib; };
    asserts = import ./asserts.nix { inherit lib; };
    derivations = import ./derivations.nix { inherit lib; };
    options = import ./options.nix { inherit lib; };
    modules = import ./modules.nix { inherit lib; };
    stringsWithDeps = import ./strings-with-deps.nix { inherit lib; };
    path = import ./path.nix { inherit lib; };
  };
  apart = lib: {
    types = import ./types.nix { inherit lib; };
    systems = import ./systems.nix { inherit lib; };
    generators = import ./generators.nix { inherit lib; };
    versions = import ./versions.nix { inherit lib; };
    licenses = lib.meta.knownLicenses;
    maintainers = { };
    teams = { };
    platforms = {
      all = lib.systems.doubles;
      linux = lib.systems.doubles;
      unix = lib.systems.doubles;
      x86_64 = [ "x86_64-linux" ];
      aarch64 = [ "aarch64-linux" ];
    };
  };
  # What nixpkgs has in its part only: code that reached for it directly would work here and fail there.
  partOnly = {
    attrsets = [ "intersectAttrs" "removeAttrs" "unionOfDisjoint" ];
    filesystem = [ "listFilesRecursive" ];
    lists = [ "findFirstIndex" "map" ];
    meta = [ "availableOn" "knownLicenses" ];
    modules = [ "defaultOrderPriority" "defaultOverridePriority" "importApply" "mkAliasAndWrapDefsWithPriority" ];
    options = [ "showDefs" ];
    strings = [
      "commonPrefixLength" "compareVersions" "concatMapAttrsStringSep" "escapeNixIdentifier" "escapeNixString"
      "floatToString" "fromJSON" "hashString" "isCoercibleToString" "isConvertibleWithToString" "match"
      "normalizePath" "sanitizeDerivationName" "split" "toJSON" "typeOf" "unsafeDiscardStringContext" "trim"
    ];
    trivial = [
      "ceil" "floor" "codeName" "oldestSupportedRelease" "release" "revisionWithDefault" "unsafeGetAttrPos"
      "versionSuffix" "defaultTo"
    ];
    path = [ "append" "hasPrefix" "removePrefix" ];
  };
  build =
    lib:
    let
      all = parts lib;
      flat = builtins.foldl' (done: name: done // removeAttrs all.${name} (partOnly.${name} or [ ])) { } (builtins.attrNames all);
    in
    flat // all // apart lib // { inherit (lib.types) mkOptionType isOptionType isType setType; };
in
let
  makeExtensible =
    make:
    let
      self = make self // {
        extend = overlay: makeExtensible (final: let prev = make final; in prev // overlay final prev);
      };
    in
    self;
in
makeExtensible build
