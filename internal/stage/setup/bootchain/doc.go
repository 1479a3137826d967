// Package bootchain proves that an installed machine will start, and makes its firmware start it.
//
// [Verify] reads the way from the firmware to the system back from the disks: the loader's files, the entry it takes, kernel and initrd byte
// for byte, the system that the kernel is told to run, its profile and its closure. Exit codes prove nothing here: up to NixOS 24.05
// nixos-install says that it finished although the boot loader failed (nixpkgs PR 340522).
//
// [Entry] writes the variables of UEFI, with the partition's GUID as it is on the disk and not as the kernel remembers it. [Load] hands the
// installed kernel to the running one, for machines whose firmware would start the medium again.
package bootchain
