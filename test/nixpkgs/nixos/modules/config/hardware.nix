# hardware.*
{ config, lib, pkgs, ... }:
let
  inherit (lib) types;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt off accept;
in
{
  options = {
    hardware = {
      enableRedistributableFirmware = opt types.bool false // { default = config.hardware.enableAllFirmware; };
      enableAllFirmware = off;
      firmware = opt (types.listOf types.package) [ ];
      wirelessRegulatoryDatabase = off;
      cpu.intel.updateMicrocode = off;
      cpu.amd.updateMicrocode = off;
      ksm.enable = off;
      bluetooth.enable = off;
      bluetooth.powerOnBoot = opt types.bool true;
      pulseaudio.enable = off;
      opengl = {
        enable = off;
        driSupport = opt types.bool true;
        driSupport32Bit = off;
        extraPackages = opt (types.listOf types.package) [ ];
      };
      nvidia = accept;
      sensor = accept;
      raspberry-pi = accept;
      deviceTree = {
        enable = off;
        name = opt (types.nullOr types.str) null;
        filter = opt (types.nullOr types.str) null;
        overlays = opt (types.listOf types.anything) [ ];
      };
    };
    powerManagement = {
      enable = opt types.bool true;
      cpuFreqGovernor = opt (types.nullOr types.str) null;
      powertop.enable = off;
    };
  };
  config.hardware.firmware = lib.optional config.hardware.enableRedistributableFirmware pkgs.linux-firmware;
}
