// Package install is stage 1 as the deployer sees it: it finds the machine that was started from an installation medium ([Reach]), lets the program
// there install it and follows that, also over a connection that breaks ([Install]), waits until the machine answers as its mini system and says
// why it does not ([Await]), and fetches what a machine is ([Hardware]).
//
// The work itself is done by `setup` on the medium (package setup), which goes on when the connection is lost. What both say to each other is in
// package hive: Manifest, Intent, SetupEvent, Journal, Machine.
//
// Nothing here is shown: results and questions are plain data, and callbacks decide.
package install
