package hive

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// ManifestSchema numbers the JSON form of [Manifest] and of all that the program on the medium and the deployer say to each other. Either
// refuses the other's when it differs.
const ManifestSchema = 1

// ManifestFile is where a medium keeps its [Manifest].
const ManifestFile = "/etc/nixos-staged-hive/manifest.json"

// Manifest is what an installation medium says of itself. nix/stages/iso.nix writes it: what the hosts are comes as it is from the
// generated tree (Plan), store paths are added.
type Manifest struct {
	Schema int          `json:"schema"`
	Volume string       `json:"volume"` // volume id of the image, unique
	Hosts  []MediumHost `json:"hosts"`  // one, or all of the hive
}

// MediumHost is what a medium carries for one host. All but Plan and PlanHash are store paths on the medium.
type MediumHost struct {
	Name          string  `json:"name"`
	Plan          Plan    `json:"plan"`
	PlanHash      string  `json:"planHash"`      // of Plan, see [Plan.Hash]
	Toplevel      string  `json:"toplevel"`      // the mini system
	Closure       string  `json:"closure"`       // its closureInfo: files store-paths, registration, total-nar-size (bytes, decimal)
	Configuration string  `json:"configuration"` // folder that becomes /etc/nixos: configuration.nix, host.json, modules/, files/
	PreScript     string  `json:"preScript"`     // programs without arguments
	PostScript    string  `json:"postScript"`
	Scripts       Scripts `json:"scripts"`
	// InitrdModules are the kernel modules that the initrd of the mini system can load or has built in, without those that the kernel itself
	// has built in. Names as the kernel spells them in /sys/module: with underscores.
	InitrdModules []string `json:"initrdModules"`
	ModulesFolder string   `json:"modulesFolder"` // lib/modules of its kernel: holds VERSION/modules.builtin
}

// Scripts are disko's, each a program without arguments; empty where disko lays out nothing. Format never touches a disk that is only
// mounted (hive.partitioning.additional) and formats what is blank; Mount mounts all below /mnt.
type Scripts struct {
	Format string `json:"format"`
	Mount  string `json:"mount"`
}

// Plan is what an installation makes of a machine: the part of a host's facts that the program on the medium works with. generate writes
// it to NAME/medium.json.
type Plan struct {
	Name       string       `json:"name"`
	HostName   string       `json:"hostName"`
	HostID     string       `json:"hostId"`
	Platform   string       `json:"platform"` // for example x86_64-linux
	Release    string       `json:"release"`  // of NixOS, for example 24.05
	Interfaces []Interface  `json:"interfaces"`
	SSHPorts   []int        `json:"sshPorts"` // of medium and mini system
	Deployer   PlanDeployer `json:"deployer"`
	Boot       Boot         `json:"boot"`
	Storage    Storage      `json:"storage"`
	Unattended bool         `json:"unattended"`
	Match      Match        `json:"match"`
}

// PlanDeployer is who deploys to the mini system.
type PlanDeployer struct {
	Name        string `json:"name"`
	HasPassword bool   `json:"hasPassword"` // setup puts its hash to PasswordFile
}

// PasswordFile is the file that the mini system reads the hash of the deployer's password from (hashedPasswordFile).
func (d PlanDeployer) PasswordFile() string {
	return "/var/lib/nixos-staged-hive/" + d.Name + ".password"
}

// Match says by what a machine is recognised as this host (hive.setup.match). A machine matches if any of the values does.
type Match struct {
	MACs    []string `json:"macs"`    // of any of its cards, lower case
	Serials []string `json:"serials"` // DMI product serial
	UUIDs   []string `json:"uuids"`   // DMI product UUID, lower case
}

// Selector chooses a disk by what it is instead of by a path (hive.partitioning.disks.NAME). Every value that is set must fit, and exactly
// one disk of the machine must.
type Selector struct {
	Serial string `json:"serial"` // exactly
	WWN    string `json:"wwn"`    // exactly, with or without 0x
	ByID   string `json:"byId"`   // glob over the names in /dev/disk/by-id
	Size   string `json:"size"`   // "500G": within a tenth; "400G-600G": between; units are powers of 1000, with an i (500Gi) of 1024
}

// Empty reports whether nothing is chosen by.
func (s Selector) Empty() bool { return s == Selector{} }

// DiskAlias is the path that stands for a disk with a selector in disko's tree: setup makes it a link to the disk that it found.
func DiskAlias(disk string) string { return "/run/nixos-staged-hive/disk/" + disk }

// PlanOf gives the plan of a host.
func PlanOf(h Host) Plan {
	return Plan{
		Name: h.Name, HostName: h.HostName, HostID: h.HostID, Platform: h.System, Release: h.NixOS.Release,
		Interfaces: h.Network.Interfaces, SSHPorts: h.SSH.Ports,
		Deployer: PlanDeployer{Name: h.Deployer.Name, HasPassword: deployerHasPassword(h)},
		Boot:     h.Boot, Storage: h.Storage, Unattended: h.Setup.Unattended, Match: h.Setup.Match,
	}
}

func deployerHasPassword(h Host) bool {
	for _, u := range h.Users {
		if u.Name == h.Deployer.Name {
			return u.HasPassword
		}
	}
	return false
}

// Hash tells plans apart: 64 hexadecimal digits of SHA-256 over the JSON form. The operator's side and the machine's compare it before
// anything is destroyed.
func (p Plan) Hash() (string, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("hash the plan of %s: %w", p.Name, err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// Host gives what the medium carries for a host.
func (m Manifest) Host(name string) (MediumHost, bool) {
	for _, h := range m.Hosts {
		if h.Name == name {
			return h, true
		}
	}
	return MediumHost{}, false
}
