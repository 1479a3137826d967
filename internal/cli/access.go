package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"nixos-staged-hive/internal/generate"
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

// generatedHive are the hosts of the generated hive with what a deployment needs of their facts. Nothing is evaluated.
func generatedHive(w *workspace.Workspace) (hive.Hive, error) {
	all, err := generate.ReadHosts(w.File(workspace.GeneratedName))
	if errors.Is(err, generate.ErrNotGenerated) {
		return all, &refusal{err, "run `nixos-staged-hive hive generate`, or leave out --skip-generate", codeFailed}
	}
	return all, err
}
