# The kernel, its parameters and modules.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt off on need;
  strings = opt (types.listOf types.str) [ ];
  switches = types.coercedTo (types.listOf types.str) (names: lib.genAttrs names (_: true)) (types.attrsOf types.bool);
  cfg = config.boot;
  parameter = types.strMatching "([^\"[:space:]]|\"[^\"]*\")+" // { description = "string, with spaces inside double quotes"; };
in
{
  imports = [
    (lib.mkRenamedOptionModule [ "boot" "cleanTmpDir" ] [ "boot" "tmp" "cleanOnBoot" ])
    (lib.mkRenamedOptionModule [ "boot" "tmpOnTmpfs" ] [ "boot" "tmp" "useTmpfs" ])
  ];
  options = {
    boot = {
      kernelPackages = opt types.raw null // {
        default = pkgs.linuxPackages;
        # as in nixpkgs, patches would make another kernel
        apply = packages: packages;
      };
      kernelPatches = opt (types.listOf types.attrs) [ ];
      kernelParams = opt (types.listOf parameter) [ ];
      kernelModules = strings;
      extraModulePackages = opt (types.listOf types.package) [ ];
      extraModprobeConfig = opt types.lines "";
      blacklistedKernelModules = strings;
      consoleLogLevel = opt types.int 4;
      kernel.enable = on;
      kernel.sysctl = opt (types.attrsOf (types.nullOr (types.oneOf [ types.bool types.str types.int ]))) { };
      vesa = off;
      growPartition = off;
      isContainer = off;
      enableContainers = on;
      hardwareScan = on;
      crashDump.enable = off;
      plymouth.enable = off;
      bcache.enable = opt types.bool true;
      tmp = {
        cleanOnBoot = off;
        useTmpfs = off;
        tmpfsSize = opt (types.either types.str types.ints.positive) "50%";
      };
      binfmt.emulatedSystems = strings;
      supportedFilesystems = mkOption { type = switches; default = { }; };
      swraid = { enable = off; mdadmConf = opt types.lines ""; };
      zfs = {
        enabled = opt types.bool false // {
          readOnly = true;
          default = cfg.supportedFilesystems.zfs or false || cfg.initrd.supportedFilesystems.zfs or false;
        };
        package = opt types.package null // { default = pkgs.zfs; };
        modulePackage = opt types.package null // { default = cfg.kernelPackages.zfs; internal = true; };
        allowHibernation = off;
        extraPools = strings;
        devNodes = opt types.path "/dev/disk/by-id";
        forceImportRoot = on;
        forceImportAll = off;
        passwordTimeout = opt types.int 0;
        removeLinuxDRM = off;
        requestEncryptionCredentials = opt (types.either types.bool (types.listOf types.str)) true;
      };
    };
    services.zfs = {
      autoScrub = { enable = off; interval = opt types.str "monthly"; pools = strings; };
      autoSnapshot.enable = off;
      trim.enable = on;
    };
  };
  config = {
    boot = {
      kernelParams = lib.mkMerge [
        (lib.mkIf (cfg.zfs.enabled && !cfg.zfs.allowHibernation) [ "nohibernate" ])
        (lib.mkIf (cfg.initrd.enable && cfg.initrd.systemd.enable) [ "root=fstab" ])
        [ "loglevel=${toString cfg.consoleLogLevel}" ]
      ];
      # orders stand for the places of modules in the list of nixpkgs: what a person writes comes first
      kernelModules = lib.mkMerge [
        (lib.mkIf cfg.enableContainers (lib.mkOrder 1005 [ "bridge" "macvlan" "tap" "tun" ]))
        (lib.mkOrder 1010 (lib.optional cfg.zfs.enabled "zfs" ++ [ "loop" "atkbd" ]))
      ];
      extraModulePackages = lib.optional cfg.zfs.enabled cfg.zfs.modulePackage;
      supportedFilesystems = lib.genAttrs (lib.unique (map (fs: fs.fsType) (builtins.attrValues config.fileSystems))) (_: true);
    };
    warnings = lib.optional (
      cfg.swraid.enable && !(lib.any (word: lib.hasInfix word cfg.swraid.mdadmConf) [ "MAILADDR" "PROGRAM" ])
    ) "mdadm: Neither MAILADDR nor PROGRAM has been set. This will cause the `mdmon` service to crash.";
    assertions = lib.optionals cfg.zfs.enabled [
      {
        assertion = config.networking.hostId != null;
        message = "ZFS requires networking.hostId to be set";
      }
      {
        assertion = !cfg.zfs.forceImportAll || cfg.zfs.forceImportRoot;
        message = "If you enable boot.zfs.forceImportAll, you must also enable boot.zfs.forceImportRoot";
      }
    ];
  };
}
