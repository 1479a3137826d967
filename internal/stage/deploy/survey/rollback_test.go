package survey_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/deploy/survey"
	"nixos-staged-hive/internal/testbed/hosts"
	"nixos-staged-hive/internal/testbed/hosts/system"
)

func TestRollbackChoosesWhatHostsHave(t *testing.T) {
	t.Parallel()
	lab := hosts.Up(t, hosts.Net{Hosts: []hosts.Spec{{Name: "web", Suite: hosts.Trixie}, {Name: "fresh", Suite: hosts.Trixie}}})
	first, second := system.Build(t, lab.Controller, system.Spec{Name: "first"}), system.Build(t, lab.Controller, system.Spec{Name: "second"})
	for _, h := range lab.Hosts {
		system.Install(t, lab.Controller, h, first)
	}
	web := lab.Host(t, "web")
	system.Copy(t, lab.Controller, web, second)
	web.Sh(t, "nix-env -p "+system.Profile+" --set "+second+" && "+second+"/bin/switch-to-configuration switch")
	r := survey.Rollback{
		Root: func(_ context.Context, name string) (run.Runner, error) {
			if name == "off" {
				return nil, errors.New("does not answer")
			}
			return lab.Host(t, name), nil
		},
		Generations: map[string]int{},
	}
	var said strings.Builder
	paths, failed, err := r.Push(t.Context(), []string{"web", "fresh", "off"}, &said)
	if err != nil || len(paths) != 1 || paths["web"] != first || r.Generations["web"] != 1 || len(r.Generations) != 1 {
		t.Errorf("%v, %v, %v", paths, r.Generations, err)
	}
	if !strings.Contains(failed["fresh"], "no other system") || failed["off"] != "does not answer" || !strings.Contains(said.String(), "web | generation 1 ("+first+")") {
		t.Errorf("%v, %q", failed, said.String())
	}
	r.To = second
	paths, failed, err = r.Push(t.Context(), []string{"web", "fresh"}, &said)
	if err != nil || paths["web"] != second || r.Generations["web"] != 2 || paths["fresh"] != second || len(failed) != 0 {
		t.Errorf("%v, %v, %v", paths, failed, err) // that fresh does not have it is what the guard refuses
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, _, err := r.Push(ctx, []string{"web"}, &said); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("interrupted: %v", err)
	}
}
