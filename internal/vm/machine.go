// Package vm runs virtual machines with QEMU, as typed calls: machines with disks, cards and firmware that look to Linux like
// given hardware, private networks between them, and everything that can happen to a computer, from a pulled cable to a
// power cut.
//
// A [Lab] is a folder that holds the state of some machines and networks. Whoever opens it owns it; what an owner that
// died has left running is stopped by the next one.
package vm

// Machine describes one virtual machine. It is plain data: two equal descriptions give machines that look the same to
// their guest.
type Machine struct {
	Name      string // unique in its lab: letters, digits, dot, minus, underscore
	Firmware  Firmware
	CPUs      int   // 0 is 2
	MemoryMiB int64 // 0 is 2048
	Disks     []Disk
	Cards     []Card
	Medium    string // image file the machine has as a removable medium, read-only; empty for none
	Kernel    *Kernel
}

// Firmware is what starts the boot loader.
type Firmware string

// The two kinds of firmware of x86_64 machines.
const (
	BIOS Firmware = "bios"
	UEFI Firmware = "uefi" // OVMF, without Secure Boot
)

// Kernel starts a Linux kernel directly, without firmware choosing what to boot: a short cut for tests.
type Kernel struct {
	Image, Initrd, CommandLine string
}

// Disk is one disk of a machine. Its contents are a qcow2 image in the machine's folder, made at the first start.
type Disk struct {
	Name      string // unique in its machine; names the image file
	SizeBytes int64
	Bus       Bus
	// What the disk says of itself; udev's links in /dev/disk/by-id are made of it. Empty is the bus's own default. Not every
	// bus can say everything: [DiskFor] knows.
	Vendor, Model, Serial string
	WWN                   string // 16 hexadecimal digits, without prefix
	// Device is the name the kernel shall give it by its place among the others on its bus: sdb, vda, nvme1n1, mmcblk0. Empty is
	// any that is left.
	Device string
	// Path is where it shall sit, as udev calls that in ID_PATH: pci-0000:00:17.0-ata-1. Empty is anywhere. [DiskFor] knows which are
	// possible.
	Path string
}

// Bus is how a disk is attached, and with that which driver the guest needs for it.
type Bus string

// The buses a disk can be on, with the name Linux gives to the first disk there.
const (
	Virtio Bus = "virtio" // vda, virtio_blk
	SATA   Bus = "sata"   // sda, ahci
	SCSI   Bus = "scsi"   // sda, virtio_scsi
	NVMe   Bus = "nvme"   // nvme0n1, nvme
	USB    Bus = "usb"    // sda, xhci_pci and usb_storage
	MMC    Bus = "mmc"    // mmcblk0, sdhci_pci; sizes are powers of two, and OVMF does not boot it
)

// Card is one network card of a machine.
type Card struct {
	Name    string // unique in its machine, for calls such as unplugging its cable
	MAC     string // lower case, with colons; empty is made of machine and card name
	Network string // name of the lab's network its cable is in; empty: no cable
	// Interface is the name Linux and udev shall give it by where it sits: eno1, ens3, enp4s0, eth0 (where the guest does not
	// rename). Empty is anywhere. [CanName] says which names are possible.
	Interface string
	// Path is where it shall sit, as udev calls that in ID_PATH: pci-0000:00:1f.6. Empty is anywhere, or where Interface says.
	Path string
}

// Network is one Ethernet segment that several machines' cards are in, with a gateway that gives addresses (DHCP), answers names (DNS), and
// lets this computer's own programs reach ports of the machines.
type Network struct {
	Name string
	// Subnet is the gateway's IPv4 network in CIDR notation, Gateway and DNS are addresses in it.
	Subnet, Gateway, DNS string
	// FirstLease is the first address given by DHCP; further clients get those after it.
	FirstLease string
	// Online lets the machines reach what this computer reaches. Without it they see each other and the gateway only.
	Online   bool
	Forwards []Forward
}

// Forward makes a TCP port of a machine reachable on a port of this computer's loopback address 127.0.0.1, which is chosen when the
// network starts.
type Forward struct {
	Name    string // unique in its network
	Address string // of the machine
	Port    int    // at the machine
}
