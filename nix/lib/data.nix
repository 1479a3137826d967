# What of an evaluated value is plain data, and what only Nix can hold.
{ lib }:
let
  inherit (builtins)
    concatMap
    concatStringsSep
    deepSeq
    hasContext
    isAttrs
    isFunction
    isList
    isPath
    isString
    tryEval
    ;

  foreign =
    v:
    if isFunction v then
      [ "a function" ]
    else if isPath v then
      [ "the path ${toString v}" ]
    else if isString v then
      (if hasContext v then [ "a string that refers to the Nix store" ] else [ ])
    else if isList v then
      concatMap foreign v
    else if isAttrs v then
      (if v ? outPath || v ? __functor then [ "a derivation" ] else concatMap foreign (lib.attrValues v))
    else
      [ ];
in
{
  # read v = { value, why, throws }: the value as data, or null and why it is none. A value that throws is no data either;
  # what tryEval cannot catch (a missing attribute) still fails the host, with its own message.
  read =
    v:
    let
      kinds = tryEval (
        let
          f = foreign v;
        in
        deepSeq f f
      );
      whole = tryEval (deepSeq v v);
    in
    if !kinds.success || (kinds.value == [ ] && !whole.success) then
      {
        value = null;
        why = "it cannot be evaluated";
        throws = true;
      }
    else if kinds.value != [ ] then
      {
        value = null;
        why = "it holds ${concatStringsSep ", " (lib.unique kinds.value)}";
        throws = false;
      }
    else
      {
        value = whole.value;
        why = null;
        throws = false;
      };

  # text v: a string that never carries store context and never copies a path into the store.
  text = v: builtins.unsafeDiscardStringContext (toString v);
}
