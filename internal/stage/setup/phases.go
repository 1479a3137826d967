package setup

import (
	"context"

	"nixos-staged-hive/internal/hive"
)

// phase is one part of an installation.
type phase struct {
	name string
	what string // in one line, for the screen and the manual
	do   func(*session, context.Context) (string, error)
	// modes that have the phase; none is all of them.
	modes []hive.Mode
	// remembered phases are not done again when an earlier run of the same installation finished them: what they made is on the disk, and is
	// proven by later phases. All others are done in every run.
	remembered bool
	// installs says that there is nothing to do where this very system is installed already, which an unattended medium that was left in finds.
	installs bool
}

// phases are the whole installation, in order.
func phases() []phase {
	return []phase{
		{name: "pre-scripts", what: "run hive.setup.preScript", do: (*session).preScripts},
		{name: "release", what: "take down what uses the disks: mounts, swap, LVM, RAID, LUKS, pools", do: (*session).release},
		{name: "take-up", what: "look for an installation that was interrupted", do: (*session).takeUp, modes: []hive.Mode{hive.Fresh, hive.Add}},
		{name: "undo-kit", what: "save partition tables and signatures, so that the next step can be undone", do: (*session).saveUndo, modes: []hive.Mode{hive.Fresh, hive.Add}},
		{name: "wipe", what: "wipe what is on the disks, and lay out their tables", do: (*session).wipe, modes: []hive.Mode{hive.Fresh, hive.Add}, remembered: true},
		{name: "format", what: "format what is blank, and prove that it is new", do: (*session).format, modes: []hive.Mode{hive.Fresh, hive.Add}, remembered: true},
		{name: "check", what: "check file systems", do: (*session).check, modes: []hive.Mode{hive.Keep, hive.Add}},
		{name: "mount", what: "mount everything, and prove what is where", do: (*session).mount},
		{name: "copy", what: "copy the mini system, each path proven", do: (*session).copy, installs: true},
		{name: "host-keys", what: "place host keys, the password's hash and /etc/nixos", do: (*session).hostKeys, installs: true},
		{name: "install", what: "make it the system, and install the boot loader", do: (*session).install, installs: true},
		{name: "boot-chain", what: "read the boot chain back, from the firmware's file to the system", do: (*session).bootChain},
		{name: "boot-entry", what: "tell the firmware to start it", do: (*session).bootEntry},
		{name: "post-scripts", what: "run hive.setup.postScript", do: (*session).postScripts, installs: true},
		{name: "close", what: "unmount, export pools, and mark the disks as installed", do: (*session).close},
	}
}

// Phases are the names of all phases with what they do, in order.
func Phases() [][2]string {
	all := [][2]string{{"identify", "find out which machine this is, and refuse what cannot end well"}}
	for _, p := range phases() {
		all = append(all, [2]string{p.name, p.what})
	}
	return all
}
