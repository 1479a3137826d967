// Package hive is the vocabulary of the program: a hive, its hosts, and what evaluation says about each of them.
//
// Everything here is plain data and pure functions on it. The package reads no file, opens no connection and starts no
// program; it imports the standard library alone. The JSON form of [Host] is the contract with nix/lib/facts.nix:
// both sides carry [Schema] and refuse each other when it differs.
package hive

import "encoding/json"

// Schema numbers the JSON form of facts, hive.json and host.json. nix/lib/schema.nix holds the same number; a test
// compares them.
const Schema = 1

// Hive is all hosts of one workspace, sorted by name.
type Hive struct {
	Hosts []Host `json:"hosts"`
}

// Host is what evaluation says about one definition ("facts"). Empty strings and nil slices mean "not set".
type Host struct {
	Name       string `json:"name"`       // name of the definition: folder, node and -n name
	Definition string `json:"definition"` // path of the definition, relative to the workspace
	HostName   string `json:"hostName"`   // networking.hostName, the definition's name by default
	Domain     string `json:"domain"`     // networking.domain
	HostID     string `json:"hostId"`     // networking.hostId, 8 hexadecimal digits
	System     string `json:"system"`     // nixpkgs.hostPlatform.system, for example aarch64-linux

	StateVersion string  `json:"stateVersion"` // system.stateVersion as the definition sets it; empty if it does not
	NixOS        Release `json:"nixos"`

	Admin      Admin      `json:"admin"`
	Deployer   Deployer   `json:"deployer"`
	Users      []User     `json:"users"` // users a person can log in as, root included
	SSH        SSH        `json:"ssh"`
	Network    Network    `json:"network"`
	Boot       Boot       `json:"boot"`
	Storage    Storage    `json:"storage"`
	Setup      Setup      `json:"setup"`
	Deployment Deployment `json:"deployment"`
	Member     *Member    `json:"member"` // the host's part in a K3s cluster, nil without one

	StoreSecrets []string  `json:"storeSecrets"` // options whose secret value would be readable in the Nix store
	Warnings     []string  `json:"warnings"`     // NixOS' own config.warnings and traced warnings
	Checked      bool      `json:"checked"`      // NixOS' own assertions and warnings were evaluated; if not, both lists lack them
	Assertions   []string  `json:"assertions"`   // messages of NixOS assertions that do not hold
	Losses       []Loss    `json:"losses"`       // settings the mini system cannot carry
	Carried      []Carried `json:"carried"`      // settings the mini system takes over, the whole of it
	Without      []string  `json:"without"`      // parts of our modules left out because the definition declares them itself
}

// Release says which NixOS a host is built from.
type Release struct {
	Release string `json:"release"` // for example 24.05
	Version string `json:"version"` // for example 24.05.20240531.63dacb4
	Nixpkgs string `json:"nixpkgs"` // store path of the pinned source
}

// Admin is hive.admin. Its hash is a secret and not a fact.
type Admin struct {
	Declared    bool     `json:"declared"` // hive.admin has keys or a password
	Name        string   `json:"name"`
	Keys        []string `json:"keys"` // OpenSSH authorized_keys lines
	HasPassword bool     `json:"hasPassword"`
}

// Deployer is the login that deploys to the host: the admin, else the first wheel user with keys, else root.
type Deployer struct {
	Name    string   `json:"name"`
	Keys    []string `json:"keys"`
	Trusted bool     `json:"trusted"` // may push unsigned store paths (nix.settings.trusted-users)
	Sudo    string   `json:"sudo"`    // how it becomes root: "root", "nopasswd", "password", "none"
}

// User is an account a person can log in as.
type User struct {
	Name        string   `json:"name"`
	Wheel       bool     `json:"wheel"`
	Keys        []string `json:"keys"`
	HasPassword bool     `json:"hasPassword"`
}

// SSH is what the full system's sshd allows.
type SSH struct {
	Enable       bool   `json:"enable"`
	Ports        []int  `json:"ports"`
	RootLogin    string `json:"rootLogin"` // PermitRootLogin as sshd_config(5) spells it
	PasswordAuth bool   `json:"passwordAuth"`
	Reachable    bool   `json:"reachable"` // every ssh port passes the firewall
}

// Network is the host's network in all stages.
type Network struct {
	Managed     bool              `json:"managed"` // hive.network is set
	Backend     string            `json:"backend"` // of the full system: "networkd", "scripted", "networkmanager"
	Interfaces  []Interface       `json:"interfaces"`
	Gateways    []string          `json:"gateways"` // IPv4 and IPv6 addresses
	Nameservers []string          `json:"nameservers"`
	Search      []string          `json:"search"`
	Firewall    Firewall          `json:"firewall"`
	HostsEntry  bool              `json:"hostsEntry"` // the host wants the other hosts' names in its /etc/hosts
	Units       map[string]string `json:"units"`      // rendered systemd-networkd units of medium and mini system, by file name
}

// Interface is one network interface with addresses or DHCP. It is named by the kernel's name, by MAC address, or both.
type Interface struct {
	Name      string   `json:"name"`
	MAC       string   `json:"mac"`
	Kind      string   `json:"kind"`      // "ethernet", "vlan", "bridge", "macvlan", "bond", "wireless", "other"
	Parent    string   `json:"parent"`    // the interface a vlan, bridge or macvlan sits on
	VLAN      int      `json:"vlan"`      // 802.1Q id, 0 without one
	DHCP      string   `json:"dhcp"`      // "" (off), "yes", "ipv4", "ipv6"
	Addresses []string `json:"addresses"` // CIDR notation
}

// Firewall is the full system's packet filter as far as other stages need it.
type Firewall struct {
	Enable bool  `json:"enable"`
	TCP    []int `json:"tcp"`
	UDP    []int `json:"udp"`
}

// Boot says how the machine starts.
type Boot struct {
	Loader          string   `json:"loader"`   // "systemd-boot", "grub", "extlinux", "custom", "none"
	Firmware        string   `json:"firmware"` // what the boot loader is installed for: "uefi", "bios", "both", "board", "unknown"
	ESP             string   `json:"esp"`      // mount point of the EFI system partition; empty on BIOS
	TouchVariables  bool     `json:"touchVariables"`
	Removable       bool     `json:"removable"`       // installed to the fallback path \EFI\BOOT
	GrubDevices     []string `json:"grubDevices"`     // disks that get a BIOS boot sector; "nodev" is left out
	KernelAttribute string   `json:"kernelAttribute"` // pkgs.linuxKernel.packages attribute of a kernel the definition chose
	Kernel          string   `json:"kernel"`          // version, for example 6.6.32
	CustomLoader    bool     `json:"customLoader"`    // hive.setup.bootLoader is set
	SupportedFSList []string `json:"supportedFileSystems"`
}

// Storage is what is mounted and what disko lays out.
type Storage struct {
	FileSystems []FileSystem `json:"fileSystems"`
	Swap        []Swap       `json:"swap"`
	LUKS        []LUKS       `json:"luks"`
	Disks       []Disk       `json:"disks"`
	Pools       []Pool       `json:"pools"`
	Disko       Disko        `json:"disko"`
}

// Disko says whether and how disko takes part.
type Disko struct {
	Enable  bool   `json:"enable"`  // disko's file systems are part of the configuration
	Version string `json:"version"` // of the pinned source, empty if it does not say
	Own     bool   `json:"own"`     // the definition brings its own disko module
}

// FileSystem is an entry of fileSystems.
type FileSystem struct {
	MountPoint    string   `json:"mountPoint"`
	Device        string   `json:"device"` // device path, label path or ZFS data set
	Type          string   `json:"type"`
	Options       []string `json:"options"`
	NeededForBoot bool     `json:"neededForBoot"`
}

// Swap is an entry of swapDevices.
type Swap struct {
	Device string `json:"device"`
}

// LUKS is an encrypted device opened in the initrd.
type LUKS struct {
	Name   string `json:"name"`
	Device string `json:"device"`
}

// Disk is a whole disk that disko knows.
type Disk struct {
	Name       string      `json:"name"`
	Device     string      `json:"device"`
	Additional bool        `json:"additional"` // only in hive.partitioning.additional: never formatted by setup
	Selector   Selector    `json:"selector"`   // hive.partitioning.disks.NAME; Device is DiskAlias(Name) then
	Table      string      `json:"table"`      // content type: "gpt", "table", "luks", "zfs", "filesystem", ...
	Partitions []Partition `json:"partitions"`
}

// Partition is a part of a [Disk] as disko lays it out.
type Partition struct {
	Name       string `json:"name"`
	Label      string `json:"label"`   // GPT partition label; disko formats and mounts by it
	Size       string `json:"size"`    // as disko spells it: 512M, 100%
	Type       string `json:"type"`    // partition type code: EF00, EF02, 8300
	Content    string `json:"content"` // "filesystem", "luks", "zfs", "swap", "lvm_pv", "mdraid", "btrfs", ""
	Format     string `json:"format"`  // file system type
	MountPoint string `json:"mountPoint"`
	Pool       string `json:"pool"` // pool or volume group the partition belongs to

	// Where it lies, in the words of sgdisk and parted: what setup lays out has to be what disko would.
	Number    int    `json:"number"`    // in the table, from 1; 0: unknown, or no partition
	Start     string `json:"start"`     // "0": the next free place
	End       string `json:"end"`       // "+512M", "-0"
	Alignment int    `json:"alignment"` // in sectors; 0: the program's own
}

// Pool is a ZFS pool, LVM volume group or md array that spans partitions.
type Pool struct {
	Name string `json:"name"`
	Kind string `json:"kind"` // "zpool", "lvm_vg", "mdadm"
}

// Setup is hive.setup, as far as it is data.
type Setup struct {
	PreScript   []string `json:"preScript"`
	PostScript  []string `json:"postScript"`
	Files       []string `json:"files"`   // base names
	Scripts     []string `json:"scripts"` // command names
	Unattended  bool     `json:"unattended"`
	Match       Match    `json:"match"`
	MiniModules []string `json:"miniModules"` // absolute paths of hive.mini.modules, copied verbatim
}

// Deployment is Colmena's schema of a node, versions 0.4 and 0.5.
type Deployment struct {
	TargetHost          *string  `json:"targetHost"` // nil: not deployable remotely
	TargetPort          *int     `json:"targetPort"`
	TargetUser          *string  `json:"targetUser"`
	AllowLocal          bool     `json:"allowLocalDeployment"`
	BuildOnTarget       bool     `json:"buildOnTarget"`
	Tags                []string `json:"tags"`
	Keys                []Key    `json:"keys"`
	ReplaceUnknown      bool     `json:"replaceUnknownProfiles"`
	PrivilegeEscalation []string `json:"privilegeEscalationCommand"`
	SSHOptions          []string `json:"sshOptions"`
	Rollout             Rollout  `json:"rollout"`
}

// Rollout is how `hive deploy` treats a host beyond what Colmena knows. Durations are whole seconds; 0 is the program's default.
type Rollout struct {
	After []string `json:"after"` // names of hosts, or @tags, that have to be deployed well before this one
	Group string   `json:"group"` // hosts of a group share MaxUnavailable; empty: no limit
	// MaxUnavailable is how many hosts of the group may be in activation or down at once; the smallest of the group counts. 0 is 1.
	MaxUnavailable int           `json:"maxUnavailable"`
	Canary         bool          `json:"canary"` // deployed before all that are none
	Checks         []HealthCheck `json:"checks"`
	// ActivationSeconds limits switch-to-configuration, ConfirmSeconds the time until a new connection has confirmed (checks
	// included), RebootSeconds the time a reboot takes until the host answers.
	ActivationSeconds int  `json:"activationSeconds"`
	ConfirmSeconds    int  `json:"confirmSeconds"`
	RebootSeconds     int  `json:"rebootSeconds"`
	BootGuard         bool `json:"bootGuard"` // the full system has the unit that reboots into the old one if a guarded reboot is not confirmed
}

// HealthCheck is a health check: it has to pass after an activation, or the host goes back. Exactly one of Command and URL is set.
type HealthCheck struct {
	Name           string   `json:"name"`
	Command        []string `json:"command"` // run on the host, as the deploying user or, with Root, as root
	Root           bool     `json:"root"`
	URL            string   `json:"url"`            // fetched from the deployer's computer
	Status         int      `json:"status"`         // expected of the URL; 0 is any from 200 to 399
	TimeoutSeconds int      `json:"timeoutSeconds"` // for one attempt; 0 is 10
	Attempts       int      `json:"attempts"`       // 0 is 3, a second apart
}

// Key is a secret that Colmena uploads. Its text is never a fact.
type Key struct {
	Name        string `json:"name"`
	Source      string `json:"source"` // "text", "keyFile", "keyCommand", "none", "several"
	DestDir     string `json:"destDir"`
	User        string `json:"user"`
	Group       string `json:"group"`
	Permissions string `json:"permissions"`
	UploadAt    string `json:"uploadAt"`
	InStore     bool   `json:"inStore"` // keyFile is a Nix path: evaluating the hive copies it to the store
}

// Member is a host's part in a K3s cluster.
type Member struct {
	Cluster string `json:"cluster"`
	Role    string `json:"role"` // "server" or "agent"
}

// Loss is a setting that cannot be written as data and so does not reach the mini system.
type Loss struct {
	Option string `json:"option"`
	Why    string `json:"why"`
	Boots  bool   `json:"boots"` // the machine may not boot without it
}

// Carried is one NixOS setting of the host that its mini system gets too, as a path of attribute names and a value.
type Carried struct {
	Path  []string        `json:"path"`
	Value json.RawMessage `json:"value"`
}
