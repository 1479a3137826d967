package survey_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nixos-staged-hive/internal/stage/deploy/state"
	"nixos-staged-hive/internal/stage/deploy/survey"
	"nixos-staged-hive/internal/testbed/hosts"
	"nixos-staged-hive/internal/testbed/hosts/system"
)

// TestClean deletes generations on hosts with old and new Nix, and compares what was promised with what is there afterwards.
func TestClean(t *testing.T) {
	t.Parallel()
	lab := hosts.Up(t, hosts.Net{Hosts: []hosts.Spec{{Name: "old", Suite: hosts.Bookworm, Systemd: true}, {Name: "new", Suite: hosts.Newest, Systemd: true}}})
	var paths []string
	for i := range 4 {
		paths = append(paths, system.Build(t, lab.Controller, system.Spec{Name: fmt.Sprintf("s%d", i), Size: 1 << 20}))
	}
	for _, h := range lab.Hosts {
		t.Run(h.Name, func(t *testing.T) {
			t.Parallel()
			system.Install(t, lab.Controller, h, paths[0])
			system.Copy(t, lab.Controller, h, paths[1:]...)
			for _, path := range paths[1:] {
				h.Sh(t, "nix-env -p "+system.Profile+" --set "+path)
			}
			h.Sh(t, paths[3]+"/bin/switch-to-configuration switch")
			cleanGenerations(t, h, paths)
		})
	}
}

func cleanGenerations(t *testing.T, h *hosts.Host, paths []string) {
	t.Helper()
	s, err := state.Read(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	c, err := survey.Estimate(t.Context(), h, survey.Old(s, survey.Rule{}, time.Now()))
	if err != nil || len(c.Delete) != 2 || c.Paths != 2 || c.Bytes < 2<<20 || c.Bytes > 3<<20 {
		t.Fatalf("the first one was booted: %+v, %v", c, err)
	}
	if after, err := state.Read(t.Context(), h); err != nil || len(after.Generations) != 4 {
		t.Errorf("an estimate has changed something: %+v, %v", after, err)
	}
	h.Sh(t, "mkdir -p /run/nixos-staged-hive-deploy && touch /run/nixos-staged-hive-deploy/record")
	if _, err := survey.Clean(t.Context(), h, c); err == nil {
		t.Error("cleaned while a deployment goes on")
	}
	h.Sh(t, "rm -r /run/nixos-staged-hive-deploy")
	done, err := survey.Clean(t.Context(), h, c)
	if err != nil || len(done.Deleted) != 2 || !done.Loader || done.Paths != 2 || done.Freed < 2<<20 || done.Freed > 3<<20 {
		t.Errorf("%+v, %v", done, err)
	}
	after, err := state.Read(t.Context(), h)
	if err != nil || len(after.Generations) != 2 || after.Default != paths[3] || after.Current != paths[3] || after.Booted != paths[0] {
		t.Errorf("%+v, %v", after, err)
	}
	if left := h.Sh(t, "ls -d "+strings.Join(paths, " ")+" 2>/dev/null; ls /boot/loader/entries"); left != paths[0]+"\n"+paths[3]+"\nnixos-generation-1.conf\nnixos-generation-4.conf" {
		t.Errorf("left: %s", left)
	}
	stale(t, h, c, paths)
}

// stale: what was chosen a while ago has come into use meanwhile.
func stale(t *testing.T, h *hosts.Host, c survey.Cleaning, paths []string) {
	t.Helper()
	h.Sh(t, paths[0]+"/bin/switch-to-configuration test")
	s, err := state.Read(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	c.Delete = s.Generations
	done, err := survey.Clean(t.Context(), h, c)
	if err == nil || len(done.Deleted) != 0 || done.Loader {
		t.Errorf("%+v, %v", done, err)
	}
	if after, err := state.Read(t.Context(), h); err != nil || len(after.Generations) != 2 || after.Default != paths[3] {
		t.Errorf("%+v, %v", after, err)
	}
}
