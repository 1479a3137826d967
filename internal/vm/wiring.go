package vm

// machineFiles says where what a machine is made of lies in the file system.
type machineFiles struct {
	disks  map[string]string // qcow2 image of each disk, by the disk's name
	nvram  string            // qcow2 image with the variables of the UEFI firmware; empty for BIOS
	medium string            // raw image of the removable medium; empty for none
	// plugs has the unix socket where a card's network listens, by the card's name. A card without one has no cable: it gets no
	// netdev, or a hubport of its own.
	plugs map[string]string
	// diskFirst boots from the disks although a medium is in: in the order of the firmware's own variables if it has such.
	diskFirst bool
}

// How QEMU calls the parts of a machine, so that the calls over QMP find them. Node names have at most 31 bytes, which is why names of
// disks are limited.

func diskNode(name string) string   { return "disk-" + name }  // of the block node with the disk's qcow2 image
func diskDevice(name string) string { return "disk-" + name }  // of the device: what "drive" can be set on, or a usb-storage
func cardDevice(name string) string { return "card-" + name }  // of the network card
func cardNetdev(name string) string { return "cable-" + name } // of the netdev it is connected to

const (
	mediumNode   = "medium"
	mediumDevice = "medium" // a device that can be pulled: device_del takes it away at once
	nvramNode    = "nvram"
)
