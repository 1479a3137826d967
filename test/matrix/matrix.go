// Package matrix cuts the power of a machine while it is being installed, at many points, and wants the next run to complete, the machine to boot, and
// data that was to be kept to be the same to the byte. Real are setup, disko's scripts, nixos-install, kernel, udev and stage 1 of the system; what
// comes after stage 1 is a script that says what it finds. See README.md.
package matrix
