package generate

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
)

func TestWhatADeploymentNeedsIsReadBackAsItWas(t *testing.T) {
	t.Parallel()
	port := 2222
	host := web("web1")
	host.Deployment.TargetPort = &port
	host.Deployment.Keys = []hive.Key{{Name: "token", Source: "keyFile", DestDir: "/run/keys", UploadAt: "post-activation"}}
	host.Deployment.Rollout = hive.Rollout{
		After: []string{"db", "@router"}, Group: "web", MaxUnavailable: 2, Canary: true, ConfirmSeconds: 90, BootGuard: true,
		Checks: []hive.HealthCheck{{Name: "web", Command: []string{"curl", "", "a b"}, Attempts: 3, TimeoutSeconds: 10}},
	}
	host.SSH = hive.SSH{Enable: true, Ports: []int{2222}}
	dir := t.TempDir()
	write := func(text []byte) {
		if err := os.WriteFile(filepath.Join(dir, deployJSON), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ReadHosts(dir); !errors.Is(err, ErrNotGenerated) {
		t.Errorf("without a tree: %v", err)
	}
	tree := render(t, host, hive.Host{Name: "bare"})
	write(tree.Files[deployJSON])
	got, err := ReadHosts(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Hosts) != 2 || got.Hosts[0].Name != "bare" {
		t.Fatalf("hosts: %+v", got.Hosts)
	}
	if !reflect.DeepEqual(got.Hosts[1].Deployment, host.Deployment) || !reflect.DeepEqual(got.Hosts[1].Deployer, host.Deployer) ||
		!reflect.DeepEqual(got.Hosts[1].Network.Interfaces, host.Network.Interfaces) || got.Hosts[1].HostName != "web1" {
		t.Errorf("read back:\n%+v\nwas\n%+v", got.Hosts[1], host)
	}
	write([]byte(strings.Replace(string(tree.Files[deployJSON]), `"schema": 1`, `"schema": 99`, 1)))
	if _, err := ReadHosts(dir); !errors.Is(err, ErrNotGenerated) || !strings.Contains(err.Error(), "schema 99") {
		t.Errorf("another schema: %v", err)
	}
	write([]byte("{"))
	if _, err := ReadHosts(dir); err == nil || errors.Is(err, ErrNotGenerated) {
		t.Errorf("half a file: %v", err)
	}
}
