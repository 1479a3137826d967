# The initial RAM disk, and what it unlocks.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt off on sub accept;
  strings = opt (types.listOf types.str) [ ];
  switches = types.coercedTo (types.listOf types.str) (names: lib.genAttrs names (_: true)) (types.attrsOf types.bool);
  cfg = config.boot.initrd;
  text = opt types.lines "";
  maybe = type: opt (types.nullOr type) null;
  needed = import ../../lib/utils.nix { inherit lib config pkgs; };
  bootFS = builtins.filter needed.fsNeededForBoot (builtins.attrValues config.fileSystems);
  luks = cfg.luks;
  on' = fs: cfg.supportedFilesystems.${fs} or false;

  # Drivers every initrd gets: the list of nixpkgs 24.05, so that what a mini system carries is the same on both.
  always = [
    "ahci" "sata_nv" "sata_via" "sata_sis" "sata_uli" "ata_piix" "pata_marvell" "nvme" "sd_mod" "sr_mod" "mmc_block" "uhci_hcd"
    "ehci_hcd" "ehci_pci" "ohci_hcd" "ohci_pci" "xhci_hcd" "xhci_pci" "usbhid" "hid_generic" "hid_lenovo" "hid_apple" "hid_roccat"
    "hid_logitech_hidpp" "hid_logitech_dj" "hid_microsoft" "hid_cherry" "hid_corsair"
  ];
  onX86 = [ "pcips2" "atkbd" "i8042" "rtc_cmos" ];
  forFileSystem = {
    btrfs = [ "crc32c" "xxhash_generic" "blake2b_generic" "sha256_generic" ];
    vfat = [ "vfat" "nls_cp437" "nls_iso8859-1" ];
    xfs = [ "xfs" "crc32c" ];
    f2fs = [ "f2fs" "crc32" ];
    zfs = [ ];
  };
in
{
  options.boot.initrd = {
    enable = on;
    systemd = {
      enable = off;
      emergencyAccess = opt types.anything false;
      services = accept;
      network = accept;
      storePaths = opt types.anything [ ];
    };
    availableKernelModules = strings;
    kernelModules = strings;
    includeDefaultModules = on;
    supportedFilesystems = mkOption { type = switches; default = { }; };
    checkJournalingFS = on;
    verbose = on;
    compressor = opt types.anything "zstd";
    secrets = opt (types.attrsOf (types.nullOr types.path)) { };
    extraFiles = accept;
    preLVMCommands = text;
    preDeviceCommands = text;
    postDeviceCommands = text;
    postMountCommands = text;
    postResumeCommands = text;
    extraUtilsCommands = text;
    services = accept;
    network = {
      enable = off;
      flushBeforeStage2 = on;
      postCommands = text;
      udhcpc = { enable = on; extraArgs = strings; };
      ssh = {
        enable = off;
        port = opt types.port 22;
        shell = maybe types.str;
        hostKeys = opt (types.listOf (types.either types.str types.path)) [ ];
        ignoreEmptyHostKeys = off;
        authorizedKeys = strings;
        authorizedKeyFiles = opt (types.listOf types.path) [ ];
        extraConfig = text;
      };
    };
    luks = {
      cryptoModules = opt (types.listOf types.str) [
        "aes" "aes_generic" "blowfish" "twofish" "serpent" "cbc" "xts" "lrw" "sha1" "sha256" "sha512" "af_alg" "algif_skcipher"
      ];
      forceLuksSupportInInitrd = off // { internal = true; };
      mitigateDMAAttacks = on;
      reusePassphrases = on;
      gpgSupport = off;
      yubikeySupport = off;
      fido2Support = off;
      devices = opt (sub (
        { name, ... }:
        {
          options = {
            name = opt types.str name // { visible = false; };
            device = lib.mkOption { type = types.path; };
            header = maybe types.str;
            keyFile = maybe types.str;
            keyFileTimeout = maybe types.int;
            keyFileSize = maybe types.int;
            keyFileOffset = maybe types.int;
            tryEmptyPassphrase = off;
            fallbackToPassword = off;
            preLVM = on;
            allowDiscards = off;
            bypassWorkqueues = off;
            gpgCard = maybe types.attrs;
            yubikey = maybe types.attrs;
            fido2 = {
              credential = maybe types.str;
              credentials = strings;
              gracePeriod = opt types.int 10;
              passwordLess = off;
            };
            preOpenCommands = text;
            postOpenCommands = text;
            crypttabExtraOpts = opt (types.listOf types.singleLineStr) [ ];
          };
        }
      )) { };
    };
  };
  config = {
    # the places in the list are those of nixpkgs: file systems, encryption, then the drivers
    boot.initrd.availableKernelModules = lib.mkMerge [
      # the scripts of stage 1 want ext2 and ext4 in any case
      (lib.mkIf (!cfg.systemd.enable || lib.any on' [ "ext2" "ext3" "ext4" ]) (lib.mkOrder 1003 [ "ext2" "ext4" ]))
      (lib.mkIf cfg.systemd.enable (lib.mkOrder 1004 [ "autofs" "tpm-tis" "tpm-crb" "efivarfs" ]))
      (lib.mkIf config.boot.swraid.enable [ "md_mod" "raid0" "raid1" "raid10" "raid456" ])
      (lib.mkOrder 1003 (lib.unique (lib.concatMap (fs: forFileSystem.${fs} or [ ]) (builtins.attrNames cfg.supportedFilesystems))))
      (lib.mkIf (luks.devices != { } || luks.forceLuksSupportInInitrd) (
        lib.mkOrder 1005 ([ "dm_mod" "dm_crypt" "cryptd" "input_leds" ] ++ luks.cryptoModules ++ [ "ecb" ])
      ))
      (lib.mkIf cfg.includeDefaultModules (lib.mkOrder 1010 (always ++ lib.optionals pkgs.stdenv.hostPlatform.isx86 onX86)))
    ];
    boot.initrd.kernelModules = lib.mkMerge [
      (lib.optionals (on' "zfs") [ "zfs" "spl" ])
      (lib.optional (on' "btrfs") "btrfs")
      (lib.mkAfter (lib.optional cfg.includeDefaultModules "dm_mod" ++ lib.optional cfg.network.enable "af_packet"))
    ];
    boot.blacklistedKernelModules = lib.mkIf (luks.devices != { } && luks.mitigateDMAAttacks) [ "firewire_ohci" "firewire_core" "firewire_sbp2" ];
    boot.initrd.supportedFilesystems = lib.genAttrs (lib.unique (map (fs: fs.fsType) bootFS)) (_: true);
  };
}
