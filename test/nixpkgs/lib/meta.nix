# What packages say about themselves.
{ lib }:
{
  getExe = x: lib.getExe' x (x.meta.mainProgram or (lib.getName x));
  getExe' = x: name: "${lib.getBin x}/bin/${name}";
  addMetaAttrs = new: drv: drv // { meta = (drv.meta or { }) // new; };
  setName = name: drv: drv // { inherit name; };
  setPrio = priority: lib.addMetaAttrs { inherit priority; };
  lowPrio = lib.setPrio 10;
  hiPrio = lib.setPrio (-10);
  dontDistribute = lib.addMetaAttrs { hydraPlatforms = [ ]; };
  availableOn = _: _: true;
  knownLicenses = {
    mit = { spdxId = "MIT"; free = true; };
    gpl2Plus = { spdxId = "GPL-2.0-or-later"; free = true; };
    gpl3Plus = { spdxId = "GPL-3.0-or-later"; free = true; };
    asl20 = { spdxId = "Apache-2.0"; free = true; };
    bsd3 = { spdxId = "BSD-3-Clause"; free = true; };
    unfree = { fullName = "Unfree"; free = false; };
    unfreeRedistributable = { fullName = "Unfree redistributable"; free = false; };
  };
}
