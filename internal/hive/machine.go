package hive

// Machine is what a machine is found to be, on the medium or on any running Linux: the report of `setup hardware`.
type Machine struct {
	Schema   int      `json:"schema"`   // ManifestSchema
	HostName string   `json:"hostName"` // of the system that runs
	Firmware string   `json:"firmware"` // "uefi", "bios", "board" (neither: a device tree)
	Secure   bool     `json:"secure"`   // Secure Boot is on
	Platform string   `json:"platform"` // for example x86_64-linux
	Kernel   string   `json:"kernel"`   // release, for example 6.6.31
	Product  Product  `json:"product"`
	CPU      CPU      `json:"cpu"`
	Memory   int64    `json:"memoryBytes"`
	Devices  []Device `json:"devices"` // whole disks and what lies on them, in the kernel's order
	Cards    []Card   `json:"cards"`
	Modules  []string `json:"modules"` // loaded kernel modules
	// Medium is the path of the whole disk (or rom) that holds the running system; empty if it runs from none (RAM, network).
	Medium string `json:"medium"`
}

// Product is what the firmware says the machine is (DMI). Makers leave these empty or write placeholders; those are left out.
type Product struct {
	Vendor string `json:"vendor"`
	Name   string `json:"name"`
	Serial string `json:"serial"`
	UUID   string `json:"uuid"` // lower case
}

// CPU is the processor.
type CPU struct {
	Model string `json:"model"`
	Cores int    `json:"cores"` // as the scheduler counts them
}

// Card is a network interface with hardware behind it.
type Card struct {
	Name      string   `json:"name"`
	MAC       string   `json:"mac"` // lower case, the permanent one where it is known
	Driver    string   `json:"driver"`
	Carrier   bool     `json:"carrier"`   // a cable is in, or an access point is joined
	Speed     int      `json:"speedMbit"` // 0: unknown
	Wireless  bool     `json:"wireless"`
	Addresses []string `json:"addresses"` // CIDR notation, link-local ones included
}

// Device is a block device with what lies on it: a tree, as lsblk (util-linux 2.37 and later) has it, with whole disks at the root.
// A device that several others make up (md, a volume group) appears below each of them.
type Device struct {
	Path   string `json:"path"`   // kernel's name, for example /dev/nvme0n1p2 or /dev/dm-0
	Number string `json:"number"` // MAJOR:MINOR
	Kind   string `json:"kind"`   // lsblk's TYPE: "disk", "part", "rom", "loop", "crypt", "lvm", "raid1", "mpath", ...
	Bytes  int64  `json:"bytes"`
	Sector int64  `json:"sectorBytes"` // logical

	Model     string   `json:"model"`
	Serial    string   `json:"serial"`
	WWN       string   `json:"wwn"`
	Transport string   `json:"transport"` // "usb", "sata", "nvme", "mmc", "virtio", ...; empty: unknown
	Removable bool     `json:"removable"`
	Hotplug   bool     `json:"hotplug"`
	ReadOnly  bool     `json:"readOnly"`
	Links     []string `json:"links"` // in /dev/disk/by-id, best first; then by-path

	Table     string   `json:"table"`     // "gpt", "dos", ""
	TableID   string   `json:"tableId"`   // GUID of the table, lower case
	Content   string   `json:"content"`   // signature found: "ext4", "vfat", "crypto_LUKS", "LVM2_member", "zfs_member", "linux_raid_member", "iso9660", "swap", ...
	Label     string   `json:"label"`     // of the file system, pool or volume group member
	ContentID string   `json:"contentId"` // UUID of the file system
	PartLabel string   `json:"partLabel"` // of the partition (GPT)
	PartType  string   `json:"partType"`  // type GUID, lower case, or 0x.. of a dos table
	PartID    string   `json:"partId"`    // PARTUUID, lower case
	PartNum   int      `json:"partNumber"`
	Start     int64    `json:"startBytes"` // of a partition on its disk
	Mounts    []string `json:"mounts"`     // mount points; "[SWAP]" where it swaps
	Drivers   []string `json:"drivers"`    // kernel modules from the disk up to its bus: what an initrd needs to find it
	Children  []Device `json:"children"`
}

// Best is the path to name a disk by in a definition: the best link in /dev/disk, else the kernel's name.
func (d Device) Best() string {
	if len(d.Links) > 0 {
		return d.Links[0]
	}
	return d.Path
}

// Blank reports whether nothing is known to be on a disk: no table, no signature, nothing below, not in use.
func (d Device) Blank() bool {
	return d.Table == "" && d.Content == "" && len(d.Children) == 0 && len(d.Mounts) == 0
}

// Walk visits the device and all below it, parents first.
func (d Device) Walk(visit func(Device)) {
	visit(d)
	for _, c := range d.Children {
		c.Walk(visit)
	}
}
