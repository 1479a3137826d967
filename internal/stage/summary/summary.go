// Package summary shows what a hive is: a table, the details of one host, a JSON document, a Markdown page, a Mermaid
// graph and a picture of the network.
//
// [New] turns facts into a [Summary], and every form is drawn from that one value, so that they cannot disagree. The
// package is pure: it reads nothing but its arguments, and equal arguments give equal bytes.
package summary

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// Schema numbers the JSON form of [Summary]. It grows when a field changes its meaning or goes away; a new field alone
// leaves it as it is.
const Schema = 1

// Input is all that a summary is made from.
type Input struct {
	Name     string            // what the hive is called, usually the workspace's folder; a title, nothing more
	Hive     hive.Hive         // facts of the hosts that evaluate
	Broken   []string          // names of hosts that do not evaluate and so have no facts
	Problems []hive.Problem    // what check found
	Pins     Pins              //
	Origins  map[string]Origin // how the facts of a host were come by; nil leaves the column out
	Reasons  map[string]string // why the facts of a host cannot be kept, for the untracked ones
}

// Pins is what the workspace's versions file asks for, in the spelling of that file.
type Pins struct {
	NixOS string            `json:"nixos"`
	Disko string            `json:"disko"`
	K3s   string            `json:"k3s"`
	Hosts map[string]string `json:"hosts"` // hosts with a NixOS pin of their own
}

// Origin says how the facts of a host were come by.
type Origin string

// What an [Origin] can be.
const (
	Fresh     Origin = "fresh"     // evaluated just now
	Cached    Origin = "cached"    // kept from an earlier evaluation with the same inputs
	Untracked Origin = "untracked" // evaluated just now, and every time: its inputs cannot be tracked
)

// Summary is the hive as all forms show it, and the document of `summary --json`. Lists are never null; an empty string
// means "not set" throughout.
type Summary struct {
	Schema   int            `json:"schema"`
	Name     string         `json:"name"`
	Pins     Pins           `json:"pins"`
	Hosts    []Host         `json:"hosts"`    // by name
	Networks []Network      `json:"networks"` // IPv4 prefixes in order first, DHCP and "none" last
	Entries  []Entry        `json:"hostsEntries"`
	Problems []hive.Problem `json:"problems"`
	Totals   hive.Counts    `json:"totals"`
}

// Host is one host of a [Summary].
type Host struct {
	Name        string       `json:"name"`
	HostName    string       `json:"hostName"`
	FQDN        string       `json:"fqdn"` // host name and domain; empty without a domain
	Definition  string       `json:"definition"`
	System      string       `json:"system"` // platform, for example aarch64-linux
	Broken      bool         `json:"broken"` // does not evaluate: every fact below is unknown
	NixOS       NixOS        `json:"nixos"`
	Network     string       `json:"network"`   // id of the network it is drawn in: that of its gateway, else its first
	IsGateway   bool         `json:"isGateway"` // other hosts name one of its addresses as their gateway
	Interfaces  []Interface  `json:"interfaces"`
	Gateways    []string     `json:"gateways"`
	Nameservers []string     `json:"nameservers"`
	Boot        Boot         `json:"boot"`
	Disks       []Disk       `json:"disks"` // as disko lays them out; empty without disko
	FileSystems []FileSystem `json:"fileSystems"`
	Swap        []string     `json:"swap"`
	LUKS        []hive.LUKS  `json:"luks"`
	Pools       []hive.Pool  `json:"pools"`
	Member      *hive.Member `json:"member"` // null outside of a cluster
	Target      *Target      `json:"target"` // null if it cannot be deployed to remotely
	Tags        []string     `json:"tags"`
	Problems    hive.Counts  `json:"problems"`
	Origin      Origin       `json:"origin"`
}

// NixOS says what a host is built from.
type NixOS struct {
	Release string `json:"release"` // 24.05
	Version string `json:"version"` // 24.05.20240531.63dacb4
	Pin     string `json:"pin"`     // what versions.json asks for
	OwnPin  bool   `json:"ownPin"`  // the pin is the host's own
}

// Interface is a network interface that carries an address or asks for one.
type Interface struct {
	Name      string   `json:"name"`
	MAC       string   `json:"mac"` // its own, else that of the interface it sits on
	Kind      string   `json:"kind"`
	Parent    string   `json:"parent"`
	VLAN      int      `json:"vlan"`
	DHCP      string   `json:"dhcp"`
	Addresses []string `json:"addresses"` // CIDR notation
}

// Boot says how the host starts. Text is the short form for people.
type Boot struct {
	Loader   string `json:"loader"`
	Firmware string `json:"firmware"`
	ESP      string `json:"esp"`
	Kernel   string `json:"kernel"`
	Text     string `json:"text"`
}

// FileSystem is an entry of fileSystems.
type FileSystem struct {
	MountPoint string `json:"mountPoint"`
	Device     string `json:"device"`
	Type       string `json:"type"`
}

// Target is where a deployment goes.
type Target struct {
	User string `json:"user"`
	Host string `json:"host"`
	Port int    `json:"port"` // 0: ssh decides
	Text string `json:"text"` // user@host:port, as a person would write it
}

// Entry is a line of /etc/hosts.
type Entry struct {
	Address string   `json:"address"`
	Names   []string `json:"names"`
}

// New makes a summary.
func New(in Input) Summary {
	s := Summary{
		Schema: Schema, Name: in.Name, Pins: in.Pins,
		Hosts: []Host{}, Problems: slices.Clone(in.Problems), Totals: hive.Count(in.Problems),
	}
	s.Problems = filled(s.Problems)
	if s.Pins.Hosts == nil {
		s.Pins.Hosts = map[string]string{}
	}
	for _, h := range in.Hive.Hosts {
		s.Hosts = append(s.Hosts, newHost(h, in))
	}
	for _, name := range in.Broken {
		s.Hosts = append(s.Hosts, newBroken(name, in))
	}
	slices.SortStableFunc(s.Hosts, func(a, b Host) int { return cmp.Compare(a.Name, b.Name) })
	s.Networks = connect(s.Hosts)
	s.Entries = entries(in.Hive)
	return s
}

func newHost(h hive.Host, in Input) Host {
	out := Host{
		Name: h.Name, HostName: cmp.Or(h.HostName, h.Name), Definition: h.Definition, System: h.System,
		NixOS:      release(h, in.Pins),
		Interfaces: interfaces(h.Network.Interfaces), Gateways: filled(slices.Clone(h.Network.Gateways)),
		Nameservers: filled(slices.Clone(h.Network.Nameservers)),
		Boot: Boot{
			Loader: h.Boot.Loader, Firmware: h.Boot.Firmware, ESP: h.Boot.ESP, Kernel: h.Boot.Kernel, Text: bootText(h.Boot),
		},
		Disks: disks(h), FileSystems: fileSystems(h), Swap: []string{},
		LUKS: filled(slices.Clone(h.Storage.LUKS)), Pools: filled(slices.Clone(h.Storage.Pools)),
		Member: h.Member, Target: target(h), Tags: filled(slices.Clone(h.Deployment.Tags)),
		Problems: hive.Count(hive.ProblemsOf(in.Problems, h.Name)), Origin: in.Origins[h.Name],
	}
	if h.Domain != "" {
		out.FQDN = out.HostName + "." + h.Domain
	}
	for _, s := range h.Storage.Swap {
		out.Swap = append(out.Swap, s.Device)
	}
	return out
}

func newBroken(name string, in Input) Host {
	h := newHost(hive.Host{Name: name}, in)
	h.Broken = true
	h.Boot.Text = ""
	h.Target = nil
	return h
}

// filled turns a nil slice into an empty one, which JSON writes as [] and not as null.
func filled[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func release(h hive.Host, pins Pins) NixOS {
	own, ok := pins.Hosts[h.Name]
	pin := pins.NixOS
	if ok {
		pin = own
	}
	return NixOS{Release: h.NixOS.Release, Version: h.NixOS.Version, Pin: pin, OwnPin: ok}
}

// interfaces keeps those that have an address or ask for one, lo left out. A bridge or VLAN is known to a router by the
// MAC address of what it sits on.
func interfaces(all []hive.Interface) []Interface {
	macs := map[string]string{}
	for _, i := range all {
		macs[i.Name] = i.MAC
	}
	out := []Interface{}
	for _, i := range all {
		if i.Name == "lo" || (i.DHCP == "" && len(i.Addresses) == 0) {
			continue
		}
		mac := i.MAC
		if i.Parent != "" {
			mac = cmp.Or(mac, macs[i.Parent])
		}
		out = append(out, Interface{
			Name: i.Name, MAC: mac, Kind: i.Kind, Parent: i.Parent, VLAN: i.VLAN, DHCP: i.DHCP,
			Addresses: filled(slices.Clone(i.Addresses)),
		})
	}
	return out
}

// target is nil for a host that Colmena would only deploy to locally.
func target(h hive.Host) *Target {
	d := h.Deployment
	if d.TargetHost == nil {
		return nil
	}
	t := &Target{User: h.Deployer.Name, Host: *d.TargetHost}
	if d.TargetUser != nil {
		t.User = *d.TargetUser
	}
	if d.TargetPort != nil {
		t.Port = *d.TargetPort
	}
	t.Text = t.Host
	if t.Port != 0 && t.Port != 22 {
		t.Text = net.JoinHostPort(t.Host, strconv.Itoa(t.Port))
	}
	if t.User != "" {
		t.Text = t.User + "@" + t.Text
	}
	return t
}

// bootText is for example "systemd-boot, UEFI" or "grub, BIOS (sda)".
func bootText(b hive.Boot) string {
	loader := b.Loader
	if b.CustomLoader {
		loader = "custom"
	}
	return strings.Join(present(cmp.Or(loader, "none"), firmwareText(b)), ", ")
}

func firmwareText(b hive.Boot) string {
	switch b.Firmware {
	case "uefi":
		return "UEFI"
	case "bios":
		return "BIOS"
	case "both":
		return "BIOS and UEFI"
	case "unknown":
		return ""
	}
	return b.Firmware
}

// present leaves out what is empty.
func present(words ...string) []string {
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}

// problemLines is for example "2 errors", "1 warning".
func problemLines(c hive.Counts) []string {
	return present(plural(c.Errors, "error"), plural(c.Warnings, "warning"), plural(c.Notes, "note"))
}

// plural is "" for none, "1 error", "2 errors".
func plural(n int, word string) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}

// roleText is for example "server (home)", and "" outside of a cluster.
func roleText(m *hive.Member) string {
	if m == nil {
		return ""
	}
	if m.Cluster == "" {
		return m.Role
	}
	return m.Role + " (" + m.Cluster + ")"
}

func dhcpText(kind string) string {
	switch kind {
	case "":
		return ""
	case "ipv4":
		return "dhcp (IPv4)"
	case "ipv6":
		return "dhcp (IPv6)"
	}
	return "dhcp"
}

// addressTexts lists an interface's addresses, and DHCP as one of them.
func (i Interface) addressTexts() []string {
	return append(slices.Clone(i.Addresses), present(dhcpText(i.DHCP))...)
}

// firmwareBadge leaves out the devices.
func firmwareBadge(firmware string) string {
	switch firmware {
	case "uefi":
		return "UEFI"
	case "bios":
		return "BIOS"
	case "both":
		return "BIOS+UEFI"
	case "unknown":
		return ""
	}
	return firmware
}
