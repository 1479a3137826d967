// Package blockdev knows block devices: it lists them, judges whether one may be overwritten, opens one for itself alone, writes an image to
// it and reads it back, and reads GUID partition tables.
//
// # What it rests on
//
//   - lsblk (util-linux 2.37 to 2.41) tells what there is. Columns differ between versions, so all are asked for (-O) and those that are
//     missing are taken from /sys or left empty. A device that several others make up is told below each of them.
//   - open(2) with O_EXCL on a block device fails with EBUSY while the kernel uses it or one of its partitions: mounted (in whatever mount
//     namespace), swap, md, dm, an imported pool. It holds others off the same way while it is open. This, not the list, is the guard that
//     cannot be raced. A forced wipefs or mkfs does not ask for it.
//   - O_DIRECT passes the page cache by: what was counted as written is on its way to the device, and what is read back comes from it.
//
// What lsblk says of contents is what udev remembers. Where no udev runs, lsblk (2.38) says nothing of them even to root, so blkid is asked.
// A caller who may not read the devices then sees no contents: [Judge] knows less, and the exclusive open remains.
package blockdev
