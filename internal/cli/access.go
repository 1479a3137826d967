package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/secret"
	"nixos-staged-hive/internal/stage/workspace"
)

// access is how hosts of the workspace are logged in to, for everything that follows their installation. hosts are facts, or what
// generatedHive reads without any evaluation. A host whose key is kept in the workspace has to show that key; the key that another one
// shows first is remembered in the workspace's known_hosts, and has to be shown from then on. Close it.
func (h *house) access(w *workspace.Workspace, hosts ...hive.Host) (*remote.Access, error) {
	v, err := h.vault(w.Dir)
	if err != nil {
		return nil, err
	}
	targets := make([]remote.Target, len(hosts))
	for i, host := range hosts {
		key, err := v.HostKey(host.Name)
		if err != nil {
			return nil, fmt.Errorf("how to reach %s: %w", host.Name, err)
		}
		targets[i] = targetOf(host, key)
	}
	return remote.Open(h.run, targets, remote.Options{KnownHosts: w.File(secret.KnownHostsName), UserConfig: h.sshConfig()})
}

// sshConfig is the user's own ssh_config, if there is one: what it says of a host fills in what we leave open. SSH_CONFIG_FILE is
// Colmena's variable for another one than OpenSSH's.
func (h *house) sshConfig() string {
	if file := os.Getenv("SSH_CONFIG_FILE"); file != "" {
		if abs, err := filepath.Abs(file); err == nil {
			return abs
		}
	}
	return userSSHConfig()
}

// targetOf is a host as Colmena calls it. key is its public key, empty where none is known.
func targetOf(host hive.Host, key string) remote.Target {
	t := remote.Target{Name: host.Name, Port: host.SSHPort()}
	if host.Deployment.TargetHost != nil {
		t.Called = *host.Deployment.TargetHost
	} else if address, ok := hive.PrimaryAddress(host); ok {
		t.Address = address.String() // Colmena leaves the host alone; a person may look at it
	}
	if host.Deployment.TargetUser != nil {
		t.User = *host.Deployment.TargetUser
	}
	t.FirstContact = remote.AcceptNew
	if words := strings.Fields(key); len(words) >= 2 {
		t.FirstContact, t.HostKeys = remote.Pinned, []string{words[0] + " " + words[1]}
	}
	if t.Port == 22 {
		t.Port = 0 // so that the user's own ssh_config may say another one
	}
	return t
}

// generatedHive is what generated/hive.json says of the hosts, without evaluating anything: names, addresses, tags, and how they are
// reached. All else is empty.
func generatedHive(w *workspace.Workspace) (hive.Hive, error) {
	b, err := os.ReadFile(w.File("generated", "hive.json"))
	if errors.Is(err, os.ErrNotExist) {
		return hive.Hive{}, &refusal{errors.New("there is no generated/hive.json"), "run `nixos-staged-hive hive generate`, or leave out --skip-generate", codeFailed}
	}
	if err != nil {
		return hive.Hive{}, fmt.Errorf("read the generated hive: %w", err)
	}
	var doc struct {
		Schema int                      `json:"schema"`
		Hosts  map[string]generatedHost `json:"hosts"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return hive.Hive{}, fmt.Errorf("read the generated hive: %w", err)
	}
	if doc.Schema != hive.Schema {
		return hive.Hive{}, &refusal{fmt.Errorf("generated/hive.json has schema %d, this program writes %d", doc.Schema, hive.Schema), "run `nixos-staged-hive hive generate`", codeFailed}
	}
	var all hive.Hive
	for _, name := range slices.Sorted(maps.Keys(doc.Hosts)) {
		all.Hosts = append(all.Hosts, doc.Hosts[name].host(name))
	}
	return all, nil
}

// generatedHost is a host as hive.json has it.
type generatedHost struct {
	HostName   string   `json:"hostName"`
	Domain     string   `json:"domain"`
	System     string   `json:"system"`
	Addresses  []string `json:"addresses"`
	Tags       []string `json:"tags"`
	TargetHost *string  `json:"targetHost"`
	TargetUser *string  `json:"targetUser"`
	SSHPort    int      `json:"sshPort"`
}

func (g generatedHost) host(name string) hive.Host {
	host := hive.Host{
		Name: name, HostName: g.HostName, Domain: g.Domain, System: g.System,
		Deployment: hive.Deployment{TargetHost: g.TargetHost, TargetUser: g.TargetUser, Tags: g.Tags},
	}
	if len(g.Addresses) > 0 {
		host.Network.Interfaces = []hive.Interface{{Kind: "other", Addresses: g.Addresses}}
	}
	if g.SSHPort > 0 {
		host.SSH.Ports = []int{g.SSHPort}
	}
	return host
}
