package secret

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// KnownHostsName is the file of host keys in a workspace: `ssh -o UserKnownHostsFile=known_hosts` can use it.
const KnownHostsName = "known_hosts"

// keyMark stands behind our keys in known_hosts, where ssh takes it for a comment; the host's name follows.
const keyMark = "nixos-staged-hive:"

// KnownHostsLines gives the lines of known_hosts for a host with this public key: under all names and fixed addresses that it may be
// reached by, on each of its ports, as its mini and full system and as its own medium (NAME-setup). Nothing but a name or address is taken
// from the facts, so that no other line can be smuggled in.
func KnownHostsLines(host hive.Host, public string) []string {
	words := strings.Fields(public)
	if len(words) < 2 {
		return nil
	}
	ports := host.SSH.Ports
	if host.Deployment.TargetPort != nil {
		ports = append(slices.Clone(ports), *host.Deployment.TargetPort)
	}
	if len(ports) == 0 {
		ports = []int{22}
	}
	var patterns []string
	for _, name := range namesOf(host) {
		for _, port := range ports {
			if p := onPort(name, port); !slices.Contains(patterns, p) {
				patterns = append(patterns, p)
			}
		}
	}
	return []string{strings.Join(patterns, ",") + " " + words[0] + " " + words[1] + " " + keyMark + host.Name}
}

// namesOf gives names first, then addresses, each once.
func namesOf(host hive.Host) []string {
	var names []string
	add := func(name string) {
		if plainName.MatchString(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	add(host.Name)
	for _, name := range []string{host.HostName, host.Name} {
		if name == "" {
			continue
		}
		add(name)
		if host.Domain != "" {
			add(name + "." + host.Domain)
		}
		add(name + ".local")
		add(name + "-setup")
		add(name + "-setup.local")
	}
	if target := host.Deployment.TargetHost; target != nil {
		add(*target)
	}
	return append(names, addressesOf(host)...)
}

func addressesOf(host hive.Host) []string {
	var addresses []string
	for _, i := range host.Network.Interfaces {
		for _, a := range i.Addresses {
			if prefix, err := netip.ParsePrefix(a); err == nil && !prefix.Addr().IsLinkLocalUnicast() {
				addresses = append(addresses, prefix.Addr().String())
			}
		}
	}
	if target := host.Deployment.TargetHost; target != nil {
		if ip, err := netip.ParseAddr(*target); err == nil && !slices.Contains(addresses, ip.String()) {
			addresses = append(addresses, ip.String())
		}
	}
	return addresses
}

// onPort is how sshd(8) writes a host with a port: plain for 22.
func onPort(name string, port int) string {
	if port == 22 {
		return name
	}
	return "[" + name + "]:" + strconv.Itoa(port)
}

// MergeKnownHosts puts lines of hosts into the text of a known_hosts file, by name of the host; no lines take those of a host out. Lines
// that are not ours, and ours of other hosts, stay as and where they are.
func MergeKnownHosts(old string, hosts map[string][]string) string {
	var b strings.Builder
	written := map[string]bool{}
	put := func(host string) {
		if !written[host] {
			written[host] = true
			for _, line := range hosts[host] {
				b.WriteString(line + "\n")
			}
		}
	}
	for line := range strings.Lines(old) {
		host, ours := hostOfLine(line)
		if _, wanted := hosts[host]; ours && wanted {
			put(host)
			continue
		}
		b.WriteString(strings.TrimSuffix(line, "\n") + "\n")
	}
	var rest []string
	for host := range hosts {
		rest = append(rest, host)
	}
	slices.Sort(rest)
	for _, host := range rest {
		put(host)
	}
	return b.String()
}

// hostOfLine gives the host of a line that we wrote.
func hostOfLine(line string) (host string, ours bool) {
	words := strings.Fields(line)
	if len(words) != 4 {
		return "", false
	}
	return strings.CutPrefix(words[3], keyMark)
}

// UpdateKnownHosts merges lines into the workspace's known_hosts, and says whether that changed it.
func UpdateKnownHosts(workspace string, hosts map[string][]string) (changed bool, err error) {
	file := filepath.Join(workspace, KnownHostsName)
	root, err := os.OpenRoot(workspace)
	if err != nil {
		return false, fmt.Errorf("update %s: %w", file, err)
	}
	defer root.Close() //nolint:errcheck // only a way to what is written and closed already
	f := folder{root}
	old, err := f.read(KnownHostsName)
	if err != nil {
		return false, fmt.Errorf("update %s: %w", file, err)
	}
	text := MergeKnownHosts(string(old), hosts)
	if text == string(old) {
		return false, nil
	}
	if err := f.replace(KnownHostsName, []byte(text), 0o644); err != nil {
		return false, fmt.Errorf("update %s: %w", file, err)
	}
	return true, nil
}
