# File systems and swap.
{ config, lib, pkgs, utils, ... }:
let
  inherit (lib) mkIf mkOption types;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt off need;
  nonEmpty = types.addCheck types.str (s: builtins.match "[ \t\n]*" s == null) // { description = "string (with check: non-empty)"; };
  maybe = type: opt (types.nullOr type) null;

  fileSystem =
    { name, config, ... }:
    {
      options = {
        device = maybe nonEmpty // { example = "/dev/sda"; };
        label = maybe nonEmpty;
        mountPoint = need nonEmpty;
        fsType = opt nonEmpty "auto";
        options = opt (types.listOf types.str) [ "defaults" ] // {
          type = types.addCheck (types.listOf types.str) (l: l != [ ]);
        };
        depends = opt (types.listOf nonEmpty) [ ];
        neededForBoot = off;
        noCheck = off;
        autoFormat = off;
        autoResize = off;
        formatOptions = maybe types.str // { visible = false; };
        encrypted = { enable = off; blkDev = maybe types.str; label = maybe types.str; keyFile = maybe types.str; };
        overlay = { lowerdir = maybe (types.listOf types.str); upperdir = maybe types.str; workdir = maybe types.str; };
        stratis.poolUuid = maybe types.str;
      };
      config = {
        mountPoint = lib.mkDefault name;
        options = mkIf (utils.fsNeededForBoot config) [ "x-initrd.mount" ];
      };
    };
  swapDevice =
    { config, options, ... }:
    {
      options = {
        device = need types.nonEmptyStr;
        label = need types.str;
        size = maybe types.int;
        priority = maybe types.int;
        options = opt (types.listOf types.nonEmptyStr) [ "defaults" ];
        discardPolicy = maybe (types.enum [ "once" "pages" "both" ]);
        encrypted = { enable = off; blkDev = maybe types.str; label = maybe types.str; keyFile = maybe types.str; };
        randomEncryption = opt (types.coercedTo types.bool (enable: { inherit enable; }) (types.submodule {
          options = {
            enable = off;
            cipher = opt types.str "aes-xts-plain64";
            keySize = maybe types.int;
            sectorSize = maybe types.int;
            source = opt types.str "/dev/urandom";
            allowDiscards = off;
          };
        })) false;
        deviceName = opt types.str "" // { internal = true; };
        realDevice = opt types.path "/" // { internal = true; };
      };
      config = {
        device = mkIf options.label.isDefined "/dev/disk/by-label/${config.label}";
        deviceName = builtins.replaceStrings [ "\\" ] [ "" ] (utils.escapeSystemdPath config.device);
        realDevice = if config.randomEncryption.enable then "/dev/mapper/${config.deviceName}" else config.device;
      };
    };
in
{
  options = {
    fileSystems = opt (types.attrsOf (types.submodule fileSystem)) { };
    swapDevices = opt (types.listOf (types.submodule swapDevice)) [ ];
    zramSwap = { enable = off; memoryPercent = opt types.int 50; algorithm = opt types.str "zstd"; };
    services.lvm = {
      enable = mkOption { type = types.bool; default = true; };
      boot.thin.enable = off;
      boot.vdo.enable = off;
      dmeventd.enable = off;
    };
    services.fstrim = { enable = off; interval = opt types.str "weekly"; };
    services.btrfs.autoScrub = {
      enable = off;
      interval = opt types.str "monthly";
      fileSystems = opt (types.listOf types.str) [ ];
    };
    services.smartd.enable = off;
  };
  config = {
    _module.args.utils = import ../../lib/utils.nix { inherit lib config pkgs; };
    assertions = [
      {
        assertion = config.boot.isContainer || config.fileSystems ? "/";
        message = "The ‘fileSystems’ option does not specify your root file system.";
      }
    ];
    environment.etc.fstab.text = lib.concatMapStrings (
      fs: "${toString fs.device} ${fs.mountPoint} ${fs.fsType} ${lib.concatStringsSep "," fs.options} 0 0\n"
    ) (builtins.attrValues config.fileSystems);
  };
}
