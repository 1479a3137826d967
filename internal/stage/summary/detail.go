package summary

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// Section is a titled part of the details of a host.
type Section struct {
	Title string `json:"title"`
	Lines []Line `json:"lines"`
}

// Line is a key with its value. Depth sets it in: a partition is one deeper than its disk.
type Line struct {
	Depth int    `json:"depth"`
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Detail is all there is to say about one host, in the order a person asks: how it is reached, what is on its disks, how
// it starts, who gets in, what is done to it, and what is wrong. Sections without a line are left out. Of in it uses the
// problems, pins and origins.
func Detail(h hive.Host, in Input) []Section {
	sections := []Section{
		{"Host", hostSection(h, in)},
		{"Network", networkSection(h.Network)},
		{"Storage", storageSection(h)},
		{"Boot", bootSection(h.Boot)},
		{"Access", accessSection(h)},
		{"Setup", setupSection(h.Setup)},
		{"Deployment", deploymentSection(h)},
		{"Mini system", miniSection(h)},
		{"Problems", problemSection(h, in.Problems)},
	}
	sections = slices.DeleteFunc(sections, func(s Section) bool { return len(s.Lines) == 0 })
	for _, s := range sections {
		for i, l := range s.Lines {
			s.Lines[i] = Line{l.Depth, clean(l.Key), clean(l.Value)}
		}
	}
	return sections
}

// Text sets the sections as plain text: titles at the margin, values aligned within a section.
func Text(sections []Section) string {
	var b strings.Builder
	for i, s := range sections {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(s.Title + "\n")
		room := keyRoom(s.Lines)
		for _, l := range s.Lines {
			key := strings.Repeat("  ", l.Depth+1) + l.Key
			pad := max(room-cellWidth(key), 1)
			b.WriteString(strings.TrimRight(key+strings.Repeat(" ", pad)+l.Value, " ") + "\n")
		}
	}
	return b.String()
}

// keyRoom is the width of the key column. A very long key (a mount point) does not push all values away.
func keyRoom(lines []Line) int {
	const most = 34
	n := 0
	for _, l := range lines {
		if w := 2*(l.Depth+1) + cellWidth(l.Key) + 2; w <= most {
			n = max(n, w)
		}
	}
	return n
}

// lines collects key and value pairs and leaves out those without a value.
type lines []Line

func (l *lines) add(depth int, key string, values ...string) {
	if value := strings.Join(present(values...), ", "); value != "" {
		*l = append(*l, Line{depth, key, value})
	}
}

func yes(b bool, word string) string {
	if b {
		return word
	}
	return ""
}

func hostSection(h hive.Host, in Input) []Line {
	var l lines
	l.add(0, "name", h.Name)
	l.add(0, "host name", h.FQDN())
	l.add(0, "definition", h.Definition)
	l.add(0, "platform", h.System)
	n := release(h, in.Pins)
	l.add(0, "NixOS", cmp.Or(n.Version, n.Release))
	l.add(0, "pin", n.Pin, yes(n.OwnPin, "its own"))
	l.add(0, "state version", h.StateVersion)
	l.add(0, "host id", h.HostID)
	if h.Member != nil {
		l.add(0, "cluster", strings.Join(present(h.Member.Cluster, h.Member.Role), ": "), pinned("k3s ", in.Pins.K3s))
	}
	l.add(0, "left out", strings.Join(h.Without, ", "))
	l.add(0, "facts", strings.Join(present(string(in.Origins[h.Name]), in.Reasons[h.Name]), ": "))
	return l
}

func pinned(prefix, version string) string {
	if version == "" {
		return ""
	}
	return prefix + version
}

func networkSection(n hive.Network) []Line {
	var l lines
	for _, i := range n.Interfaces {
		addresses := append(slices.Clone(i.Addresses), present(dhcpText(i.DHCP))...)
		l.add(0, cmp.Or(i.Name, i.MAC), cmp.Or(strings.Join(addresses, ", "), "no address"))
		l.add(1, "kind", i.Kind, pinned("on ", i.Parent), yes(i.VLAN > 0, "VLAN "+strconv.Itoa(i.VLAN)))
		l.add(1, "MAC", yes(i.Name != "", i.MAC))
	}
	l.add(0, "gateway", n.Gateways...)
	l.add(0, "nameservers", n.Nameservers...)
	l.add(0, "search", n.Search...)
	l.add(0, "backend", n.Backend, yes(n.Managed, "from hive.network"))
	l.add(0, "hosts entries", yes(n.HostsEntry, "of all static hosts"))
	if n.Firewall.Enable {
		l.add(0, "firewall", "on", "TCP "+cmp.Or(numbers(n.Firewall.TCP), "none"), "UDP "+cmp.Or(numbers(n.Firewall.UDP), "none"))
	} else {
		l.add(0, "firewall", "off")
	}
	return l
}

func numbers(n []int) string {
	words := make([]string, len(n))
	for i := range n {
		words[i] = strconv.Itoa(n[i])
	}
	return strings.Join(words, " ")
}

// storageSection is a tree: disks, their partitions, and what spans them. Mounts that no partition explains follow: all
// of them without disko, otherwise data sets, logical volumes and shares.
func storageSection(h hive.Host) []Line {
	var l lines
	mounted := map[string]bool{}
	for _, d := range disks(h) {
		l.add(0, cmp.Or(d.Name, "disk"), cmp.Or(d.Selector, d.Device), d.Table, yes(d.Kept, "kept: setup never formats it"))
		for _, p := range d.Partitions {
			mounted[p.MountPoint] = true
			l.add(1, cmp.Or(p.Name, p.Label, "partition"), p.Size, cmp.Or(p.holds(), p.Use), p.MountPoint, pinned("label ", yes(p.Label != p.Name, p.Label)))
		}
	}
	for _, p := range h.Storage.Pools {
		l.add(0, "pool "+p.Name, p.Kind)
	}
	for _, c := range h.Storage.LUKS {
		l.add(0, "encrypted "+c.Name, c.Device)
	}
	for _, f := range h.Storage.FileSystems {
		if !mounted[f.MountPoint] {
			l.add(0, f.MountPoint, f.Device, f.Type, strings.Join(f.Options, " "), yes(f.NeededForBoot, "needed for boot"))
		}
	}
	for _, s := range h.Storage.Swap {
		l.add(0, "swap", s.Device)
	}
	l.add(0, "disko", yes(h.Storage.Disko.Enable, "on"), h.Storage.Disko.Version, yes(h.Storage.Disko.Own, "the definition's own"))
	return l
}

func bootSection(b hive.Boot) []Line {
	var l lines
	l.add(0, "loader", bootText(b))
	l.add(0, "ESP", b.ESP)
	l.add(0, "boot sectors", b.GrubDevices...)
	l.add(0, "EFI variables", yes(b.Firmware == "uefi" || b.Firmware == "both", map[bool]string{true: "written", false: "left alone"}[b.TouchVariables]))
	l.add(0, "fallback path", yes(b.Removable, "yes"))
	l.add(0, "kernel", b.Kernel)
	l.add(0, "file systems", strings.Join(b.SupportedFSList, " "))
	return l
}

// accessSection names keys by their comment: a key itself tells a person nothing.
func accessSection(h hive.Host) []Line {
	var l lines
	for _, u := range h.Users {
		l.add(0, u.Name, yes(u.Wheel, "wheel"), keyNames(u.Keys), yes(u.HasPassword, "password"))
	}
	d := h.Deployer
	l.add(0, "deployer", d.Name, sudoText(d.Sudo), map[bool]string{true: "trusted by nix", false: "not trusted by nix"}[d.Trusted || d.Name == "root"])
	if !h.SSH.Enable {
		l.add(0, "ssh", "off")
		return l
	}
	l.add(0, "ssh", "port "+cmp.Or(numbers(h.SSH.Ports), "none"), pinned("root login ", h.SSH.RootLogin),
		map[bool]string{true: "passwords allowed", false: "keys only"}[h.SSH.PasswordAuth],
		yes(!h.SSH.Reachable, "closed by the firewall"))
	return l
}

func sudoText(mode string) string {
	switch mode {
	case "root":
		return "is root"
	case "nopasswd":
		return "sudo without password"
	case "password":
		return "sudo with password"
	case "none":
		return "no sudo"
	}
	return mode
}

func keyNames(keys []string) string {
	if len(keys) == 0 {
		return ""
	}
	var names []string
	for _, k := range keys {
		names = append(names, keyName(k))
	}
	return plural(len(keys), "key") + " (" + strings.Join(names, ", ") + ")"
}

// keyName is the comment of an authorized_keys line, else its type. The type is the first word that is not an option.
func keyName(line string) string {
	words := strings.Fields(line)
	for i, w := range words {
		if strings.HasPrefix(w, "ssh-") || strings.HasPrefix(w, "ecdsa-") || strings.HasPrefix(w, "sk-") {
			return cmp.Or(strings.Join(words[min(i+2, len(words)):], " "), w)
		}
	}
	return "?"
}

// scriptLine shows a script by its first line: the rest is in the definition.
func scriptLine(s string) string {
	first, rest, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if rest != "" {
		first += " " + ellipsis
	}
	return first
}

func setupSection(s hive.Setup) []Line {
	var l lines
	for _, script := range s.PreScript {
		l.add(0, "before", scriptLine(script))
	}
	for _, script := range s.PostScript {
		l.add(0, "after", scriptLine(script))
	}
	l.add(0, "scripts", s.Scripts...)
	l.add(0, "files", s.Files...)
	l.add(0, "recognised by", matchText(s.Match)...)
	l.add(0, "unattended", yes(s.Unattended, "yes"))
	return l
}

func matchText(m hive.Match) []string {
	var parts []string
	for _, values := range []struct {
		name string
		all  []string
	}{{"MAC ", m.MACs}, {"serial ", m.Serials}, {"UUID ", m.UUIDs}} {
		for _, v := range values.all {
			parts = append(parts, values.name+v)
		}
	}
	return parts
}

func deploymentSection(h hive.Host) []Line {
	var l lines
	d := h.Deployment
	if t := target(h); t != nil {
		l.add(0, "target", t.Text)
	} else {
		l.add(0, "target", "none: not deployed remotely")
	}
	l.add(0, "tags", d.Tags...)
	l.add(0, "local", yes(d.AllowLocal, "allowed"))
	l.add(0, "builds", yes(d.BuildOnTarget, "on the host"))
	l.add(0, "ssh options", strings.Join(d.SSHOptions, " "))
	for _, k := range d.Keys {
		l.add(0, "secret "+k.Name, k.DestDir, strings.Trim(k.User+":"+k.Group, ":"), k.Permissions, k.UploadAt)
	}
	return l
}

// miniSection counts what is carried by its first name: boot (12), networking (3), ...
func miniSection(h hive.Host) []Line {
	var l lines
	carried := map[string]int{}
	for _, c := range h.Carried {
		if len(c.Path) > 0 {
			carried[c.Path[0]]++
		}
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(carried)) {
		words = append(words, name+" ("+strconv.Itoa(carried[name])+")")
	}
	l.add(0, "carries", words...)
	for _, m := range h.Setup.MiniModules {
		l.add(0, "module", m)
	}
	for _, loss := range h.Losses {
		l.add(0, "loses", loss.Option+": "+loss.Why, yes(loss.Boots, "may not boot without it"))
	}
	return l
}

func problemSection(h hive.Host, problems []hive.Problem) []Line {
	var l lines
	for _, p := range hive.ProblemsOf(problems, h.Name) {
		l.add(0, string(p.Severity), strings.Join(present(p.Option, p.Message), ": "))
		l.add(1, "way out", p.Way)
	}
	return l
}
