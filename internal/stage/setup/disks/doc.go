// Package disks is everything that touches the disks of the machine that is being installed: what is on them, whether anything else would be
// hit, a kit to undo with, teardown, an empty layout, disko's scripts, and the proof of what came out of them.
//
// # What it rests on
//
//   - Nothing is written but through a file of the whole disk that was opened with O_EXCL, after the disk was seen again to be the one that was
//     confirmed (serial, size, device number). The kernel refuses that open while the disk or anything on it is in use, and refuses others
//     while it is open. No program is ever told to force anything.
//   - disko (1.6 and later) formats what blkid finds blank, so old contents at the place of a new partition would be adopted instead of
//     formatted. Therefore [Site.Wipe] asks sgdisk what the table will be before there is one, empties both ends of every old and every
//     new partition, and only then writes the table, complete. The kernel and udev never see a partition with old contents in it, and
//     disko's script finds every partition there already (sgdisk --new fails, and it goes on). What lies on an md array appears only
//     while disko's script runs; it is examined afterwards ([Site.Format]).
//   - disko addresses partitions by label, which any disk may carry. Labels are looked up in the tables of the planned disks, and must be what
//     udev's links point to.
//   - Exit codes prove nothing: tables, signatures and mounts are read back. What is mounted where is taken from the mount that a path leads to
//     (fdinfo of an open folder), since mountpoint(1) and findmnt(8) also tell mounts that are shadowed.
//
// Each step can be repeated after it was cut off at any point, and each is a boundary: nothing is kept in memory between them.
package disks
