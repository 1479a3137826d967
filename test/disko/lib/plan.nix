# What the scripts would do, one line a step.
{ lib, rootMountPoint }:
let
  values = builtins.attrValues;
  meaning = import ./meaning.nix { inherit lib; };
  sorted = lib.sort (a: b: a.priority < b.priority);

  ofContent = c: if c == null then [ ] else kinds.${c.type} c;
  kinds = {
    filesystem = c: [ "make ${c.format} on ${c.device}" ];
    swap = c: [ "make swap on ${c.device}" ];
    btrfs = c: [ "make btrfs on ${c.device}" ] ++ map (s: "make subvolume ${s.name} on ${c.device}") (values c.subvolumes);
    luks = c: [ "encrypt ${c.device} as ${c.name}" ] ++ ofContent c.content;
    gpt = c:
      [ "write a gpt on ${c.device}" ]
      ++ map (p: "make partition ${p.label} of type ${p.type} and size ${p.size} on ${c.device}") (sorted (values c.partitions))
      ++ lib.concatMap (p: ofContent p.content) (sorted (values c.partitions));
    table = c: [ "write a ${c.format} table on ${c.device}" ] ++ lib.concatMap (p: ofContent p.content) c.partitions;
    zfs = c: [ "give ${c.device} to the pool ${c.pool}" ];
    lvm_pv = c: [ "give ${c.device} to the volume group ${c.vg}" ];
    mdraid = c: [ "give ${c.device} to the array ${c.name}" ];
  };
  formatDataset = d: [ "make data set ${d._name}" ] ++ ofContent (d.content or null);
in
rec {
  destroy = devices: map (d: "wipe ${d.device}") (values devices.disk);
  format =
    devices:
    lib.concatMap (d: ofContent d.content) (values devices.disk)
    ++ lib.concatMap (m: [ "assemble array ${m.name}" ] ++ ofContent m.content) (values devices.mdadm)
    ++ lib.concatMap (vg: [ "make volume group ${vg.name}" ] ++ lib.concatMap (lv: ofContent lv.content) (values vg.lvs)) (values devices.lvm_vg)
    ++ lib.concatMap (p: [ "make pool ${p.name}" ] ++ lib.concatMap formatDataset (values p.datasets)) (values devices.zpool);
  # parents come before what is mounted inside them
  mount =
    devices:
    lib.mapAttrsToList (where: fs: "mount ${fs.device} at ${rootMountPoint}${where}") (meaning.configuration devices).fileSystems;
  disko = devices: destroy devices ++ format devices ++ mount devices;
}
