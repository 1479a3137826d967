// Package lab installs real NixOS on virtual machines, from media that the program itself wrote, by the commands that a user types. What the
// machines go through are the cases in install_test.go; see README.md for what they run on and what they prove.
package lab
