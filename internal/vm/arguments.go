package vm

import "errors"

// deviceArguments gives QEMU's arguments for the machine's hardware, from -nodefaults on: board, firmware, disks, cards, medium, USB and
// screen. Left to the caller are how it runs (-accel, -cpu, -smp, -m, -kernel) and what it is connected to besides disks and cables
// (-serial, -qmp, -display).
func deviceArguments(m Machine, files machineFiles, host Host) ([]string, error) {
	return nil, errors.New("not yet")
}
