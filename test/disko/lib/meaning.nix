# What devices mean for a NixOS configuration.
{ lib }:
let
  inherit (lib) concatMap optional optionalAttrs;
  values = builtins.attrValues;
  nothing = { fileSystems = { }; swapDevices = [ ]; luks = { }; grubDevices = [ ]; };
  join = lib.foldl' (a: b: {
    fileSystems = a.fileSystems // b.fileSystems;
    swapDevices = a.swapDevices ++ b.swapDevices;
    luks = a.luks // b.luks;
    grubDevices = a.grubDevices ++ b.grubDevices;
  }) nothing;
  mount = where: fs: nothing // { fileSystems = optionalAttrs (where != null) { ${where} = fs; }; };
  swapfiles =
    where: files:
    nothing // {
      swapDevices = map (f: { device = "${where}/${f.path}"; inherit (f) priority options; }) (values files);
    };

  ofContent = c: if c == null then nothing else kinds.${c.type} c;
  kinds = {
    filesystem = c: mount c.mountpoint { inherit (c) device; fsType = c.format; options = c.mountOptions; };
    swap = c: nothing // {
      swapDevices = [
        {
          inherit (c) device discardPolicy priority;
          randomEncryption.enable = c.randomEncryption;
          options = c.mountOptions;
        }
      ];
    };
    btrfs =
      c:
      let
        fs = options: { inherit (c) device; fsType = "btrfs"; inherit options; };
        subvolume = s: join [
          (mount s.mountpoint (fs (s.mountOptions ++ [ "subvol=${s.name}" ])))
          (if s.mountpoint == null then nothing else swapfiles s.mountpoint s.swap)
        ];
      in
      join (
        [
          (mount c.mountpoint (fs c.mountOptions))
          (if c.mountpoint == null then nothing else swapfiles c.mountpoint c.swap)
        ]
        ++ map subvolume (values c.subvolumes)
      );
    luks = c: join [
      (nothing // { luks = optionalAttrs c.initrdUnlock { ${c.name} = { inherit (c) device; } // c.settings; }; })
      (ofContent c.content)
    ];
    gpt = c: join (
      [ (nothing // { grubDevices = optional (lib.any (p: p.type == "EF02") (values c.partitions)) c.device; }) ]
      ++ map (p: ofContent p.content) (values c.partitions)
    );
    table = c: join (map (p: ofContent p.content) c.partitions);
    # members: the pool, group or array says what is on them
    zfs = _: nothing;
    lvm_pv = _: nothing;
    mdraid = _: nothing;
  };
  dataset =
    d:
    if d.type == "zfs_fs" then
      mount d.mountpoint {
        device = d._name;
        fsType = "zfs";
        options = d.mountOptions ++ optional (d.options.mountpoint or "" != "legacy") "zfsutil";
      }
    else
      ofContent d.content;
  zpool = p: join (
    [
      (mount p.mountpoint {
        device = p.name;
        fsType = "zfs";
        options = p.mountOptions ++ optional (p.rootFsOptions.mountpoint or "" != "legacy") "zfsutil";
      })
    ]
    ++ map dataset (values p.datasets)
  );
  # drivers of the device mapper for the kinds of volumes in a group
  modulesOf =
    vg:
    let
      kinds = builtins.filter (t: t != null) (map (lv: lv.lvm_type) (values vg.lvs));
      level = t: if builtins.elem t [ "raid4" "raid5" "raid6" ] then "raid456" else t;
    in
    [ "dm-snapshot" ]
    ++ map (t: "dm-${t}") (builtins.filter (t: t != "thinlv") kinds)
    ++ concatMap (t: if t == "mirror" then [ "dm-mirror" ] else [ "dm-raid" ] ++ optional (lib.hasPrefix "raid" t) (level t)) kinds;

  nodev = n: mount n.mountpoint { inherit (n) device fsType; options = n.mountOptions; };
in
{
  configuration =
    devices:
    {
      initrdModules = concatMap modulesOf (values devices.lvm_vg);
    }
    // join (
      map (d: ofContent d.content) (values devices.disk ++ values devices.mdadm)
      ++ concatMap (vg: map (lv: ofContent lv.content) (values vg.lvs)) (values devices.lvm_vg)
      ++ map zpool (values devices.zpool)
      ++ map nodev (values devices.nodev)
    );
}
