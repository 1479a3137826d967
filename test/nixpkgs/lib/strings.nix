# Strings.
{ lib }:
let
  inherit (builtins) stringLength substring concatStringsSep;
  lower = lib.stringToCharacters "abcdefghijklmnopqrstuvwxyz";
  upper = lib.stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  keywords = [ "assert" "else" "if" "in" "inherit" "let" "or" "rec" "then" "with" ];
in
{
  inherit (builtins)
    concatStringsSep
    fromJSON
    hashString
    isPath
    isString
    match
    readFile
    replaceStrings
    split
    stringLength
    substring
    toJSON
    typeOf
    unsafeDiscardStringContext
    ;
  inherit (builtins) compareVersions;
  concatStrings = concatStringsSep "";
  concatMapStrings = f: list: concatStringsSep "" (map f list);
  concatImapStrings = f: list: concatStringsSep "" (lib.imap1 f list);
  concatMapStringsSep = sep: f: list: concatStringsSep sep (map f list);
  concatImapStringsSep = sep: f: list: concatStringsSep sep (lib.imap1 f list);
  concatMapAttrsStringSep = sep: f: attrs: concatStringsSep sep (lib.mapAttrsToList f attrs);
  concatLines = lib.concatMapStrings (line: line + "\n");
  intersperse =
    sep: list:
    if builtins.length list < 2 then list else lib.tail (builtins.concatMap (x: [ sep x ]) list);
  optionalString = cond: s: if cond then s else "";
  hasPrefix = prefix: s: substring 0 (stringLength prefix) s == prefix;
  hasSuffix =
    suffix: s:
    let
      n = stringLength s;
      m = stringLength suffix;
    in
    n >= m && substring (n - m) n s == suffix;
  hasInfix = infix: s: builtins.length (builtins.split (lib.escapeRegex infix) "${s}") > 1;
  removePrefix =
    prefix: s:
    if lib.hasPrefix prefix s then substring (stringLength prefix) (stringLength s) s else s;
  removeSuffix =
    suffix: s:
    if lib.hasSuffix suffix s then substring 0 (stringLength s - stringLength suffix) s else s;
  trim = s: let m = builtins.match "[ \t\r\n]*(.*[^ \t\r\n])[ \t\r\n]*" s; in if m == null then "" else builtins.head m;
  splitString =
    sep: s:
    map (part: builtins.unsafeDiscardStringContext part) (
      builtins.filter builtins.isString (builtins.split (lib.escapeRegex (toString sep)) (toString s))
    );
  stringToCharacters = s: builtins.genList (n: substring n 1 s) (stringLength s);
  stringAsChars = f: s: concatStringsSep "" (map f (lib.stringToCharacters s));
  lowerChars = lower;
  upperChars = upper;
  toLower = builtins.replaceStrings upper lower;
  toUpper = builtins.replaceStrings lower upper;
  replaceChars = builtins.replaceStrings;
  escape = chars: builtins.replaceStrings chars (map (c: "\\${c}") chars);
  escapeRegex = lib.escape (lib.stringToCharacters "\\[{()^$?*+|.");
  escapeShellArg =
    arg:
    let
      s = toString arg;
    in
    if builtins.match "[[:alnum:],._+:@%/-]+" s != null then s else "'${builtins.replaceStrings [ "'" ] [ "'\\''" ] s}'";
  escapeShellArgs = lib.concatMapStringsSep " " lib.escapeShellArg;
  isValidPosixName = name: builtins.match "[a-zA-Z_][a-zA-Z0-9_]*" name != null;
  toShellVar = name: value: "${name}=${lib.escapeShellArg value}";
  toShellVars = vars: concatStringsSep "\n" (lib.mapAttrsToList lib.toShellVar vars);
  escapeNixString = s: lib.escape [ "$" ] (builtins.toJSON s);
  escapeNixIdentifier =
    s:
    if builtins.match "[a-zA-Z_][a-zA-Z0-9_'-]*" s != null && !(builtins.elem s keywords) then s else lib.strings.escapeNixString s;
  escapeXML = builtins.replaceStrings [ "\"" "'" "<" ">" "&" ] [ "&quot;" "&apos;" "&lt;" "&gt;" "&amp;" ];
  normalizePath = s: lib.foldl' (acc: c: if lib.hasSuffix "/" acc && c == "/" then acc else acc + c) "" (lib.stringToCharacters s);
  toInt =
    s:
    let
      m = builtins.match "[[:space:]]*(-?)0*([0-9]+)[[:space:]]*" s;
    in
    if m == null then
      throw "toInt: Could not convert ${lib.strings.escapeNixString s} to int."
    else
      builtins.fromJSON (concatStringsSep "" m);
  toIntBase10 = lib.toInt;
  isStringLike = x: builtins.isString x || builtins.isPath x || x ? outPath || x ? __toString;
  isCoercibleToString = lib.strings.isConvertibleWithToString;
  isConvertibleWithToString =
    x:
    lib.isStringLike x
    || builtins.elem (builtins.typeOf x) [ "null" "int" "float" "bool" ]
    || (builtins.isList x && builtins.all lib.strings.isConvertibleWithToString x);
  isStorePath = x: lib.isStringLike x && builtins.match "${lib.escapeRegex builtins.storeDir}/[^/]+" (toString x) != null;
  fileContents = file: lib.removeSuffix "\n" (builtins.readFile file);
  versionOlder = a: b: builtins.compareVersions b a == 1;
  versionAtLeast = a: b: !(lib.versionOlder a b);
  getName = x: if builtins.isString x then (builtins.parseDrvName x).name else x.pname or (builtins.parseDrvName x.name).name;
  getVersion = x: if builtins.isString x then (builtins.parseDrvName x).version else x.version or (builtins.parseDrvName x.name).version;
  nameFromURL = url: sep: builtins.head (lib.splitString sep (lib.last (lib.splitString "/" url)));
  fixedWidthString = width: filler: s: if stringLength s >= width then s else lib.fixedWidthString width filler (filler + s);
  fixedWidthNumber = width: n: lib.fixedWidthString width "0" (toString n);
  floatToString = toString;
  makeSearchPath = sub: paths: lib.concatMapStringsSep ":" (path: path + "/" + sub) (builtins.filter (x: x != null) paths);
  makeSearchPathOutput = output: sub: pkgs: lib.makeSearchPath sub (map (lib.getOutput output) pkgs);
  makeLibraryPath = lib.makeSearchPathOutput "lib" "lib";
  makeBinPath = lib.makeSearchPathOutput "bin" "bin";
  sanitizeDerivationName =
    s:
    let
      clean = concatStringsSep "" (map (x: if builtins.isList x then "-" else x) (builtins.split "[^[:alnum:]+._?=-]+" (lib.removePrefix "." (toString s))));
    in
    if clean == "" then "unknown" else clean;
  commonPrefixLength =
    a: b:
    let
      go = i: if i >= lib.min (stringLength a) (stringLength b) || substring i 1 a != substring i 1 b then i else go (i + 1);
    in
    go 0;
}
