// Package faults proves that no host is lost: hosts of a lab are activated by package guard while links are cut, machines reset, guards and
// operators killed and disks filled, at moments that come from a seed. After each case the host is on the new system as a whole or exactly
// on what it had, and the operator's report says the same. README.md says how to run it and what it shows.
package faults
