# Calling packages with the arguments they name.
{ lib }:
{
  makeOverridable =
    f: args:
    let
      result = f args;
    in
    if builtins.isAttrs result then
      result // { override = new: lib.makeOverridable f (args // (if lib.isFunction new then new args else new)); }
    else
      result;
  callPackageWith =
    auto: fn: args:
    let
      f = if lib.isFunction fn then fn else import fn;
    in
    lib.makeOverridable f (builtins.intersectAttrs (lib.functionArgs f) auto // args);
  callPackagesWith = lib.callPackageWith;
  makeScope =
    newScope: f:
    let
      self = f self // {
        newScope = scope: newScope (self // scope);
        callPackage = self.newScope { };
      };
    in
    self;
  hydraJob = drv: drv;
  extendDerivation = _: extra: drv: drv // extra;
}
