# What can be on a device: types of options.
#
# Every content knows its parent { type, name, device }: its own device and the labels of partitions follow from it.
{ lib }:
let
  inherit (lib) mkOption types;
  opt = type: default: mkOption { inherit type default; };
  need = type: mkOption { inherit type; };
  strings = opt (types.listOf types.str) [ ];
  maybe = type: opt (types.nullOr type) null;
  kind = name: opt (types.enum [ name ]) name // { internal = true; };
  absolute = types.strMatching "/.*" // { description = "absolute pathname"; };
  options = default: opt (types.listOf types.str) default;
  hooks = lib.genAttrs [ "preCreateHook" "postCreateHook" "preMountHook" "postMountHook" ] (_: opt types.lines "");
  submodule = options: types.submodule { inherit options; };

  # One of several submodules, by its attribute `type`.
  byType =
    kinds:
    lib.mkOptionType {
      name = "subType";
      description = "one of ${lib.concatStringsSep "," (builtins.attrNames kinds)}";
      check = x: builtins.isAttrs x && x ? type && kinds ? ${x.type};
      merge =
        loc: defs:
        let
          first = (builtins.head defs).value.type;
        in
        kinds.${first}.merge loc defs;
    };

  # Labels longer than GPT takes are hashed, as disko does.
  labelOf =
    parent: name:
    let
      label = "${parent.type}-${parent.name}-${name}";
    in
    if builtins.stringLength label > 36 then builtins.substring 0 36 (builtins.hashString "sha256" label) else label;
  # The name of the n-th partition of a device: some kinds put a letter or a word before the number.
  numbered =
    device: n:
    if builtins.match "/dev/(sd|vd|hd|xvd).*" device != null then
      "${device}${toString n}"
    else if builtins.match "/dev/(disk|zvol)/.*" device != null then
      "${device}-part${toString n}"
    else
      "${device}p${toString n}";
  # Place of an attribute when the set is in the order in which partitions are made.
  placeOf =
    name: partitions:
    let
      before = a: b:
        if partitions.${a}.priority == partitions.${b}.priority then
          a < b
        else
          partitions.${a}.priority < partitions.${b}.priority;
    in
    1 + lib.lists.findFirstIndex (n: n == name) 0 (builtins.sort before (builtins.attrNames partitions));

  contents = parent: contentsOf parent // partitionTables parent;
  content = parent: maybe (byType (contents parent));
  inPartition = parent: maybe (byType (contentsOf parent));

  swapfiles = opt (types.attrsOf (types.submodule (
    { name, ... }:
    {
      options = {
        size = need types.str;
        path = opt types.str name;
        priority = maybe types.int;
        options = options [ "defaults" ];
      };
    }
  ))) { };

  contentsOf =
    parent:
    let
      device = opt types.str parent.device;
      base = name: hooks // { type = kind name; inherit device; };
    in
    {
      filesystem = submodule (base "filesystem" // {
        format = need types.str;
        mountpoint = maybe absolute;
        mountOptions = options [ "defaults" ];
        extraArgs = strings;
      });
      swap = submodule (base "swap" // {
        randomEncryption = opt types.bool false;
        resumeDevice = opt types.bool false;
        priority = maybe types.int;
        discardPolicy = maybe (types.enum [ "once" "pages" "both" ]);
        mountOptions = options [ "defaults" ];
        extraArgs = strings;
      });
      btrfs = submodule (base "btrfs" // {
        extraArgs = strings;
        mountpoint = maybe absolute;
        mountOptions = options [ "defaults" ];
        swap = swapfiles;
        subvolumes = opt (types.attrsOf (types.submodule (
          { name, ... }:
          {
            options = {
              name = opt types.str name;
              type = kind "btrfs_subvol";
              extraArgs = strings;
              mountpoint = maybe absolute;
              mountOptions = options [ "defaults" ];
              swap = swapfiles;
            };
          }
        ))) { };
      });
      luks = types.submodule (
        { config, ... }:
        {
          options = base "luks" // {
            name = need types.str;
            content = content { type = "luks"; inherit (config) name; device = "/dev/mapper/${config.name}"; };
            settings = opt (types.attrsOf types.anything) { };
            keyFile = maybe absolute;
            passwordFile = maybe absolute;
            askPassword = opt types.bool (config.keyFile == null && config.passwordFile == null && !(config.settings ? keyFile));
            additionalKeyFiles = strings;
            initrdUnlock = opt types.bool true;
            extraFormatArgs = strings;
            extraOpenArgs = strings;
          };
        }
      );
      zfs = submodule (base "zfs" // { pool = need types.str; });
      lvm_pv = submodule (base "lvm_pv" // { vg = need types.str; });
      mdraid = submodule (base "mdraid" // { name = need types.str; });
    };

  partitionTables =
    parent:
    let
      # partitions are all of the table: on an array a partition is named by its place
      partition =
        partitions:
        { name, config, ... }:
        {
          options = hooks // {
            name = opt types.str name;
            label = opt types.str (labelOf parent name);
            type = opt types.str "8300";
            device = opt types.str (
              if parent.type == "mdadm" then
                "/dev/disk/by-id/md-name-any:${parent.name}-part${toString (placeOf name partitions)}"
              else
                "/dev/disk/by-partlabel/${config.label}"
            );
            size = opt (types.either (types.enum [ "100%" ]) (types.strMatching "[0-9]+[KMGTP%]?")) "0";
            start = opt types.str "0";
            end = opt types.str (if config.size == "100%" then "-0" else "+${config.size}");
            alignment = opt types.int 0;
            _index = opt types.int (placeOf name partitions) // { internal = true; };
            # small and special partitions come first, the one that takes the rest comes last
            priority = opt types.int (if config.size == "100%" then 9001 else if config.type == "EF02" then 100 else 1000);
            hybrid = maybe types.attrs;
            content = inPartition { type = "partition"; inherit name; inherit (config) device; };
          };
        };
      # the name of an element of a list holds its place
      place = name: let m = builtins.match ".*entry ([0-9]+).*" name; in if m == null then 1 else lib.toInt (builtins.head m);
      entry =
        { name, config, ... }:
        {
          options = {
            name = need types.str;
            part-type = opt types.str "primary";
            fs-type = maybe types.str;
            start = opt types.str "0%";
            end = opt types.str "100%";
            flags = strings;
            bootable = opt types.bool false;
            _index = opt types.int (place name) // { internal = true; };
            content = inPartition { type = "partition"; inherit (config) name; device = numbered parent.device (place name); };
          };
        };
      base = { device = opt types.str parent.device; } // hooks;
    in
    {
      gpt = types.submodule (
        { config, ... }:
        {
          options = base // {
            type = kind "gpt";
            efiGptPartitionFirst = opt types.bool true;
            partitions = opt (types.attrsOf (types.submodule (partition config.partitions))) { };
          };
        }
      );
      table = submodule (base // {
        type = kind "table";
        format = opt (types.enum [ "gpt" "msdos" ]) "gpt";
        partitions = opt (types.listOf (types.submodule entry)) [ ];
      });
    };

  disk =
    { name, config, ... }:
    {
      options = hooks // {
        type = kind "disk";
        name = opt types.str name;
        device = need absolute;
        imageName = opt types.str config.name;
        imageSize = opt types.str "2G";
        content = content { type = "disk"; inherit (config) name device; };
      };
    };
  mdadm =
    { name, config, ... }:
    {
      options = hooks // {
        type = kind "mdadm";
        name = opt types.str name;
        level = opt types.int 1;
        metadata = opt types.str "default";
        content = content { type = "mdadm"; inherit (config) name; device = "/dev/md/${config.name}"; };
      };
    };
  lvm_vg =
    { name, config, ... }:
    let
      vg = config.name;
    in
    {
      options = hooks // {
        type = kind "lvm_vg";
        name = opt types.str name;
        lvs = opt (types.attrsOf (types.submodule (
          { name, config, ... }:
          {
            options = hooks // {
              name = opt types.str name;
              size = need types.str;
              lvm_type = maybe (types.enum [ "mirror" "raid0" "raid1" "raid4" "raid5" "raid6" "thin-pool" "thinlv" ]);
              pool = maybe types.str;
              extraArgs = strings;
              content = inPartition { type = "lvm_lv"; inherit (config) name; device = "/dev/${vg}/${config.name}"; };
            };
          }
        ))) { };
      };
    };
  zpool =
    { name, config, ... }:
    let
      pool = config.name;
      dataset = name: {
        options = opt (types.attrsOf types.str) { };
        mountOptions = options [ "defaults" ];
        name = opt types.str name;
        _name = opt types.str "${pool}/${name}" // { internal = true; };
      };
    in
    {
      options = hooks // {
        type = kind "zpool";
        name = opt types.str name;
        mode = opt types.anything "";
        options = opt (types.attrsOf types.str) { };
        rootFsOptions = opt (types.attrsOf types.str) { };
        mountpoint = maybe absolute;
        mountOptions = options [ "defaults" ];
        datasets = opt (types.attrsOf (byType {
          zfs_fs = types.submodule ({ name, ... }: {
            options = hooks // dataset name // { type = kind "zfs_fs"; mountpoint = maybe absolute; };
          });
          zfs_volume = types.submodule (
            { name, ... }:
            {
              options = hooks // dataset name // {
                type = kind "zfs_volume";
                size = need types.str;
                content = inPartition { type = "zfs_volume"; inherit name; device = "/dev/zvol/${pool}/${name}"; };
              };
            }
          );
        })) { };
      };
    };
  nodev =
    { name, ... }:
    {
      options = hooks // {
        type = kind "nodev";
        fsType = need types.str;
        device = opt types.str "none";
        mountpoint = opt (types.nullOr absolute) name;
        mountOptions = options [ "defaults" ];
      };
    };
  devicesOf = module: opt (types.attrsOf (types.submodule module)) { };
in
{
  toplevel = submodule {
    disk = devicesOf disk;
    mdadm = devicesOf mdadm;
    lvm_vg = devicesOf lvm_vg;
    zpool = devicesOf zpool;
    nodev = devicesOf nodev;
  };
}
