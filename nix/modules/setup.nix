# hive.setup: what the installation medium carries for this host besides its disks and its mini system.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  inherit (config.hive.network.match) mac;
  texts = types.listOf types.str;
  script = types.coercedTo types.str lib.singleton (types.listOf types.str);
in
{
  options.hive.setup = {
    preScript = mkOption {
      type = script;
      default = [ ];
      example = [ "modprobe r8125" ];
      description = "Shell lines that run on the medium before disks are touched. The first one that fails stops the installation.";
    };
    postScript = mkOption {
      type = script;
      default = [ ];
      example = [ "cp /etc/nixos/files/license /mnt/var/lib/license" ];
      description = "Shell lines that run on the medium after the mini system is installed and verified, with it mounted at /mnt.";
    };
    files = mkOption {
      type = types.listOf types.path;
      default = [ ];
      example = lib.literalExpression "[ ./license ./certificates ]";
      description = "Files and folders that are placed in /etc/nixos/files of the medium under their base names. They are readable in the Nix store.";
    };
    scripts = mkOption {
      type = types.listOf types.path;
      default = [ ];
      example = lib.literalExpression ''[ ./fix-windows.sh (pkgs.writeShellScriptBin "wipe-old" "...") ]'';
      description = "Programs for the medium: packages, or files that become a command of their base name.";
    };
    bootLoader = mkOption {
      type = types.nullOr types.attrs;
      default = null;
      example = lib.literalExpression ''{ grub = { enable = true; device = "nodev"; efiSupport = true; efiInstallAsRemovable = true; }; }'';
      description = "`boot.loader` of the mini system, in place of the host's own.";
    };
    match = {
      macs = mkOption {
        type = texts;
        default = lib.optional (mac != null) mac;
        defaultText = lib.literalExpression "[ config.hive.network.match.mac ] if that is set";
        apply = map (m: builtins.replaceStrings [ "-" ] [ ":" ] (lib.toLower m));
        example = [ "52:54:00:12:34:56" ];
        description = ''
          MAC addresses of any of the machine's network cards. A medium recognises the machine of this host by one of them, by
          `serials` or by `uuids`: any single value will do.
        '';
      };
      serials = mkOption {
        type = texts;
        default = [ ];
        example = [ "PF2ABCDE" ];
        description = "Serial numbers of the machine, as `setup hardware` on the medium or `dmidecode -s system-serial-number` shows them.";
      };
      uuids = mkOption {
        type = texts;
        default = [ ];
        apply = map lib.toLower;
        example = [ "4c4c4544-0042-3510-8054-b7c04f4e4d32" ];
        description = "UUIDs of the machine, as `setup hardware` on the medium or `dmidecode -s system-uuid` shows them.";
      };
    };
    unattended = mkOption {
      type = types.bool;
      default = false;
      description = ''
        The medium may install this host by itself once it has recognised it, and only onto disks that are blank, that
        hold its own earlier installation, or that are named by their serial number.
      '';
    };
  };
}
