# Boot loaders: their options, and which of them was chosen.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkIf mkDefault mkOption types;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt off on sub need;
  cfg = config.boot.loader;
  grub = cfg.grub;
  maybe = type: opt (types.nullOr type) null;
  text = opt types.lines "";
  strings = opt (types.listOf types.str) [ ];
  repeated = lib.filter (d: lib.count (x: x == d) targets > 1 && d != "nodev") targets;
  targets = lib.concatMap (m: m.devices) grub.mirroredBoots;
in
{
  imports = [
    (lib.mkRenamedOptionModule [ "boot" "loader" "grub" "timeout" ] [ "boot" "loader" "timeout" ])
    (lib.mkRenamedOptionModule [ "boot" "loader" "gummiboot" "enable" ] [ "boot" "loader" "systemd-boot" "enable" ])
  ];
  options.boot.loader = {
    timeout = opt (types.nullOr types.int) 5;
    supportsInitrdSecrets = off // { internal = true; };
    efi = {
      canTouchEfiVariables = off;
      efiSysMountPoint = opt types.str "/boot";
    };
    systemd-boot = {
      enable = off;
      editor = on;
      graceful = off;
      configurationLimit = maybe types.int;
      consoleMode = opt (types.enum [ "0" "1" "2" "auto" "max" "keep" ]) "keep";
      sortKey = opt types.str "nixos";
      xbootldrMountPoint = maybe types.str;
      extraEntries = opt (types.attrsOf types.lines) { };
      extraFiles = opt (types.attrsOf types.path) { };
      extraInstallCommands = text;
      memtest86 = { enable = off; sortKey = opt types.str "o_memtest86"; };
      netbootxyz = { enable = off; sortKey = opt types.str "o_netbootxyz"; };
    };
    grub = {
      enable = mkOption { type = types.bool; default = !config.boot.isContainer; };
      device = opt types.str "";
      devices = strings;
      mirroredBoots = opt (types.listOf (types.submodule {
        options = {
          path = need types.str;
          efiSysMountPoint = maybe types.str;
          efiBootloaderId = maybe types.str;
          devices = strings;
        };
      })) [ ];
      users = opt (types.attrsOf types.attrs) { };
      configurationName = opt types.str "";
      configurationLimit = opt types.int 100;
      copyKernels = off;
      default = opt (types.either types.int types.str) "0" // { apply = toString; };
      fsIdentifier = opt (types.enum [ "uuid" "label" "provided" ]) "uuid";
      efiSupport = off;
      efiInstallAsRemovable = off;
      enableCryptodisk = off;
      zfsSupport = off;
      useOSProber = off;
      forceInstall = off;
      forcei686 = off;
      storePath = opt types.str "/nix/store";
      timeoutStyle = opt (types.enum [ "menu" "countdown" "hidden" ]) "menu";
      backgroundColor = maybe types.str;
      entryOptions = opt (types.nullOr types.str) "--class nixos --unrestricted";
      subEntryOptions = opt (types.nullOr types.str) "--class nixos";
      extraConfig = text;
      extraEntries = text;
      extraEntriesBeforeNixOS = off;
      extraFiles = opt (types.attrsOf types.path) { };
      extraGrubInstallArgs = strings;
      extraInstallCommands = text;
      extraPerEntryConfig = text;
      extraPrepareConfig = text;
      font = opt (types.nullOr types.path) "${pkgs.grub2}/share/grub/unicode.pf2";
      fontSize = maybe types.int;
      theme = maybe types.path;
      splashImage = maybe types.path;
      splashMode = opt (types.enum [ "normal" "stretch" ]) "stretch";
      gfxmodeBios = opt types.str "1024x768";
      gfxmodeEfi = opt types.str "auto";
      gfxpayloadBios = opt types.str "text";
      gfxpayloadEfi = opt types.str "keep";
      ipxe = opt (types.attrsOf (types.either types.path types.str)) { };
      memtest86 = { enable = off; params = strings; };
    };
    generic-extlinux-compatible = {
      enable = off;
      configurationLimit = opt types.int 20;
      useGenerationDeviceTree = on;
    };
    generationsDir = { enable = off; copyKernels = off; };
    initScript.enable = off;
    external = { enable = off; installHook = need types.path; };
    raspberryPi = {
      enable = off;
      version = opt (types.enum [ 0 1 2 3 4 ]) 2;
      firmwareConfig = maybe types.lines;
      uboot = { enable = off; configurationLimit = opt types.int 20; };
    };
  };

  config = {
    boot.loader.grub = lib.mkMerge [
      { enable = mkIf (cfg.systemd-boot.enable || cfg.raspberryPi.enable || cfg.external.enable) (mkDefault false); }
      {
        devices = lib.optional (grub.device != "") grub.device;
        mirroredBoots = lib.optionals (grub.devices != [ ]) [
          { path = "/boot"; inherit (grub) devices; inherit (cfg.efi) efiSysMountPoint; }
        ];
      }
      (mkIf grub.enable {
        splashImage = mkDefault "${pkgs.nixos-artwork.wallpapers.simple-dark-gray-bootloader}";
        backgroundColor = mkDefault "#2F302F";
        splashMode = mkDefault "normal";
        extraPrepareConfig = "";
        zfsSupport = mkIf config.boot.zfs.enabled true;
      })
    ];
    boot.loader.systemd-boot.extraEntries = mkIf cfg.systemd-boot.memtest86.enable {
      "memtest86.conf" = "title  Memtest86+\nefi    /efi/memtest86/memtest.efi\nsort-key ${cfg.systemd-boot.memtest86.sortKey}\n";
    };
    boot.loader.supportsInitrdSecrets = mkIf (grub.enable || cfg.systemd-boot.enable) true;
    assertions = lib.optionals grub.enable [
      {
        assertion = grub.mirroredBoots != [ ];
        message = "You must set the option ‘boot.loader.grub.devices’ or 'boot.loader.grub.mirroredBoots' to make the system bootable.";
      }
      {
        assertion = repeated == [ ];
        message = "You cannot have duplicated devices in mirroredBoots";
      }
      {
        assertion = grub.efiInstallAsRemovable -> !cfg.efi.canTouchEfiVariables;
        message = "If you wish to to use boot.loader.grub.efiInstallAsRemovable, then turn off boot.loader.efi.canTouchEfiVariables.";
      }
    ];
  };
}
