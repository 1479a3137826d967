# A miniature of disko: the options of its disks as data, what they mean for a NixOS configuration, and scripts that say
# what the real ones would do. It never touches a disk. See test/README.md.
{
  lib ? import <nixpkgs/lib>,
  rootMountPoint ? "/mnt",
  diskoLib ? import ./lib { inherit lib rootMountPoint; },
  ...
}:
let
  eval =
    cfg:
    (lib.evalModules {
      modules = [
        { options.disko.devices = lib.mkOption { type = diskoLib.toplevel; }; }
        { disko.devices = cfg.disko.devices; }
      ];
    }).config.disko.devices;
in
{
  lib = diskoLib;
  format = cfg: diskoLib.plan.format (eval cfg);
  mount = cfg: diskoLib.plan.mount (eval cfg);
  disko = cfg: diskoLib.plan.disko (eval cfg);
  config =
    cfg:
    let
      means = diskoLib.configuration (eval cfg);
    in
    {
      inherit (means) fileSystems swapDevices;
      boot.initrd = { luks.devices = means.luks; kernelModules = means.initrdModules; };
      boot.loader.grub.devices = means.grubDevices;
    };
  formatScript = cfg: pkgs: (diskoLib.scripts pkgs (eval cfg)).formatScript;
  mountScript = cfg: pkgs: (diskoLib.scripts pkgs (eval cfg)).mountScript;
  diskoScript = cfg: pkgs: (diskoLib.scripts pkgs (eval cfg)).diskoScript;
}
