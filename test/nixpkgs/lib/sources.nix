# Sources, filtered on their way into the store.
{ lib }:
{
  cleanSourceFilter =
    name: type:
    let
      base = baseNameOf (toString name);
    in
    !(type == "directory" && builtins.elem base [ ".git" ".svn" ".hg" ])
    && !(lib.hasSuffix "~" base)
    && !(type == "symlink" && lib.hasPrefix "result" base);
  cleanSource = src: lib.cleanSourceWith { inherit src; filter = lib.cleanSourceFilter; };
  cleanSourceWith =
    {
      src,
      filter ? _: _: true,
      name ? "source",
    }:
    builtins.path { inherit filter name; path = src; };
  sourceByRegex = src: regexes: lib.cleanSourceWith {
    inherit src;
    filter = path: _: builtins.any (r: builtins.match r (lib.removePrefix (toString src + "/") path) != null) regexes;
  };
}
