// Package machine says what a machine is ([Probe]), which host of a medium it is ([Recognise]), which of its disks are the host's
// ([Resolve]), and whether the host's system would run on it ([Fits], [Drivers]). It also writes down what somebody who defines a host
// has to know about the machine: rows for tables, lines to paste, and a disko tree to start from.
//
// Only Probe touches anything, and it only reads. All else are pure functions on hive's words, so that the same judgement is made on
// the medium, on the deployer with a report that came over the network, and in tests.
package machine
