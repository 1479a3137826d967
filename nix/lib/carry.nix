# carry: the settings of a host that its mini system takes over, as plain data, and those it cannot.
#
# The mini system is plain NixOS from evaluated values: each carried value is set with mkForce. Applied to the mini
# system itself the same function must return the same list; tests hold it to that for every example.
{
  lib,
  config,
  options,
  pkgs,
  baseModules, # nixpkgs' module list: what it sets itself is recomputed by the mini system
}:
let
  inherit (lib)
    attrByPath
    concatMap
    filter
    hasAttrByPath
    isOption
    mapAttrsToList
    optional
    showOption
    ;
  data = import ./data.nix { inherit lib; };

  base = builtins.listToAttrs (
    map (m: {
      name = toString m;
      value = true;
    }) (builtins.filter (m: builtins.isPath m || builtins.isString m) baseModules)
  );
  # Somebody outside nixpkgs' own module list set it: the definition, a profile it imports, disko, or one of our options.
  foreign = option: lib.any (file: !(base ? ${toString file})) option.files;
  optionDefault = (lib.mkOptionDefault null).priority;
  isSet = option: (option.highestPrio or optionDefault) < optionDefault;

  entry = path: value: { carried = [ { inherit path value; } ]; losses = [ ]; };
  loss = boots: path: why: {
    carried = [ ];
    losses = [
      {
        option = showOption path;
        inherit why boots;
      }
    ];
  };
  nothing = {
    carried = [ ];
    losses = [ ];
  };
  join = parts: {
    carried = concatMap (p: p.carried) parts;
    losses = concatMap (p: p.losses) parts;
  };

  value =
    boots: path: report: v:
    let
      r = data.read v;
    in
    if r.why == null then
      entry path r.value
    else if report && r.throws then
      # a wrong type, or a throw of the owner's: that is an error of the host, with its own message
      builtins.deepSeq v v
    else if report then
      loss boots path r.why
    else
      nothing;

  # One option, if anybody set it.
  leaf =
    boots: path:
    let
      option = attrByPath path null options;
    in
    if option == null || !(isOption option) || !(isSet option) then
      nothing
    else
      value boots path (foreign option) option.value;

  # Every option below a path.
  tree =
    boots: skip: path:
    let
      below = attrByPath path null options;
      go =
        p: o:
        if builtins.elem p skip then
          nothing
        else if isOption o then
          # what nixpkgs hides or computes is its own business
          (if (o.internal or false) || (o.readOnly or false) then nothing else leaf boots p)
        else if !(builtins.isAttrs o) then
          nothing # options of NixOS 21.05 and older hold more than options
        else
          join (mapAttrsToList (n: go (p ++ [ n ])) (removeAttrs o [ "_module" ]));
    in
    if below == null then nothing else go path below;

  # An attribute set of submodules: each setting of each element, one level deep. Settings that throw are former names.
  elements =
    boots: skip: path:
    let
      option = attrByPath path null options;
      settings =
        p: v:
        if (builtins.tryEval (builtins.seq v true)).success then
          value boots p (foreign option) v
        else
          nothing;
      one =
        n: element:
        join (
          mapAttrsToList (s: settings (path ++ [ n s ])) (removeAttrs element ([ "_module" ] ++ skip))
        );
    in
    if option == null || !(isOption option) then nothing else join (mapAttrsToList one option.value);

  # Drivers for the disks and controllers common machines have, beside what nixpkgs puts into every initrd. Each exists in
  # the x86_64 kernels of NixOS 23.05 to 24.05; other platforms build kernels without some of them.
  hardware = [
    "aacraid"
    "ahci"
    "hv_storvsc"
    "isci"
    "megaraid_sas"
    "mmc_block"
    "mpt3sas"
    "mptspi"
    "nvme"
    "rtsx_pci_sdmmc"
    "sd_mod"
    "sdhci_acpi"
    "sdhci_pci"
    "smartpqi"
    "uas"
    "usb_storage"
    "virtio_blk"
    "virtio_pci"
    "virtio_scsi"
    "vmd"
    "vmw_pvscsi"
    "xen_blkfront"
    "xhci_pci"
  ];
  generic = if pkgs.stdenv.hostPlatform.isx86_64 then hardware else [ ];
  initrdModules = entry [ "boot" "initrd" "availableKernelModules" ] (
    lib.naturalSort (lib.unique (config.boot.initrd.availableKernelModules ++ generic))
  );

  # swapDevices is a list of submodules: only what a person writes, never the names and units derived from it. A label has
  # become a device by then.
  swap =
    let
      one =
        s:
        lib.filterAttrs (_: v: v != null) {
          inherit (s) device;
          size = s.size or null;
          priority = s.priority or null;
          options = s.options or null;
        }
        // lib.optionalAttrs (s.randomEncryption.enable or false) {
          randomEncryption = {
            enable = true;
            inherit (s.randomEncryption) cipher;
          };
        };
    in
    optional (config.swapDevices != [ ]) (value false [ "swapDevices" ] true (map one config.swapDevices));

  firmware = lib.optional (
    config.hardware.enableRedistributableFirmware or false || config.hardware.enableAllFirmware or false
  ) (entry [ "hardware" "enableRedistributableFirmware" ] true);

  # Pictures and fonts do not boot a machine, and settings of a boot loader that is off say nothing.
  unused =
    map (n: [ "boot" "loader" "grub" n ]) (
      if config.boot.loader.grub.enable then
        [ "font" "splashImage" "theme" ]
      else
        filter (n: n != "enable") (lib.attrNames options.boot.loader.grub)
    );

  custom = config.hive.setup.bootLoader or null;
  bootLoader =
    if custom == null then
      [
        (tree true unused [ "boot" "loader" ])
      ]
    else
      let
        flat =
          path: v:
          if builtins.isAttrs v && !(hasAttrByPath path options && isOption (attrByPath path null options)) then
            join (mapAttrsToList (n: flat (path ++ [ n ])) v)
          else
            value true path true v;
      in
      [ (flat [ "boot" "loader" ] custom) ];

  # Settings without which the mini system is another machine, but still boots.
  comfort = map (leaf false) [
    [ "boot" "blacklistedKernelModules" ]
    [ "boot" "consoleLogLevel" ]
    [ "boot" "extraModprobeConfig" ]
    [ "boot" "kernelModules" ]
    [ "boot" "initrd" "checkJournalingFS" ]
    [ "boot" "swraid" "mdadmConf" ]
    [ "console" "earlySetup" ]
    [ "console" "font" ]
    [ "console" "keyMap" ]
    [ "hardware" "cpu" "amd" "updateMicrocode" ]
    [ "hardware" "cpu" "intel" "updateMicrocode" ]
    [ "i18n" "defaultLocale" ]
    [ "i18n" "extraLocaleSettings" ]
    [ "i18n" "supportedLocales" ]
    [ "networking" "domain" ]
    [ "networking" "enableIPv6" ]
    [ "networking" "hostName" ]
    [ "networking" "nameservers" ]
    [ "networking" "search" ]
    [ "networking" "usePredictableInterfaceNames" ]
    [ "services" "openssh" "ports" ]
    [ "system" "stateVersion" ]
    [ "systemd" "network" "wait-online" "anyInterface" ]
    [ "systemd" "network" "wait-online" "enable" ]
    [ "time" "hardwareClockInLocalTime" ]
    [ "time" "timeZone" ]
  ];

  # Settings without which the machine may not find its root file system.
  boot = map (leaf true) [
    [ "boot" "initrd" "kernelModules" ]
    [ "boot" "initrd" "supportedFilesystems" ]
    [ "boot" "initrd" "systemd" "enable" ]
    [ "boot" "kernelParams" ]
    [ "boot" "supportedFilesystems" ]
    [ "boot" "swraid" "enable" ]
    [ "boot" "zfs" "devNodes" ]
    [ "boot" "zfs" "extraPools" ]
    [ "boot" "zfs" "forceImportAll" ]
    [ "boot" "zfs" "forceImportRoot" ]
    [ "boot" "zfs" "requestEncryptionCredentials" ]
    [ "hardware" "deviceTree" "enable" ]
    [ "hardware" "deviceTree" "filter" ]
    [ "hardware" "deviceTree" "name" ]
    [ "networking" "hostId" ]
    [ "services" "lvm" "boot" "thin" "enable" ]
  ];

  # What can only be a package, a path or a function in NixOS itself.
  unreachable =
    boots: path: why:
    let
      option = attrByPath path null options;
    in
    optional (
      option != null && isOption option && isSet option && foreign option && !(builtins.elem option.value [ null false [ ] { } "" ])
    ) (loss boots path why);

  kernel = config.boot.kernelPackages.kernel;
  major = lib.versions.majorMinor kernel.version;
  attribute = "linux_" + builtins.replaceStrings [ "." ] [ "_" ] major;
in
join (
  comfort
  ++ boot
  ++ bootLoader
  ++ swap
  ++ firmware
  ++ [
    initrdModules
    (elements true [ "formatOptions" ] [ "fileSystems" ])
    (elements true [ ] [ "boot" "initrd" "luks" "devices" ])
  ]
  ++ unreachable true [ "boot" "initrd" "secrets" ] "files for the initrd exist on the finished host only"
  ++ unreachable false [ "boot" "initrd" "network" "ssh" "enable" ] "unlocking over ssh needs host keys in the initrd"
  ++ unreachable false [ "boot" "extraModulePackages" ] "kernel modules outside the kernel are packages"
  ++ unreachable false [ "boot" "kernelPatches" ] "patches are files; the mini system runs the unpatched kernel"
  ++ unreachable false [ "networking" "wireless" "enable" ] "a wireless network needs its secret; the mini system uses the cable"
)
// {
  # The pin's own kernel of the same line. A kernel nobody chose is the pin's default in the mini system too.
  kernel = if foreign options.boot.kernelPackages && isSet options.boot.kernelPackages then attribute else null;
}
