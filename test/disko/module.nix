# The NixOS module: disko.devices becomes file systems, swap and encrypted devices, and four scripts.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.disko;
  diskoLib = import ./lib { inherit lib; inherit (cfg) rootMountPoint; };
  means = diskoLib.configuration cfg.devices;
in
{
  options.disko = {
    devices = mkOption {
      type = diskoLib.toplevel;
      default = { };
      description = "The devices to set up.";
    };
    rootMountPoint = mkOption {
      type = types.str;
      default = "/mnt";
      description = "Where the scripts mount the file systems.";
    };
    enableConfig = mkOption {
      type = types.bool;
      default = true;
      description = "Whether the configuration mounts what is described here.";
    };
    checkScripts = mkOption {
      type = types.bool;
      default = false;
      description = "Accepted and not used.";
    };
    imageBuilder = mkOption {
      type = types.attrs;
      default = { };
      description = "Accepted and not used.";
    };
    memSize = mkOption {
      type = types.int;
      default = 1024;
      description = "Accepted and not used.";
    };
  };
  config = {
    system.build = diskoLib.scripts pkgs cfg.devices;
    fileSystems = lib.mkIf cfg.enableConfig means.fileSystems;
    swapDevices = lib.mkIf cfg.enableConfig means.swapDevices;
    boot = lib.mkIf cfg.enableConfig {
      initrd.kernelModules = means.initrdModules;
      swraid.enable = lib.mkIf (cfg.devices.mdadm != { }) true;
      initrd.luks.devices = means.luks;
      loader.grub.devices = means.grubDevices;
    };
  };
}
