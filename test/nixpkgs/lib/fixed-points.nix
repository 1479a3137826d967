# Values defined in terms of themselves: what overlays are made of.
{ lib }:
{
  fix = f: let x = f x; in x;
  converge = f: x: let next = f x; in if next == x then x else lib.converge f next;
  extends = overlay: f: final: let prev = f final; in prev // overlay final prev;
  composeExtensions =
    f: g: final: prev:
    let
      first = f final prev;
    in
    first // g final (prev // first);
  composeManyExtensions = lib.foldr lib.composeExtensions (_: _: { });
  makeExtensible = lib.makeExtensibleWithCustomName "extend";
  makeExtensibleWithCustomName =
    name: rattrs:
    lib.fix (self: rattrs self // {
      ${name} = overlay: lib.makeExtensibleWithCustomName name (lib.extends overlay rattrs);
    });
}
