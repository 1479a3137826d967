package generate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"nixos-staged-hive/internal/hive"
)

// deploymentDocument is deploy.json: the part of the facts that is needed to reach and to deploy hosts, in the form of hive.Host. With it
// no definition has to be evaluated to deploy what was generated. It is for the deployer alone: no host and no Nix file reads it.
func deploymentDocument(hosts []hive.Host) (map[string]any, error) {
	all := map[string]any{}
	var problems []error
	for _, h := range hosts {
		deployment, err := asJSON(h.Deployment)
		problems = append(problems, err)
		deployer, err := asJSON(h.Deployer)
		problems = append(problems, err)
		network, err := asJSON(h.Network.Interfaces)
		problems = append(problems, err)
		ports, err := asJSON(h.SSH.Ports)
		problems = append(problems, err)
		all[h.Name] = map[string]any{
			"name": h.Name, "definition": h.Definition, "hostName": h.HostName, "domain": h.Domain, "system": h.System,
			"deployer": deployer, "deployment": deployment, "network": map[string]any{"interfaces": network, "backend": h.Network.Backend},
			"ssh":    map[string]any{"enable": h.SSH.Enable, "ports": ports},
			"boot":   map[string]any{"loader": h.Boot.Loader, "esp": h.Boot.ESP},
			"member": member(h.Member),
		}
	}
	return map[string]any{"schema": hive.Schema, "hosts": all}, errors.Join(problems...)
}

// asJSON is v as JSON has it, without loss of numbers.
func asJSON(v any) (any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write what a deployment needs: %w", err)
	}
	return decode(text)
}

// ErrNotGenerated is a folder that no hive was generated into, or one by a program of another schema.
var ErrNotGenerated = errors.New("the hive is not generated")

// ReadHosts gives the hosts of a generated folder as far as a deployment needs them, sorted by name: names, deployer, deployment, interfaces,
// ports of ssh and boot loader. Nothing is evaluated. It is ErrNotGenerated where `hive generate` has to run first.
func ReadHosts(dir string) (hive.Hive, error) {
	text, err := os.ReadFile(filepath.Join(dir, deployJSON))
	if errors.Is(err, fs.ErrNotExist) {
		return hive.Hive{}, fmt.Errorf("%w: there is no %s/%s", ErrNotGenerated, filepath.Base(dir), deployJSON)
	}
	if err != nil {
		return hive.Hive{}, fmt.Errorf("read the generated hive: %w", err)
	}
	var document struct {
		Schema int                  `json:"schema"`
		Hosts  map[string]hive.Host `json:"hosts"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return hive.Hive{}, fmt.Errorf("read the generated hive: %s: %w", deployJSON, err)
	}
	if document.Schema != hive.Schema {
		return hive.Hive{}, fmt.Errorf("%w by this version: %s has schema %d, this program writes %d", ErrNotGenerated, deployJSON, document.Schema, hive.Schema)
	}
	var h hive.Hive
	for _, name := range slices.Sorted(maps.Keys(document.Hosts)) {
		h.Hosts = append(h.Hosts, document.Hosts[name])
	}
	return h, nil
}
