// Package medium is stage 0 on the deployer: it finds devices that look like a medium, and writes an installation image to one of them or to a
// file, with what must not be in the image itself (host keys) put in on the way, and verified.
//
// # Rights
//
// Only the opening of a device is privileged. A caller who may not open it has `sudo` run this program again with the hidden subcommand
// [OpenCommand], which judges the device once more, opens it for itself alone, and passes the open file back through a socket that is its
// stdin (sudo closes all files above stderr). Reading the image, writing and verifying are done without privileges. When the writing is over the
// other program makes the kernel read the new partition table, and ends.
//
// # Automatic mounting
//
// No udev rule is set. While the device is open with O_EXCL the kernel refuses to mount it or a partition of it, whoever asks; and that holds
// from before the first byte is written until the last one is verified.
package medium
