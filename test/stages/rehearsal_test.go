package stages

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nixos-staged-hive/internal/testbed/need"
)

// TestARehearsalAddsToEverySystemAndTakesNothing: what a rehearsal needs is in medium, mini system and full system, also of a host whose mini
// system has forced values for the same options.
func TestARehearsalAddsToEverySystemAndTakesNothing(t *testing.T) {
	need.Program(t, "nix-instantiate")
	onEach(t, func(t *testing.T, on trees) {
		dir := workspace(t, "luks", on)
		hiveOf(t, dir, "generate")
		spec, err := json.Marshal(map[string]any{"notebook": map[string]any{
			"key": "ssh-ed25519 AAAAREHEARSAL x", "udevRules": "# the rule of a rehearsal\n", "firstModules": []string{"sd_mod"},
			"mediumParameters": []string{"only.on=the.medium"}, "asksAtScreen": true,
		}})
		if err != nil {
			t.Fatal(err)
		}
		document := filepath.Join(t.TempDir(), "rehearsal.json")
		if err := os.WriteFile(document, spec, 0o600); err != nil {
			t.Fatal(err)
		}
		tree := filepath.Join(dir, "generated")
		for system, medium := range map[string]bool{"iso": true, "mini": false, "full": false} {
			out := command(t, "nix-instantiate", filepath.Join(tree, "_hive", "stages", "rehearsal.nix"),
				"--argstr", "tree", tree, "--argstr", "rehearsal", document, "-A", "notebook."+system)
			all := derivations(t, strings.TrimSpace(string(out)))
			wanted := []string{"AAAAREHEARSAL", "sd_mod", "console=ttyS0,115200", "no_timer_check", "norandmaps"}
			if on.name == "real" { // the miniature makes no udev rules
				wanted = append(wanted, "the rule of a rehearsal")
			}
			for _, want := range wanted {
				if !strings.Contains(all, want) {
					t.Errorf("%s: nothing in it says %q", system, want)
				}
			}
			if !medium && !strings.Contains(all, "rd.luks.options=timeout=0") {
				t.Errorf("%s: the kernel parameter of the definition is gone", system)
			}
			if got := strings.Contains(all, "only.on=the.medium"); got != medium {
				t.Errorf("%s: kernel parameter of the medium: %v", system, got)
			}
		}
	})
}

// derivations is the text of a derivation and of all it is built from.
func derivations(t *testing.T, drv string) string {
	t.Helper()
	var all strings.Builder
	for path := range strings.Lines(string(command(t, "nix-store", "--query", "--requisites", drv))) {
		if path = strings.TrimSpace(path); strings.HasSuffix(path, ".drv") {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(text)
		}
	}
	return all.String()
}
